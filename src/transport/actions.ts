import { type Clock, instant } from '../clock.ts';
import { CLOSE } from '../hub/close-reason.ts';
import type { Connection } from '../hub/connection.ts';
import type { Hub } from '../hub/hub.ts';
import { isRoomName, ROOM_ACCEPTS } from '../hub/names.ts';
import { Refusal } from '../hub/refusal.ts';

/** One line of a client, already known to be an object with an action that exists. */
export interface ActionCall {
  readonly connection: Connection;
  /** The whole object as it was sent; nothing in it has been checked. */
  readonly sent: Readonly<Record<string, unknown>>;
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

export interface ActionParts {
  readonly hub: Hub;
  readonly clock: Clock;
  /** Throws a `Refusal` where the room's rule does not let its members publish. */
  readonly checkPublish: (room: string) => void;
  /** Throws a `Refusal` where the room's rule does not let the caller listen. */
  readonly checkSubscribe: (room: string) => void;
}

/** The actions that every server has. An embedding program adds its own to the map. */
export function builtInActions({
  hub,
  clock,
  checkPublish,
  checkSubscribe,
}: ActionParts): Map<string, Action> {
  return new Map<string, Action>([
    ['ping', () => ({})],
    ['echo', ({ sent }) => sent.data ?? null],
    ['time', ({ sent, receivedAtMs }) => ({ t0: t0Of(sent.data), t1: receivedAtMs, t2: clock.now() })],
    [
      'publish',
      async ({ connection, sent }) => {
        const room = roomOf(sent, connection);
        if (!connection.rooms.has(room)) throw new Refusal(403, `this connection is not in room "${room}"`);
        checkPublish(room);
        if (sent.data === undefined) invalid('data', '"data" is missing: send any JSON');
        const except = optional(sent, 'self', 'boolean', 'true or false') === false ? [connection.id] : [];
        const published = await hub.publish({
          target: { rooms: [room], except },
          event: optional(sent, 'event', 'string', 'a text') ?? 'message',
          data: JSON.stringify(sent.data),
          from: connection.sender,
        });
        return { id: published.id, connections: published.connections };
      },
    ],
    [
      'subscribe',
      async ({ connection, sent }) => {
        if (sent.room === undefined) invalid('room', '"room" is missing: name the room to subscribe to');
        const room = roomOf(sent, connection);
        checkSubscribe(room);
        const since = optional(sent, 'since', 'string', 'an id as a text') || undefined;
        const resumed = await hub.subscribe(connection, room, since);
        return { room, resumed: resumed[room] };
      },
    ],
    [
      'unsubscribe',
      ({ connection, sent }) => {
        const room = roomOf(sent, connection);
        if (!connection.rooms.has(room)) throw new Refusal(404, `this connection is not in room "${room}"`);
        hub.leave(connection, room);
        return { room };
      },
    ],
    [
      'close',
      ({ connection, afterReply }) => {
        afterReply(() => hub.close(connection, CLOSE.normal));
        return {};
      },
    ],
  ]);
}

/** Lines that work, for error replies: one for each built-in action where there is more to say. */
const EXAMPLES: Readonly<Record<string, string>> = {
  publish: '{"action":"publish","data":{"text":"hello"}}',
  subscribe: '{"action":"subscribe","room":"lobby"}',
};
const EXAMPLE = '{"action":"ping"}';

/** Reads and answers one line of a client. Never rejects. */
export class ActionTable {
  readonly #actions: ReadonlyMap<string, Action>;
  readonly #clock: Clock;
  readonly #onFault: (what: string, error: unknown) => void;

  constructor(options: {
    actions: ReadonlyMap<string, Action>;
    clock: Clock;
    onFault: (what: string, error: unknown) => void;
  }) {
    this.#actions = options.actions;
    this.#clock = options.clock;
    this.#onFault = options.onFault;
  }

