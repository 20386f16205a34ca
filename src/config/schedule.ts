import { z } from 'zod';
import type { FeedKind } from '../feed/feed.ts';
import { isTimezone } from '../feed/zone.ts';
import {
  EVENT_ACCEPTS,
  isDisplayEvent,
  isEventName,
  isRoomName,
  isRoomPattern,
  isServerEvent,
  PATTERN_ACCEPTS,
  ROOM_ACCEPTS,
} from '../hub/names.ts';
import { calendar } from '../schedule/cadence.ts';
import { isObject } from './document.ts';
import { duration } from './duration.ts';
import { exactlyOneOf } from './exactly-one.ts';
import { shown } from './faults.ts';
import { suggest } from './suggest.ts';

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
  readonly timeoutMs: number;
  readonly feed: { readonly type: string; readonly options: unknown };
}

// The patterns in `meta` are for editors only; what holds is hub/names.ts.
export const roomPattern = z
  .string()
  .refine(isRoomPattern, {
    error: ({ input }) => `${shown(input)} is not a room pattern: write ${PATTERN_ACCEPTS}`,
  })
  .meta({ pattern: '^[A-Za-z0-9*][A-Za-z0-9._:*-]{0,127}$' });

const scheduleName = z
  .string()
  .refine(isRoomName, {
    error: ({ input }) => `${shown(input)} is not a schedule name: write ${ROOM_ACCEPTS}`,
  })
  .meta({ pattern: '^[A-Za-z0-9][A-Za-z0-9._:-]{0,127}$' });

const eventName = z
  .string()
  .superRefine((text, context) => {
    const message = eventFault(text);
    if (message !== undefined) context.addIssue({ code: 'custom', message });
  })
  .meta({ pattern: '^[A-Za-z][A-Za-z0-9._-]{0,63}$' });

const timezone = z.string().refine(isTimezone, {
  error: ({ input }) => `${shown(input)} is not a time zone: ${nearestZone(String(input))}`,
});

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
      timezone: timezone.default('UTC').describe('The IANA time zone that cron is read in.'),
      rooms: z.array(roomPattern).min(1).default(['*']).describe('The rooms it reaches, as patterns.'),
      event: eventName.optional().describe("The event's name; the type of the feed where it is left out."),
      paused: z.boolean().default(false).describe('Whether it starts paused.'),
      timeout: duration('1ms', '1d').prefault('10s').describe('How long the feed may take, such as "10s".'),
      feed: feed(kinds).describe('What it sends.'),
    })
    .superRefine(checkCadence, { when: ({ value }) => isObject(value) })
    .meta(exactlyOneOf(['every', 'cron']))
    .transform(
      ({ every, cron, timezone, timeout, event, ...entry }): ScheduleConfig => ({
        ...entry,
        cadence: every ? { every: every.text, everyMs: every.ms } : { cron: cron ?? '', timezone },
        event: event ?? entry.feed.type,
        timeoutMs: timeout.ms,
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

function eventFault(text: string): string | undefined {
  if (!isEventName(text)) return `${shown(text)} is not an event name: write ${EVENT_ACCEPTS}`;
  if (isServerEvent(text)) return `${shown(text)} is an event that only the server sends: write another name`;
  if (isDisplayEvent(text)) return `${shown(text)} is for administrators: write a name without "display."`;
  return undefined;
}

function nearestZone(text: string): string {
  const zone = suggest(text, Intl.supportedValuesOf('timeZone'));
  return zone === undefined ? 'write an IANA name such as "Europe/Berlin"' : `did you mean "${zone}"?`;
}
