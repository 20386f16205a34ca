import { Cron } from 'croner';
import { isTimezone } from '../feed/zone.ts';

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
 * The instants that a cron pattern names in a zone, on whole seconds. On the nights when the clocks
 * change, patterns with a wildcard keep their rhythm in real time, and fixed times of day run once:
 * at the first valid moment if they are left out, the first time if they come twice. Throws for a pattern
 * that does not parse or never comes, and for an unknown zone.
 */
export function calendar(pattern: string, timezone: string): Cadence {
  const key = `${pattern}\n${timezone}`;
  const known = calendars.get(key)?.deref();
  if (known) return known;
  const crons = parse(pattern, timezone);
  const cadence: Cadence = {
    next: (after) => extreme(Math.min, crons, (cron) => cron.nextRun(new Date(after))),
    // croner answers with what lies strictly before.
    previous: (before) => extreme(Math.max, crons, (cron) => cron.previousRuns(1, new Date(before + 1))[0]),
  };
  calendars.set(key, new WeakRef(cadence));
  forgotten.register(cadence, key);
  return cadence;
}

const FIELDS = 'write 5 fields (minute hour day month weekday) or 6 (second first)';

/** The earliest or latest of what they answer; null if none has an answer. */
function extreme(
  pick: (...instants: number[]) => number,
  crons: readonly Cron[],
  ask: (cron: Cron) => Date | null | undefined,
): number | null {
  const instants = crons.flatMap((cron) => ask(cron)?.getTime() ?? []);
  return instants.length === 0 ? null : pick(...instants);
}

function parse(pattern: string, timezone: string): Cron[] {
  const fields = pattern.trim().split(/\s+/).length;
  // croner would take 7 fields, "@daily" and a single date as well.
  if (fields !== 5 && fields !== 6) {
    throw new Error(`"${pattern}" is not a calendar pattern: ${FIELDS}`);
  }
  if (!isTimezone(timezone)) {
    throw new Error(`"${timezone}" is not a time zone: write an IANA name such as "Europe/Berlin"`);
  }
  if (construct(pattern, timezone).nextRun(new Date(0)) === null) {
    throw new Error(`"${pattern}" never comes: write a day that the month has`);
  }
  return timesOfDay(pattern).map((time) => construct(time, timezone));
}

/** More times of day than these are a rhythm; each costs a croner object. */
const MOST_TIMES = 12;

/**
 * A pattern with several fixed times of day, such as "0 2,14 * * *", as one pattern for each: croner
 * takes a list for a rhythm, and would leave 2:00 out in the one night and run it twice in the other.
 */
function timesOfDay(pattern: string): string[] {
  const fields = pattern.trim().split(/\s+/);
  const clock = fields.slice(0, -3);
  if (!clock.every((field) => /^\d+(,\d+)*$/.test(field))) return [pattern];
  const times = clock.reduce<string[]>(
    (heads, field) => heads.flatMap((head) => field.split(',').map((number) => `${head}${number} `)),
    [''],
  );
  if (times.length > MOST_TIMES) return [pattern];
  return times.map((time) => time + fields.slice(-3).join(' '));
}

function construct(pattern: string, timezone: string): Cron {
  try {
    return new Cron(pattern, { timezone });
  } catch (error) {
    const reason = error instanceof Error ? error.message.replace(/^CronPattern: /, '') : String(error);
    throw new Error(`"${pattern}" is not a calendar pattern (${reason}): ${FIELDS}`, { cause: error });
  }
}
