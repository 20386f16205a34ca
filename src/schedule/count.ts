import { offsetChange, zoneOffset } from '../feed/timezone.ts';

/** How many instants there are; where not `exact`, there are more than `count`. */
export interface Count {
  readonly count: number;
  readonly exact: boolean;
}

/**
 * How much counting may cost; the unit is one call of croner, about 50 µs. What is spent of a budget is also
 * spent of the `whole` that it is a part of.
 */
export class CountBudget {
  #left: number;
  readonly #whole: CountBudget | undefined;

  constructor(budget: number, whole?: CountBudget) {
    this.#left = budget;
    this.#whole = whole;
  }

  /** False: the budget is used up. */
  spend(cost: number): boolean {
    this.#left -= cost;
    return (this.#whole?.spend(cost) ?? true) && this.#left >= 0;
  }
}

/** How many instants lie from one on and before a later one. */
export type CountBetween = (from: number, until: number, budget: CountBudget) => Count;

const SECOND_MS = 1000;
const DAY_MS = 86_400_000;

/** Cost of asking Intl for an offset, and of adding up the days of a week. */
const OFFSET_COST = 0.1;
const DAYS_COST = 0.02;

/** The times of a calendar pattern, as far as counting needs them. */
export interface CalendarTimes {
  /** Whether it names times of day, each of which runs once a day; otherwise it is a rhythm: see `calendar`. */
  readonly fixed: boolean;
  /** The seconds, minutes and hours that the pattern names, each in ascending order. */
  readonly clock: readonly (readonly number[])[];
  /** Whether it names a day, given as its midnight in UTC; absent where only croner knows (`L`, `W`, `#`). */
  readonly isDay: ((midnight: number) => boolean) | undefined;
}

/**
 * Counts the instants of a calendar without finding each: in every stretch of constant offset from
 * UTC they are the times of day that the pattern names, times its days. Remembers the last count that
 * was exact. `undefined` for a pattern whose days only croner knows.
 */
export function calendarCount(
  { clock, fixed, isDay }: CalendarTimes,
  timezone: string,
): CountBetween | undefined {
  if (!isDay) return undefined;
  let known: { readonly from: number; readonly until: number; readonly count: number } | undefined;
  const timesBefore = timesOfDay(clock);

  /** How many times the pattern names from one local time on and before another. */
  const named = (from: number, until: number): number => {
    let count = 0;
    for (let midnight = Math.floor(from / DAY_MS) * DAY_MS; midnight < until; midnight += DAY_MS) {
      if (isDay(midnight))
        count += timesBefore(Math.min(until - midnight, DAY_MS)) - timesBefore(Math.max(from - midnight, 0));
    }
    return count;
  };

  return (from, until, budget) => {
    if (known?.from === from && known.until === until) return { count: known.count, exact: true };
    const weeks = weeksOf(timezone);
    let count = 0;
    let at = from;
    while (at < until) {
      const week = weeks.at(at, budget);
      // One less, since "not exact" means more than `count`, and there may be no other instant.
      if (!week || !budget.spend(DAYS_COST)) return { count: Math.max(count - 1, 0), exact: false };
      const { before, after, change } = week;
      // An instant that the pattern does not name runs in place of times that the clocks left out.
      const offset = at < change ? before : after;
      if (fixed && at === from && named(at + offset, at + offset + 1) === 0) count = 1;
      const end = Math.min(at < change ? change : week.end, until);
      count += named(at + offset, end + offset);
      at = end;
      if (!fixed || at !== change || at >= until) continue;
      const wall = change + after;
      const today = Math.floor(wall / DAY_MS) * DAY_MS;
      // What is left out on the day of the change runs once, when it is over; what comes twice is
      // passed over the second time.
      if (after < before) at += before - after;
      else if (named(Math.max(change + before, today), wall) > 0 && named(wall, wall + 1) === 0) count++;
    }
    known = { from, until, count };
    return { count, exact: true };
  };
}

/** A week, counted from the epoch, and the offset of a zone, which changes at most once in it. */
interface Week {
  readonly before: number;
  readonly after: number;
  /** The first instant with the offset `after`; the end of the week where it is the one `before`. */
  readonly change: number;
  readonly end: number;
}

const WEEK_MS = 7 * DAY_MS;

/**
 * About twenty years. With more weeks all are forgotten: a clock that is wrong by centuries must not fill
 * the memory.
 */
const MAX_WEEKS = 1000;

/** The weeks of a zone, each found when it is first needed. */
class Weeks {
  readonly #offset: (at: number) => number;
  readonly #known = new Map<number, Week>();

  constructor(timezone: string) {
    this.#offset = zoneOffset(timezone);
  }

  /** The week of an instant; `undefined`: finding it is not within the budget. */
  at(instant: number, budget: CountBudget): Week | undefined {
    const index = Math.floor(instant / WEEK_MS);
    const known = this.#known.get(index);
    if (known) return known;
    if (!budget.spend(2 * OFFSET_COST)) return undefined;
    const [start, end] = [index * WEEK_MS, (index + 1) * WEEK_MS];
    const [before, after] = [this.#offset(start), this.#offset(end)];
    if (before !== after && !budget.spend(20 * OFFSET_COST)) return undefined;
    const change = before === after ? end : offsetChange(this.#offset, start, end);
    const week = { before, after, change, end };
    if (this.#known.size >= MAX_WEEKS) this.#known.clear();
    this.#known.set(index, week);
    return week;
  }
}

const zones = new Map<string, Weeks>();

function weeksOf(timezone: string): Weeks {
  const weeks = zones.get(timezone) ?? new Weeks(timezone);
  zones.set(timezone, weeks);
  return weeks;
}

/** How many of the times of day that these seconds, minutes and hours make lie before one, in milliseconds. */
function timesOfDay([seconds = [], minutes = [], hours = []]: CalendarTimes['clock']): (
  ms: number,
) => number {
  const below = (values: readonly number[], limit: number) => values.filter((value) => value < limit).length;
  return (ms) => {
    const second = Math.ceil(ms / SECOND_MS);
    const [hour, minute] = [Math.floor(second / 3600), Math.floor(second / 60) % 60];
    const inHour =
      below(minutes, minute) * seconds.length + (minutes.includes(minute) ? below(seconds, second % 60) : 0);
    return below(hours, hour) * minutes.length * seconds.length + (hours.includes(hour) ? inHour : 0);
  };
}
