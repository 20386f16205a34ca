import type { Admission } from '../access/admission.ts';
import type { RoomMessageRates } from '../access/rate-limits.ts';
import { type Clock, instant } from '../clock.ts';
import type { Connection } from '../hub/connection.ts';
import { Refusal, type RefusalReason, reasonOf, shown } from '../hub/errors.ts';
import { isRoomName, ROOM_ACCEPTS } from '../hub/event.ts';
import type { Hub } from '../hub/hub.ts';
import { CLOSE } from '../protocol/close-reason.ts';
import type { ReplyError } from '../protocol/event.ts';

/** What a client sent: a JSON object, nothing in it checked. */
export type Sent = Readonly<Record<string, unknown>>;

/** One line of a client, already known to be an object with an action that exists. */
export interface ClientCall {
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
export type ClientAction = (call: ClientCall) => unknown;

/**
 * A line that works for this connection as things stand, in the place of one that names its action but is
 * wrong in something else; `undefined` where there is none.
 */
export type ExampleOf = (connection: Connection, sent: Sent) => string | undefined;

/** A line that works, for replies to lines that no action can be found for. */
const ANY_EXAMPLE = '{"action":"ping"}';

/** How much of a line that is no JSON a reply repeats, as it came. */
const MAX_SHOWN = 80;

/** Of a refused line longer than this the reply repeats neither action nor `ref`: reading it has a cost. */
const MAX_ECHOED = 1024;

/** Reads and answers one line of a client. Never rejects. */
export class ActionTable {
  readonly #actions: ReadonlyMap<string, ClientAction>;
  readonly #exampleOf: ExampleOf;
  readonly #clock: Clock;
  readonly #onRefused: (reason: RefusalReason) => void;
  readonly #onFault: (what: string, error: unknown) => void;

