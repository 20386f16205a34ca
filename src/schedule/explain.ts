import cronstrue from 'cronstrue';
import { instant } from '../clock.ts';
import { localInstant, offsetChange, zoneOffset } from '../feed/timezone.ts';
import { type Cadence, calendar } from './cadence.ts';
import type { CadenceEntry, ScheduleOptions } from './options.ts';

/** One run to come. */
export interface PlannedRun {
  /** RFC 3339 in UTC. */
  readonly due: string;
  /** The same as a wall clock in the schedule's zone shows it, with its offset. */
  readonly local: string;
  /** What daylight saving does to the run; null: nothing. */
  readonly note: string | null;
}

/** A schedule's cadence in words, and its next runs. */
export interface Explanation {
  readonly schedule: string;
  readonly cadence: CadenceEntry;
  /** Such as "every 3 seconds". */
  readonly words: string;
  readonly timezone: string;
  /** Fewer than asked for where the cadence comes to an end. */
  readonly runs: readonly PlannedRun[];
}

/** What can be explained: a schedule, also one that does not run. */
export type Explainable = Pick<ScheduleOptions, 'name' | 'cadence' | 'describedCadence'>;

/** The `count` runs after `from`, milliseconds since the epoch. */
export function explain(schedule: Explainable, from: number, count: number): Explanation {
  const runs: PlannedRun[] = [];
  for (const run of plannedRuns(schedule, from)) if (runs.push(run) >= count) break;
  return { ...describeCadence(schedule), runs };
}

export function describeCadence({ name, describedCadence }: Explainable): Omit<Explanation, 'runs'> {
  return {
    schedule: name,
    cadence: describedCadence,
    words: cadenceWords(describedCadence),
    timezone: timezoneOf(describedCadence),
  };
}

/**
 * The runs after `from`, each found when the caller gets it: one of a calendar takes a tenth of a
 * millisecond.
 */
export function* plannedRuns(
  { cadence, describedCadence }: Explainable,
  from: number,
): Generator<PlannedRun> {
  const local = localInstant(timezoneOf(describedCadence));
  const note = 'cron' in describedCadence ? nightNotes(describedCadence, cadence) : () => null;
  for (let due = cadence.next(from); due !== null; due = cadence.next(due))
    yield { due: instant(due), local: local(due), note: note(due) };
}

function timezoneOf(cadence: CadenceEntry): string {
  return 'cron' in cadence ? cadence.timezone : 'UTC';
}

/** For a terminal: the words, then a line for each run. */
export function explanationLines({ schedule, words, timezone, runs }: Explanation): string[] {
  return [
    `${schedule}: ${words} (${timezone})`,
    ...runs.map(({ due, local, note }) => {
      const day = WEEKDAY.format(Date.parse(`${local.slice(0, 23)}Z`));
      const shown = `  ${day} ${local.replace('T', ' ').replace('.000', '')}`;
      return [shown, due, ...(note === null ? [] : [note])].join('  ');
    }),
  ];
}

const WEEKDAY = new Intl.DateTimeFormat('en', { weekday: 'short', timeZone: 'UTC' });

const UNITS: Readonly<Record<string, string>> = {
  ms: 'millisecond',
  s: 'second',
  m: 'minute',
  h: 'hour',
  d: 'day',
};

/** A cadence in words. */
export function cadenceWords(cadence: CadenceEntry): string {
  if ('every' in cadence) {
    const [, count = '', unit = ''] = /^([\d.]+)(\D+)$/.exec(cadence.every) ?? [];
    const name = UNITS[unit] ?? unit;
    return Number(count) === 1 ? `every ${name}` : `every ${Number(count)} ${name}s`;
  }
  try {
    const words = cronstrue.toString(cadence.cron, { use24HourTimeFormat: true });
    return words.charAt(0).toLowerCase() + words.slice(1);
  } catch {
    // croner knows patterns that have no words, such as "+1" for a weekday that must also match.
    return `cron "${cadence.cron}"`;
  }
}

const HOUR_MS = 3_600_000;
/** Clocks are never changed by more than this. */
const REACH_MS = 3 * HOUR_MS;
/** Clocks are never changed twice in so short a time. */
const WEEK_MS = 7 * 24 * HOUR_MS;

/** Returns a function that says what a change of the clocks does to a run of a calendar. */
function nightNotes(
  { cron, timezone }: { cron: string; timezone: string },
  cadence: Cadence,
): (due: number) => string | null {
  const offset = zoneOffset(timezone);
  const wall = (at: number) => at + offset(at);
  /** The pattern as local time without changes of the clocks. */
  const named = calendar(cron, 'UTC');

  /** A note for the first run after the clocks went forward over an instant that the pattern names. */
  const forward = (due: number): string | null => {
    const from = Math.max(cadence.previous(due - 1) ?? 0, due - WEEK_MS);
    if (offset(from) >= offset(due)) return null;
    const change = offsetChange(offset, from, due);
    const leftOut = named.next(change + offset(from) - 1);
    if (leftOut === null || leftOut >= wall(change)) return null;
    const runsInstead = named.previous(wall(due)) !== wall(due);
    return runsInstead
      ? `the clocks go forward: ${clockText(leftOut)} does not exist, runs at ${clockText(wall(due))}`
      : `the clocks went forward on ${instant(leftOut).slice(0, 10)}: ${clockText(leftOut)} did not exist`;
  };

  return (due) => {
    const [before, now, after] = [offset(due - REACH_MS), offset(due), offset(due + REACH_MS)];
    const shownBefore = due - (before - now);
    if (before > now && offset(shownBefore) === before)
      return `the clocks went back: ${clockText(wall(due))} for the second time`;
    const shownAgain = due + (now - after);
    if (now > after && offset(shownAgain) === after) {
      const again = cadence.previous(shownAgain) === shownAgain;
      return `the clocks go back: ${clockText(wall(due))} comes twice${again ? '' : ', runs the first time only'}`;
    }
    return forward(due);
  };
}

/** The time of day of an instant in UTC, with seconds where there are any. */
function clockText(unixMs: number): string {
  return instant(unixMs).slice(11, 19).replace(/:00$/, '');
}
