import { z } from 'zod';
import { DURATION, durationMs } from '../duration.ts';
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
import { shown } from './faults.ts';
import { suggest } from './suggest.ts';

/** What the file is made of: each field checks one value and says what it would accept. */

// The patterns in `meta` are for editors only; what holds is hub/names.ts.
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

export const timezone = z.string().refine(isTimezone, {
  error: ({ input }) => `${shown(input)} is not a time zone: ${nearestZone(String(input))}`,
});

/** A duration as the file writes it and in whole milliseconds. */
export interface Duration {
  readonly text: string;
  readonly ms: number;
}

/** Durations in the file; `least` and `most`, which are accepted, are durations themselves. */
export function duration(least: string, most: string) {
  const leastMs = durationMs(least) ?? 0;
  const mostMs = durationMs(most) ?? Number.POSITIVE_INFINITY;
  return z
    .string({ error: ({ input }) => notADuration(input) })
    .regex(DURATION, { error: ({ input }) => notADuration(input), abort: true })
    .transform((text, context): Duration => {
      const ms = durationMs(text) ?? Number.NaN;
      const accepted = `write a whole number of milliseconds from "${least}" to "${most}"`;
      const fault =
        ms < leastMs ? 'is too short' : ms > mostMs ? 'is too long' : !Number.isInteger(ms) && 'is not whole';
      if (fault) context.addIssue({ code: 'custom', message: `${shown(text)} ${fault}: ${accepted}` });
      return { text, ms };
    });
}

function notADuration(input: unknown): string {
  if (input === undefined) return 'is missing: write a duration such as "3s"';
  const bare = typeof input === 'number' ? String(input) : shown(input).slice(1, -1).trim();
  const hint =
    /^\d{1,12}(\.\d{1,6})?$/.test(bare) && Number(bare) > 0
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

function nearestZone(text: string): string {
  const zone = suggest(text, Intl.supportedValuesOf('timeZone'));
  return zone === undefined ? 'write an IANA name such as "Europe/Berlin"' : `did you mean "${zone}"?`;
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
