import { type CloseReason, mayReconnect, mayReconnectNow } from '../protocol/close-reason.ts';

const FIRST_DELAY_MS = 1000;
const MAX_DELAY_MS = 30_000;

/**
 * When to reconnect after a connection has ended: milliseconds to wait, or `undefined` for never. What
 * `closing` said holds; without it the close code says. `failures`: how many attempts have failed since a
 * connection last lasted.
 */
export function reconnectDelayMs(
  code: number,
  closing: CloseReason | undefined,
  failures: number,
): number | undefined {
  if (closing) return closing.reconnect ? (closing.retryAfterMs ?? backOffMs(failures)) : undefined;
  if (!mayReconnect(code)) return undefined;
  return mayReconnectNow(code) && failures === 0 ? 0 : backOffMs(failures);
}

/** Doubles with each failure up to half a minute. Half is random, so that clients do not reconnect at once. */
export function backOffMs(failures: number): number {
  const delayMs = Math.min(FIRST_DELAY_MS * 2 ** failures, MAX_DELAY_MS);
  return delayMs * (0.5 + Math.random() / 2);
}
