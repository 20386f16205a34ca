import type { Clock } from '../clock.ts';

/** When a request for the time left. */
export interface Mark {
  /** On the client's monotonic clock. */
  readonly atMs: number;
  /** How long the computer may have slept until then, since the last exchange. */
  readonly sleptMs: number;
}

interface Sample {
  /** The server's clock minus the client's monotonic clock. */
  readonly offsetMs: number;
  /** How far that may be off, at `atMs`. */
  readonly errorMs: number;
  /** When the answer came, on the client's monotonic clock. */
  readonly atMs: number;
}

/** How far two clocks drift apart in a time, at most: 100 ppm, which a computer's quartz keeps. */
const DRIFT = 1e-4;
/** The server's instants are whole milliseconds, cut off. */
const ROUNDING_MS = 1;
/** A wall clock that runs ahead of the monotonic one by more, between two looks, was set, or the computer slept. */
const STEP_MS = 100;
/** How fast a correction backwards is made: the clock runs at half its speed meanwhile. */
const SLEW = 0.5;
/** A correction backwards above it is no error of measurement: the server's own clock was set back. */
const MAX_SLEW_MS = 10_000;

/**
 * The server's clock, as far as a client can know it: the exchange with the shortest round trip gives the time,
 * and half of that round trip the bound (as NTP, RFC 5905 section 8). It runs on the client's monotonic clock, so
 * the local wall clock may be wrong or be set. It never runs backwards; only where the server's own clock was set
 * back by more than 10 s it follows at once.
 */
export class ServerClock {
  readonly #clock: Pick<Clock, 'now' | 'monotonic'>;
  /** The one whose bound is the lowest. All bounds grow alike, so the order of two does not change with time. */
  #best: Sample | undefined;
  /** How much the clock was ahead of the best sample when that came. */
  #aheadMs = 0;
  /** The local wall clock minus the monotonic clock, when it was looked at last. */
  #wallOffsetMs = Number.POSITIVE_INFINITY;
  #sleptMs = 0;

  constructor(clock: Pick<Clock, 'now' | 'monotonic'>) {
    this.#clock = clock;
  }

  /** To be called when a request for the time is sent; the result goes to `add`. */
  mark(): Mark {
    const atMs = this.#clock.monotonic();
    const wallOffsetMs = this.#clock.now() - atMs;
    const steppedMs = wallOffsetMs - this.#wallOffsetMs;
    this.#wallOffsetMs = wallOffsetMs;
    if (steppedMs > STEP_MS) this.#sleptMs += steppedMs;
    return { atMs, sleptMs: this.#sleptMs };
  }

  /**
   * Takes the answer to a request in the moment in which it arrives: `t1`, when the server got the request, and
   * `t2`, when it answered, in milliseconds since the epoch. False: it cannot be true, or the computer slept
   * meanwhile, and it is refused.
   */
  add(sent: Mark, t1: number, t2: number): boolean {
    const { atMs, sleptMs } = this.mark();
    const roundTripMs = atMs - sent.atMs - (t2 - t1);
    // The comparisons refuse what is not a number, too.
    const isPossible = t2 >= t1 && roundTripMs >= -ROUNDING_MS;
    if (!isPossible || sleptMs > sent.sleptMs) return false;
    const sample: Sample = {
      offsetMs: (t1 - sent.atMs + t2 - atMs + ROUNDING_MS) / 2,
      errorMs: Math.max(roundTripMs, 0) * (0.5 + DRIFT) + ROUNDING_MS,
      atMs,
    };
    const shownMs = this.now() - atMs;
    // Where not both can be true the computer slept or the server's clock was set: what is older is worth nothing.
    const isOther = !(Math.abs(sample.offsetMs - shownMs) <= sample.errorMs + this.errorMs);
    const before = this.#best;
    if (!before || sleptMs > 0 || isOther || sample.errorMs <= boundMs(before, atMs)) {
      const aheadMs = before ? shownMs - sample.offsetMs : 0;
      this.#best = sample;
      this.#aheadMs = aheadMs > MAX_SLEW_MS ? 0 : aheadMs;
    }
    this.#sleptMs = 0;
    return true;
  }

  /** Milliseconds since the epoch on the server's clock; before the first exchange on the local one. */
  now(): number {
    const atMs = this.#clock.monotonic();
    return this.#best ? atMs + this.#best.offsetMs + this.#slewMs(this.#best, atMs) : this.#clock.now();
  }

  /** The server's clock minus the local wall clock, in milliseconds. */
  get offsetMs(): number {
    return this.now() - this.#clock.now();
  }

  /**
   * How far `now` may be off, in milliseconds: half of the round trip, and what the clocks may have drifted apart
   * since. Infinite before the first exchange.
   */
  get errorMs(): number {
    const best = this.#best;
    if (!best) return Number.POSITIVE_INFINITY;
    const { atMs, sleptMs } = this.mark();
    return boundMs(best, atMs) + this.#slewMs(best, atMs) + sleptMs;
  }

  /**
   * Whether the local wall clock has moved ahead of the monotonic one since the last exchange. Either it was set or
   * the computer slept, where many monotonic clocks stand still: the bound holds in both cases, and a new exchange
   * is due. To be asked several times a second, so that the one does not hide the other.
   */
  get isStepped(): boolean {
    return this.mark().sleptMs > 0;
  }

  /** How much the clock is still ahead of its best sample. */
  #slewMs(best: Sample, atMs: number): number {
    return Math.max(this.#aheadMs - (atMs - best.atMs) * SLEW, 0);
  }
}

/** How far the offset of a sample may be off at an instant of the monotonic clock. */
function boundMs(sample: Sample, atMs: number): number {
  return sample.errorMs + (atMs - sample.atMs) * DRIFT;
}
