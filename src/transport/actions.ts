import { type Clock, instant } from '../clock.ts';
import type { Connection } from '../hub/connection.ts';
import { Refusal, type RefusalReason, reasonOf, shown } from '../hub/errors.ts';

/** What a client sent: a JSON object, nothing in it checked. */
export type Sent = Readonly<Record<string, unknown>>;

/** One line of a client, already known to be an object with an action that exists. */
export interface ActionCall {
  readonly connection: Connection;
  readonly sent: Sent;
  /** When it came in, milliseconds since the epoch. */
  readonly receivedAtMs: number;
  /** Runs something once the reply is on its way. */
  readonly afterReply: (what: () => void) => void;
}

/**
 * What a client may ask for over WebSocket. Returns the reply's `data`; throws a `Refusal` for an
 * error reply; anything else that it throws is a 500 for the caller and a line in the log.
 */
export type Action = (call: ActionCall) => unknown;

/**
 * A line that works for this connection as things stand, in the place of one that names its action but is
 * wrong in something else; `undefined` where there is none.
 */
export type ExampleOf = (connection: Connection, sent: Sent) => string | undefined;

/** A line that works, for replies to lines that no action can be found for. */
const ANY_EXAMPLE = '{"action":"ping"}';

/** How much of a line that is no JSON a reply repeats, as it came. */
const LONGEST_SHOWN = 80;

/** Of a refused line longer than this the reply repeats neither action nor `ref`: reading it has a cost. */
const LONGEST_ECHOED = 1024;

/** Reads and answers one line of a client. Never rejects. */
export class ActionTable {
  readonly #actions: ReadonlyMap<string, Action>;
  readonly #exampleOf: ExampleOf;
  readonly #clock: Clock;
  readonly #onRefused: (reason: RefusalReason) => void;
  readonly #onFault: (what: string, error: unknown) => void;

  constructor(options: {
    actions: ReadonlyMap<string, Action>;
    /** For replies to lines whose action is known. */
    exampleOf: ExampleOf;
    clock: Clock;
    /** Hears why, each time that the reply is an error. */
    onRefused: (reason: RefusalReason) => void;
    onFault: (what: string, error: unknown) => void;
  }) {
    this.#actions = options.actions;
    this.#exampleOf = options.exampleOf;
    this.#clock = options.clock;
    this.#onRefused = options.onRefused;
    this.#onFault = options.onFault;
  }

  async perform(connection: Connection, line: string, receivedAtMs: number): Promise<void> {
    const afterReply: (() => void)[] = [];
    let sent: Sent = {};
    let text: string;
    try {
      sent = parsed(line);
      const data = await this.#actionOf(sent)({
        connection,
        sent,
        receivedAtMs,
        afterReply: (what) => void afterReply.push(what),
      });
      // Here, because what an action returns need not be JSON.
      text = this.#reply(sent, { data: data === undefined ? {} : data });
    } catch (error) {
      this.#onRefused(reasonOf(error));
      text = this.#reply(sent, { error: this.#errorOf(error, connection, sent) });
    }
    connection.send(text);
    for (const what of afterReply) what();
  }

  /** Answers a line that is not acted on. A long one is not even read: its reply has no `ref`. */
  refuse(connection: Connection, line: string, refusal: Refusal): void {
    let sent: Sent = {};
    try {
      if (line.length <= LONGEST_ECHOED) sent = parsed(line);
    } catch {
      // That it could not be read matters less than that it came too soon.
    }
    const { status, title, message: detail, reason } = refusal;
    this.#onRefused(reason);
    connection.send(this.#reply(sent, { error: { status, title, detail } }));
  }

  #reply({ action, ref }: Sent, answer: { data: unknown } | { error: unknown }): string {
    const reply = typeof action === 'string' ? action : null;
    return JSON.stringify({ reply, ref, time: instant(this.#clock.now()), ...answer });
  }

  #actionOf({ action }: Sent): Action {
    const found = typeof action === 'string' ? this.#actions.get(action) : undefined;
    if (found) return found;
    const what = action === undefined ? '"action" is missing: send one of' : `${shown(action)} is not one of`;
    throw wrongLine(`${what} ${[...this.#actions.keys()].join(', ')}`);
  }

  #errorOf(
    error: unknown,
    connection: Connection,
    sent: Sent,
  ): { status: number; title: string; detail: string } {
    if (error instanceof Refusal) {
      const example = error.status === 400 ? this.#exampleOf(connection, sent) : undefined;
      const detail = example ? withExample(error.message, example) : error.message;
      return { status: error.status, title: error.title, detail };
    }
    this.#onFault(`action ${shown(sent.action)} failed`, error);
    return { status: 500, title: 'Internal Server Error', detail: 'the action failed; the log says why' };
  }
}

/** Deeper than any client needs; some thousands of levels could be read, but not written again. */
const DEEPEST = 100;

const QUOTE = 0x22;
const BACKSLASH = 0x5c;

/**
 * Whether brackets are open in each other deeper than that, those in strings left out. One pass over
 * the line, about 5 ns a character.
 */
function isTooDeep(line: string): boolean {
  // Each level takes two characters, so that most lines need no look.
  if (line.length <= 2 * DEEPEST) return false;
  let depth = 0;
  let inString = false;
  for (let at = 0; at < line.length; at++) {
    const code = line.charCodeAt(at);
    if (code === QUOTE) inString = !inString;
    else if (inString) at += code === BACKSLASH ? 1 : 0;
    else if (code === 0x5b || code === 0x7b) depth++;
    else if (code === 0x5d || code === 0x7d) depth--;
    if (depth > DEEPEST) return true;
  }
  return false;
}

function parsed(line: string): Sent {
  if (isTooDeep(line)) throw wrongLine(`nested deeper than ${DEEPEST} levels`);
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch {
    throw wrongLine(`not JSON: ${line.slice(0, LONGEST_SHOWN)}`);
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw wrongLine(`not a JSON object: ${shown(value)}`);
  }
  // A JSON object has texts for keys, and nothing more is claimed of its values.
  return value as Sent;
}

/** A line that no action could be found for. */
function wrongLine(message: string): Refusal {
  return new Refusal(400, withExample(message, ANY_EXAMPLE));
}

function withExample(message: string, example: string): string {
  return `${message}; a line that works: ${example}`;
}
