import { z } from 'zod';
import { DURATION, durationMs } from '../duration.ts';
import { isTimezone } from '../feed/timezone.ts';
import {
  EVENT_ACCEPTS,
  isDisplayEvent,
  isEventName,
  isRoomName,
  isRoomPattern,
  isServerEvent,
  PATTERN_ACCEPTS,
  ROOM_ACCEPTS,
} from '../hub/event.ts';
import { shown } from './faults.ts';
import { suggest } from './suggest.ts';

/** What the file is made of: each field checks one value and says what it would accept. */

// The patterns in `meta` are for editors only; what holds is hub/event.ts.
export const roomPattern = z
  .string()
  .refine(isRoomPattern, {
    error: ({ input }) => `${shown(input)} is not a room pattern: write ${PATTERN_ACCEPTS}`,
  })
  .meta({ pattern: '^[A-Za-z0-9*][A-Za-z0-9._:*-]{0,127}$' });

export const scheduleName = z
  .string()
  .refine(isRoomName, {
    error: ({ input }) => `${shown(input)} is not a schedule name: write ${ROOM_ACCEPTS}`,
  })
  .meta({ pattern: '^[A-Za-z0-9][A-Za-z0-9._:-]{0,127}$' });

export const eventName = z
  .string()
  .superRefine((text, context) => {
    const message = eventFault(text);
    if (message !== undefined) context.addIssue({ code: 'custom', message });
  })
  .meta({ pattern: '^[A-Za-z][A-Za-z0-9._-]{0,63}$' });

/** The most wrong zones of one file that another is suggested for: there are 400 to compare with. */
const MOST_SUGGESTED = 20;
/** Twice the longest there is. */
const LONGEST_ZONE = 64;

export function timezone() {
  let left = MOST_SUGGESTED;
  return z.string().refine((name) => name.length <= LONGEST_ZONE && isTimezone(name), {
    error: ({ input }) => {
      const near = left-- > 0 ? suggest(String(input), Intl.supportedValuesOf('timeZone')) : undefined;
      const hint =
        near === undefined ? 'write an IANA name such as "Europe/Berlin"' : `did you mean "${near}"?`;
      return `${shown(input)} is not a time zone: ${hint}`;
    },
  });
}

/** A duration as the file writes it and in whole milliseconds. */
export interface Duration {
  readonly text: string;
  readonly ms: number;
}

/** Durations in the file; `least` and `most`, which are accepted, are durations themselves. */
export function duration(least: string, most: string) {
  const leastMs = durationMs(least) ?? 0;
  const mostMs = durationMs(most) ?? Number.POSITIVE_INFINITY;
  const fits = (ms: number | undefined) =>
    ms !== undefined && ms >= leastMs && ms <= mostMs && Number.isInteger(ms);
  const error = ({ input }: { input?: unknown }) => notADuration(input, fits);
  return z
    .string({ error })
    .regex(DURATION, { error, abort: true })
    .transform((text, context): Duration => {
      const ms = durationMs(text) ?? Number.NaN;
      const accepted = `write a duration from "${least}" to "${most}", in whole milliseconds`;
      const fault =
        ms < leastMs ? 'is too short' : ms > mostMs ? 'is too long' : !Number.isInteger(ms) && 'is not whole';
      if (fault) context.addIssue({ code: 'custom', message: `${shown(text)} ${fault}: ${accepted}` });
      return { text, ms };
    });
}

/** A number without a unit is taken for seconds, if that `fits`. */
function notADuration(input: unknown, fits: (ms: number | undefined) => boolean): string {
  if (input === undefined) return 'is missing: write a duration such as "3s"';
  const bare = typeof input === 'number' ? String(input) : shown(input).slice(1, -1).trim();
  const hint = fits(durationMs(`${bare}s`))
    ? `write "${bare}s"`
    : 'write a number and one of ms s m h d, such as "3s"';
  return `${shown(input)} is not a duration: ${hint}`;
}

function eventFault(text: string): string | undefined {
  if (!isEventName(text)) return `${shown(text)} is not an event name: write ${EVENT_ACCEPTS}`;
  if (isServerEvent(text)) return `${shown(text)} is an event that only the server sends: write another name`;
  if (isDisplayEvent(text)) return `${shown(text)} is for administrators: write a name without "display."`;
  return undefined;
}

/**
 * For `.meta()`: what editors are told where just one of several keys, all of them strings, must be
 * there. A refinement says it to the parser; JSON Schema cannot see into one. Each branch states its
 * type, for validators that look at it alone.
 */
export function exactlyOneOf(keys: readonly string[]) {
  const branch = (key: string) => ({
    type: 'object',
    properties: { [key]: { type: 'string' } },
    required: [key],
  });
  return { oneOf: keys.map(branch) };
}
