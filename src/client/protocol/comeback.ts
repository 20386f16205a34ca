import type { Closing } from './received.ts';

const FIRST_WAIT_MS = 1000;
const LONGEST_WAIT_MS = 30_000;

/** Codes that say that the same again would end the same: normal, and faults of what was sent. */
const FINAL: ReadonlySet<number> = new Set([1000, 1002, 1003, 1007, 1008, 1009]);

/**
 * When to come back after a connection ended: milliseconds to wait, or `undefined` to stay away.
 * What `closing` said holds; without it the code says: 4000–4099 stay away, 4200–4299 now, and
 * others back off. `failures` counts the attempts that came to nothing since it last went well.
 */
export function comeBackAfterMs(
  code: number,
  closing: Closing | undefined,
  failures: number,
): number | undefined {
  if (closing) return closing.reconnect ? (closing.retryAfterMs ?? backOffMs(failures)) : undefined;
  if (FINAL.has(code) || (code >= 4000 && code <= 4099)) return undefined;
  if (code >= 4200 && code <= 4299 && failures === 0) return 0;
  return backOffMs(failures);
}

/** Doubles up to half a minute; half of it is chance, so that a thousand walls do not come at once. */
export function backOffMs(failures: number): number {
  const waitMs = Math.min(FIRST_WAIT_MS * 2 ** failures, LONGEST_WAIT_MS);
  return waitMs * (0.5 + Math.random() / 2);
}
