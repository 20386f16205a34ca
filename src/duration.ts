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
