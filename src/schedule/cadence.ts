import { Cron, CronPattern } from 'croner';
import { isTimezone } from '../feed/timezone.ts';
import { type CalendarTimes, type CountBetween, calendarCount } from './count.ts';

/**
 * The due instants of a schedule, in milliseconds since the epoch. The answers depend on the arguments alone,
 * never on the current time.
 */
export interface Cadence {
  /** The first instant strictly after `after`; null if there is none. */
  next(after: number): number | null;
  /** The last instant at or before `before`; null if there is none. */
  previous(before: number): number | null;
  /** The number of an instant since the epoch, with intervals only: the same on every node. */
  seq?(due: number): number;
  /** Counts instants without finding each of them. Absent where each has to be found. */
  readonly count?: CountBetween | undefined;
}

const MIN_INTERVAL_MS = 100;

/**
 * Every `everyMs` milliseconds, counted from the epoch: so "3s" is due at whole multiples of three
 * seconds, whenever the server was started. Throws where it is not a whole number from 100 up.
 */
export function interval(everyMs: number): Cadence {
  if (!Number.isSafeInteger(everyMs) || everyMs < MIN_INTERVAL_MS) {
    throw new Error(`${everyMs} ms is not an interval: write a whole number of milliseconds from 100ms up`);
  }
  const seq = (at: number) => Math.floor(at / everyMs);
  return {
    next: (after) => (seq(after) + 1) * everyMs,
    previous: (before) => seq(before) * everyMs,
    seq,
    count: (from, until) => ({ count: seq(until) - seq(from), exact: true }),
  };
}

/** A croner object takes about 80 KiB, so schedules with the same pattern and zone share one. */
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
  const { cron, times } = readPattern(pattern, timezone);
  const cadence = new Calendar(cron, calendarCount(times, timezone));
  calendars.set(key, new WeakRef(cadence));
  forgotten.register(cadence, key);
  return cadence;
}

/**
 * Remembers the last answers of croner, since each takes some 50 µs: a thousand schedules of one pattern
 * that are due together need only one.
 */
class Calendar implements Cadence {
  readonly count: CountBetween | undefined;
  readonly #cron: Cron;
  /** The last answer of `next`: no instant lies between these two. */
  #after = Number.NaN;
  #next: number | null = null;
  /** The last answer of `previous`: no instant lies between these two. */
  #before = Number.NaN;
  #previous: number | null = null;

