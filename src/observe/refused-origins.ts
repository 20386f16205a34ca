import type { Clock } from '../clock.ts';

const QUIET_MS = 60_000;
/** Origins are whatever a stranger sends: beyond so many they are not told apart until a minute has passed. */
const MOST_ORIGINS = 1000;

/** Lets one line a minute through for each origin that was turned away. */
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
    if (this.#loggedAt.has(origin) || this.#loggedAt.size >= MOST_ORIGINS) return;
    this.#loggedAt.set(origin, now);
    this.#log(detail);
  }
}
