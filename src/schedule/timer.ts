import type { Cancel, Clock } from '../clock.ts';
import type { Cadence } from './cadence.ts';
import { type Count, CountBudget } from './count.ts';
import { Place, type Timed } from './timer-slot.ts';

export type { MissedPolicy, Timed } from './timer-slot.ts';

/** A place in the timetable. */
export interface Slot {
  /**
   * The next instant that will be called, milliseconds since the epoch; null: there will be none.
   * True by the clock as it stands when this is read, also where it was set a moment ago.
   */
  readonly next: number | null;
}

export interface TimetableListener {
  /** The wall clock was set: milliseconds, negative for back. */
  stepped(ms: number): void;
  /** Something threw that should not; the timetable goes on. */
  faulted(error: unknown): void;
}

/** How long the loop sleeps at most: a step of the clock is noticed within this time. */
const LONGEST_SLEEP_MS = 2000;

/**
 * How far the clock may run away from the monotonic one between two looks before it counts as a
 * step. NTP daemons slew by up to 83 ms a second, which is no step.
 */
const STEP_MS = 250;

/** What `skip` still takes as on time, if the cadence is slow. */
const TOLERATED_MS = 1000;

/** After so long a wake goes on in the next turn of the loop. */
const SLICE_MS = 8;

/** So many are called in one turn all the same: what is due together leaves in one write. */
const TOGETHER = 50;

/** What counting may cost until all that is due has been called: for all together, and for one of them. */
const COUNTING = 1000;
const COUNTING_ONE = 50;

/**
 * One timer for all schedules: it sleeps until the earliest instant that is due, then looks at the
 * clock again, since timers fire early as well as late. The instants come from the cadence alone, so
 * nothing drifts.
 *
 * It looks for steps of the wall clock at each wake, every two seconds at least, also while nothing
 * waits, and whenever a slot is read. A clock set forward leaves instants out, as a suspended machine
 * does. A clock set back makes them come again; `Place` says which.
 *
 * What a wake has to do is done in slices: each has one `now`, and what falls due meanwhile waits for
 * the next. First every place takes a step into account, then what is due is called, earliest first.
 */
export class Timetable {
  readonly #clock: Clock;
  readonly #listener: TimetableListener;
  readonly #places = new Set<Place>();
  /** Those that wait for an instant, latest first, so that the earliest is taken from the end. */
  #waiting: Waiting[] = [];
  /** Those that have yet to take a step of the clock into account. */
  #unsettled = new Set<Place>();
  /** Those whose cadence threw. */
  readonly #broken = new Set<Place>();
  #order = 0;
  #running = false;
  #timer: Cancel | undefined;
  /** How far the wall clock was from the monotonic one at the last look; that moves only when it steps. */
  #offset = 0;
  /** When that was, on the monotonic clock. */
  #lookedAt = 0;
  /** The look before the first step that some place has yet to take into account: the step came after it. */
  #steppedAfter: number | undefined;
  /** The sum of all steps. */
  #steps = 0;
  #counting = new CountBudget(COUNTING);

  /** `listener` must not throw. */
  constructor(clock: Clock, listener: TimetableListener) {
    this.#clock = clock;
    this.#listener = listener;
  }

