import type { Admission } from './access/admission.ts';
import type { RoomMessageRates } from './access/rate-limits.ts';
import { type Clock, instant } from './clock.ts';
import { type Connection, closingText } from './hub/connection.ts';
import { Refusal, shown } from './hub/errors.ts';
import { isRoomName, ROOM_ACCEPTS } from './hub/event.ts';
import type { Hub } from './hub/hub.ts';
import { CLOSE } from './protocol/close-reason.ts';
import type { ClientAction, Sent } from './transport/action-table.ts';

export interface ActionParts {
  readonly hub: Pick<Hub, 'publish' | 'subscribe' | 'leave' | 'close' | 'refusalOf'>;
  readonly clock: Pick<Clock, 'now'>;
  readonly access: Pick<Admission, 'checkPublish' | 'checkSubscribe' | 'reserveRoom' | 'renew' | 'mayStay'>;
  readonly roomRates: Pick<RoomMessageRates, 'take'>;
}

/** The actions that every server has. An embedding program adds its own with `Belfry.action`. */
export function builtInActions(parts: ActionParts): Readonly<Record<string, ClientAction>> {
  const { hub, clock } = parts;
  return {
    ping: { perform: () => {} },
    echo: { perform: ({ sent }) => sent.data ?? null },
    time: {
      perform: ({ sent, receivedAtMs }) => ({ t0: t0Of(sent), t1: receivedAtMs, t2: clock.now() }),
      example: () => '{"action":"time","data":{"t0":1795197603001}}',
    },
    publish: publish(parts),
    subscribe: subscribe(parts),
    unsubscribe: unsubscribe(parts),
    token: token(parts),
    close: {
      perform: ({ connection, afterReply }) => afterReply(() => hub.close(connection, CLOSE.normal)),
    },
  };
}

function publish(parts: ActionParts): ClientAction {
  const { hub, access, roomRates } = parts;
  return {
    async perform({ connection, sent }) {
      const room = ownRoom(sent, connection, 403);
      access.checkPublish(room, connection);
      if (sent.data === undefined) throw Refusal.invalid('data', '"data" is missing: send any JSON');
      const event = stringOf(sent, 'event', 'the name of an event as a string') ?? 'message';
      const isForSelf = flagOf(sent, 'self') !== false;
      const publication = {
        target: { rooms: [room], except: isForSelf ? [] : [connection.id] },
        event,
        data: JSON.stringify(sent.data),
        from: connection.sender,
      };
      // The rate limit counts only what passes the hub's own checks.
      const { id, connections } = await hub.publish(publication, { beforehand: () => roomRates.take(room) });
      return { id, connections };
    },

    example(connection, sent) {
      const { rooms } = connection;
      if (rooms.size === 0) return subscribeExample(parts, connection, sent);
      const room = [...namedIn(sent), ...someRooms(connection)].find(
        (each) => rooms.has(each) && passes(() => access.checkPublish(each, connection)),
      );
      if (room === undefined) return undefined;
      return JSON.stringify({
        action: 'publish',
        ...(rooms.size > 1 && { room }),
        data: { text: 'hello' },
      });
    },
  };
}

function subscribe(parts: ActionParts): ClientAction {
  const { hub, access } = parts;
  return {
    async perform({ connection, sent }) {
      const room = namedRoom(sent);
      if (room === undefined)
        throw Refusal.invalid('room', '"room" is missing: name the room to subscribe to');
      const since = stringOf(sent, 'since', 'an id as a string') || undefined;
      access.checkSubscribe(room, connection);
      const reservation = access.reserveRoom(room, connection);
      try {
        const resumed = await hub.subscribe(connection, room, since);
        return { room, resumed: resumed[room] };
      } finally {
        reservation.release();
      }
    },
    example: (connection, sent) => subscribeExample(parts, connection, sent),
  };
}

function unsubscribe({ hub }: ActionParts): ClientAction {
  return {
    perform({ connection, sent }) {
      const room = ownRoom(sent, connection, 404);
      hub.leave(connection, room);
      return { room };
    },

    example(connection, sent) {
      const room = [...namedIn(sent), ...someRooms(connection)].find((each) => connection.rooms.has(each));
      return room === undefined ? undefined : JSON.stringify({ action: 'unsubscribe', room });
    },
  };
}

function token({ hub, access }: ActionParts): ClientAction {
  return {
    async perform({ connection, sent: { data } }) {
      const given = typeof data === 'object' && data !== null && 'token' in data ? data.token : undefined;
      if (typeof given !== 'string') {
        throw Refusal.invalid('data.token', '"data" must be {"token":"…"}, with the new token as a string');
      }
      const subscriber = await access.renew(given, connection);
      connection.subscriber = subscriber;
      for (const room of [...connection.rooms]) {
        if (access.mayStay(room, connection)) continue;
        connection.send(
          closingText({ ...CLOSE.forbidden, reason: 'the token does not cover it' }, 'room', room),
        );
        hub.leave(connection, room);
      }
      const { expiresAtMs } = subscriber;
      return { expiresAt: expiresAtMs === undefined ? null : instant(expiresAtMs) };
    },
  };
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
 * The room that a line names, or the only one that its connection is in. Throws a 400 `Refusal`, or one
 * with `status` where the connection is not in the room that is named.
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

// Rooms for examples

/** A room that most servers have. */
const USUAL_ROOM = 'lobby';

/** Of a connection's own rooms so many are tried: each is looked up in all room rules. */
const MAX_TRIED = 10;

function subscribeExample({ hub, access }: ActionParts, connection: Connection, sent: Sent) {
  const room = [...namedIn(sent), USUAL_ROOM, ...someRooms(connection)].find(
    (each) => passes(() => access.checkSubscribe(each, connection)) && hub.refusalOf(each) === undefined,
  );
  return room === undefined ? undefined : JSON.stringify({ action: 'subscribe', room });
}

function someRooms({ rooms }: Connection): string[] {
  const some: string[] = [];
  for (const room of rooms) {
    if (some.length === MAX_TRIED) break;
    some.push(room);
  }
  return some;
}

function namedIn({ room }: Sent): string[] {
  return typeof room === 'string' && isRoomName(room) ? [room] : [];
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
