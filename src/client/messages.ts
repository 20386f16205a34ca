import type { EventHead, ReplyError, Tick } from '../protocol/event.ts';

export type { CloseReason, Closing } from '../protocol/close-reason.ts';
export { SERVER_EVENTS, type Tick, type Transport } from '../protocol/event.ts';

/**
 * An object from the server: an event, or with `reply` the answer to what was sent. A server of another
 * version may leave out any of it.
 */
export interface Received extends Partial<EventHead> {
  readonly data?: unknown;
  /** As it was sent along with the action. */
  readonly ref?: unknown;
  /** The action that is answered; null for what was none. */
  readonly reply?: string | null;
  readonly error?: ReplyError;
}

/** A message, in a room or for this device, connection or user alone; each is handed over once. */
export interface Message extends EventHead {
  readonly data: unknown;
}

/** The value of a schedule; the newest replaces the one before. */
export interface TickEvent extends EventHead {
  readonly tick: Tick;
  readonly data: unknown;
}

/** The state of a schedule, as the server tells it. */
export interface StatusEvent extends EventHead {
  readonly event: 'status';
  readonly data: {
    readonly schedule: string;
    readonly state: 'ok' | 'stale' | 'error' | 'paused' | 'changed';
    readonly since: string;
    readonly lastGood: string | null;
    readonly reason: string | null;
    readonly missed?: number;
  };
}

/** Messages of this room may be missing: the server could not resume, or too many were not taken in time. */
export interface Gap {
  readonly event: 'gap';
  readonly room: string | undefined;
}

/** What a `for await` over a client gives, in the order in which it came. */
export type RoomItem = Message | TickEvent | StatusEvent | Gap;

/** Reads what arrived; `undefined` where it is no JSON object. */
export function parseReceived(text: string): Received | undefined {
  try {
    const value: unknown = JSON.parse(text);
    // The server keeps to its contract for everything but `data`, which stays unknown.
    return typeof value === 'object' && value !== null ? (value as Received) : undefined;
  } catch {
    return undefined;
  }
}

/** The members of a value that may be anything. */
export function members(value: unknown): Readonly<Record<string, unknown>> {
  // Any object can be read as a record of unknowns.
  return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {};
}

/** What publishes a line that was typed: JSON as it stands, anything else as `{"text": line}`. */
export function publishText(line: string): string {
  let data: unknown;
  try {
    data = JSON.parse(line);
  } catch {
    data = { text: line };
  }
  return JSON.stringify({ action: 'publish', data });
}
