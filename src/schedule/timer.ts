import type { Cancel, Clock } from '../clock.ts';
import type { Cadence } from './cadence.ts';
import { type Count, CountBudget } from './count.ts';
import { type Timed, TimerSlot } from './timer-slot.ts';

export interface TimerListener {
  /** The wall clock was set: milliseconds, negative for back. */
  stepped(ms: number): void;
  /** Something threw that should not; the timer goes on. */
  faulted(error: unknown): void;
}

/** A step of the clock is noticed within this time. */
const MAX_SLEEP_MS = 2000;

/**
 * How far the wall clock may move away from the monotonic one between two looks before it counts as a
 * step. NTP daemons slew by up to 83 ms a second, which is no step.
 */
const MIN_STEP_MS = 250;

/** How late `skip` still runs an instant, if the cadence is slow. */
const MAX_SKIP_LATE_MS = 1000;

/** After this time a wake goes on in the next turn of the loop. */
const SLICE_MS = 8;

/** So many are called in one turn all the same: what is due together leaves in one write. */
const MIN_CALLS_PER_SLICE = 50;

/** What counting may cost until all that is due has been called: for all together, and for one of them. */
const MAX_COUNTING = 1000;
const MAX_COUNTING_ONE = 50;

/** A slot that waits for an instant. */
type Waiting = TimerSlot & { at: number };

/**
 * One timer for all schedules: it sleeps until the earliest instant that is due, then looks at the
 * clock again, since timers fire early as well as late. The instants come from the cadence alone, so
 * nothing drifts.
 *
 * It looks for steps of the wall clock at each wake, every two seconds at least, also while nothing
 * waits. A clock set forward leaves instants out, as a suspended machine does. A clock set back makes
 * them come again; `TimerSlot` says which.
 *
 * The work of a wake is done in slices: each has one `now`, and what falls due meanwhile waits for
 * the next. First every slot takes a step into account, then what is due is called, earliest first.
 */
export class Timer {
  /** How often the clock was set. */
  readonly clockSteps = { forward: 0, back: 0 };
  readonly #clock: Clock;
  readonly #listener: TimerListener;
  readonly #slots = new Set<TimerSlot>();
  /** Those that wait for an instant, latest first, so that the earliest is taken from the end. */
  #waiting: Waiting[] = [];
  /** Those that have yet to take a step of the clock into account. */
  #unsettled = new Set<TimerSlot>();
  /** Those whose cadence threw. */
  readonly #broken = new Set<TimerSlot>();
  #nextOrder = 0;
  #isRunning = false;
  #cancel: Cancel | undefined;
  /** How far the wall clock was from the monotonic one at the last look; that moves only when it steps. */
  #offset = 0;
  /** When that was, on the monotonic clock. */
  #lookedAt = 0;
  /** The look before the first step that some slot has yet to take into account: the step came after it. */
  #steppedAfter: number | undefined;
  /** The sum of all steps. */
  #steps = 0;
  #counting = new CountBudget(MAX_COUNTING);

  /** `listener` must not throw. */
  constructor(clock: Clock, listener: TimerListener) {
    this.#clock = clock;
    this.#listener = listener;
  }

