import { Cron, CronPattern } from 'croner';
import { isTimezone } from '../feed/timezone.ts';

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

/** A calendar pattern that was read. */
export interface Pattern {
  readonly cron: Cron;
  /** Whether it names times of day, each of which runs once a day; otherwise it keeps a rhythm. */
  readonly fixed: boolean;
  /** The seconds, minutes and hours it names, each in ascending order. */
  readonly clock: readonly (readonly number[])[];
  /** Whether it names a day, given as its midnight in UTC; absent where that takes croner to say (`L`, `W`, `#`). */
  readonly isDay: ((midnight: number) => boolean) | undefined;
}

/**
 * Reads a calendar pattern. Throws for one that does not parse or never comes, and for an unknown
 * zone; what it says names the value as it was written.
 */
export function readPattern(pattern: string, timezone: string): Pattern {
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
      return { cron, fixed, clock: clock.map(({ values }) => values), isDay: dayRule(named) };
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

/** Every way of naming an n-th weekday of the month: what croner has for a plain weekday. */
const EVERY_WEEK = 63;

/** As cron has it: where days and weekdays are both restricted, one of the two is enough, unless `+` asks for both. */
function dayRule(named: CronPattern): Pattern['isDay'] {
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
