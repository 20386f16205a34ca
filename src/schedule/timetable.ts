import type { Cancel, Clock } from '../clock.ts';
import type { Cadence } from './cadence.ts';

/**
 * What becomes of instants that passed while nothing could run (a blocked loop, a suspended machine,
 * a clock set forward). `latest`: the newest of them is run, however late. `skip`: none is run that is
 * more than a second late or nearer to its successor than to itself. The rest is counted as missed.
 */
export type MissedPolicy = 'latest' | 'skip';

/** Whoever wants to be called when an instant is due. None of the calls may throw. */
export interface Timed {
  readonly cadence: Cadence;
  readonly missed: MissedPolicy;
  /** This instant is due now, or was and is to be run late. At most one call in one turn. */
  due(due: number): void;
  /** So many instants passed and will not be run; called before `due`. */
  passedOver(count: number): void;
}

/** A place in the timetable. */
export interface Slot {
  /** The next instant, milliseconds since the epoch; null: there will be none. */
  readonly next: number | null;
}

interface Place extends Slot {
  readonly timed: Timed;
  readonly order: number;
  next: number | null;
  /** The instant that was last due here. */
  last: number | null;
}

/** A place that waits for an instant. */
type Waiting = Place & { next: number };

/** How long the loop sleeps at most: a step of the clock is noticed within this time. */
const LONGEST_SLEEP_MS = 2000;

/**
 * How far the clock may run away from the monotonic one between two looks before it counts as a
 * step. NTP daemons slew by up to 83 ms a second, which is no step.
 */
const STEP_MS = 250;

/** What `skip` still takes as on time, if the cadence is slow. */
const TOLERATED_MS = 1000;

/** Up to here missed calendar instants are counted one by one, at about 30 µs each. */
const COUNTED = 1000;

/**
 * One timer for all schedules: it sleeps until the earliest instant that is due, then looks at the
 * clock again, since timers fire early as well as late. The instants come from the cadence alone, so
 * nothing drifts.
 *
 * A clock set forward leaves instants out, as a suspended machine does. A clock set back makes them
 * come again, so that nobody waits for the old time to return; but where only the last one would come
 * again, it does not run twice.
 */
export class Timetable {
  readonly #clock: Clock;
  readonly #stepped: (ms: number) => void;
  /** Latest first, so that the earliest is taken from the end. */
  #waiting: Waiting[] = [];
  #order = 0;
  #timer: Cancel | undefined;
  /** Both clocks at the last look; their difference moves only when the wall clock steps. */
  #offset = 0;

  /** `stepped` hears of steps of the wall clock, in milliseconds, negative for back; it must not throw. */
  constructor(clock: Clock, stepped: (ms: number) => void) {
    this.#clock = clock;
    this.#stepped = stepped;
  }

  /** From the first instant after `after` on, `timed` is called; where that has passed, at once. */
  add(timed: Timed, after = this.#clock.now()): Slot {
    const next = timed.cadence.next(after);
    const place: Place = { timed, order: this.#order++, next, last: null };
    if (this.#timer === undefined) this.#offset = this.#clock.now() - this.#clock.monotonic();
    this.#enter(place);
    if (this.#waiting.at(-1) === place) this.#arm();
    return place;
  }

  remove(slot: Slot): void {
    this.#waiting = this.#waiting.filter((place) => place !== slot);
    if (this.#waiting.length === 0) this.#disarm();
  }

  /** Forgets everybody. */
  stop(): void {
    this.#waiting = [];
    this.#disarm();
  }

  #wake(): void {
    const now = this.#clock.now();
    this.#lookForStep(now);
    // One `now` for the whole turn: what falls due meanwhile waits for the next, after other work.
    for (let place = this.#waiting.at(-1); place && place.next <= now; place = this.#waiting.at(-1)) {
      this.#waiting.pop();
      this.#ring(place, place.next, now);
    }
    this.#arm();
  }

  #ring(place: Place, first: number, now: number): void {
    const { cadence, missed: policy } = place.timed;
    let due = first;
    let missed = 0;
    let next = cadence.next(due);
    if (next !== null && next <= now) {
      due = cadence.previous(now) ?? due;
      missed = instantsBetween(cadence, first, due);
      next = cadence.next(due);
    }
    const skip = policy === 'skip' && now - due > tolerance(due, next);
    place.last = due;
    place.next = next;
    this.#enter(place);
    if (skip) missed += 1;
    if (missed > 0) place.timed.passedOver(missed);
    if (!skip) place.timed.due(due);
  }

  #lookForStep(now: number): void {
    const offset = now - this.#clock.monotonic();
    const step = Math.round(offset - this.#offset);
    this.#offset = offset;
    if (Math.abs(step) < STEP_MS) return;
    if (step < 0) this.#setBack(now);
    this.#stepped(step);
  }

  #setBack(now: number): void {
    const places = this.#waiting;
    this.#waiting = [];
    for (const place of places) {
      const again = place.timed.cadence.next(now);
      if (again !== null && again < place.next && again !== place.last) place.next = again;
      this.#enter(place);
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
    const earliest = this.#waiting.at(-1);
    if (!earliest) return;
    const delayMs = Math.min(Math.max(earliest.next - this.#clock.now(), 0), LONGEST_SLEEP_MS);
    this.#timer = this.#clock.after(delayMs, () => this.#wake());
  }

  #disarm(): void {
    this.#timer?.();
    this.#timer = undefined;
  }
}

function isWaiting(place: Place): place is Waiting {
  return place.next !== null;
}

/** Those due at one instant come in the order in which they were added. */
function isLater(place: Waiting, than: Waiting): boolean {
  return place.next > than.next || (place.next === than.next && place.order > than.order);
}

function tolerance(due: number, next: number | null): number {
  return next === null ? TOLERATED_MS : Math.min(TOLERATED_MS, (next - due) / 2);
}

/** How many instants lie from `first` on and before `due`; no more than 1,000 of a calendar are counted. */
function instantsBetween(cadence: Cadence, first: number, due: number): number {
  if (cadence.seq) return cadence.seq(due) - cadence.seq(first);
  let count = 0;
  for (let at: number | null = first; at !== null && at < due && count < COUNTED; at = cadence.next(at))
    count++;
  return count;
}
