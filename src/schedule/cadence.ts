import type { Cron } from 'croner';
import { type Count, type CountBetween, calendarCount } from './count.ts';
import { type Pattern, readPattern } from './pattern.ts';

/**
 * When something is due: a set of instants, in milliseconds since the epoch, that can be asked from
 * both sides. It knows no present; whoever asks brings the time.
 */
export interface Cadence {
  /** The first instant strictly after `after`; null if there is none. */
  next(after: number): number | null;
  /** The last instant at or before `before`; null if there is none. */
  previous(before: number): number | null;
  /** The number of an instant since the epoch, with intervals only: every node arrives at the same. */
  seq?(due: number): number;
  /** Counts without finding each. Absent where they have to be found. */
  readonly count?: CountBetween | undefined;
}

/** The shortest interval, in milliseconds. */
const SHORTEST_MS = 100;

/**
 * Every `everyMs` milliseconds, counted from the epoch: so "3s" is due at whole multiples of three
 * seconds, whenever the server was started. Throws where it is not a whole number from 100 up.
 */
export function interval(everyMs: number): Cadence {
  if (!Number.isSafeInteger(everyMs) || everyMs < SHORTEST_MS) {
    throw new Error(`${everyMs} ms is not an interval: write a whole number of milliseconds from 100ms up`);
  }
  const seq = (at: number) => Math.floor(at / everyMs);
  return {
    next: (after) => (seq(after) + 1) * everyMs,
    previous: (before) => seq(before) * everyMs,
    seq,
  };
}

/** A croner object holds about 80 KiB, so schedules of one pattern and zone share theirs while they live. */
const calendars = new Map<string, WeakRef<Cadence>>();
const forgotten = new FinalizationRegistry<string>((key) => {
  if (calendars.get(key)?.deref() === undefined) calendars.delete(key);
});

/**
 * The instants that a cron pattern names in a zone, on whole seconds.
 *
 * On the nights when the clocks change, one rule holds, by what the second, minute and hour say:
 * - **A rhythm**: one of them says "every", with a wildcard, a step of two or more, or a range or list
 *   that leaves nothing out (`0-23`). It goes on in real time: what comes twice runs twice, what is
 *   left out does not run.
 * - **Times of day**: all three are numbers, lists or ranges, however long. Each runs once a day: the
 *   first time where it comes twice; where it is left out, when the gap is over, if that is the same
 *   day, and several of one gap together run once.
 *
 * How a set is written makes no difference: `1-3` is `1,2,3`, a step that names one value is that
 * value. Throws for a pattern that does not parse or never comes, and for an unknown zone.
 */
export function calendar(pattern: string, timezone: string): Cadence {
  const key = `${pattern}\n${timezone}`;
  const known = calendars.get(key)?.deref();
  if (known) return known;
  const cadence = new Calendar(readPattern(pattern, timezone), timezone);
  calendars.set(key, new WeakRef(cadence));
  forgotten.register(cadence, key);
  return cadence;
}

/**
 * Remembers what croner said last, since one question costs some 50 µs: a thousand schedules of one
 * pattern that wake together ask once.
 */
class Calendar implements Cadence {
  readonly count: CountBetween | undefined;
  readonly #cron: Cron;
  /** No instant lies between the two, which `next` is. */
  #after = Number.NaN;
  #next: number | null = null;
  /** No instant lies between the two, which `previous` is. */
  #before = Number.NaN;
  #previous: number | null = null;

  constructor(pattern: Pattern, timezone: string) {
    this.#cron = pattern.cron;
    const count = calendarCount(pattern, timezone);
    this.count = count && remembered(count);
  }

  next(after: number): number | null {
    if (!(after >= this.#after && after < (this.#next ?? Number.POSITIVE_INFINITY))) {
      this.#next = this.#cron.nextRun(new Date(after))?.getTime() ?? null;
      this.#after = after;
    }
    return this.#next;
  }

  previous(before: number): number | null {
    if (!(before <= this.#before && before >= (this.#previous ?? Number.NEGATIVE_INFINITY))) {
      // croner answers with what lies strictly before.
      this.#previous = this.#cron.previousRuns(1, new Date(before + 1))[0]?.getTime() ?? null;
      this.#before = before;
    }
    return this.#previous;
  }
}

/** Remembers the last count that was exact. */
function remembered(count: CountBetween): CountBetween {
  let known: { from: number; until: number; counted: Count } | undefined;
  return (from, until, budget) => {
    if (known?.from === from && known.until === until) return known.counted;
    const counted = count(from, until, budget);
    if (counted.exact) known = { from, until, counted };
    return counted;
  };
}
