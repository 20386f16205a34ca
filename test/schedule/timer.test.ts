import { describe, expect, it } from 'vitest';
import { type Cadence, calendar, interval } from '../../src/schedule/cadence.ts';
import type { Count } from '../../src/schedule/count.ts';
import { type MissedPolicy, type Timed, Timer } from '../../src/schedule/timer.ts';
import { ManualClock } from '../helpers/manual-clock.ts';

const START = Date.parse('2026-11-20T18:00:00Z');
const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;

class Listener implements Timed {
  readonly dues: number[] = [];
  readonly cadence: Cadence;
  readonly missed: MissedPolicy;
  passed = 0;
  /** Whether all that passed was counted. */
  counted = true;
  readonly steps: number[] = [];
  readonly #onDue: (due: number) => void;

  constructor(cadence: Cadence, missed: MissedPolicy = 'latest', onDue: (due: number) => void = () => {}) {
    this.cadence = cadence;
    this.missed = missed;
    this.#onDue = onDue;
  }

  due(due: number): void {
    this.dues.push(due);
    this.#onDue(due);
  }

  passedOver({ count, exact }: Count): void {
    this.passed += count;
    this.counted &&= exact;
  }

  stepped(ms: number): void {
    this.steps.push(ms);
  }

  /** The instants it was called for, in seconds after 18:00:00. */
  get seconds(): number[] {
    return this.dues.map((due) => (due - START) / 1000);
  }
}

function setup(startOffsetMs = 0) {
  const clock = new ManualClock(START + startOffsetMs);
  const steps: number[] = [];
  const faults: unknown[] = [];
  const timer = new Timer(clock, {
    stepped: (ms) => steps.push(ms),
    faulted: (error) => faults.push(error),
  });
  return { clock, timer, steps, faults };
}

