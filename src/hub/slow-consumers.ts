import type { Cancel, Clock } from '../clock.ts';
import type { CurrentSettings } from './settings.ts';

/** How often queues are checked while nothing else happens. */
const CHECK_MS = 500;

/** Queues are checked when all of them together have grown by this part of `totalBufferedBytes`. */
const CHECKS_PER_TOTAL = 16;

/** So many connections are closed in one check, which takes about 5 ms; the next check follows at once. */
const MAX_CLOSED_PER_CHECK = 256;

/** The send queue of a connection: its peer reads more slowly than it is sent, or a join waits for the log. */
export interface UnsentQueue {
  /** The connection's id. */
  readonly connection: string;
  readonly unsentBytes: number;
}

/** A plain HTTP answer that its peer has not read yet. It ends by itself, and may be larger than a queue. */
export interface UnreadAnswer {
  readonly unsentBytes: number;
  /** Ends the connection, and frees the unsent bytes. */
  cut(): void;
}

type Unsent = UnsentQueue | UnreadAnswer;

export interface SlowConsumersOptions {
  readonly clock: Clock;
  readonly settings: CurrentSettings;
  readonly onTooSlow: (queue: UnsentQueue) => void;
  /** Bytes that are kept for sending beside the queues. Default: 0. */
  readonly otherBytes?: () => number;
}

/**
 * Counts the unsent bytes of all connections and of HTTP answers that are not read, and closes slow
 * consumers where a limit says so. Checks when queues have grown by much, and regularly; never in the midst
 * of a write or a delivery.
 */
export class SlowConsumers {
  readonly #options: SlowConsumersOptions;
  /**
   * Since when each queue has been above `maxBufferedBytes`, on the monotonic clock; undefined: it is not
   * above.
   */
  readonly #overSinceMs = new Map<Unsent, number | undefined>();
  #cancel: Cancel | undefined;
  #grownBytes = 0;
  #isCheckDue = false;

  constructor(options: SlowConsumersOptions) {
    this.#options = options;
  }

  /** How many queues and answers are watched. */
  get size(): number {
    return this.#overSinceMs.size;
  }

  /** Watches a queue or an answer until it is removed; `grownBytes`: by how much it has grown. */
  add(unsent: Unsent, grownBytes = unsent.unsentBytes): void {
    if (!this.#overSinceMs.has(unsent)) {
      this.#overSinceMs.set(unsent, undefined);
      this.#cancel ??= this.#checkAfter(CHECK_MS);
    }
    if (grownBytes > 0) this.grew(grownBytes);
  }

  remove(unsent: Unsent): void {
    this.#overSinceMs.delete(unsent);
  }

  /** To be called with what a queue that is watched has grown by, in bytes. */
  grew(bytes: number): void {
    this.#grownBytes += bytes;
    if (this.#isCheckDue) return;
    const { totalBufferedBytes } = this.#options.settings.current.limits;
    if (this.#grownBytes <= totalBufferedBytes / CHECKS_PER_TOTAL) return;
    this.#isCheckDue = true;
    // Clients may send for long before anything is flushed.
    queueMicrotask(() => {
      if (this.#isCheckDue) this.check();
    });
  }

  /** To be called when everything due has been written: a connection may have come above its limit. */
  checkIfGrown(): void {
    if (this.#grownBytes > this.#options.settings.current.limits.maxBufferedBytes) this.check();
  }

  check(): void {
    this.#isCheckDue = false;
    this.#grownBytes = 0;
    if (this.#overSinceMs.size === 0) return;
    const { clock, settings, otherBytes = () => 0 } = this.#options;
    const { maxBufferedBytes, slowSeconds, totalBufferedBytes } = settings.current.limits;
    const nowMs = clock.monotonic();
    const tooSlow = new Set<Unsent>();
    let total = otherBytes();
    for (const [unsent, sinceMs] of this.#overSinceMs) {
      const { unsentBytes } = unsent;
      if (unsentBytes === 0) {
        this.#overSinceMs.delete(unsent);
        continue;
      }
      const isOver = isQueue(unsent) && unsentBytes > maxBufferedBytes;
      const overSinceMs = isOver ? (sinceMs ?? nowMs) : undefined;
      if (overSinceMs !== sinceMs) this.#overSinceMs.set(unsent, overSinceMs);
      const isOverForLong = overSinceMs !== undefined && nowMs - overSinceMs >= slowSeconds * 1000;
      if (isOverForLong || (isOver && unsentBytes > 2 * maxBufferedBytes)) tooSlow.add(unsent);
      else total += unsentBytes;
    }
    if (total > totalBufferedBytes) this.#addLargest(tooSlow, total - totalBufferedBytes);
    this.#close([...tooSlow]);
  }

  stop(): void {
    this.#cancel?.();
    this.#cancel = undefined;
    this.#isCheckDue = false;
    this.#overSinceMs.clear();
  }

  /** Adds the queues and answers with most unsent bytes, as many as it takes to come below the total. */
  #addLargest(tooSlow: Set<Unsent>, excessBytes: number): void {
    const largestFirst = [...this.#overSinceMs.keys()]
      .filter((unsent) => !tooSlow.has(unsent))
      .map((unsent) => ({ unsent, bytes: unsent.unsentBytes }))
      .sort((a, b) => b.bytes - a.bytes);
    let leftBytes = excessBytes;
    for (const { unsent, bytes } of largestFirst) {
      if (leftBytes <= 0) break;
      leftBytes -= bytes;
      tooSlow.add(unsent);
    }
  }

  #close(tooSlow: readonly Unsent[]): void {
    for (const unsent of tooSlow.slice(0, MAX_CLOSED_PER_CHECK)) {
      if (isQueue(unsent)) this.#options.onTooSlow(unsent);
      else unsent.cut();
    }
    if (tooSlow.length <= MAX_CLOSED_PER_CHECK) return;
    this.#cancel?.();
    this.#cancel = this.#checkAfter(0);
  }

  #checkAfter(delayMs: number): Cancel {
    return this.#options.clock.after(delayMs, () => {
      this.#cancel = undefined;
      this.check();
      if (this.#overSinceMs.size > 0) this.#cancel ??= this.#checkAfter(CHECK_MS);
    });
  }
}

function isQueue(unsent: Unsent): unsent is UnsentQueue {
  return 'connection' in unsent;
}
