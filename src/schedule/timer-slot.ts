import type { Cadence } from './cadence.ts';
import type { Count } from './count.ts';

/**
 * What happens to instants that passed while nothing could run (a blocked loop, a suspended machine,
 * a clock set forward). `latest`: the newest of them is run, however late. `skip`: none is run that is
 * more than a second late or nearer to its successor than to itself. The rest is counted as missed.
 */
export type MissedPolicy = 'latest' | 'skip';

/** What is called when an instant is due. What it throws is reported, and stops no other. */
export interface Timed {
  readonly cadence: Cadence;
  readonly missed: MissedPolicy;
  /** This instant is due now, or was due and is to be run late. At most one call in one turn. */
  due(due: number): void;
  /** So many instants passed and will not be run; called before `due`. */
  passedOver(missed: Count): void;
  /** The clock was set: milliseconds, negative for back. Called before anything is due by the new time. */
  stepped(ms: number): void;
}

/** An instant that was called. */
interface Call {
  readonly due: number;
  /** When, by the clock as it is set now. */
  readonly at: number;
}

/** How many of the newest calls are kept, the one with the latest instant among them. */
const MAX_CALLS = 3;

/** By how much an instant may have been called too early, at most, without being called again. */
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
  readonly timed: Timed;
  /** The number of the slot: those due at one instant come in this order. */
  readonly order: number;
  /** The instant it waits for; null: there will be none. */
  at: number | null;
  /** The sum of the steps of the clock that `at` and `#calls` contain, milliseconds. */
  #steps: number;
  #calls: readonly Call[];

  /** Waits for the first instant after `after` that `before`, which it replaces, was not called for. */
  constructor(timed: Timed, order: number, after: number, steps: number, before?: TimerSlot) {
    this.timed = timed;
    this.order = order;
    this.#steps = steps;
    this.#calls = before ? before.#callsAfter(steps) : [];
    this.at = this.#skipDone(timed.cadence.next(after), 0);
  }

  /** Records that it was called for `due`, at `at` by the clock. */
  called(due: number, at: number): void {
    const latest = this.#calls.reduce<Call | undefined>(
      (found, call) => (found && found.due > call.due ? found : call),
      undefined,
    );
    const kept = this.#calls.slice(0, MAX_CALLS - 1);
    if (latest && !kept.includes(latest)) kept.push(latest);
    this.#calls = [{ due, at }, ...kept];
  }

  /**
   * What it waits for by the clock as it is set now: `steps` is the sum of all steps, `seenUntil` the last
   * look before those that are new. A step is noticed some time after it, and what is due between comes late.
   */
  afterSteps(steps: number, seenUntil: number): number | null {
    const step = steps - this.#steps;
    if (step === 0) return this.at;
    const next = step < 0 ? this.timed.cadence.next(seenUntil) : this.at;
    const from = this.at === null || (next !== null && next < this.at) ? next : this.at;
    return this.#skipDone(from, step);
  }

  /** Takes the steps into account; returns what was new of them. */
  settle(steps: number, seenUntil: number): number {
    const step = steps - this.#steps;
    this.at = this.afterSteps(steps, seenUntil);
    this.#calls = this.#callsAfter(steps);
    this.#steps = steps;
    return step;
  }

  /** The instant, or the first one after those that were called in time by the clock of a step later. */
  #skipDone(from: number | null, step: number): number | null {
    let done = Number.NEGATIVE_INFINITY;
    for (const { due, at } of this.#calls) if (due > done && this.#wasInTime(due, at + step)) done = due;
    return from !== null && from <= done ? this.timed.cadence.next(done) : from;
  }

  /** The calls by the clock after all these steps. */
  #callsAfter(steps: number): Call[] {
    return this.#calls.map(({ due, at }) => ({ due, at: at + steps - this.#steps }));
  }

  #wasInTime(due: number, at: number): boolean {
    const earlyMs = due - at;
    if (earlyMs <= 0) return -earlyMs < MAX_LATE_MS;
    if (earlyMs > MAX_EARLY_MS) return false;
    const next = this.timed.cadence.next(due);
    return next === null || earlyMs <= 2 * (next - due);
  }
}
