/** How many connections a second a server takes back without being overrun. */
const RECONNECTS_PER_SECOND = 500;
const LEAST_SPREAD_MS = 2000;

/**
 * When one of many should come back: not before `notBeforeMs`, then at a random moment of a time
 * long enough for all of them, so that they do not come as a storm.
 */
export function retryAfterMs(notBeforeMs: number, connections: number): number {
  const spreadMs = Math.max(LEAST_SPREAD_MS, (connections / RECONNECTS_PER_SECOND) * 1000);
  return Math.ceil(notBeforeMs + Math.random() * spreadMs);
}
