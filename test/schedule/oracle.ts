/**
 * When a cron pattern is due, found without a cron library: every second or minute of the time asked
 * for is looked at, with Intl's own clock. Slow and plain; what it says is what the docstring of
 * `calendar` promises.
 */
export function bruteForce(
  pattern: string,
  timezone: string,
  from: number,
  to: number,
  stepMs = pattern.trim().split(/\s+/).length === 6 ? 1000 : 60_000,
): number[] {
  const fields = pattern.trim().split(/\s+/);
  const [second, minute, hour, day, month, weekday] = (fields.length === 5 ? ['0', ...fields] : fields).map(
    (field, index) => valuesOf(field, RANGES[index] ?? [0, 0]),
  ) as [Named, Named, Named, Named, Named, Named];
  const fixed = [second, minute, hour].every(({ every }) => !every);
  const isNamed = (wall: number) => {
    const date = new Date(wall);
    const days = day.values.has(date.getUTCDate());
    const weekdays = weekday.values.has(date.getUTCDay());
    return (
      second.values.has(date.getUTCSeconds()) &&
      minute.values.has(date.getUTCMinutes()) &&
      hour.values.has(date.getUTCHours()) &&
      month.values.has(date.getUTCMonth() + 1) &&
      (day.star || weekday.star ? days && weekdays : days || weekdays)
    );
  };
  const offset = offsetIn(timezone);
  const found: number[] = [];
  // From three hours before, so that it is known what comes for the second time.
  let highest = Number.NEGATIVE_INFINITY;
  for (let at = Math.ceil((from - 10_800_000) / stepMs) * stepMs; at <= to; at += stepMs) {
    const wall = at + offset(at);
    let due = isNamed(wall) && !(fixed && wall <= highest);
    if (fixed && Number.isFinite(highest))
      for (let gone = highest + stepMs; gone < wall; gone += stepMs)
        due ||= isNamed(gone) && new Date(gone).getUTCDate() === new Date(wall).getUTCDate();
    highest = Math.max(highest, wall);
    if (due && at > from) found.push(at);
  }
  return found;
}

interface Named {
  readonly values: ReadonlySet<number>;
  readonly star: boolean;
  /** Whether it says "every". */
  readonly every: boolean;
}

const RANGES: readonly (readonly [number, number])[] = [
  [0, 59],
  [0, 59],
  [0, 23],
  [1, 31],
  [1, 12],
  [0, 7],
];

function valuesOf(field: string, [min, max]: readonly [number, number]): Named {
  const values = new Set<number>();
  let steps = false;
  for (const item of field.split(',')) {
    const [range = '', step = '1'] = item.split('/');
    const [first = '', last = first] = range === '*' ? [String(min), String(max)] : range.split('-');
    let count = 0;
    for (let value = Number(first); value <= Number(last); value += Number(step)) {
      values.add(max === 7 ? value % 7 : value);
      count++;
    }
    steps ||= Number(step) > 1 && count > 1;
  }
  return { values, star: field === '*', every: steps || values.size === max - min + 1 };
}

/** All changes of offset of the zones in the tests stand on a quarter of an hour. */
const QUARTER_MS = 900_000;

/** By zone: many patterns are looked at in the same nights, and Intl is most of the work. */
const offsets = new Map<string, (at: number) => number>();

/** The zone's offset in milliseconds, by comparing what Intl shows with UTC. */
function offsetIn(timeZone: string): (at: number) => number {
  const made = offsets.get(timeZone);
  if (made) return made;
  const format = new Intl.DateTimeFormat('sv', { timeZone, dateStyle: 'short', timeStyle: 'medium' });
  const known = new Map<number, number>();
  const offsetAt = (at: number) => {
    const quarter = Math.floor(at / QUARTER_MS) * QUARTER_MS;
    const shown = known.get(quarter) ?? Date.parse(`${format.format(quarter).replace(' ', 'T')}Z`) - quarter;
    known.set(quarter, shown);
    return shown;
  };
  offsets.set(timeZone, offsetAt);
  return offsetAt;
}
