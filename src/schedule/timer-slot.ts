import type { Cadence } from './cadence.ts';

/** An instant that was called. */
interface Call {
  readonly dueMs: number;
  /** When the instant was called, by the clock as it is set now. */
  readonly atMs: number;
}

/** How many of the newest calls are kept, the one with the latest instant among them. */
const MAX_CALLS = 3;

/** An instant that was called too early by no more than this is not called again. */
const MAX_EARLY_MS = 10_000;

/** A call that came later than this says nothing of the instants before it. */
const MAX_LATE_MS = 60_000;

/**
 * One entry of the timer: the instant it waits for, and those that it was called for.
 *
 * After a step of the clock one rule says what comes again. By the clock as it is set now, each call
 * came early by some time or not at all. An instant that was called at its time, or early by no more
 * than ten seconds and twice its distance to the next one, is done: so a correction of some seconds
 * sends nothing twice. Any other comes again at its time, since it was called while the clock
 * was wrong: so a clock that was a day ahead for three seconds does not take tomorrow's noon, and a
 * clock that ticks every second does not stand still until the old time has come back.
 */
export class TimerSlot {
  readonly cadence: Cadence;
  /** The number of the slot: those due at one instant are called in this order. */
  readonly order: number;
  /** The instant that the slot waits for; null: there will be none. */
  atMs: number | null;
  /** The sum of the steps of the clock that `atMs` and `#calls` contain. */
  #stepsMs: number;
  #calls: readonly Call[];

  /** Waits for the first instant after `afterMs` that `before`, which it replaces, was not called for. */
  constructor(cadence: Cadence, order: number, afterMs: number, stepsMs: number, before?: TimerSlot) {
    this.cadence = cadence;
    this.order = order;
    this.#stepsMs = stepsMs;
    this.#calls = before ? before.#callsAfter(stepsMs) : [];
    this.atMs = this.#skipDone(cadence.next(afterMs), 0);
  }

  /** Records that the slot was called for `dueMs`, at `atMs` by the clock. */
  called(dueMs: number, atMs: number): void {
    const latest = this.#calls.reduce<Call | undefined>(
      (found, call) => (found && found.dueMs > call.dueMs ? found : call),
      undefined,
    );
    const kept = this.#calls.slice(0, MAX_CALLS - 1);
    if (latest && !kept.includes(latest)) kept.push(latest);
    this.#calls = [{ dueMs, atMs }, ...kept];
  }

  /**
   * What it waits for by the clock as it is set now: `stepsMs` is the sum of all steps, `seenUntilMs` the last
   * look before those that are new. A step is noticed some time after it, and what is due between comes late.
   */
  afterSteps(stepsMs: number, seenUntilMs: number): number | null {
    const stepMs = stepsMs - this.#stepsMs;
    if (stepMs === 0) return this.atMs;
    const nextMs = stepMs < 0 ? this.cadence.next(seenUntilMs) : this.atMs;
    const fromMs = this.atMs === null || (nextMs !== null && nextMs < this.atMs) ? nextMs : this.atMs;
    return this.#skipDone(fromMs, stepMs);
  }

  /** Takes the steps of the clock into account; returns the sum of those that were new. */
  settle(stepsMs: number, seenUntilMs: number): number {
    const stepMs = stepsMs - this.#stepsMs;
    this.atMs = this.afterSteps(stepsMs, seenUntilMs);
    this.#calls = this.#callsAfter(stepsMs);
    this.#stepsMs = stepsMs;
    return stepMs;
  }

  /** The instant, or the first one after those that were called in time by the clock of a step later. */
  #skipDone(fromMs: number | null, stepMs: number): number | null {
    let doneMs = Number.NEGATIVE_INFINITY;
    for (const { dueMs, atMs } of this.#calls) {
      if (dueMs > doneMs && this.#wasInTime(dueMs, atMs + stepMs)) doneMs = dueMs;
    }
    return fromMs !== null && fromMs <= doneMs ? this.cadence.next(doneMs) : fromMs;
  }

  /** The calls by the clock after all these steps. */
  #callsAfter(stepsMs: number): Call[] {
    return this.#calls.map(({ dueMs, atMs }) => ({ dueMs, atMs: atMs + stepsMs - this.#stepsMs }));
  }

  #wasInTime(dueMs: number, atMs: number): boolean {
    const earlyMs = dueMs - atMs;
    if (earlyMs <= 0) return -earlyMs < MAX_LATE_MS;
    if (earlyMs > MAX_EARLY_MS) return false;
    const nextMs = this.cadence.next(dueMs);
    return nextMs === null || earlyMs <= 2 * (nextMs - dueMs);
  }
}
