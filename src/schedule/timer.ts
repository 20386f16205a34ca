import type { Cancel, Clock } from '../clock.ts';
import type { Cadence } from './cadence.ts';
import { type Count, CountBudget } from './count.ts';
import { TimerSlot } from './timer-slot.ts';

/**
 * What happens to instants that passed while nothing could run (a blocked loop, a suspended machine,
 * a clock set forward). `latest`: the newest of them is run, however late. `skip`: none is run that is
 * more than a second late or nearer to its successor than to itself. The others count as missed.
 */
export type MissedPolicy = 'latest' | 'skip';

/** What is called when an instant is due. What it throws is reported, and stops no other. */
export interface Timed {
  readonly cadence: Cadence;
  readonly missed: MissedPolicy;
  /**
   * This instant is due now, or was due and is to be run late. At most one call in one event-loop iteration.
   */
  due(dueMs: number): void;
  /** So many instants passed and will not be run; called before `due`. */
  passedOver(missed: Count): void;
  /** The clock was set: milliseconds, negative for back. Called before anything is due by the new time. */
  stepped(ms: number): void;
}

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

/** After this time the work of a wake goes on in the next iteration of the event loop. */
const SLICE_MS = 8;

/** So many slots are called in one iteration even after that time: what is due together leaves in one write. */
const MIN_CALLS_PER_SLICE = 50;

/** See `CountBudget`: for all slots together until all that is due has been called, and for one of them. */
const MAX_COUNTING = 1000;
const MAX_COUNTING_ONE = 50;

/** A slot that waits for an instant. */
type Waiting = TimerSlot & { atMs: number };

/**
 * One timer for all schedules: it sleeps until the earliest due instant, then looks at the clock again,
 * since timers fire early as well as late. The instants come from the cadence alone, so nothing drifts.
 *
 * It looks for steps of the wall clock at each wake, every two seconds at least, also while no slot
 * waits. A clock set forward leaves instants out, as a suspended machine does. A clock set back makes
 * them come again; `TimerSlot` says which.
 *
 * The work of a wake is done in slices, each with one `nowMs`: what becomes due meanwhile waits for the
 * next slice. First every slot takes a step into account, then what is due is called, earliest first.
 */
export class Timer {
  /** How often the clock was set. */
  readonly clockSteps = { forward: 0, back: 0 };
  readonly #clock: Clock;
  readonly #listener: TimerListener;
  readonly #slots = new Map<TimerSlot, Timed>();
  /** Slots that wait, the latest first, so that the earliest is at the end. */
  #waiting: Waiting[] = [];
  /** Slots that have yet to take a step of the clock into account. */
  #unsettled = new Set<TimerSlot>();
  /** Slots whose cadence threw. */
  readonly #broken = new Set<TimerSlot>();
  #nextOrder = 0;
  #isRunning = false;
  #cancel: Cancel | undefined;
  /**
   * How far the wall clock was from the monotonic clock at the last look; changes only when the wall clock
   * steps.
   */
  #offsetMs = 0;
  /** When the last look was, on the monotonic clock. */
  #lookedAtMs = 0;
  /** The look before the first step that some slot has yet to take into account: the step came after it. */
  #steppedAfterMs: number | undefined;
  /** The sum of all steps of the clock, in milliseconds. */
  #stepsMs = 0;
  #counting = new CountBudget(MAX_COUNTING);

  /** `listener` must not throw. */
  constructor(clock: Clock, listener: TimerListener) {
    this.#clock = clock;
    this.#listener = listener;
  }