  constructor(cron: Cron, count: CountBetween | undefined) {
    this.#cron = cron;
    this.count = count;
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

interface Field {
  readonly name: string;
  readonly min: number;
  readonly max: number;
  /** Names that may be written instead of numbers. */
  readonly names?: string;
}

const FIELDS: readonly Field[] = [
  { name: 'second', min: 0, max: 59 },
  { name: 'minute', min: 0, max: 59 },
  { name: 'hour', min: 0, max: 23 },
  { name: 'day', min: 1, max: 31 },
  { name: 'month', min: 1, max: 12, names: 'JAN to DEC' },
  { name: 'weekday', min: 0, max: 7, names: 'SUN to SAT' },
];

const FORM = 'write 5 fields (minute hour day month weekday) or 6 (second first)';

/**
 * Reads a calendar pattern. Throws for one that does not parse or never comes, and for an unknown
 * zone; the message holds the value as it was written.
 */
function readPattern(pattern: string, timezone: string): { cron: Cron; times: CalendarTimes } {
  const written = pattern.trim().split(/\s+/);
  // croner would take 7 fields, "@daily" and a single date as well.
  if (written.length !== 5 && written.length !== 6)
    throw new Error(`"${pattern}" is not a calendar pattern: ${FORM}`);
  if (!isTimezone(timezone)) {
    throw new Error(`"${timezone}" is not a time zone: write an IANA name such as "Europe/Berlin"`);
  }
  const fields = written.length === 5 ? ['0', ...written] : written;
  for (const [index, field] of FIELDS.entries()) {
    const fault = faultOf(fields[index] ?? '', field);
    if (fault) throw new Error(`"${pattern}" is not a calendar pattern: ${fault}`);
  }
  try {
    const named = new CronPattern(fields.join(' '));
    const clock = [named.second, named.minute, named.hour].map((values, index) => ({
      text: fields[index] ?? '',
      values: values.flatMap((isNamed, value) => (isNamed ? value : [])),
      all: !values.includes(0),
    }));
    const fixed = !clock.some(({ text, values, all }) => all || saysEvery(text, values));
    // croner goes by what is written: a wildcard or a step in one of them makes a rhythm.
    const times = clock.map(({ text, values, all }) => (all ? '*' : fixed ? values.join(',') : text));
    const text = [...times, ...fields.slice(3)].join(' ');
    const cron = new Cron(text, { timezone, fixedTimeRule: 'no-wildcard' });
    if (cron.nextRun(new Date(0)) !== null)
      return { cron, times: { fixed, clock: clock.map(({ values }) => values), isDay: dayRule(named) } };
  } catch (error) {
    const reason = error instanceof Error ? error.message.replace(/^CronPattern: /, '') : String(error);
    throw new Error(`"${pattern}" is not a calendar pattern (${reason}): ${FORM}`, { cause: error });
  }
  throw new Error(`"${pattern}" never comes: write a day that the month has`);
}

/** Whether a field has a step of two or more whose values are not simply a range. */
function saysEvery(text: string, values: readonly number[]): boolean {
  const [first = 0] = values;
  const isRange = (values.at(-1) ?? 0) - first === values.length - 1;
  return !isRange && text.split(',').some((item) => /\/0*([2-9]|1\d)/.test(item));
}

/**
 * What is wrong with a field: a number that it does not have, a range that runs backwards, or a step that is
 * too large. croner's own messages would count days and months from zero.
 */
function faultOf(text: string, { name, min, max, names }: Field): string | undefined {
  const accepted = `write ${min} to ${max}${names ? ` or ${names}` : ''}`;
  for (const item of text.split(',')) {
    const [range = '', step = '1'] = item.split('/');
    const numbers = range.replace(/#.*/, '').match(/\d+/g) ?? [];
    const outside = numbers.find((number) => Number(number) < min || Number(number) > max);
    if (outside !== undefined) return `there is no ${name} ${outside}: ${accepted}`;
    const [from = '0', to = from] = numbers;
    if (Number(from) > Number(to)) {
      // Suggests the range in two parts; with a step the second part would not continue the first.
      const around = range === `${from}-${to}` && step === '1' && `write ${from}-${max},${min}-${to}`;
      return `the ${name}s ${from}-${to} run backwards: ${around || accepted}`;
    }
    const most = max - min + (name === 'weekday' ? 0 : 1);
    if (/^\d+$/.test(step) && (Number(step) < 1 || Number(step) > most))
      return `a step of ${step} is none for ${name}s: write 1 to ${most}`;
  }
  return undefined;
}

/** All bits that croner keeps for a weekday: its first to fifth in a month, and its last. */
const EVERY_WEEK = 63;

/** The rule of cron: where both days and weekdays are restricted, either is enough, unless `+` asks for both. */
function dayRule(named: CronPattern): CalendarTimes['isDay'] {
  // Copies: the pattern itself holds a table of ten thousand years.
  const [days, months, weekdays] = [[...named.day], [...named.month], [...named.dayOfWeek]];
  const { starDOM, starDOW, useAndLogic } = named;
  const special = named.lastDayOfMonth || named.lastWeekday || named.nearestWeekdays.some((is) => is > 0);
  if (special || weekdays.some((weeks) => weeks !== 0 && weeks !== EVERY_WEEK)) return undefined;
  const both = starDOM || starDOW || useAndLogic;
  return (midnight) => {
    const date = new Date(midnight);
    if (!months[date.getUTCMonth()]) return false;
    const day = days[date.getUTCDate() - 1] === 1;
    const weekday = weekdays[date.getUTCDay()] !== 0;
    return both ? day && weekday : day || weekday;
  };
}
