import type { EventHead, ReplyError } from '../protocol/event.ts';

export type { CloseReason } from '../protocol/close-reason.ts';
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