describe('Timer', () => {
  it('calls at each instant of an interval and at no other time', () => {
    const { clock, timer } = setup(500);
    const calledAt: number[] = [];
    timer.add(new Listener(interval(3000), 'latest', () => calledAt.push(clock.now())));
    clock.advance(10_000);
    expect(calledAt).toEqual([START + 3000, START + 6000, START + 9000]);
  });

  it('says what is next', () => {
    const { clock, timer } = setup(500);
    const slot = timer.add(new Listener(interval(3000)));
    expect(timer.next(slot)).toBe(START + 3000);
    clock.advance(3000);
    expect(timer.next(slot)).toBe(START + 6000);
  });

  it('calls at once for an instant that has passed since it was asked to begin', () => {
    const { clock, timer } = setup(500);
    const listener = new Listener(interval(3000));
    timer.add(listener, { afterMs: START - 1 });
    expect(listener.seconds).toEqual([]);
    clock.advance(0);
    expect(listener.seconds).toEqual([0]);
    clock.advance(3000);
    expect(listener.seconds).toEqual([0, 3]);
    expect(listener.passed).toBe(0);
  });

  it('calls 86,400 times in 24 hours of every second, none missed, none twice, without drift', () => {
    const { clock, timer } = setup();
    let expected = START;
    const listener = new Listener(interval(1000), 'latest', (due) => {
      expected += 1000;
      if (due !== expected || clock.now() !== expected) throw new Error(`${due} at ${clock.now()}`);
    });
    timer.add(listener);
    clock.advance(DAY_MS);
    expect(listener.dues).toHaveLength(86_400);
    expect(listener.dues.at(-1)).toBe(START + DAY_MS);
    expect(listener.passed).toBe(0);
  });

  it('keeps an instant once when timers fire early', () => {
    const { clock, timer } = setup();
    const early = {
      now: () => clock.now(),
      monotonic: () => clock.monotonic(),
      after: (delayMs: number, callback: () => void) =>
        clock.after(Math.max(delayMs - 1, delayMs > 0 ? 1 : 0), callback),
    };
    const calledAt: number[] = [];
    const listener = new Listener(interval(1000), 'latest', () => calledAt.push(clock.now()));
    new Timer(early, { stepped() {}, faulted() {} }).add(listener);
    timer.stop();
    clock.advance(3500);
    expect(calledAt).toEqual([START + 1000, START + 2000, START + 3000]);
    expect(listener.seconds).toEqual([1, 2, 3]);
  });

  it('calls those due at one instant in the order in which they were added', () => {
    const { clock, timer } = setup();
    const order: string[] = [];
    for (const name of ['c', 'a', 'b'])
      timer.add(new Listener(interval(1000), 'latest', () => order.push(name)));
    clock.advance(2000);
    expect(order.join('')).toBe('cabcab');
  });

  it('serves many cadences by one timer', () => {
    const { clock, timer } = setup();
    const listeners = Array.from({ length: 1000 }, (_, index) => new Listener(interval(1000 + index)));
    for (const listener of listeners) timer.add(listener);
    expect(clock.pending).toBe(1);
    clock.advance(60_000);
    expect(clock.pending).toBe(1);
    for (const { cadence, dues } of listeners) {
      const expected: number[] = [];
      for (let due = cadence.next(START); due !== null && due <= START + 60_000; due = cadence.next(due))
        expected.push(due);
      expect(dues).toEqual(expected);
    }
  });

  it('calls nothing that was removed', () => {
    const { clock, timer } = setup();
    const listener = new Listener(interval(1000));
    const slot = timer.add(listener);
    clock.advance(1000);
    timer.remove(slot);
    clock.advance(5000);
    expect(listener.seconds).toEqual([1]);
  });

  it('goes on when a listener removes itself and another while it is called', () => {
    const { clock, timer } = setup();
    const third = new Listener(interval(1000));
    const second = new Listener(interval(1000));
    const slots = [
      timer.add(
        new Listener(interval(1000), 'latest', () => {
          for (const slot of slots.slice(0, 2)) timer.remove(slot);
        }),
      ),
      timer.add(second),
      timer.add(third),
    ];
    clock.advance(2000);
    expect(second.seconds).toEqual([]);
    expect(third.seconds).toEqual([1, 2]);
  });

  it('stops without a timer left', () => {
    const { clock, timer } = setup();
    const listener = new Listener(interval(1000));
    timer.add(listener);
    timer.stop();
    expect(clock.pending).toBe(0);
    clock.advance(5000);
    expect(listener.dues).toEqual([]);
  });

  it('holds a cadence that comes to an end without calling it', () => {
    const { timer } = setup();
    const slot = timer.add(new Listener({ next: () => null, previous: () => START }));
    expect(timer.next(slot)).toBeNull();
  });
});

describe('a loop blocked for 5 s', () => {
  const blocked = (missed: MissedPolicy, offsetMs: number) => {
    const { clock, timer, steps } = setup();
    const listener = new Listener(interval(1000), missed);
    timer.add(listener);
    clock.advance(offsetMs);
    clock.block(5000);
    const atOnce = listener.seconds;
    clock.advance(1500);
    return { atOnce, after: listener.seconds, missed: listener.passed, steps };
  };

  it('"latest" runs the newest instant and counts four missed', () => {
    expect(blocked('latest', 700)).toEqual({ atOnce: [5], after: [5, 6, 7], missed: 4, steps: [] });
  });

  it('"skip" runs none that is nearer to its successor', () => {
    expect(blocked('skip', 700)).toEqual({ atOnce: [], after: [6, 7], missed: 5, steps: [] });
  });

  it('"skip" runs the one that is still on time', () => {
    expect(blocked('skip', 100)).toEqual({ atOnce: [5], after: [5, 6], missed: 4, steps: [] });
  });

  it('is nothing to a cadence that had nothing due meanwhile', () => {
    const { clock, timer } = setup(500);
    const listener = new Listener(interval(10_000));
    timer.add(listener);
    clock.block(5000);
    clock.advance(4500);
    expect(listener.seconds).toEqual([10]);
    expect(listener.passed).toBe(0);
  });

  it('leaves a late daily run to "latest" and not to "skip"', () => {
    const { clock, timer } = setup(-1000);
    const latest = new Listener(calendar('0 18 * * *', 'UTC'), 'latest');
    const skip = new Listener(calendar('0 18 * * *', 'UTC'), 'skip');
    timer.add(latest);
    timer.add(skip);
    clock.block(5000);
    expect([latest.seconds, latest.passed]).toEqual([[0], 0]);
    expect([skip.seconds, skip.passed]).toEqual([[], 1]);
  });

  it('counts what a calendar missed', () => {
    const { clock, timer } = setup();
    const minutes = new Listener(calendar('* * * * *', 'UTC'));
    const seconds = new Listener(calendar('* * * * * *', 'UTC'));
    timer.add(minutes);
    timer.add(seconds);
    clock.block(2 * HOUR_MS);
    expect([minutes.seconds, minutes.passed, minutes.counted]).toEqual([[7200], 119, true]);
    expect([seconds.seconds, seconds.passed, seconds.counted]).toEqual([[7200], 7199, true]);
  });
});

