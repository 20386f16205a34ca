import { type Clock, instant } from '../clock.ts';
import type { Connection } from '../hub/connection.ts';
import { Refusal, type RefusalReason, reasonOf, shown, withoutTokens } from '../hub/errors.ts';
import type { ReplyError } from '../protocol/event.ts';

/** What a client sent: a JSON object, nothing in it checked. */
export type Sent = Readonly<Record<string, unknown>>;

/** One line of a client that names an action. */
export interface ClientCall {
  readonly connection: Connection;
  readonly sent: Sent;
  /** When the line came in, milliseconds since the epoch. */
  readonly receivedAtMs: number;
  /** Runs a function once the reply is in the send queue. */
  readonly afterReply: (callback: () => void) => void;
}

/** What a client may ask for over WebSocket. */
export interface ClientAction {
  /**
   * Returns the reply's `data`. Throws a `Refusal` for an error reply; anything else that it throws is a 500
   * for the client and a line in the log.
   */
  perform(call: ClientCall): unknown;
  /**
   * A line that would work for this connection now, for the reply to a line that names this action and is
   * wrong in something else. `undefined` or absent: the reply has no example.
   */
  example?(connection: Connection, sent: Sent): string | undefined;
}

/** A line that works, for replies to lines without a known action. */
const ANY_EXAMPLE = '{"action":"ping"}';

/** How many characters a reply repeats of a line that is not JSON. */
const MAX_SHOWN = 80;

/**
 * A refused line that is longer is not parsed, because parsing costs time: its reply has no action and no
 * `ref`.
 */
const MAX_ECHOED = 1024;

export interface ActionTableParts {
  readonly clock: Clock;
  /** Called with the reason of each error reply. */
  readonly onRefused: (reason: RefusalReason) => void;
  readonly onFault: (what: string, error: unknown) => void;
}

/** Reads the lines of clients, and answers each with the action that it names. */
export class ActionTable {
  readonly #actions: Map<string, ClientAction>;
  readonly #parts: ActionTableParts;

  constructor(actions: Readonly<Record<string, ClientAction>>, parts: ActionTableParts) {
    this.#actions = new Map(Object.entries(actions));
    this.#parts = parts;
  }

  /** Throws an `Error` where there is an action of this name. */
  add(name: string, action: ClientAction): void {
    if (this.#actions.has(name)) throw new Error(`action "${name}" is there already`);
    this.#actions.set(name, action);
  }

  /** Never rejects. */
  async perform(connection: Connection, line: string, receivedAtMs: number): Promise<void> {
    const callbacks: (() => void)[] = [];
    const afterReply = (callback: () => void) => void callbacks.push(callback);
    let sent: Sent = {};
    let text: string;
    try {
      sent = parsed(line);
      const data = await this.#actionOf(sent).perform({ connection, sent, receivedAtMs, afterReply });
      // Inside `try`: what an action returns need not be JSON.
      text = this.#reply(sent, { data: data === undefined ? {} : data });
    } catch (error) {
      this.#parts.onRefused(reasonOf(error));
      text = this.#reply(sent, { error: this.#errorOf(error, connection, sent) });
    }
    connection.send(text);
    for (const callback of callbacks) callback();
  }

  /** Answers a line with a refusal in place of its action. */
  refuse(connection: Connection, line: string, refusal: Refusal): void {
    let sent: Sent = {};
    try {
      if (line.length <= MAX_ECHOED) sent = parsed(line);
    } catch {
      // That the line is malformed matters less than the reason of the refusal.
    }
    this.#parts.onRefused(refusal.reason);
    connection.send(this.#reply(sent, { error: replyError(refusal) }));
  }

  #reply({ action, ref }: Sent, answer: { data: unknown } | { error: ReplyError }): string {
    const reply = typeof action === 'string' ? action : null;
    return JSON.stringify({ reply, ref, time: instant(this.#parts.clock.now()), ...answer });
  }

  #find({ action }: Sent): ClientAction | undefined {
    return typeof action === 'string' ? this.#actions.get(action) : undefined;
  }

  #actionOf(sent: Sent): ClientAction {
    const found = this.#find(sent);
    if (found) return found;
    const { action } = sent;
    const what = action === undefined ? '"action" is missing: send one of' : `${shown(action)} is not one of`;
    throw wrongLine(`${what} ${[...this.#actions.keys()].join(', ')}`);
  }

  #errorOf(error: unknown, connection: Connection, sent: Sent): ReplyError {
    if (error instanceof Refusal) {
      const example = error.status === 400 ? this.#find(sent)?.example?.(connection, sent) : undefined;
      return replyError(error, example ? withExample(error.message, example) : error.message);
    }
    this.#parts.onFault(`action ${shown(sent.action)} failed`, error);
    return { status: 500, title: 'Internal Server Error', detail: 'the action failed; the log says why' };
  }
}

function replyError({ status, title, message }: Refusal, detail = message): ReplyError {
  return { status, title, detail };
}

/** A line whose action cannot be found. */
function wrongLine(message: string): Refusal {
  return new Refusal(400, withExample(message, ANY_EXAMPLE));
}

function withExample(message: string, example: string): string {
  return `${message}; a line that works: ${example}`;
}

function parsed(line: string): Sent {
  if (isTooDeep(line)) throw wrongLine(`nested deeper than ${MAX_DEPTH} levels`);
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch {
    throw wrongLine(`not JSON: ${withoutTokens(line.slice(0, MAX_SHOWN))}`);
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw wrongLine(`not a JSON object: ${shown(value)}`);
  }
  // A JSON object has strings for keys, and its values stay unknown.
  return value as Sent;
}

/** `JSON.parse` reads some thousands of levels that `JSON.stringify` cannot write again. */
const MAX_DEPTH = 100;

const QUOTE = 0x22;
const BACKSLASH = 0x5c;

/** Whether brackets outside of strings are nested too deep. One pass, about 5 ns a character. */
function isTooDeep(line: string): boolean {
  // Each level takes two characters, so most lines are too short for it.
  if (line.length <= 2 * MAX_DEPTH) return false;
  let depth = 0;
  let inString = false;
  for (let at = 0; at < line.length; at++) {
    const code = line.charCodeAt(at);
    if (code === QUOTE) inString = !inString;
    else if (inString) at += code === BACKSLASH ? 1 : 0;
    else if (code === 0x5b || code === 0x7b) depth++;
    else if (code === 0x5d || code === 0x7d) depth--;
    if (depth > MAX_DEPTH) return true;
  }
  return false;
}
