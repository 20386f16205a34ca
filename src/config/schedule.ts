import { z } from 'zod';
import type { FeedContext, FeedKind } from '../feed/feed.ts';
import { isTimezone } from '../feed/timezone.ts';
import { type Cadence, calendar, interval } from '../schedule/cadence.ts';
import type { CadenceEntry, ScheduleOptions } from '../schedule/options.ts';
import { isObject } from './document.ts';
import {
  type Duration,
  duration,
  eventName,
  exactlyOneOf,
  roomPattern,
  scheduleName,
  timezone,
} from './fields.ts';

/** When a schedule is due; `every` is the interval as the file writes it. */
export type CadenceConfig =
  | { readonly every: string; readonly everyMs: number }
  | { readonly cron: string; readonly timezone: string };

export interface ScheduleConfig {
  readonly name: string;
  readonly cadence: CadenceConfig;
  /** Room patterns. */
  readonly rooms: readonly string[];
  readonly event: string;
  readonly paused: boolean;
  readonly when: 'always' | 'changed';
  readonly missed: 'latest' | 'skip';
  readonly timeoutMs: number;
  /** Null: a value is never too old. */
  readonly staleAfterMs: number | null;
  readonly feed: { readonly type: string; readonly options: unknown };
}

/** An entry of `schedules`. `kinds` are the types of feed it may name. */
export function schedule(kinds: readonly FeedKind[]) {
  return z
    .strictObject({
      name: scheduleName.describe('What the schedule is called, in ticks and in the admin API.'),
      every: duration('100ms', '36500d')
        .optional()
        .describe('How often, such as "3s": whole milliseconds from "100ms" up, counted from the epoch.'),
      cron: z
        .string()
        .optional()
        .describe('When, as 5 fields (minute hour day month weekday) or 6 (second first).'),
      timezone: timezone().default('UTC').describe('The IANA time zone that cron is read in.'),
      rooms: z.array(roomPattern).min(1).default(['*']).describe('The rooms it reaches, as patterns.'),
      event: eventName.optional().describe("The event's name; the type of the feed where it is left out."),
      paused: z.boolean().default(false).describe('Whether it starts paused.'),
      when: z
        .enum(['always', 'changed'])
        .default('always')
        .describe('Whether a value that is the same as the one before is sent: always, or when it changed.'),
      missed: z
        .enum(['latest', 'skip'])
        .default('latest')
        .describe('What runs when instants were missed: the latest of them, however late, or none (skip).'),
      timeout: duration('1ms', '1d').prefault('10s').describe('How long the feed may take, such as "10s".'),
      staleAfter: duration('100ms', '36500d')
        .optional()
        .describe('From what age on its last value is told as stale, such as "5m"; never where left out.'),
      feed: feed(kinds).describe('What it sends.'),
    })
    .superRefine(checkCadence, { when: ({ value }) => isObject(value) })
    .superRefine(checkStaleAfter)
    .meta(exactlyOneOf(['every', 'cron']))
    .transform(
      ({ every, cron, timezone, timeout, staleAfter, event, ...entry }): ScheduleConfig => ({
        ...entry,
        cadence: every ? { every: every.text, everyMs: every.ms } : { cron: cron ?? '', timezone },
        event: event ?? entry.feed.type,
        timeoutMs: timeout.ms,
        staleAfterMs: staleAfter?.ms ?? null,
      }),
    );
}

function feed(kinds: readonly FeedKind[]) {
  const [first, ...rest] = kinds.map(({ type, description, options }) =>
    options
      .safeExtend({ type: z.literal(type).describe(description) })
      .strict()
      .describe(description),
  );
  if (first === undefined) throw new TypeError('a configuration needs at least one kind of feed');
  return z
    .discriminatedUnion('type', [first, ...rest])
    .transform(({ type, ...options }) => ({ type: String(type), options }));
}

/** Runs also where other keys are wrong, so that all faults are told at once; hence `unknown`. */
function checkCadence(
  entry: { every?: unknown; cron?: unknown; timezone?: unknown },
  context: z.RefinementCtx,
) {
  const [interval, pattern] = [entry.every !== undefined, entry.cron !== undefined];
  if (interval && pattern) context.addIssue('has "every" and "cron": write only one of them');
  if (!interval && !pattern)
    context.addIssue('has no cadence: write "every": "3s", or "cron": "*/5 * * * *"');
  if (typeof entry.cron !== 'string') return;
  const zone = typeof entry.timezone === 'string' && isTimezone(entry.timezone) ? entry.timezone : 'UTC';
  try {
    calendar(entry.cron, zone);
  } catch (error) {
    context.addIssue({
      code: 'custom',
      path: ['cron'],
      message: error instanceof Error ? error.message : String(error),
    });
  }
}

/** A value has to live until the next one comes; when cron is due next differs from time to time. */
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

/** The cadence that the file asks for. */
export function cadenceOf(config: CadenceConfig): Cadence {
  return 'cron' in config ? calendar(config.cron, config.timezone) : interval(config.everyMs);
}

/** What `Schedules.apply` takes: the entries of the file with their parts. Their feeds are made on demand. */
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

/** The same in its own words. */
export function describedCadence(cadence: CadenceConfig): CadenceEntry {
  return 'cron' in cadence ? cadence : { every: cadence.every };
}

/** The schema has seen to it that there is one. */
function kindOf(type: string, kinds: readonly FeedKind[]): FeedKind {
  const kind = kinds.find((candidate) => candidate.type === type);
  if (!kind) throw new TypeError(`no kind of feed is called "${type}"`);
  return kind;
}
