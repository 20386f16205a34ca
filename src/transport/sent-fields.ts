import type { Connection } from '../hub/connection.ts';
import { Refusal, shown } from '../hub/errors.ts';
import { isRoomName, ROOM_ACCEPTS } from '../hub/event.ts';
import type { Sent } from './actions.ts';

/** Reads a text that may be left out. Throws a 400 `Refusal`. */
export function textOf(sent: Sent, key: string, accepts: string): string | undefined {
  const value = sent[key];
  if (value === undefined || typeof value === 'string') return value;
  throw Refusal.invalid(key, `"${key}" is ${shown(value)}: send ${accepts}`);
}

/** Reads a yes or no that may be left out. Throws a 400 `Refusal`. */
export function flagOf(sent: Sent, key: string): boolean | undefined {
  const value = sent[key];
  if (value === undefined || typeof value === 'boolean') return value;
  throw Refusal.invalid(key, `"${key}" is ${shown(value)}: send true or false`);
}

/** The room that a line names, `undefined` where it names none. Throws a 400 `Refusal`. */
export function namedRoom(sent: Sent): string | undefined {
  const room = textOf(sent, 'room', 'the name of a room as a string');
  if (room === undefined || isRoomName(room)) return room;
  throw Refusal.invalid('room', `${shown(room)} is not a room name: ${ROOM_ACCEPTS}`);
}

/**
 * The room of its sender's that a line is about: the one it names, or the only one that the
 * connection is in. Throws a 400 `Refusal`, one with `status` where the connection is not in it.
 */
export function ownRoom(sent: Sent, { rooms }: Connection, status: number): string {
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
export function t0Of({ data }: Sent): number | null {
  const t0 = typeof data === 'object' && data !== null && 't0' in data ? data.t0 : undefined;
  if (t0 === undefined) return null;
  if (typeof t0 === 'number') return t0;
  throw Refusal.invalid('data.t0', `"t0" is ${shown(t0)}: send milliseconds as a number`);
}
