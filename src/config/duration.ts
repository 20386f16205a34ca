import { z } from 'zod';
import { shown } from './faults.ts';

const UNIT_MS: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 };
const DURATION = /^(\d{1,12}(?:\.\d{1,6})?)(ms|s|m|h|d)$/;

/** The milliseconds of a duration such as `"1.5s"`; `undefined` for anything that is none. */
export function durationMs(text: string): number | undefined {
  const [, count, unit = ''] = DURATION.exec(text) ?? [];
  const unitMs = UNIT_MS[unit];
  // Rounded to what six places of a day can say: 1.1 s are 1100 ms, not 1100.0000000000002.
  return unitMs === undefined ? undefined : Math.round(Number(count) * unitMs * 1e6) / 1e6;
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
