import { type Clock, instant } from '../clock.ts';
import type { CloseRoom } from './administration.ts';
import { CLOSE, type CloseReason } from './close-reason.ts';
import { type Connection, closingText } from './connection.ts';
import { Refusal, retryAfterMs } from './errors.ts';
import { type Lock, lockedUntil, type Room } from './room.ts';
import type { Rooms } from './rooms.ts';
import { inSlices, type SliceOptions } from './slices.ts';
import type { RoomClosed } from './views.ts';

/** What closing a room does to its members, handed in by the hub. */
export interface Leaving {
  close(connection: Connection, reason: CloseReason, room: string): void;
  leave(connection: Connection, room: string): void;
}

/** What closing a room is done with. */
export interface ClosingParts extends SliceOptions {
  readonly rooms: Rooms;
  readonly clock: Clock;
  readonly leaving: Leaving;
}

/**
 * Closes a room: the lock is on at once; then its members are told why, in slices where they are many.
 * A member that is left with no room is closed, one that is in others stays. Without a lock the room is
 * gone afterwards, unless a client has joined meanwhile.
 */
export async function closeRoom(
  room: Room,
  { reason = CLOSE.roomClosed.reason, lockMs, reconnect }: CloseRoom,
  { rooms, clock, leaving, ...slices }: ClosingParts,
): Promise<RoomClosed> {
  const members = [...room.members];
  const lock = { endsAtMs: clock.monotonic() + lockMs, reconnect, reason };
  const until = instant(lockedUntil(lock, clock));
  // First, so that no client that hears of a leaving comes in again behind it.
  if (lockMs > 0) rooms.lock(room, lock);
  const send = (member: Connection) => {
    if (!room.members.has(member)) return;
    const leftMs = lockMs > 0 ? lock.endsAtMs - clock.monotonic() : 0;
    const closed = roomClosed(lock, leftMs, members.length);
    if (member.rooms.size === 1) {
      leaving.close(member, closed, room.name);
    } else {
      member.send(closingText(closed, room.name));
      leaving.leave(member, room.name);
    }
  };
  await inSlices(members, send, slices);
  if (lockMs === 0) rooms.unlock(room);
  return { room: room.name, connections: members.length, lockedUntil: lockMs > 0 ? until : null };
}

/** Why a locked room may not be entered. */
export function lockRefusal(room: string, lock: Lock, clock: Clock): Refusal {
  const closing = roomClosed(lock, lock.endsAtMs - clock.monotonic(), 0);
  const { retryAfterMs: after } = closing;
  const until = instant(lockedUntil(lock, clock));
  return new Refusal(423, `room "${room}" is closed until ${until}: ${lock.reason}`, {
    closing,
    ...(after !== undefined && { retryAfterMs: after }),
  });
}

function roomClosed(
  { reason, reconnect }: Pick<Lock, 'reason' | 'reconnect'>,
  leftMs: number,
  connections: number,
): CloseReason {
  const { code } = CLOSE.roomClosed;
  return { code, reason, reconnect, ...(reconnect && { retryAfterMs: retryAfterMs(leftMs, connections) }) };
}
