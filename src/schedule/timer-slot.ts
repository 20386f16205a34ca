import type { Cadence } from './cadence.ts';
import type { Count } from './count.ts';

/**
 * What becomes of instants that passed while nothing could run (a blocked loop, a suspended machine,
 * a clock set forward). `latest`: the newest of them is run, however late. `skip`: none is run that is
 * more than a second late or nearer to its successor than to itself. The rest is counted as missed.
 */
export type MissedPolicy = 'latest' | 'skip';

/** What wants to be called when an instant is due. What it throws is reported, and stops no other. */
export interface Timed {
  readonly cadence: Cadence;
  readonly missed: MissedPolicy;
  /** This instant is due now, or was and is to be run late. At most one call in one turn. */
  due(due: number): void;
  /** So many instants passed and will not be run; called before `due`. */
  passedOver(missed: Count): void;
  /** The clock was set: milliseconds, negative for back. Called before anything is due by the new time. */
  stepped(ms: number): void;
}

/** An instant that was called. */
interface Called {
  readonly due: number;
  /** When, by the clock as it is set now. */
  readonly at: number;
}

interface Beginning {
  readonly order: number;
  readonly after: number;
  /** The sum of all steps of the clock. */
  readonly steps: number;
  /** Whose calls count as its own. */
  readonly before: Place | undefined;
}

/** How many of the newest calls are kept; with the latest instant among all of them. */
const KEPT = 3;

/** By how much an instant may have been called too early, at most, and still is not called again. */
const EARLY_MS = 10_000;

/** From here on it came so late that it says nothing of the instants before it. */
const LATE_MS = 60_000;

/**
 * The state of one place in the timetable: what it waits for, and what it was called for.
 *
 * After a step of the clock one rule says what comes again. By the clock as it is set now, each call
 * came early by some time or not at all. An instant that was called at its time, or early by no more
 * than ten seconds and twice its distance to the next one, is done: so a correction of some seconds
 * sends nothing twice. Any other comes again at its time, since it was called while the clock
 * was wrong: so a clock that was a day ahead for three seconds does not take tomorrow's noon, and a
 * clock that ticks every second does not stand still until the old time has come back.
 */
export class Place {
  readonly timed: Timed;
  readonly order: number;
  /** The instant it waits for; null: there will be none. */
  at: number | null;
  /** The sum of the steps that are in `at` and in `#called`, milliseconds. */
  settledAt: number;
  #called: Called[] = [];

  constructor(timed: Timed, { order, after, steps, before }: Beginning) {
    this.timed = timed;
    this.order = order;
    this.settledAt = steps;
    if (before) this.#called = before.#calledBy(steps);
    this.at = this.#notHad(timed.cadence.next(after), 0);
  }

  /** It was called for an instant. */
  called(due: number, at: number): void {
    const latest = this.#called.reduce<Called | undefined>(
      (found, call) => (found && found.due > call.due ? found : call),
      undefined,
    );
    const kept = this.#called.slice(0, KEPT - 1);
    if (latest && !kept.includes(latest)) kept.push(latest);
    this.#called = [{ due, at }, ...kept];
  }

  /**
   * What it waits for by the clock as it is set now: `steps` is the sum of all steps, `seenUntil` the last
   * look before those that are new. A step is noticed some time after it, and what is due between comes late.
   */
  afterSteps(steps: number, seenUntil: number): number | null {
    const step = steps - this.settledAt;
    if (step === 0) return this.at;
    const { cadence } = this.timed;
    const next = step < 0 ? cadence.next(seenUntil) : this.at;
    const from = this.at === null || (next !== null && next < this.at) ? next : this.at;
    return this.#notHad(from, step);
  }

  /** Takes the steps into account; answers with what was new of them. */
  settle(steps: number, seenUntil: number): number {
    const step = steps - this.settledAt;
    this.at = this.afterSteps(steps, seenUntil);
    this.#called = this.#calledBy(steps);
    this.settledAt = steps;
    return step;
  }

  /** The instant, or the first one after those that were called in time by the clock of a step later. */
  #notHad(from: number | null, step: number): number | null {
    let had = Number.NEGATIVE_INFINITY;
    for (const { due, at } of this.#called) if (due > had && this.#wasInTime(due, at + step)) had = due;
    return from !== null && from <= had ? this.timed.cadence.next(had) : from;
  }

  /** What was called, by the clock after all these steps. */
  #calledBy(steps: number): Called[] {
    return this.#called.map(({ due, at }) => ({ due, at: at + steps - this.settledAt }));
  }

  #wasInTime(due: number, at: number): boolean {
    const earlyMs = due - at;
    if (earlyMs <= 0) return -earlyMs < LATE_MS;
    if (earlyMs > EARLY_MS) return false;
    const next = this.timed.cadence.next(due);
    return next === null || earlyMs <= 2 * (next - due);
  }
}
