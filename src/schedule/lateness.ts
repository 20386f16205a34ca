import type { LatenessEntry } from './entries.ts';

/** Over how many of the newest ticks median and percentile are taken. */
const WINDOW = 256;

/** How late the ticks of one schedule left, in 1 KiB. */
export class Lateness {
  readonly #newest = new Float32Array(WINDOW);
  #count = 0;
  #maxMs = 0;

  add(lateMs: number): void {
    this.#newest[this.#count % WINDOW] = lateMs;
    this.#count++;
    this.#maxMs = Math.max(this.#maxMs, lateMs);
  }

  /** Null before the first tick. */
  entry(): LatenessEntry | null {
    if (this.#count === 0) return null;
    const sorted = this.#newest.slice(0, this.#count).sort();
    const at = (share: number) => sorted[Math.ceil(share * sorted.length) - 1] ?? 0;
    return {
      lastMs: this.#newest[(this.#count - 1) % WINDOW] ?? 0,
      medianMs: at(0.5),
      p99Ms: at(0.99),
      maxMs: this.#maxMs,
    };
  }
}
