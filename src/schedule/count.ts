import { zoneOffset } from '../feed/zone.ts';
import type { Pattern } from './pattern.ts';

/**
 * How much may be spent on counting: about 50 µs each, which is what one question to croner costs.
 * What counts together shares one.
 */
export class CountBudget {
  #left: number;

  constructor(most: number) {
    this.#left = most;
  }

  /** False: it is used up. */
  spend(cost: number): boolean {
    this.#left -= cost;
    return this.#left >= 0;
  }
}

/**
 * How many instants lie from one on and before another. `undefined`: not within the budget.
 */
export type CountBetween = (from: number, until: number, budget: CountBudget) => number | undefined;

const SECOND_MS = 1000;
const DAY_MS = 86_400_000;
/** No zone changes its offset twice in so short a time. */
const WEEK_MS = 7 * DAY_MS;

/** What a question to Intl costs, and one to the calendar of days. */
const OFFSET_COST = 0.1;
const DAYS_COST = 0.05;

/**
 * Counts the instants of a calendar without finding each: in every stretch of constant offset from
 * UTC they are the times of day that the pattern names, times its days. `undefined` where that cannot
 * be done, or not within the budget.
 */
export function calendarCount({ clock, fixed, isDay }: Pattern, timezone: string): CountBetween | undefined {
  if (!isDay) return undefined;
  const offset = zoneOffset(timezone);
  const timesBefore = timesOfDay(clock);

  /** How many are named from one time on the wall on and before another, on the days that are named. */
  const named = (from: number, until: number): number => {
    let count = 0;
    for (let midnight = Math.floor(from / DAY_MS) * DAY_MS; midnight < until; midnight += DAY_MS) {
      if (isDay(midnight))
        count += timesBefore(Math.min(until - midnight, DAY_MS)) - timesBefore(Math.max(from - midnight, 0));
    }
    return count;
  };

  return (from, until, budget) => {
    // An instant that the pattern does not name stands for what was left out before it.
    let count = fixed && named(from + offset(from), from + offset(from) + 1) === 0 ? 1 : 0;
    let at = from;
    while (at < until) {
      let end = Math.min(at + WEEK_MS, until);
      const before = offset(at);
      const after = offset(end);
      if (!budget.spend(2 * OFFSET_COST + DAYS_COST)) return undefined;
      if (before === after) {
        count += named(at + before, end + before);
        at = end;
        continue;
      }
      if (!budget.spend(20 * OFFSET_COST)) return undefined;
      end = changeIn(at, end, (instant) => offset(instant) !== before);
      count += named(at + before, end + before);
      at = end;
      if (!fixed) continue;
      const wall = end + after;
      const today = Math.floor(wall / DAY_MS) * DAY_MS;
      // What is left out on the day of the change runs once, when it is over; what comes twice is
      // passed over the second time.
      if (after < before) at += before - after;
      else if (end < until && named(Math.max(end + before, today), wall) > 0 && named(wall, wall + 1) === 0)
        count++;
    }
    return count;
  };
}

/** How many of the times of day that these seconds, minutes and hours make lie before one, in milliseconds. */
function timesOfDay([seconds = [], minutes = [], hours = []]: Pattern['clock']): (ms: number) => number {
  const below = (values: readonly number[], limit: number) => values.filter((value) => value < limit).length;
  return (ms) => {
    const second = Math.ceil(ms / SECOND_MS);
    const [hour, minute] = [Math.floor(second / 3600), Math.floor(second / 60) % 60];
    const inHour =
      below(minutes, minute) * seconds.length + (minutes.includes(minute) ? below(seconds, second % 60) : 0);
    return below(hours, hour) * minutes.length * seconds.length + (hours.includes(hour) ? inHour : 0);
  };
}

/** The first whole second after `from`, which has none, that has changed; `to` has. */
function changeIn(from: number, to: number, hasChanged: (at: number) => boolean): number {
  let low = Math.floor(from / SECOND_MS);
  let high = Math.ceil(to / SECOND_MS);
  while (high - low > 1) {
    const middle = Math.floor((low + high) / 2);
    if (hasChanged(middle * SECOND_MS)) high = middle;
    else low = middle;
  }
  return high * SECOND_MS;
}
