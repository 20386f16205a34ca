import { mayReconnect, mayReconnectNow } from '../protocol/close-reason.ts';
import type { Ending } from './wire.ts';

const FIRST_CAP_MS = 1000;
/** So a client is back in less than ten seconds once the cause of an outage is gone, however long it lasted. */
const MAX_CAP_MS = 8000;

/** Statuses after which only the server's side can change something, and it has named no time: 204 and 423. */
const STAY_AWAY = [204, 423];

/**
 * The rule of reconnecting, for every client of Belfry: milliseconds to wait after a connection has ended, or
 * none was made; `undefined` for never. What `closing` or `Retry-After` said holds; without it the close code
 * says. `failures`: how many attempts have failed since a connection last lasted.
 */
export function reconnectDelayMs(ending: Ending, failures: number): number | undefined {
  const delayMs = backOffMs(failures);
  const told = toldDelayMs(ending);
  switch (ending.how) {
    case 'failed':
      return delayMs;
    case 'refused':
      // The server gives each client a time of its own: a longer back-off would undo that.
      if (told !== undefined) return Math.max(told, backOffMs(0));
      return STAY_AWAY.includes(ending.status) ? undefined : delayMs;
    case 'closed':
      if (ending.closing) return ending.closing.reconnect ? (told ?? delayMs) : undefined;
      if (!mayReconnect(ending.code)) return undefined;
      return mayReconnectNow(ending.code) && failures === 0 ? 0 : delayMs;
  }
}

/** The time to wait that the server named, in milliseconds. */
export function toldDelayMs(ending: Ending): number | undefined {
  if (ending.how === 'refused') return ending.retryAfterMs;
  return ending.how === 'closed' ? ending.closing?.retryAfterMs : undefined;
}

/**
 * A random time of at most one second, twice as much after each failure, and at most eight. All of it is random
 * ("full jitter", https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/), so that the
 * clients of a server that restarts come back one by one.
 */
export function backOffMs(failures: number): number {
  return Math.random() * Math.min(FIRST_CAP_MS * 2 ** failures, MAX_CAP_MS);
}