  /** From now on it looks for steps of the clock, until it is stopped. */
  start(): void {
    if (this.#running) return;
    this.#running = true;
    this.#lookedAt = this.#clock.monotonic();
    this.#offset = this.#clock.now() - this.#lookedAt;
    this.#arm();
  }

  /**
   * From the first instant after `after` on, now if not given, `timed` is called; where that has passed,
   * at once. `before`: the place that this one goes on from, removed or not: what was called there is not
   * called again after a small correction of the clock.
   */
  add(timed: Timed, { after, before }: { after?: number; before?: Slot | undefined } = {}): Slot {
    this.start();
    const now = this.#now();
    const place = new Place(timed, {
      order: this.#order++,
      after: after ?? now,
      steps: this.#steps,
      before: before instanceof PlaceSlot ? before.place : undefined,
    });
    this.#places.add(place);
    this.#enter(place);
    if (this.#waiting.at(-1) === place) this.#arm();
    return new PlaceSlot(place, (asked) => this.#nextOf(asked));
  }

  remove(slot: Slot): void {
    if (!(slot instanceof PlaceSlot)) return;
    const { place } = slot;
    this.#places.delete(place);
    this.#unsettled.delete(place);
    this.#waiting = this.#waiting.filter((other) => other !== place);
    this.#broken.delete(place);
  }

  /** Forgets all places; leaves no timer. */
  stop(): void {
    this.#running = false;
    this.#steppedAfter = undefined;
    this.#places.clear();
    this.#unsettled.clear();
    this.#broken.clear();
    this.#waiting = [];
    this.#disarm();
  }

  /** The time; a step of the clock is noticed. */
  #now(): number {
    const now = this.#clock.now();
    const monotonic = this.#clock.monotonic();
    const offset = now - monotonic;
    const step = Math.round(offset - this.#offset);
    const before = this.#lookedAt;
    this.#offset = offset;
    this.#lookedAt = monotonic;
    if (Math.abs(step) < STEP_MS || !this.#running) return now;
    this.#steps += step;
    this.#steppedAfter ??= before;
    this.#waiting = [];
    this.#unsettled = new Set(this.#places);
    this.#arm();
    this.#listener.stepped(step);
    return now;
  }

  /** What is due after this may not have been called: the last look before the steps, as the clock is set now. */
  #seenUntil(now: number): number {
    if (this.#steppedAfter === undefined) return now;
    return Math.min(Math.floor(this.#steppedAfter + this.#offset), now);
  }

  #nextOf(place: Place): number | null {
    const now = this.#now();
    const at = place.afterSteps(this.#steps, this.#seenUntil(now));
    // Of several that have passed only the last will be called.
    return at === null || at > now ? at : (place.timed.cadence.previous(now) ?? at);
  }

  #wake(): void {
    this.#timer = undefined;
    try {
      this.#work();
    } catch (error) {
      this.#listener.faulted(error);
    } finally {
      this.#arm();
    }
  }

  /** A slice of what there is to do; `#arm` sees to the rest. */
  #work(): void {
    const now = this.#now();
    const steps = this.#steps;
    const startedAt = this.#clock.monotonic();
    const passedMs = () => this.#clock.monotonic() - startedAt;

    for (const place of this.#broken) this.#unsettled.add(place);
    for (const place of this.#unsettled) {
      this.#settle(place, now);
      if (steps !== this.#steps || passedMs() >= SLICE_MS) return;
    }
    this.#steppedAfter = undefined;
    let called = 0;
    let askingMs = 0;
    for (let place = this.#waiting.at(-1); place && place.at <= now; place = this.#waiting.at(-1)) {
      this.#waiting.pop();
      const before = passedMs();
      const due = this.#take(place, place.at, now);
      askingMs += passedMs() - before;
      if (due !== undefined) this.#safely(() => place.timed.due(due));
      called++;
      if (askingMs >= SLICE_MS || (called >= TOGETHER && passedMs() >= SLICE_MS)) return;
    }
    this.#counting = new CountBudget(COUNTING);
  }

  #settle(place: Place, now: number): void {
    this.#unsettled.delete(place);
    let step = 0;
    this.#asking(place, () => {
      step = place.settle(this.#steps, this.#seenUntil(now));
      if (this.#broken.has(place)) place.at = place.timed.cadence.next(now);
      this.#broken.delete(place);
      this.#enter(place);
    });
    if (step !== 0) this.#safely(() => place.timed.stepped(step));
  }

  /** The instant that is to be called now; its place waits for the next one already. */
  #take(place: Place, first: number, now: number): number | undefined {
    const { cadence, missed: policy } = place.timed;
    let due = first;
    let missed: Count = { count: 0, exact: true };
    let skip = false;
    const asked = this.#asking(place, () => {
      let next = cadence.next(due);
      if (next !== null && next <= now) {
        due = cadence.previous(now) ?? due;
        const budget = new CountBudget(COUNTING_ONE, this.#counting);
        missed = due === next ? ONE : instantsBetween(cadence, first, due, budget);
        next = cadence.next(due);
      }
      skip = policy === 'skip' && now - due > tolerance(due, next);
      if (!skip) place.called(due, now);
      place.at = next;
      this.#enter(place);
    });
    if (!asked) return undefined;
    const { count, exact } = missed;
    const left = skip ? { count: count + 1, exact } : missed;
    if (left.count > 0 || !exact) this.#safely(() => place.timed.passedOver(left));
    return skip ? undefined : due;
  }

  /** False: its cadence threw. It is asked again at the next wake. */
  #asking(place: Place, ask: () => void): boolean {
    const isDone = this.#safely(ask);
    if (!isDone) this.#broken.add(place);
    return isDone;
  }

  #safely(act: () => void): boolean {
    try {
      act();
      return true;
    } catch (error) {
      this.#listener.faulted(error);
      return false;
    }
  }

  #enter(place: Place): void {
    if (!isWaiting(place)) return;
    let low = 0;
    let high = this.#waiting.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      const other = this.#waiting[middle];
      if (other && isLater(other, place)) low = middle + 1;
      else high = middle;
    }
    this.#waiting.splice(low, 0, place);
  }

  #arm(): void {
    this.#disarm();
    if (!this.#running) return;
    const earliest = this.#waiting.at(-1)?.at ?? Number.POSITIVE_INFINITY;
    const untilMs = this.#unsettled.size > 0 ? 0 : earliest - this.#clock.now();
    const delayMs = Math.min(Math.max(untilMs, 0), LONGEST_SLEEP_MS);
    this.#timer = this.#clock.after(delayMs, () => this.#wake());
  }

  #disarm(): void {
    this.#timer?.();
    this.#timer = undefined;
  }
}

/** A place that waits for an instant. */
type Waiting = Place & { at: number };

function isWaiting(place: Place): place is Waiting {
  return place.at !== null;
}

/** Those due at one instant come in the order in which they were added. */
function isLater(place: Waiting, than: Waiting): boolean {
  return place.at > than.at || (place.at === than.at && place.order > than.order);
}

function tolerance(due: number, next: number | null): number {
  return next === null ? TOLERATED_MS : Math.min(TOLERATED_MS, (next - due) / 2);
}

const ONE: Count = { count: 1, exact: true };

/** How many instants lie from `first` on and before `due`: there are two at least. */
function instantsBetween(cadence: Cadence, first: number, due: number, budget: CountBudget): Count {
  if (cadence.seq) return { count: cadence.seq(due) - cadence.seq(first), exact: true };
  if (cadence.count) {
    const counted = cadence.count(first, due, budget);
    return counted.exact || counted.count > 0 ? counted : { count: 1, exact: false };
  }
  let count = 1;
  let at = cadence.next(first);
  for (; at !== null && at < due && budget.spend(1); at = cadence.next(at)) count++;
  return { count, exact: at === null || at >= due };
}

/** What is handed out of a place: it shows what is next, and nothing can be changed by it. */
class PlaceSlot implements Slot {
  readonly place: Place;
  readonly #nextOf: (place: Place) => number | null;

  constructor(place: Place, nextOf: (place: Place) => number | null) {
    this.place = place;
    this.#nextOf = nextOf;
  }

  get next(): number | null {
    return this.#nextOf(this.place);
  }
}
