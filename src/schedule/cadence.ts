import { Cron } from 'croner';

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
 * change, patterns with a wildcard keep their rhythm in real time, and a fixed time of day runs once:
 * at the first valid moment if it is left out, the first time if it comes twice. Throws for a pattern
 * that does not parse or never comes, and for an unknown zone.
 */
export function calendar(pattern: string, timezone: string): Cadence {
  const key = `${pattern}\n${timezone}`;
  const known = calendars.get(key)?.deref();
  if (known) return known;
  const cron = parse(pattern, timezone);
  const cadence: Cadence = {
    next: (after) => cron.nextRun(new Date(after))?.getTime() ?? null,
    // croner answers with what lies strictly before.
    previous: (before) => cron.previousRuns(1, new Date(before + 1))[0]?.getTime() ?? null,
  };
  calendars.set(key, new WeakRef(cadence));
  forgotten.register(cadence, key);
  return cadence;
}

const FIELDS = 'write 5 fields (minute hour day month weekday) or 6 (second first)';

function parse(pattern: string, timezone: string): Cron {
  const fields = pattern.trim().split(/\s+/).length;
  // croner would take 7 fields, "@daily" and a single date as well.
  if (fields !== 5 && fields !== 6) {
    throw new Error(`"${pattern}" is not a calendar pattern: ${FIELDS}`);
  }
  if (!isTimezone(timezone)) {
    throw new Error(`"${timezone}" is not a time zone: write an IANA name such as "Europe/Berlin"`);
  }
  const cron = construct(pattern, timezone);
  if (cron.nextRun(new Date(0)) === null) {
    throw new Error(`"${pattern}" never comes: write a day that the month has`);
  }
  return cron;
}

function construct(pattern: string, timezone: string): Cron {
  try {
    return new Cron(pattern, { timezone });
  } catch (error) {
    const reason = error instanceof Error ? error.message.replace(/^CronPattern: /, '') : String(error);
    throw new Error(`"${pattern}" is not a calendar pattern (${reason}): ${FIELDS}`, { cause: error });
  }
}

function isTimezone(name: string): boolean {
  try {
    new Intl.DateTimeFormat('en', { timeZone: name });
    return true;
  } catch {
    return false;
  }
}
