import { z } from 'zod';
import type { FeedContext, FeedKind } from '../feed/feed.ts';
import { isTimezone } from '../feed/timezone.ts';
import { type Cadence, calendar, interval } from '../schedule/cadence.ts';
import { type Explanation, explain, explanationLines } from '../schedule/explain.ts';
import type { CadenceEntry, ScheduleOptions } from '../schedule/options.ts';
import {
  type Duration,
  duration,
  eventName,
  exactlyOneOf,
  roomPattern,
  scheduleName,
  timezone,
} from './fields.ts';
import { isObject } from './json.ts';

/** An entry of `schedules`. `kinds` are the types of feed that it may name. */
export function schedule(kinds: readonly FeedKind[]) {
  return z
    .strictObject({
      name: scheduleName.describe('Name of the schedule, in ticks and in the admin API.'),
      every: duration('100ms', '36500d')
        .optional()
        .describe(
          'Interval, such as "3s": whole milliseconds, at least "100ms". Counted from 1970-01-01T00:00:00Z.',
        ),
      cron: z
        .string()
        .optional()
        .describe('Calendar pattern of 5 fields (minute hour day month weekday) or 6 (second first).'),
      timezone: timezone.default('UTC').describe('IANA time zone of cron.'),
      rooms: z.array(roomPattern).min(1).default(['*']).describe('Rooms that get the value, as patterns.'),
      event: eventName.optional().describe('Name of the event. Default: the type of the feed.'),
      paused: z.boolean().default(false).describe('Whether the schedule is paused after the start.'),
      when: z
        .enum(['always', 'changed'])
        .default('always')
        .describe('Whether a value that is the same as the one before is sent (always) or not (changed).'),
      missed: z
        .enum(['latest', 'skip'])
        .default('latest')
        .describe('What runs after missed instants: the latest of them, however late, or none (skip).'),
      timeout: duration('1ms', '1d').prefault('10s').describe('Longest time for a read of the feed.'),
      staleAfter: duration('100ms', '36500d')
        .optional()
        .describe('Age from which the last value is reported as stale, such as "5m". Default: never.'),
      feed: feed(kinds).describe('What is sent.'),
    })
    .superRefine(checkCadence, { when: ({ value }) => isObject(value) })
    .superRefine(checkStaleAfter)
    .meta(exactlyOneOf(['every', 'cron']))
    .transform(({ every, cron = '', timezone, timeout, staleAfter, event, ...entry }) => {
      const cadence: CadenceConfig = every ? { every: every.text, everyMs: every.ms } : { cron, timezone };
      return {
        ...entry,
        cadence,
        event: event ?? entry.feed.type,
        timeoutMs: timeout.ms,
        /** Null: a value is never stale. */
        staleAfterMs: staleAfter?.ms ?? null,
      };
    });
}

/** A schedule of the file, checked and complete. */
export type ScheduleConfig = z.output<ReturnType<typeof schedule>>;

/** When a schedule is due. `every` is the interval as the file writes it. */
type CadenceConfig = { every: string; everyMs: number } | { cron: string; timezone: string };

function feed(kinds: readonly FeedKind[]) {
  const [first, ...rest] = kinds.map(({ type, description, options, secrets = {} }) => {
    // A misspelt name would show the secret.
    const unknown = Object.keys(secrets).find((option) => !Object.hasOwn(options.shape, option));
    if (unknown !== undefined)
      throw new TypeError(`feed "${type}": secrets names "${unknown}", no option of it`);
    return options
      .safeExtend({ type: z.literal(type).describe(description) })
      .strict()
      .describe(description);
  });
  if (first === undefined) throw new TypeError('a configuration needs at least one kind of feed');
  return z
    .discriminatedUnion('type', [first, ...rest])
    .transform(({ type, ...options }) => ({ type: String(type), options }));
}

/** Also runs if other keys are wrong, so that all faults are reported at once; hence `unknown`. */
function checkCadence(
  entry: { every?: unknown; cron?: unknown; timezone?: unknown },
  context: z.RefinementCtx,
) {
  const [hasEvery, hasCron] = [entry.every !== undefined, entry.cron !== undefined];
  if (hasEvery && hasCron) context.addIssue('has "every" and "cron": write only one of them');
  if (!hasEvery && !hasCron)
    context.addIssue('has no cadence: write "every": "3s", or "cron": "*/5 * * * *"');
  if (typeof entry.cron !== 'string') return;
  const zone = typeof entry.timezone === 'string' && isTimezone(entry.timezone) ? entry.timezone : 'UTC';
  try {
    calendar(entry.cron, zone);
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    context.addIssue({ code: 'custom', path: ['cron'], message });
  }
}

/** Not for `cron`, whose instants are at different distances. */
function checkStaleAfter(
  { every, staleAfter }: { every?: Duration | undefined; staleAfter?: Duration | undefined },
  context: z.RefinementCtx,
) {
  if (every === undefined || staleAfter === undefined || staleAfter.ms > every.ms) return;
  context.addIssue({
    code: 'custom',
    path: ['staleAfter'],
    message: `"${staleAfter.text}" is not more than every, "${every.text}", so that each value would be stale before the next comes: write a longer one`,
  });
}

function cadenceOf(config: CadenceConfig): Cadence {
  return 'cron' in config ? calendar(config.cron, config.timezone) : interval(config.everyMs);
}

/** The cadence in the words of the file. */
function describedCadence(cadence: CadenceConfig): CadenceEntry {
  return 'cron' in cadence ? cadence : { every: cadence.every };
}

/** What `Schedules.apply` takes. A feed is created only when its schedule is new or has changed. */
export function scheduleOptions(
  entries: readonly ScheduleConfig[],
  kinds: readonly FeedKind[],
  context: FeedContext,
): ScheduleOptions[] {
  return entries.map((entry) => ({
    ...entry,
    cadence: cadenceOf(entry.cadence),
    describedCadence: describedCadence(entry.cadence),
    makeFeed: () => kindOf(entry.feed.type, kinds).create(entry.feed.options, context),
    feedType: entry.feed.type,
    config: entry,
  }));
}

/** The schema accepts no other types. */
function kindOf(type: string, kinds: readonly FeedKind[]): FeedKind {
  const kind = kinds.find((candidate) => candidate.type === type);
  if (!kind) throw new TypeError(`no kind of feed is called "${type}"`);
  return kind;
}

interface WithSchedules {
  readonly schedules: readonly ScheduleConfig[];
}

/**
 * The lines that `belfry check` prints: for each schedule its cadence and the next `count` runs after
 * `now`, milliseconds since the epoch.
 */
export function describeSchedules({ schedules }: WithSchedules, now: number, count: number): string[] {
  return schedules.flatMap((schedule) => {
    const [head, ...runs] = explanationLines(explained(schedule, now, count));
    return [`${head}, feed ${schedule.feed.type}${schedule.paused ? ', starts paused' : ''}`, ...runs];
  });
}

/** The lines that `belfry explain` prints. Throws if no schedule has this name. */
export function explainSchedule(
  { schedules }: WithSchedules,
  name: string,
  from: number,
  count: number,
): string[] {
  const schedule = schedules.find((candidate) => candidate.name === name);
  if (schedule) return explanationLines(explained(schedule, from, count));
  const known = schedules.map((candidate) => candidate.name).join(', ') || 'none';
  throw new Error(`there is no schedule "${name}"; known: ${known}`);
}

function explained({ name, cadence }: ScheduleConfig, from: number, count: number): Explanation {
  const options = { name, cadence: cadenceOf(cadence), describedCadence: describedCadence(cadence) };
  return explain(options, from, count);
}
