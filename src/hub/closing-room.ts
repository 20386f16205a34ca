import { type Clock, instant } from '../clock.ts';
import type { CloseRoom } from './administration.ts';
import { CLOSE, type CloseReason } from './close-reason.ts';
import { type Connection, closingText } from './connection.ts';
import type { RoomClosed } from './entries.ts';
import { Refusal } from './refusal.ts';
import { retryAfterMs } from './retry.ts';
import type { Lock, Room } from './room.ts';
import type { Rooms } from './rooms.ts';

/** What closing a room does to its members, handed in by the hub. */
export interface Leaving {
  close(connection: Connection, reason: CloseReason, room: string): void;
  leave(connection: Connection, room: string): void;
}

/**
 * Closes a room at one stroke: the lock is on, its members are told why; who is left with no room is
 * closed, who is in others stays. Without a lock the room is gone.
 */
export function closeRoom(
  room: Room,
  { reason = CLOSE.roomClosed.reason, lockMs, reconnect }: CloseRoom,
  { rooms, clock, leaving }: { rooms: Rooms; clock: Clock; leaving: Leaving },
): RoomClosed {
  const members = [...room.members];
  const untilMs = clock.now() + lockMs;
  // First, so that nobody who hears of a leaving comes in again behind it.
  if (lockMs > 0) rooms.lock(room, { untilMs, reconnect, reason });
  for (const member of members) {
    const closed = roomClosed({ reason, reconnect }, lockMs, members.length);
    if (member.rooms.size === 1) {
      leaving.close(member, closed, room.name);
    } else {
      member.send(closingText(closed, room.name));
      leaving.leave(member, room.name);
    }
  }
  if (lockMs === 0) rooms.unlock(room);
  return { room: room.name, connections: members.length, lockedUntil: lockMs > 0 ? instant(untilMs) : null };
}

/** Why a locked room may not be entered. */
export function lockRefusal(room: string, lock: Lock, nowMs: number): Refusal {
  const closing = roomClosed(lock, lock.untilMs - nowMs, 0);
  const { retryAfterMs: after } = closing;
  return new Refusal(423, `room "${room}" is closed until ${instant(lock.untilMs)}: ${lock.reason}`, {
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
