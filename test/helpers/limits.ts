import { LIMITS, type Limits } from '../../src/limits.ts';

/** What is in force where the config file names no limit, but for those that the test names. */
export function limitsWith(limits: Partial<Limits> = {}): Limits {
  const byDefault = Object.entries(LIMITS).map(([key, limit]) => [key, limit.byDefault]);
  // The keys are those of LIMITS, which `fromEntries` cannot tell.
  return { ...(Object.fromEntries(byDefault) as Limits), ...limits };
}
