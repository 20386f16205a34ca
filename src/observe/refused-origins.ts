import type { Clock } from '../clock.ts';

const QUIET_MS = 60_000;
/** A stranger can send any origin: beyond so many, a new one is not logged until a minute has passed. */
const MAX_ORIGINS = 1000;

/**
 * Logs one line a minute for each refused origin. Not an LRU cache: that would forget the oldest origin
 * for each new one, and a stranger who makes up origins would fill the log.
 */
export class RefusedOrigins {
  readonly #clock: Clock;
  readonly #log: (detail: string) => void;
  readonly #loggedAt = new Map<string, number>();

  constructor(clock: Clock, log: (detail: string) => void) {
    this.#clock = clock;
    this.#log = log;
  }

  refused(origin: string, detail: string): void {
    const now = this.#clock.monotonic();
    for (const [known, at] of this.#loggedAt) {
      if (now - at < QUIET_MS) break; // in the order in which they were logged
      this.#loggedAt.delete(known);
    }
    if (this.#loggedAt.has(origin) || this.#loggedAt.size >= MAX_ORIGINS) return;
    this.#loggedAt.set(origin, now);
    this.#log(detail);
  }
}
