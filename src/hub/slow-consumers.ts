import type { Cancel, Clock } from '../clock.ts';

/** How often queues are looked at while nothing else happens. */
const LOOK_MS = 500;

/** Queues are looked at when they have grown by this part of `totalBufferedBytes`, all together. */
const LOOKS_PER_TOTAL = 16;

/** So many are closed in one look at most, about 5 ms; the next look follows at once. */
const MAX_CLOSED_PER_LOOK = 256;

export interface BufferLimits {
  /** Above so many unsent bytes ticks are replaced by newer ones. */
  readonly conflateAboveBytes: number;
  /** Who stays above so many unsent bytes for `slowSeconds`, or comes above twice as many, is closed. */
  readonly maxBufferedBytes: number;
  readonly slowSeconds: number;
  /** Of all connections together; above it those with most go first. */
  readonly totalBufferedBytes: number;
}

/** Something with unsent bytes. */
export interface Unsent {
  readonly unsentBytes: number;
}

/** A connection with unsent bytes: its peer takes less than it is sent, or it waits for the log. */
export interface Behind extends Unsent {
  /** The connection's id. */
  readonly connection: string;
}

/** A plain HTTP answer that its peer has not read. It ends by itself, and may be larger than a queue. */
export interface UnreadAnswer extends Unsent {
  /** Ends the connection, and frees what waits. */
  cut(): void;
}

/**
 * Counts the unsent bytes of all connections and of answers that are not read, and closes slow consumers
 * where a limit says so. Looks when queues have grown by much, and regularly; never in the midst of a
 * write or a delivery.
 */
export class SlowConsumers {
  readonly limits: BufferLimits;
  readonly #clock: Clock;
  readonly #onTooSlow: (behind: Behind) => void;
  readonly #otherBytes: () => number;
  /** Since when each has been above `maxBufferedBytes`, on the monotonic clock; undefined: it is not. */
  readonly #behind = new Map<Behind | UnreadAnswer, number | undefined>();
  #cancel: Cancel | undefined;
  #grownBytes = 0;
  #isLookDue = false;

  constructor(options: {
    limits: BufferLimits;
    clock: Clock;
    onTooSlow: (behind: Behind) => void;
    /** What else is kept to be sent, in bytes. Default: nothing. */
    otherBytes?: () => number;
  }) {
    this.limits = options.limits;
    this.#clock = options.clock;
    this.#onTooSlow = options.onTooSlow;
    this.#otherBytes = options.otherBytes ?? (() => 0);
  }

  /** How many connections have unsent bytes, as far as was looked. */
  get size(): number {
    return this.#behind.size;
  }

  /** Does nothing the second time. */
  add(behind: Behind | UnreadAnswer): void {
    if (this.#behind.has(behind)) return;
    this.#behind.set(behind, undefined);
    this.#cancel ??= this.#lookLater(LOOK_MS);
  }

  remove(behind: Behind | UnreadAnswer): void {
    this.#behind.delete(behind);
  }

  /** To be called with what a queue has grown by, in bytes. */
  grew(bytes: number): void {
    this.#grownBytes += bytes;
    if (this.#isLookDue || this.#grownBytes <= this.limits.totalBufferedBytes / LOOKS_PER_TOTAL) return;
    this.#isLookDue = true;
    // Clients may send for long before anything is flushed.
    queueMicrotask(() => {
      if (this.#isLookDue) this.look();
    });
  }

  /** To be called when a turn has been written: a connection may have come above its limit. */
  lookIfGrown(): void {
    if (this.#grownBytes > this.limits.maxBufferedBytes) this.look();
  }

  look(): void {
    this.#isLookDue = false;
    this.#grownBytes = 0;
    if (this.#behind.size === 0) return;
    const { maxBufferedBytes, slowSeconds, totalBufferedBytes } = this.limits;
    const now = this.#clock.monotonic();
    const tooSlow = new Set<Behind | UnreadAnswer>();
    let total = this.#otherBytes();
    for (const [behind, since] of this.#behind) {
      const { unsentBytes } = behind;
      if (unsentBytes === 0) {
        this.#behind.delete(behind);
        continue;
      }
      const isOver = isConnection(behind) && unsentBytes > maxBufferedBytes;
      const overSince = isOver ? (since ?? now) : undefined;
      if (overSince !== since) this.#behind.set(behind, overSince);
      const isOverForLong = overSince !== undefined && now - overSince >= slowSeconds * 1000;
      if (isOverForLong || (isOver && unsentBytes > 2 * maxBufferedBytes)) tooSlow.add(behind);
      else total += unsentBytes;
    }
    if (total > totalBufferedBytes) this.#addSlowest(tooSlow, total - totalBufferedBytes);
    this.#close([...tooSlow]);
  }

  stop(): void {
    this.#cancel?.();
    this.#cancel = undefined;
    this.#isLookDue = false;
    this.#behind.clear();
  }

  /** Adds those with most unsent bytes, as many as it takes to come below the total. */
  #addSlowest(tooSlow: Set<Behind | UnreadAnswer>, excessBytes: number): void {
    const slowestFirst = [...this.#behind.keys()]
      .filter((behind) => !tooSlow.has(behind))
      .map((behind) => ({ behind, bytes: behind.unsentBytes }))
      .sort((a, b) => b.bytes - a.bytes);
    let left = excessBytes;
    for (const { behind, bytes } of slowestFirst) {
      if (left <= 0) break;
      left -= bytes;
      tooSlow.add(behind);
    }
  }

  #close(tooSlow: readonly (Behind | UnreadAnswer)[]): void {
    for (const behind of tooSlow.slice(0, MAX_CLOSED_PER_LOOK)) {
      if (isConnection(behind)) this.#onTooSlow(behind);
      else behind.cut();
    }
    if (tooSlow.length <= MAX_CLOSED_PER_LOOK) return;
    this.#cancel?.();
    this.#cancel = this.#lookLater(0);
  }

  #lookLater(delayMs: number): Cancel {
    return this.#clock.after(delayMs, () => {
      this.#cancel = undefined;
      this.look();
      if (this.#behind.size > 0) this.#cancel ??= this.#lookLater(LOOK_MS);
    });
  }
}

function isConnection(behind: Behind | UnreadAnswer): behind is Behind {
  return 'connection' in behind;
}
