import { type CloseReason, mayReconnect, mayReconnectNow } from '../../protocol/close-reason.ts';

const FIRST_WAIT_MS = 1000;
const LONGEST_WAIT_MS = 30_000;

/**
 * When to come back after a connection ended: milliseconds to wait, or `undefined` to stay away.
 * What `closing` said holds; without it the code says. `failures` counts the attempts that came to nothing
 * since it last went well.
 */
export function comeBackAfterMs(
  code: number,
  closing: CloseReason | undefined,
  failures: number,
): number | undefined {
  if (closing) return closing.reconnect ? (closing.retryAfterMs ?? backOffMs(failures)) : undefined;
  if (!mayReconnect(code)) return undefined;
  if (mayReconnectNow(code) && failures === 0) return 0;
  return backOffMs(failures);
}

/** Doubles up to half a minute; half of it is chance, so that a thousand walls do not come at once. */
export function backOffMs(failures: number): number {
  const waitMs = Math.min(FIRST_WAIT_MS * 2 ** failures, LONGEST_WAIT_MS);
  return waitMs * (0.5 + Math.random() / 2);
}