  /** Looks for steps of the clock from now on, until it is stopped. Does nothing the second time. */
  start(): void {
    if (this.#isRunning) return;
    this.#isRunning = true;
    this.#lookedAtMs = this.#clock.monotonic();
    this.#offsetMs = this.#clock.now() - this.#lookedAtMs;
    this.#arm();
  }

  /**
   * Calls `timed` at each instant after `afterMs`, whose default is now; at once where one has passed.
   * `before`: the slot that this one replaces, removed or not: what it was called for is not called again
   * after a small correction of the clock.
   */
  add(
    timed: Timed,
    { afterMs, before }: { afterMs?: number; before?: TimerSlot | undefined } = {},
  ): TimerSlot {
    this.start();
    const nowMs = this.look();
    const slot = new TimerSlot(timed.cadence, this.#nextOrder++, afterMs ?? nowMs, this.#stepsMs, before);
    this.#slots.set(slot, timed);
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
    this.#steppedAfterMs = undefined;
    this.#slots.clear();
    this.#unsettled.clear();
    this.#broken.clear();
    this.#waiting = [];
    this.#arm();
  }

  /**
   * The next instant that will be called for a slot, milliseconds since the epoch; null: there will be
   * none. True by the clock as it stands now, also where it was set since the last look.
   */
  next(slot: TimerSlot): number | null {
    const { nowMs, offsetMs, stepMs } = this.#reading();
    const steppedAfterMs = this.#steppedAfterMs ?? (stepMs === 0 ? undefined : this.#lookedAtMs);
    const atMs = slot.afterSteps(this.#stepsMs + stepMs, seenUntilMs(nowMs, offsetMs, steppedAfterMs));
    // Of several instants that have passed only the last will be called.
    return atMs === null || atMs > nowMs ? atMs : (slot.cadence.previous(nowMs) ?? atMs);
  }

  /**
   * Looks for a step of the clock: it is reported, and what is due by the new time is called soon. Returns
   * the time.
   */
  look(): number {
    const { nowMs, monotonicMs, offsetMs, stepMs } = this.#reading();
    const beforeMs = this.#lookedAtMs;
    this.#offsetMs = offsetMs;
    this.#lookedAtMs = monotonicMs;
    if (stepMs === 0) return nowMs;
    this.clockSteps[stepMs < 0 ? 'back' : 'forward']++;
    this.#stepsMs += stepMs;
    this.#steppedAfterMs ??= beforeMs;
    this.#waiting = [];
    this.#unsettled = new Set(this.#slots.keys());
    this.#arm();
    this.#listener.stepped(stepMs);
    return nowMs;
  }

  /** The clocks, and by how much the wall clock was set since the last look. */
  #reading(): { nowMs: number; monotonicMs: number; offsetMs: number; stepMs: number } {
    const nowMs = this.#clock.now();
    const monotonicMs = this.#clock.monotonic();
    const offsetMs = nowMs - monotonicMs;
    const movedMs = Math.round(offsetMs - this.#offsetMs);
    const isStep = this.#isRunning && Math.abs(movedMs) >= MIN_STEP_MS;
    return { nowMs, monotonicMs, offsetMs, stepMs: isStep ? movedMs : 0 };
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
    const nowMs = this.look();
    const stepsMs = this.#stepsMs;
    const startedAtMs = this.#clock.monotonic();
    const passedMs = () => this.#clock.monotonic() - startedAtMs;

    for (const slot of this.#broken) this.#unsettled.add(slot);
    for (const slot of this.#unsettled) {
      this.#settle(slot, nowMs);
      // A step that was noticed meanwhile makes all slots unsettled again.
      if (stepsMs !== this.#stepsMs || passedMs() >= SLICE_MS) return;
    }
    this.#steppedAfterMs = undefined;
    let called = 0;
    let cadencesMs = 0;
    for (let slot = this.#waiting.at(-1); slot && slot.atMs <= nowMs; slot = this.#waiting.at(-1)) {
      this.#waiting.pop();
      const beforeMs = passedMs();
      const dueMs = this.#take(slot, slot.atMs, nowMs);
      cadencesMs += passedMs() - beforeMs;
      if (dueMs !== undefined) this.#safely(() => this.#slots.get(slot)?.due(dueMs));
      called++;
      if (cadencesMs >= SLICE_MS || (called >= MIN_CALLS_PER_SLICE && passedMs() >= SLICE_MS)) return;
    }
    this.#counting = new CountBudget(MAX_COUNTING);
  }

  #settle(slot: TimerSlot, nowMs: number): void {
    this.#unsettled.delete(slot);
    let stepMs = 0;
    this.#askCadence(slot, () => {
      stepMs = slot.settle(this.#stepsMs, seenUntilMs(nowMs, this.#offsetMs, this.#steppedAfterMs));
      if (this.#broken.has(slot)) slot.atMs = slot.cadence.next(nowMs);
      this.#broken.delete(slot);
      this.#enter(slot);
    });
    if (stepMs !== 0) this.#safely(() => this.#slots.get(slot)?.stepped(stepMs));
  }

  /** The instant that is to be called now; its slot waits for the next one already. */
  #take(slot: TimerSlot, firstMs: number, nowMs: number): number | undefined {
    const { cadence } = slot;
    const timed = this.#slots.get(slot);
    let dueMs = firstMs;
    let missed: Count = { count: 0, exact: true };
    let isSkipped = false;
    const isDone = this.#askCadence(slot, () => {
      let nextMs = cadence.next(dueMs);
      if (nextMs !== null && nextMs <= nowMs) {
        dueMs = cadence.previous(nowMs) ?? dueMs;
        const budget = new CountBudget(MAX_COUNTING_ONE, this.#counting);
        missed =
          dueMs === nextMs ? { count: 1, exact: true } : instantsBetween(cadence, firstMs, dueMs, budget);
        nextMs = cadence.next(dueMs);
      }
      isSkipped = timed?.missed === 'skip' && nowMs - dueMs > maxSkipLateMs(dueMs, nextMs);
      if (!isSkipped) slot.called(dueMs, nowMs);
      slot.atMs = nextMs;
      this.#enter(slot);
    });
    if (!isDone) return undefined;
    if (isSkipped) missed = { ...missed, count: missed.count + 1 };
    if (missed.count > 0 || !missed.exact) this.#safely(() => timed?.passedOver(missed));
    return isSkipped ? undefined : dueMs;
  }

  /** False: the cadence of the slot threw. The cadence is asked again at the next wake. */
  #askCadence(slot: TimerSlot, ask: () => void): boolean {
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

  /** Sets the timer for the next wake; while stopped it leaves none. */
  #arm(): void {
    this.#cancel?.();
    this.#cancel = undefined;
    if (!this.#isRunning) return;
    const earliestMs = this.#waiting.at(-1)?.atMs ?? Number.POSITIVE_INFINITY;
    const untilMs = this.#unsettled.size > 0 ? 0 : earliestMs - this.#clock.now();
    const delayMs = Math.min(Math.max(untilMs, 0), MAX_SLEEP_MS);
    this.#cancel = this.#clock.after(delayMs, () => this.#wake());
  }
}

function isWaiting(slot: TimerSlot): slot is Waiting {
  return slot.atMs !== null;
}

/** Slots that are due at one instant come in the order in which they were added. */
function isLater(slot: Waiting, than: Waiting): boolean {
  return slot.atMs > than.atMs || (slot.atMs === than.atMs && slot.order > than.order);
}

/** What is due after this may not have been called: the last look before the steps, as the clock is set now. */
function seenUntilMs(nowMs: number, offsetMs: number, steppedAfterMs: number | undefined): number {
  return steppedAfterMs === undefined ? nowMs : Math.min(Math.floor(steppedAfterMs + offsetMs), nowMs);
}

function maxSkipLateMs(dueMs: number, nextMs: number | null): number {
  return nextMs === null ? MAX_SKIP_LATE_MS : Math.min(MAX_SKIP_LATE_MS, (nextMs - dueMs) / 2);
}

/** How many instants lie from `firstMs` on and before `dueMs`: there are two at least. */
function instantsBetween(cadence: Cadence, firstMs: number, dueMs: number, budget: CountBudget): Count {
  if (cadence.count) {
    const counted = cadence.count(firstMs, dueMs, budget);
    return counted.exact || counted.count > 0 ? counted : { count: 1, exact: false };
  }
  let count = 1;
  let atMs = cadence.next(firstMs);
  for (; atMs !== null && atMs < dueMs && budget.spend(1); atMs = cadence.next(atMs)) count++;
  return { count, exact: atMs === null || atMs >= dueMs };
}
