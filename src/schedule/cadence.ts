import { Cron, CronPattern } from 'croner';
import { isTimezone } from '../feed/timezone.ts';
import { type CalendarTimes, type CountBetween, calendarCount } from './count.ts';

/**
 * When something is due: a set of instants, in milliseconds since the epoch, that can be asked from
 * both sides. It does not know the present: the caller gives the time.
 */
export interface Cadence {
  /** The first instant strictly after `after`; null if there is none. */
  next(after: number): number | null;
  /** The last instant at or before `before`; null if there is none. */
  previous(before: number): number | null;
  /** The number of an instant since the epoch, with intervals only: the same on every node. */
  seq?(due: number): number;
  /** Counts without finding each. Absent where they have to be found. */
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
  const { cron, times } = readPattern(pattern, timezone);
  const cadence = new Calendar(cron, calendarCount(times, timezone));
  calendars.set(key, new WeakRef(cadence));
  forgotten.register(cadence, key);
  return cadence;
}

/**
 * Remembers the last answers of croner, since one question costs some 50 µs: a thousand schedules of one
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
  /** What else may stand for a number. */
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

/** Whether a step stands in it that names more than what a number or a range would. */
function saysEvery(text: string, values: readonly number[]): boolean {
  const [first = 0] = values;
  const isRange = (values.at(-1) ?? 0) - first === values.length - 1;
  return !isRange && text.split(',').some((item) => /\/0*([2-9]|1\d)/.test(item));
}

/** Where a number is written that the field does not have; croner counts days and months from zero. */
function faultOf(text: string, { name, min, max, names }: Field): string | undefined {
  const accepted = `write ${min} to ${max}${names ? ` or ${names}` : ''}`;
  for (const item of text.split(',')) {
    const [range = '', step = '1'] = item.split('/');
    const numbers = range.replace(/#.*/, '').match(/\d+/g) ?? [];
    const outside = numbers.find((number) => Number(number) < min || Number(number) > max);
    if (outside !== undefined) return `there is no ${name} ${outside}: ${accepted}`;
    const [from = '0', to = from] = numbers;
    if (Number(from) > Number(to)) {
      // Around the end, as it is meant; with a step the two parts would not go on from each other.
      const around = range === `${from}-${to}` && step === '1' && `write ${from}-${max},${min}-${to}`;
      return `the ${name}s ${from}-${to} run backwards: ${around || accepted}`;
    }
    const most = max - min + (name === 'weekday' ? 0 : 1);
    if (/^\d+$/.test(step) && (Number(step) < 1 || Number(step) > most))
      return `a step of ${step} is none for ${name}s: write 1 to ${most}`;
  }
  return undefined;
}

/** Croner keeps a bit for the first to the fifth weekday of a name in a month and one for the last: here all of them. */
const EVERY_WEEK = 63;

/** As cron has it: where days and weekdays are both restricted, one of the two is enough, unless `+` asks for both. */
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
