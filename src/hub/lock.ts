import { type Clock, instant } from '../clock.ts';
import type { RecordChange } from '../log/log.ts';
import { CLOSE, type CloseReason } from '../protocol/close-reason.ts';
import { Refusal, retryAfterMs } from './errors.ts';
import type { JsonText } from './event.ts';

/** While a closed room has a lock, no client may join it. */
export interface Lock {
  /** On the monotonic clock: setting the computer's clock makes no lock longer or shorter. */
  readonly endsAtMs: number;
  readonly reconnect: boolean;
  readonly reason: string;
}

/** How a room is closed. */
export interface CloseRoom {
  readonly reason?: string;
  /** How long no client may join, milliseconds; 0: the room is not locked. */
  readonly lockMs: number;
  /** Whether its members may come back when the lock has ended. */
  readonly reconnect: boolean;
}

/** A lock as its record in the log holds it. */
interface LockRecord extends Omit<Lock, 'endsAtMs'> {
  /** By the computer's clock, RFC 3339: the monotonic one begins again with each process. */
  readonly until: string;
  /** How long it was left when this was written, milliseconds; absent in the records of older versions. */
  readonly leftMs?: number;
}

/** The lock of a room that is closed now; `undefined`: the room is not locked. */
export function lockFor({ lockMs, ...how }: CloseRoom, clock: Clock): Lock | undefined {
  if (lockMs === 0) return undefined;
  const { reason = CLOSE.roomClosed.reason, reconnect } = how;
  return { endsAtMs: clock.monotonic() + lockMs, reconnect, reason };
}

/** When a lock ends, as the computer's clock shows it now, RFC 3339. */
export function lockedUntil({ endsAtMs }: Lock, clock: Clock): string {
  return instant(Math.round(clock.now() + endsAtMs - clock.monotonic()));
}

/** How the records of the log change when a room is locked, or with `undefined` opened. */
export function lockChange(room: string, lock: Lock | undefined, clock: Clock): RecordChange {
  if (!lock) return { kind: 'lock', key: room, value: null };
  const { endsAtMs, reconnect, reason } = lock;
  const leftMs = endsAtMs - clock.monotonic();
  const record: LockRecord = { until: lockedUntil(lock, clock), leftMs, reconnect, reason };
  return { kind: 'lock', key: room, value: JSON.stringify(record) };
}

/**
 * The lock of a record, as it is after a restart; the lock may have ended. It lasts no longer than it was set
 * for, since a computer without a battery for its clock may start with a clock that is years behind.
 */
export function lockOfRecord(text: JsonText, clock: Clock): Lock {
  // Written by `lockChange` alone.
  const { until, leftMs = Number.POSITIVE_INFINITY, reconnect, reason }: LockRecord = JSON.parse(text);
  const lastsMs = Math.min(Date.parse(until) - clock.now(), leftMs);
  return { endsAtMs: clock.monotonic() + lastsMs, reconnect, reason };
}

/** What the members of a closed room are told, or a client that asks for it `leftMs` before the lock ends. */
export function roomClosed(
  { reason = CLOSE.roomClosed.reason, reconnect }: Pick<CloseRoom, 'reason' | 'reconnect'>,
  leftMs: number,
  connections: number,
): CloseReason {
  const { code } = CLOSE.roomClosed;
  return { code, reason, reconnect, ...(reconnect && { retryAfterMs: retryAfterMs(leftMs, connections) }) };
}

/** Why a client may not join a room that is locked. */
export function lockedRefusal(room: string, lock: Lock, clock: Clock): Refusal {
  const closing = roomClosed(lock, lock.endsAtMs - clock.monotonic(), 0);
  const { retryAfterMs: after } = closing;
  return new Refusal(423, `room "${room}" is closed until ${lockedUntil(lock, clock)}: ${lock.reason}`, {
    closing,
    ...(after !== undefined && { retryAfterMs: after }),
  });
}

/** The refusal that is answered where every room is locked: the refusal of the room that opens first. */
export function firstToOpen(refusals: readonly Refusal[]): Refusal | undefined {
  const afterMs = ({ details }: Refusal) => details.retryAfterMs ?? Number.POSITIVE_INFINITY;
  return refusals.toSorted((a, b) => afterMs(a) - afterMs(b))[0];
}
