const UNIT_MS: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 };

/** A number and a unit, as people write durations in the config file and in queries. */
export const DURATION = /^(\d{1,12}(?:\.\d{1,6})?)(ms|s|m|h|d)$/;

/** The milliseconds of a duration such as `"1.5s"`; `undefined` for anything that is none. */
export function durationMs(text: string): number | undefined {
  const [, count, unit = ''] = DURATION.exec(text) ?? [];
  const unitMs = UNIT_MS[unit];
  // Rounded to what six places of a day can say: 1.1 s are 1100 ms, not 1100.0000000000002.
  return unitMs === undefined ? undefined : Math.round(Number(count) * unitMs * 1e6) / 1e6;
}

/** A longer time in a call is probably a mistake. */
const MAX_CALL_MS = 366 * 86_400_000;

/** What `callDurationMs` accepts. */
export const DURATION_ACCEPTS = 'a number and one of ms s m h d, such as 30s, at most 366d';

/** The milliseconds of a duration that a call may name; `undefined` for anything else. */
export function callDurationMs(text: string): number | undefined {
  const ms = durationMs(text);
  return ms !== undefined && ms <= MAX_CALL_MS ? ms : undefined;
}

/** What `someCallDurationMs` accepts. */
export const SOME_TIME_ACCEPTS = `${DURATION_ACCEPTS}, and more than 0`;

/** As `callDurationMs`, and `undefined` for no time. */
export const someCallDurationMs = (text: string): number | undefined => callDurationMs(text) || undefined;
