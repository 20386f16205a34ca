import type { Tick } from '../protocol/event.ts';

/**
 * Proves that none of a schedule's ticks was missed: nothing that was sent is missing if `previous`
 * is not later than the newest `due` seen.
 */
export class ChainCheck {
  #newestMs: number | undefined;

  /** Checks the next tick; false: a tick that was sent before it was missed. */
  take(tick: Tick): boolean {
    const dueMs = Date.parse(tick.due);
    const newestMs = this.#newestMs ?? Number.POSITIVE_INFINITY;
    const isUnbroken = tick.previous === null || Date.parse(tick.previous) <= newestMs;
    this.#newestMs = Math.max(dueMs, this.#newestMs ?? dueMs);
    return isUnbroken;
  }

  /** Starts the check from the beginning, as after a `status` of `changed`. */
  restart(): void {
    this.#newestMs = undefined;
  }
}