  /** From now on it looks for steps of the clock, until it is stopped. */
  start(): void {
    if (this.#isRunning) return;
    this.#isRunning = true;
    this.#lookedAt = this.#clock.monotonic();
    this.#offset = this.#clock.now() - this.#lookedAt;
    this.#arm();
  }

  /**
   * From the first instant after `after` on, now if not given, `timed` is called; where that has passed,
   * at once. `before`: the slot that this one replaces, removed or not: what was called there is not
   * called again after a small correction of the clock.
   */
  add(timed: Timed, { after, before }: { after?: number; before?: TimerSlot | undefined } = {}): TimerSlot {
    this.start();
    const now = this.look();
    const slot = new TimerSlot(timed, this.#nextOrder++, after ?? now, this.#steps, before);
    this.#slots.add(slot);
    this.#enter(slot);
    if (this.#waiting.at(-1) === slot) this.#arm();
    return slot;
  }

  remove(slot: TimerSlot): void {
    this.#slots.delete(slot);
    this.#unsettled.delete(slot);
    this.#waiting = this.#waiting.filter((other) => other !== slot);
    this.#broken.delete(slot);
  }

  /** Forgets all slots; leaves no timer. */
  stop(): void {
    this.#isRunning = false;
    this.#steppedAfter = undefined;
    this.#slots.clear();
    this.#unsettled.clear();
    this.#broken.clear();
    this.#waiting = [];
    this.#disarm();
  }

  /**
   * The next instant that will be called for a slot, milliseconds since the epoch; null: there will be
   * none. True by the clock as it stands now, also where it was set since the last look.
   */
  next(slot: TimerSlot): number | null {
    const { now, offset, stepMs } = this.#reading();
    const steppedAfter = this.#steppedAfter ?? (stepMs === 0 ? undefined : this.#lookedAt);
    const at = slot.afterSteps(this.#steps + stepMs, seenUntil(now, offset, steppedAfter));
    // Of several that have passed only the last will be called.
    return at === null || at > now ? at : (slot.timed.cadence.previous(now) ?? at);
  }

  /** Looks at the clock: a step is reported, and what is due by the new time is called in a moment. Returns the time. */
  look(): number {
    const { now, monotonic, offset, stepMs } = this.#reading();
    const before = this.#lookedAt;
    this.#offset = offset;
    this.#lookedAt = monotonic;
    if (stepMs === 0) return now;
    this.clockSteps[stepMs < 0 ? 'back' : 'forward']++;
    this.#steps += stepMs;
    this.#steppedAfter ??= before;
    this.#waiting = [];
    this.#unsettled = new Set(this.#slots);
    this.#arm();
    this.#listener.stepped(stepMs);
    return now;
  }

  /** The clocks, and by how much the wall clock was set since the last look. */
  #reading(): { now: number; monotonic: number; offset: number; stepMs: number } {
    const now = this.#clock.now();
    const monotonic = this.#clock.monotonic();
    const offset = now - monotonic;
    const movedMs = Math.round(offset - this.#offset);
    const isStep = this.#isRunning && Math.abs(movedMs) >= MIN_STEP_MS;
    return { now, monotonic, offset, stepMs: isStep ? movedMs : 0 };
  }

  #wake(): void {
    this.#cancel = undefined;
    try {
      this.#work();
    } catch (error) {
      this.#listener.faulted(error);
    } finally {
      this.#arm();
    }
  }

  /** One slice of the work; `#arm` brings the next. */
  #work(): void {
    const now = this.look();
    const steps = this.#steps;
    const startedAt = this.#clock.monotonic();
    const passedMs = () => this.#clock.monotonic() - startedAt;

    for (const slot of this.#broken) this.#unsettled.add(slot);
    for (const slot of this.#unsettled) {
      this.#settle(slot, now);
      if (steps !== this.#steps || passedMs() >= SLICE_MS) return;
    }
    this.#steppedAfter = undefined;
    let called = 0;
    let askingMs = 0;
    for (let slot = this.#waiting.at(-1); slot && slot.at <= now; slot = this.#waiting.at(-1)) {
      this.#waiting.pop();
      const before = passedMs();
      const due = this.#take(slot, slot.at, now);
      askingMs += passedMs() - before;
      if (due !== undefined) this.#safely(() => slot.timed.due(due));
      called++;
      if (askingMs >= SLICE_MS || (called >= MIN_CALLS_PER_SLICE && passedMs() >= SLICE_MS)) return;
    }
    this.#counting = new CountBudget(MAX_COUNTING);
  }

  #settle(slot: TimerSlot, now: number): void {
    this.#unsettled.delete(slot);
    let step = 0;
    this.#asking(slot, () => {
      step = slot.settle(this.#steps, seenUntil(now, this.#offset, this.#steppedAfter));
      if (this.#broken.has(slot)) slot.at = slot.timed.cadence.next(now);
      this.#broken.delete(slot);
      this.#enter(slot);
    });
    if (step !== 0) this.#safely(() => slot.timed.stepped(step));
  }

  /** The instant that is to be called now; its slot waits for the next one already. */
  #take(slot: TimerSlot, first: number, now: number): number | undefined {
    const { cadence, missed: policy } = slot.timed;
    let due = first;
    let missed: Count = { count: 0, exact: true };
    let isSkipped = false;
    const isAnswered = this.#asking(slot, () => {
      let next = cadence.next(due);
      if (next !== null && next <= now) {
        due = cadence.previous(now) ?? due;
        const budget = new CountBudget(MAX_COUNTING_ONE, this.#counting);
        missed = due === next ? { count: 1, exact: true } : instantsBetween(cadence, first, due, budget);
        next = cadence.next(due);
      }
      isSkipped = policy === 'skip' && now - due > maxSkipLateMs(due, next);
      if (!isSkipped) slot.called(due, now);
      slot.at = next;
      this.#enter(slot);
    });
    if (!isAnswered) return undefined;
    const { count, exact } = missed;
    const left = isSkipped ? { count: count + 1, exact } : missed;
    if (left.count > 0 || !exact) this.#safely(() => slot.timed.passedOver(left));
    return isSkipped ? undefined : due;
  }

  /** False: its cadence threw. It is asked again at the next wake. */
  #asking(slot: TimerSlot, ask: () => void): boolean {
    const isDone = this.#safely(ask);
    if (!isDone) this.#broken.add(slot);
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

  #enter(slot: TimerSlot): void {
    if (!isWaiting(slot)) return;
    let low = 0;
    let high = this.#waiting.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      const other = this.#waiting[middle];
      if (other && isLater(other, slot)) low = middle + 1;
      else high = middle;
    }
    this.#waiting.splice(low, 0, slot);
  }

  #arm(): void {
    this.#disarm();
    if (!this.#isRunning) return;
    const earliest = this.#waiting.at(-1)?.at ?? Number.POSITIVE_INFINITY;
    const untilMs = this.#unsettled.size > 0 ? 0 : earliest - this.#clock.now();
    const delayMs = Math.min(Math.max(untilMs, 0), MAX_SLEEP_MS);
    this.#cancel = this.#clock.after(delayMs, () => this.#wake());
  }

  #disarm(): void {
    this.#cancel?.();
    this.#cancel = undefined;
  }
}

function isWaiting(slot: TimerSlot): slot is Waiting {
  return slot.at !== null;
}

/** Those due at one instant come in the order in which they were added. */
function isLater(slot: Waiting, than: Waiting): boolean {
  return slot.at > than.at || (slot.at === than.at && slot.order > than.order);
}

/** What is due after this may not have been called: the last look before the steps, as the clock is set now. */
function seenUntil(now: number, offset: number, steppedAfter: number | undefined): number {
  return steppedAfter === undefined ? now : Math.min(Math.floor(steppedAfter + offset), now);
}

function maxSkipLateMs(due: number, next: number | null): number {
  return next === null ? MAX_SKIP_LATE_MS : Math.min(MAX_SKIP_LATE_MS, (next - due) / 2);
}

/** How many instants lie from `first` on and before `due`: there are two at least. */
function instantsBetween(cadence: Cadence, first: number, due: number, budget: CountBudget): Count {
  if (cadence.count) {
    const counted = cadence.count(first, due, budget);
    return counted.exact || counted.count > 0 ? counted : { count: 1, exact: false };
  }
  let count = 1;
  let at = cadence.next(first);
  for (; at !== null && at < due && budget.spend(1); at = cadence.next(at)) count++;
  return { count, exact: at === null || at >= due };
}
