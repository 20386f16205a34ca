import type { Clock } from '../clock.ts';

/** How often something may happen; one object for all buckets of a kind. */
export interface Rate {
  /** Above 0; `Infinity`: as often as one likes. */
  readonly perSecond: number;
  /** How many may come at once after a pause, at least 1. */
  readonly burst: number;
  readonly clock: Pick<Clock, 'monotonic'>;
}

/**
 * A token bucket (the generic cell rate algorithm, ITU-T I.371): at most `burst + perSecond × t`
 * things in any `t` seconds. It keeps one instant and needs no timer, so there can be one for each
 * connection and each address.
 */
export class TokenBucket {
  readonly #rate: Rate;
  /** When it will be full again, on the monotonic clock; in the past: it is. */
  #fullAtMs = Number.NEGATIVE_INFINITY;

  constructor(rate: Rate) {
    this.#rate = rate;
  }

  /** Takes a token; false, and nothing taken, where there is none. */
  take(): boolean {
    if (this.waitMs > 0) return false;
    const { perSecond, clock } = this.#rate;
    this.#fullAtMs = Math.max(this.#fullAtMs, clock.monotonic()) + 1000 / perSecond;
    return true;
  }

  /** How long until there is a token, in milliseconds. */
  get waitMs(): number {
    const { perSecond, burst, clock } = this.#rate;
    const missingMs = this.#fullAtMs - clock.monotonic();
    if (missingMs <= 0) return 0;
    return Math.max(0, missingMs - (burst - 1) * (1000 / perSecond));
  }

  /** Whether it is as good as a new one. */
  get isFull(): boolean {
    return this.#fullAtMs <= this.#rate.clock.monotonic();
  }
}