  async perform(connection: Connection, line: string, receivedAtMs: number): Promise<void> {
    const afterReply: (() => void)[] = [];
    let sent: Readonly<Record<string, unknown>> = {};
    let answer: { data: unknown } | { error: unknown };
    try {
      sent = parsed(line);
      const action = this.#actionOf(sent);
      const data = await action({
        connection,
        sent,
        receivedAtMs,
        afterReply: (what) => void afterReply.push(what),
      });
      answer = { data: data === undefined ? {} : data };
    } catch (error) {
      answer = { error: this.#errorOf(error, sent.action) };
    }
    const reply = typeof sent.action === 'string' ? sent.action : null;
    const time = instant(this.#clock.now());
    connection.send(JSON.stringify({ reply, ref: sent.ref, time, ...answer }));
    for (const what of afterReply) what();
  }

  #actionOf(sent: Readonly<Record<string, unknown>>): Action {
    const action = typeof sent.action === 'string' ? this.#actions.get(sent.action) : undefined;
    if (action) return action;
    const known = [...this.#actions.keys()].join(', ');
    const shown = JSON.stringify(sent.action) ?? 'missing';
    throw new Refusal(
      400,
      `action ${shown.slice(0, 80)} is not one of ${known}; a line that works: ${EXAMPLE}`,
    );
  }

  #errorOf(error: unknown, action: unknown): { status: number; title: string; detail: string } {
    if (error instanceof Refusal) {
      const example = typeof action === 'string' && error.status === 400 ? EXAMPLES[action] : undefined;
      const detail = example ? `${error.message}; a line that works: ${example}` : error.message;
      return { status: error.status, title: error.title, detail };
    }
    this.#onFault(`action ${JSON.stringify(action)} failed`, error);
    return { status: 500, title: 'Internal Server Error', detail: 'the action failed; the log says why' };
  }
}

function parsed(line: string): Readonly<Record<string, unknown>> {
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch (error) {
    const why = error instanceof Error ? error.message : 'it does not parse';
    throw new Refusal(400, `not JSON: ${why.slice(0, 120)}; a line that works: ${EXAMPLE}`);
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new Refusal(400, `not a JSON object: ${line.slice(0, 40)}; a line that works: ${EXAMPLE}`);
  }
  // A JSON object has texts for keys, and nothing more is claimed of its values.
  return value as Record<string, unknown>;
}

/** The room a line is about: the one it names, or the only one that the connection is in. */
function roomOf(sent: Readonly<Record<string, unknown>>, connection: Connection): string {
  const named = optional(sent, 'room', 'string', 'a text');
  if (named !== undefined) {
    if (!isRoomName(named))
      invalid('room', `${JSON.stringify(named).slice(0, 160)} is not a room name: ${ROOM_ACCEPTS}`);
    return named;
  }
  const [only, ...others] = connection.rooms;
  if (only === undefined || others.length > 0) {
    invalid('room', `"room" is missing: this connection is in ${connection.rooms.size} rooms`);
  }
  return only;
}

interface Kinds {
  string: string;
  boolean: boolean;
}

function optional<Kind extends keyof Kinds>(
  sent: Readonly<Record<string, unknown>>,
  key: string,
  kind: Kind,
  accepts: string,
): Kinds[Kind] | undefined {
  const value = sent[key];
  if (value === undefined) return undefined;
  // biome-ignore lint/suspicious/useValidTypeof: `kind` is one of two literals.
  if (typeof value !== kind)
    invalid(key, `"${key}" is ${JSON.stringify(value).slice(0, 80)}: send ${accepts}`);
  return value as Kinds[Kind]; // `typeof` was compared with the name of that very type
}

function t0Of(data: unknown): number | null {
  const t0 = typeof data === 'object' && data !== null && 't0' in data ? data.t0 : undefined;
  if (t0 === undefined) return null;
  if (typeof t0 !== 'number')
    invalid('data.t0', `"t0" is ${JSON.stringify(t0).slice(0, 80)}: send milliseconds as a number`);
  return t0;
}

function invalid(path: string, message: string): never {
  throw new Refusal(400, message, { errors: [{ path, message }] });
}