describe('a step of the clock', () => {
  /** Every second for 10.2 s, then the step, then four seconds. */
  const stepped = (ms: number, cadence: Cadence = interval(1000), missed: MissedPolicy = 'latest') => {
    const { clock, timer, steps } = setup();
    const listener = new Listener(cadence, missed);
    timer.add(listener);
    clock.advance(10_200);
    const before = listener.seconds.length;
    clock.step(ms);
    clock.advance(4000);
    return { after: listener.seconds.slice(before), missed: listener.passed, steps };
  };

  it('forward by an hour leaves the hour out: no burst', () => {
    // Noticed when the timer for second 11 fires, at 3,611.0 of the new time.
    expect(stepped(HOUR_MS)).toEqual({ after: [3611, 3612, 3613, 3614], missed: 3600, steps: [HOUR_MS] });
  });

  it('back by an hour starts again from there: no stall', () => {
    // Noticed at -3,589.0 of the new time, when that is due.
    expect(stepped(-HOUR_MS)).toEqual({
      after: [-3589, -3588, -3587, -3586],
      missed: 0,
      steps: [-HOUR_MS],
    });
  });

  it('forward by 1.5 s leaves one out', () => {
    expect(stepped(1500)).toEqual({ after: [12, 13, 14, 15], missed: 1, steps: [1500] });
  });

  it('back by 1.5 s does not run the one instant again that it repeats', () => {
    // Noticed when the timer for 11 fires, at 9.5 of the new time.
    expect(stepped(-1500)).toEqual({ after: [11, 12], missed: 0, steps: [-1500] });
  });

  it('back by 2.5 s makes the instants come again', () => {
    // Noticed at 8.5 of the new time, of which 7.5 was seen.
    expect(stepped(-2500)).toEqual({ after: [8, 9, 10, 11], missed: 0, steps: [-2500] });
  });

  it('back by 1.5 s makes shorter intervals come again at once', () => {
    // Noticed at 8.8 of the new time, when that is due.
    const { after } = stepped(-1500, interval(100));
    expect(after.slice(0, 3)).toEqual([8.8, 8.9, 9]);
    expect(after.at(-1)).toBe(12.7);
  });

  it.each([300, 1500, 9000])('back by %d ms over a single instant does not run it twice', (ms) => {
    expect(stepped(-ms, interval(5000)).after).not.toContain(10);
    const { clock, timer } = setup(-1000);
    const daily = new Listener(calendar('0 18 * * *', 'UTC'));
    const slot = timer.add(daily);
    clock.advance(1100);
    clock.step(-ms);
    expect(timer.next(slot)).toBe(START + DAY_MS);
    clock.advance(2 * HOUR_MS);
    expect(daily.seconds).toEqual([0]);
    clock.advance(DAY_MS);
    expect(daily.seconds).toEqual([0, 86_400]);
  });

  it('back over a daily instant makes it come again where the clock was wrong by more than seconds', () => {
    const { clock, timer } = setup(-1000);
    const daily = new Listener(calendar('0 18 * * *', 'UTC'));
    timer.add(daily);
    clock.advance(2000);
    clock.step(-HOUR_MS);
    clock.advance(2 * HOUR_MS);
    expect(daily.seconds).toEqual([0, 0]);
  });

  it.each(['latest', 'skip'] as const)(
    'of a day and back after three seconds takes no instant of tomorrow (%s)',
    (missed) => {
      const { clock, timer, steps } = setup();
      const noon = new Listener(calendar('0 12 * * *', 'UTC'), missed);
      const second = new Listener(interval(1000), missed);
      const slot = timer.add(noon);
      timer.add(second);
      clock.advance(1500);
      clock.step(DAY_MS);
      clock.advance(3000);
      const tomorrowNoon = START + 18 * HOUR_MS;
      expect(noon.dues).toEqual(missed === 'latest' ? [tomorrowNoon] : []);
      clock.step(-DAY_MS);
      expect(timer.next(slot)).toBe(tomorrowNoon);
      clock.advance(2000);
      expect(second.seconds.slice(-2)).toEqual([5, 6]);
      clock.advance(DAY_MS);
      expect(noon.dues).toEqual(missed === 'latest' ? [tomorrowNoon, tomorrowNoon] : [tomorrowNoon]);
      expect(steps).toEqual([DAY_MS, -DAY_MS]);
      expect([noon.steps, second.steps]).toEqual([steps, steps]);
      // Each second of tomorrow came, although some came already while the clock was wrong.
      expect(second.dues.filter((due) => due >= START + DAY_MS && due < START + DAY_MS + 6000)).toHaveLength(
        9,
      );
    },
  );

  it('back and forward again does not run what has had its call', () => {
    const { clock, timer } = setup(-1000);
    const daily = new Listener(calendar('0 18 * * *', 'UTC'));
    const often = new Listener(interval(3000));
    timer.add(daily);
    timer.add(often);
    clock.advance(11_000);
    clock.step(-HOUR_MS);
    clock.advance(10_000);
    clock.step(HOUR_MS);
    clock.advance(10_000);
    expect(daily.seconds).toEqual([0]);
    expect(often.seconds.filter((second) => second >= 0)).toEqual([0, 3, 6, 9, 21, 24, 27, 30]);
    // 12, 15 and 18 would have come while the clock was an hour behind.
    expect(often.passed).toBe(3);
  });

  it('an hour ahead and back, and then by a day, counts every instant that was left out', () => {
    const { clock, timer } = setup();
    const often = new Listener(interval(1000));
    timer.add(often);
    for (const step of [HOUR_MS, -HOUR_MS]) {
      clock.step(step);
      clock.advance(3000);
    }
    const before = often.passed;
    clock.step(DAY_MS);
    clock.advance(1000);
    expect(often.passed - before).toBe(86_400);
  });

  it('in small steps that add up is judged by their sum', () => {
    const { clock, timer } = setup(-1000);
    const daily = new Listener(calendar('0 18 * * *', 'UTC'));
    timer.add(daily);
    clock.advance(2000);
    for (let step = 0; step < 4; step++) {
      clock.step(-4000);
      clock.advance(1000);
    }
    // By the clock as it is now, it ran 16 s early.
    clock.advance(60_000);
    expect(daily.seconds).toEqual([0, 0]);
  });

  it('is seen when the clock is looked at, before any timer has fired', () => {
    const { clock, timer, steps } = setup();
    const slot = timer.add(new Listener(interval(3000)));
    clock.advance(1000);
    clock.step(-HOUR_MS);
    expect(timer.next(slot)).toBe(START - HOUR_MS + 3000);
    timer.look();
    expect(timer.next(slot)).toBe(START - HOUR_MS + 3000);
    clock.step(2 * HOUR_MS);
    // The one it will be called for: those before it are left out.
    expect(timer.next(slot)).toBe(START + HOUR_MS);
    expect(steps).toEqual([-HOUR_MS]);
    timer.look();
    expect(timer.next(slot)).toBe(START + HOUR_MS);
    expect(steps).toEqual([-HOUR_MS, 2 * HOUR_MS]);
    clock.advance(0);
    expect(timer.next(slot)).toBe(START + HOUR_MS + 3000);
  });

  it('is counted also while nothing waits', () => {
    const { clock, timer, steps } = setup();
    timer.start();
    clock.advance(10_000);
    clock.step(HOUR_MS);
    clock.advance(2000);
    timer.remove(timer.add(new Listener(interval(1000))));
    clock.step(-HOUR_MS);
    clock.advance(2000);
    expect(steps).toEqual([HOUR_MS, -HOUR_MS]);
    timer.stop();
    expect(clock.pending).toBe(0);
    clock.step(HOUR_MS);
    timer.start();
    clock.advance(5000);
    expect(steps).toHaveLength(2);
    timer.stop();
  });

  it('is none on a night when daylight saving begins or ends', () => {
    for (const night of ['2026-03-29T00:00:00Z', '2026-10-25T00:00:00Z']) {
      const { clock, timer, steps } = setup(Date.parse(night) - START);
      const daily = new Listener(calendar('30 2 * * *', 'Europe/Berlin'));
      timer.add(daily);
      clock.advance(4 * HOUR_MS);
      expect([steps, daily.dues.length, daily.passed]).toEqual([[], 1, 0]);
      timer.stop();
    }
  });

  it('to a time beyond all calendars and back leaves a calendar alive', () => {
    const { clock, timer } = setup();
    const daily = new Listener(calendar('5 18 * * *', 'UTC'));
    timer.add(daily);
    const wrong = Date.parse('9998-01-01T00:00:00Z') - START;
    clock.step(wrong);
    clock.advance(3000);
    clock.step(-wrong);
    clock.advance(HOUR_MS);
    expect(daily.seconds.at(-1)).toBe(300);
  });

  it('back over several instants of a calendar makes them come again', () => {
    const { clock, timer } = setup();
    const minutes = new Listener(calendar('* * * * *', 'UTC'));
    timer.add(minutes);
    clock.advance(130_000);
    clock.step(-HOUR_MS);
    clock.advance(60_000);
    expect(minutes.seconds).toEqual([60, 120, -3420]);
  });

  it('is noticed within two seconds although nothing is due for a day', () => {
    const { clock, timer, steps } = setup(1000);
    const daily = new Listener(calendar('0 18 * * *', 'UTC'));
    timer.add(daily);
    clock.advance(10_000);
    clock.step(DAY_MS - 11_000 - 500);
    clock.advance(2000);
    expect(steps).toEqual([DAY_MS - 11_500]);
    expect(daily.seconds).toEqual([86_400]);
  });

  it.each([100, -100])('of %d ms is no step', (ms) => {
    expect(stepped(ms)).toMatchObject({ after: [11, 12, 13, 14], missed: 0, steps: [] });
  });

  it.each([
    ['latest', 1400, [0], 0],
    ['skip', 1400, [0], 0],
    ['latest', 300, [0], 0],
    // By then it is 1.7 s late.
    ['skip', 300, [], 1],
  ] as const)(
    'back to just before a daily instant does not lose it, although noticed after it (%s, seen last %d ms before)',
    (missed, beforeMs, dues, passed) => {
      const { clock, timer } = setup(HOUR_MS - beforeMs);
      const daily = new Listener(calendar('0 18 * * *', 'UTC'), missed);
      timer.add(daily);
      clock.advance(beforeMs - 200);
      clock.step(-HOUR_MS);
      clock.advance(3000);
      expect([daily.seconds, daily.passed]).toEqual([dues, passed]);
      clock.advance(DAY_MS);
      expect(daily.seconds).toEqual([...dues, 86_400]);
    },
  );

  it('back to just before an instant, noticed by a reader after it, has that instant next', () => {
    const { clock, timer } = setup(HOUR_MS - 300);
    const daily = new Listener(calendar('0 18 * * *', 'UTC'));
    const slot = timer.add(daily);
    clock.step(-HOUR_MS);
    clock.advance(500);
    expect(timer.next(slot)).toBe(START);
    timer.look();
    clock.advance(0);
    expect(daily.seconds).toEqual([0]);
    expect(timer.next(slot)).toBe(START + DAY_MS);
  });

  it('back twice before it was taken into account loses nothing of the time since the first', () => {
    const { clock, timer } = setup(2 * HOUR_MS - 300);
    const daily = new Listener(calendar('0 18 * * *', 'UTC'));
    const slot = timer.add(daily);
    clock.step(-HOUR_MS);
    clock.advance(500);
    timer.look();
    expect(timer.next(slot)).toBe(START + DAY_MS);
    clock.step(-HOUR_MS);
    expect(timer.next(slot)).toBe(START);
    timer.look();
    clock.advance(0);
    expect(daily.seconds).toEqual([0]);
  });

  it.each([
    ['a daily instant', calendar('0 18 * * *', 'UTC'), DAY_MS],
    ['an interval', interval(3000), 3000],
  ])('back by 3 s runs nothing twice where another slot replaced its slot: %s', (_name, cadence, period) => {
    // The step comes after that, before it, and while there is none.
    for (const order of ['taken over, set', 'set, taken over', 'left, set, taken over']) {
      const { clock, timer } = setup(-1000);
      const first = new Listener(cadence);
      const second = new Listener(cadence);
      let slot = timer.add(first);
      clock.advance(2000);
      for (const act of order.split(', ')) {
        if (act === 'left') timer.remove(slot);
        else if (act === 'set') clock.step(-3000);
        else {
          timer.remove(slot);
          slot = timer.add(second, { before: slot });
        }
      }
      expect(timer.next(slot), order).toBe(START + period);
      clock.advance(3000);
      expect([first.seconds, second.seconds], order).toEqual([[0], []]);
      clock.advance(period);
      expect(second.seconds, order).toEqual([period / 1000]);
      timer.stop();
    }
  });

  it('back by an hour makes an instant come again for the slot that replaced it', () => {
    const { clock, timer } = setup(-1000);
    const first = new Listener(calendar('0 18 * * *', 'UTC'));
    const second = new Listener(calendar('0 18 * * *', 'UTC'));
    const slot = timer.add(first);
    clock.advance(2000);
    timer.remove(slot);
    clock.step(-HOUR_MS);
    timer.add(second, { before: slot });
    clock.advance(2 * HOUR_MS);
    expect([first.seconds, second.seconds]).toEqual([[0], [0]]);
  });

  it('before the start is none', () => {
    const { clock, timer, steps } = setup();
    clock.step(HOUR_MS);
    timer.add(new Listener(interval(1000)));
    clock.advance(5000);
    expect(steps).toEqual([]);
  });
});

