import type { Cancel, Clock } from '../clock.ts';

/** How often those who are behind are looked at while nothing else happens. */
const LOOK_MS = 500;

export interface BufferLimits {
  /** Above so many unsent bytes ticks are replaced by newer ones. */
  readonly conflateAboveBytes: number;
  /** Who stays above so many unsent bytes for `slowSeconds`, or comes above twice as many, is closed. */
  readonly maxBufferedBytes: number;
  readonly slowSeconds: number;
  /** Of all connections together; above it those with most go first. */
  readonly totalBufferedBytes: number;
}

/** Somebody for whom something waits: whose peer takes less than it is owed, or who waits for the log. */
export interface Behind {
  /** The connection's id. */
  readonly connection: string;
  readonly unsentBytes: number;
}

/** Watches over those whose peers take less than they are owed, and ends it where a limit says so. */
export class Congestion {
  readonly limits: BufferLimits;
  readonly #clock: Clock;
  readonly #onTooSlow: (behind: Behind) => void;
  /** Since when each has been above `maxBufferedBytes`, on the monotonic clock; undefined: it is not. */
  readonly #behind = new Map<Behind, number | undefined>();
  #cancel: Cancel | undefined;

  constructor(options: { limits: BufferLimits; clock: Clock; onTooSlow: (behind: Behind) => void }) {
    this.limits = options.limits;
    this.#clock = options.clock;
    this.#onTooSlow = options.onTooSlow;
  }

  /** How many connections are behind. */
  get size(): number {
    return this.#behind.size;
  }

  /** Does nothing the second time. */
  add(behind: Behind): void {
    if (this.#behind.has(behind)) return;
    this.#behind.set(behind, undefined);
    this.#lookLater();
  }

  remove(behind: Behind): void {
    this.#behind.delete(behind);
  }

  /** To be called when a turn has been written, which is when queues have grown. */
  look(): void {
    if (this.#behind.size === 0) return;
    const now = this.#clock.monotonic();
    let total = 0;
    for (const [behind, since] of this.#behind) {
      const { unsentBytes } = behind;
      total += unsentBytes;
      const isOver = unsentBytes > this.limits.maxBufferedBytes;
      const overSince = isOver ? (since ?? now) : undefined;
      this.#behind.set(behind, overSince);
      const isFarOver = unsentBytes > 2 * this.limits.maxBufferedBytes;
      if (isFarOver || (overSince !== undefined && now - overSince >= this.limits.slowSeconds * 1000)) {
        total -= unsentBytes;
        this.#onTooSlow(behind);
      }
    }
    if (total > this.limits.totalBufferedBytes) this.#relieve(total);
  }

  stop(): void {
    this.#cancel?.();
    this.#cancel = undefined;
    this.#behind.clear();
  }

  #relieve(total: number): void {
    const slowestFirst = [...this.#behind.keys()]
      .map((behind) => ({ behind, bytes: behind.unsentBytes }))
      .sort((a, b) => b.bytes - a.bytes);
    let left = total;
    for (const { behind, bytes } of slowestFirst) {
      if (left <= this.limits.totalBufferedBytes) break;
      left -= bytes;
      this.#onTooSlow(behind);
    }
  }

  #lookLater(): void {
    this.#cancel ??= this.#clock.after(LOOK_MS, () => {
      this.#cancel = undefined;
      this.look();
      if (this.#behind.size > 0) this.#lookLater();
    });
  }
}