  constructor(options: {
    actions: ReadonlyMap<string, ClientAction>;
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
      if (line.length <= MAX_ECHOED) sent = parsed(line);
    } catch {
      // That it could not be read matters less than that it came too soon.
    }
    const { status, title, message: detail, reason } = refusal;
    this.#onRefused(reason);
    connection.send(this.#reply(sent, { error: { status, title, detail } }));
  }

  #reply({ action, ref }: Sent, answer: { data: unknown } | { error: ReplyError }): string {
    const reply = typeof action === 'string' ? action : null;
    return JSON.stringify({ reply, ref, time: instant(this.#clock.now()), ...answer });
  }

  #actionOf({ action }: Sent): ClientAction {
    const found = typeof action === 'string' ? this.#actions.get(action) : undefined;
    if (found) return found;
    const what = action === undefined ? '"action" is missing: send one of' : `${shown(action)} is not one of`;
    throw wrongLine(`${what} ${[...this.#actions.keys()].join(', ')}`);
  }

  #errorOf(error: unknown, connection: Connection, sent: Sent): ReplyError {
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
const MAX_DEPTH = 100;

const QUOTE = 0x22;
const BACKSLASH = 0x5c;

/**
 * Whether brackets are open in each other deeper than that, those in strings left out. One pass over
 * the line, about 5 ns a character.
 */
function isTooDeep(line: string): boolean {
  // Each level takes two characters, so that most lines need no look.
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

function parsed(line: string): Sent {
  if (isTooDeep(line)) throw wrongLine(`nested deeper than ${MAX_DEPTH} levels`);
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch {
    throw wrongLine(`not JSON: ${line.slice(0, MAX_SHOWN)}`);
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw wrongLine(`not a JSON object: ${shown(value)}`);
  }
  // A JSON object has strings for keys, and nothing more is claimed of its values.
  return value as Sent;
}

/** A line that no action could be found for. */
function wrongLine(message: string): Refusal {
  return new Refusal(400, withExample(message, ANY_EXAMPLE));
}

function withExample(message: string, example: string): string {
  return `${message}; a line that works: ${example}`;
}

/** The calls of `Admission` that actions of a client need; the checks change nothing. */
export type RoomAccess = Pick<Admission, 'checkPublish' | 'checkSubscribe' | 'reserveRoom'>;

export interface ActionParts {
  readonly hub: Hub;
  readonly clock: Clock;
  readonly access: RoomAccess;
  readonly roomRates: Pick<RoomMessageRates, 'take'>;
}

/** The actions that every server has. An embedding program adds its own to the map. */
export function builtInActions({ hub, clock, access, roomRates }: ActionParts): Map<string, ClientAction> {
  async function publish({ connection, sent }: ClientCall) {
    const room = ownRoom(sent, connection, 403);
    access.checkPublish(room);
    if (sent.data === undefined) throw Refusal.invalid('data', '"data" is missing: send any JSON');
    const event = stringOf(sent, 'event', 'the name of an event as a string') ?? 'message';
    const isForSelf = flagOf(sent, 'self') !== false;
    const publication = {
      target: { rooms: [room], except: isForSelf ? [] : [connection.id] },
      event,
      data: JSON.stringify(sent.data),
      from: connection.sender,
    };
    // What is refused is not delivered, and so not counted.
    const { id, connections } = await hub.publish(publication, { beforehand: () => roomRates.take(room) });
    return { id, connections };
  }

  async function subscribe({ connection, sent }: ClientCall) {
    const room = namedRoom(sent);
    if (room === undefined) throw Refusal.invalid('room', '"room" is missing: name the room to subscribe to');
    const since = stringOf(sent, 'since', 'an id as a string') || undefined;
    access.checkSubscribe(room, connection);
    const reservation = access.reserveRoom(room, connection);
    try {
      const resumed = await hub.subscribe(connection, room, since);
      return { room, resumed: resumed[room] };
    } finally {
      reservation.release();
    }
  }

  function unsubscribe({ connection, sent }: ClientCall) {
    const room = ownRoom(sent, connection, 404);
    hub.leave(connection, room);
    return { room };
  }

  function close({ connection, afterReply }: ClientCall): void {
    afterReply(() => hub.close(connection, CLOSE.normal));
  }

  return new Map<string, ClientAction>([
    ['ping', () => {}],
    ['echo', ({ sent }) => sent.data ?? null],
    ['time', ({ sent, receivedAtMs }) => ({ t0: t0Of(sent), t1: receivedAtMs, t2: clock.now() })],
    ['publish', publish],
    ['subscribe', subscribe],
    ['unsubscribe', unsubscribe],
    ['close', close],
  ]);
}

/** Reads a string that may be left out. Throws a 400 `Refusal`. */
function stringOf(sent: Sent, key: string, accepts: string): string | undefined {
  const value = sent[key];
  if (value === undefined || typeof value === 'string') return value;
  throw Refusal.invalid(key, `"${key}" is ${shown(value)}: send ${accepts}`);
}

/** Reads a boolean that may be left out. Throws a 400 `Refusal`. */
function flagOf(sent: Sent, key: string): boolean | undefined {
  const value = sent[key];
  if (value === undefined || typeof value === 'boolean') return value;
  throw Refusal.invalid(key, `"${key}" is ${shown(value)}: send true or false`);
}

/** The room that a line names, `undefined` where it names none. Throws a 400 `Refusal`. */
function namedRoom(sent: Sent): string | undefined {
  const room = stringOf(sent, 'room', 'the name of a room as a string');
  if (room === undefined || isRoomName(room)) return room;
  throw Refusal.invalid('room', `${shown(room)} is not a room name: ${ROOM_ACCEPTS}`);
}

/**
 * The room of its sender's that a line is about: the one it names, or the only one that the
 * connection is in. Throws a 400 `Refusal`, one with `status` where the connection is not in it.
 */
function ownRoom(sent: Sent, { rooms }: Connection, status: number): string {
  const named = namedRoom(sent);
  if (named !== undefined) {
    if (rooms.has(named)) return named;
    throw new Refusal(status, `this connection is not in room "${named}"`);
  }
  const [only, ...others] = rooms;
  if (only === undefined || others.length > 0) {
    throw Refusal.invalid('room', `"room" is missing: this connection is in ${rooms.size} rooms`);
  }
  return only;
}

/** The client's instant in `data.t0`, milliseconds; null where it sent none. Throws a 400 `Refusal`. */
function t0Of({ data }: Sent): number | null {
  const t0 = typeof data === 'object' && data !== null && 't0' in data ? data.t0 : undefined;
  if (t0 === undefined) return null;
  if (typeof t0 === 'number') return t0;
  throw Refusal.invalid('data.t0', `"t0" is ${shown(t0)}: send milliseconds as a number`);
}

/** A room that most servers have. */
const WELL_KNOWN = 'lobby';

/** How many rooms of a connection are tried: each is looked up in all rules. */
const MAX_TRIED = 10;

/** Lines for the actions that every server has. An embedding program's own say themselves what they take. */
export function exampleLines({ hub, access }: Pick<ActionParts, 'hub' | 'access'>): ExampleOf {
  function publish(connection: Connection, sent: Sent): string | undefined {
    const { rooms } = connection;
    if (rooms.size === 0) return subscribe(connection, sent);
    const room = tried(connection, sent).find(
      (each) => rooms.has(each) && passes(() => access.checkPublish(each)),
    );
    if (room === undefined) return undefined;
    return JSON.stringify({
      action: 'publish',
      ...(rooms.size > 1 && { room }),
      data: { text: 'hello' },
    });
  }

  function subscribe(connection: Connection, sent: Sent): string | undefined {
    const room = [...named(sent), WELL_KNOWN, ...tried(connection, sent)].find(
      (each) => passes(() => access.checkSubscribe(each, connection)) && hub.refusalOf(each) === undefined,
    );
    return room === undefined ? undefined : JSON.stringify({ action: 'subscribe', room });
  }

  function unsubscribe(connection: Connection, sent: Sent): string | undefined {
    const room = tried(connection, sent).find((each) => connection.rooms.has(each));
    return room === undefined ? undefined : JSON.stringify({ action: 'unsubscribe', room });
  }

  const examples = new Map<unknown, ExampleOf>([
    ['publish', publish],
    ['subscribe', subscribe],
    ['unsubscribe', unsubscribe],
    ['time', () => '{"action":"time","data":{"t0":1795197603001}}'],
  ]);
  return (connection, sent) => examples.get(sent.action)?.(connection, sent);
}

/** The room that a line names, where it names one. */
function named({ room }: Sent): string[] {
  return typeof room === 'string' && isRoomName(room) ? [room] : [];
}

/** The room that a line names, and some of the connection's own. */
function tried({ rooms }: Connection, sent: Sent): string[] {
  const own: string[] = [];
  for (const room of rooms) {
    if (own.length === MAX_TRIED) break;
    own.push(room);
  }
  return [...named(sent), ...own];
}

function passes(check: () => void): boolean {
  try {
    check();
    return true;
  } catch (error) {
    if (error instanceof Refusal) return false;
    throw error;
  }
}