describe('what throws', () => {
  it('in a listener stops neither the others nor itself', () => {
    const { clock, timer, faults } = setup();
    const other = new Listener(interval(1000));
    let calls = 0;
    timer.add(
      new Listener(interval(1000), 'latest', () => {
        calls++;
        throw new Error('no');
      }),
    );
    timer.add(other);
    clock.advance(3000);
    expect([calls, other.seconds, faults.length]).toEqual([3, [1, 2, 3], 3]);
  });

  it('in a cadence is reported, and it is asked again', () => {
    const { clock, timer, faults } = setup();
    const other = new Listener(interval(1000));
    const second = interval(1000);
    let fails = false;
    const listener = new Listener({
      ...second,
      next(after) {
        if (fails) throw new Error('no');
        return second.next(after);
      },
    });
    timer.add(listener);
    timer.add(other);
    clock.advance(1000);
    fails = true;
    clock.advance(2000);
    fails = false;
    clock.advance(2000);
    expect(other.seconds).toEqual([1, 2, 3, 4, 5]);
    expect(listener.seconds).toEqual([1, 5]);
    expect(faults.length).toBeGreaterThan(0);
  });

  it('anywhere else does not stop the timer', () => {
    const { clock } = setup();
    const faults: unknown[] = [];
    let throws = false;
    const now = () => {
      if (!throws) return clock.now();
      throws = false;
      throw new Error('no');
    };
    const failing = { now, monotonic: () => clock.monotonic(), after: clock.after.bind(clock) };
    const timer = new Timer(failing, { stepped() {}, faulted: (error) => faults.push(error) });
    const listener = new Listener(interval(1000));
    timer.add(listener);
    clock.advance(1000);
    throws = true;
    clock.advance(3000);
    expect(faults).toHaveLength(1);
    expect(listener.seconds).toEqual([1, 2, 3, 4]);
    timer.stop();
  });
});

describe('many slots at once', () => {
  /** A cadence that takes its time: each question moves the monotonic clock on. */
  function slow(cadence: Cadence, clock: { passed: number }, ms: number): Cadence {
    return {
      next(after) {
        clock.passed += ms;
        return cadence.next(after);
      },
      previous(before) {
        clock.passed += ms;
        return cadence.previous(before);
      },
    };
  }

  function busy(ms: number) {
    const manual = new ManualClock(START);
    const clock = {
      passed: 0,
      now: () => manual.now() + clock.passed,
      monotonic: () => manual.monotonic() + clock.passed,
      after: (delayMs: number, callback: () => void) =>
        manual.after(delayMs, () => {
          const before = clock.passed;
          callback();
          longest = Math.max(longest, clock.passed - before);
        }),
    };
    let longest = 0;
    const timer = new Timer(clock, { stepped() {}, faulted() {} });
    const called: number[] = [];
    const listeners = Array.from({ length: 1000 }, (_, index) => {
      const listener = new Listener(slow(interval(60_000), clock, ms), 'latest', () => called.push(index));
      timer.add(listener);
      return listener;
    });
    return { manual, timer, listeners, called, longest: () => longest };
  }

  it('are called over several turns where their calendars cost much, none of 20 ms, all in their order', () => {
    const { manual, timer, listeners, called, longest } = busy(0.05);
    manual.advance(60_000);
    for (const { dues } of listeners) expect(dues).toEqual([START + 60_000]);
    expect(called).toEqual(Array.from({ length: 1000 }, (_, index) => index));
    expect(longest()).toBeLessThan(20);
    timer.stop();
  });

  it('take a step of the clock into account so as well', () => {
    const { manual, timer, listeners, longest } = busy(0.05);
    manual.advance(100_000);
    for (const step of [-HOUR_MS, 365 * DAY_MS]) {
      manual.step(step);
      manual.advance(61_000);
    }
    for (const { steps, dues } of listeners) {
      expect(steps).toEqual([-HOUR_MS, 365 * DAY_MS]);
      expect(dues.at(-1)).toBeGreaterThan(START + 364 * DAY_MS);
    }
    expect(longest()).toBeLessThan(20);
    timer.stop();
  });

  it('share what may be spent on counting, and say where it was not enough', () => {
    const { clock, timer } = setup();
    let asked = 0;
    const listeners = Array.from({ length: 1000 }, () => {
      const second = interval(1000);
      const found: Cadence = {
        next(after) {
          asked++;
          return second.next(after);
        },
        previous: second.previous,
      };
      return new Listener(found);
    });
    for (const listener of listeners) timer.add(listener);
    asked = 0;
    clock.step(365 * DAY_MS);
    clock.advance(2000);
    // Two for each slot, and what counting cost.
    expect(asked).toBeLessThan(1000 * 6 + 1000 + 100);
    for (const { passed, counted } of listeners) {
      expect(counted).toBe(false);
      expect(passed).toBeGreaterThanOrEqual(1);
    }
    timer.stop();
  });

  it('of one pattern count a year exactly', () => {
    const { clock, timer } = setup();
    const listeners = Array.from(
      { length: 1000 },
      () => new Listener(calendar('* * * * *', 'Europe/Berlin')),
    );
    for (const listener of listeners) timer.add(listener);
    clock.block(365 * DAY_MS);
    for (const { passed, counted, dues } of listeners)
      expect([passed, counted, dues.length]).toEqual([365 * 1440 - 1, true, 1]);
    timer.stop();
  });
});
