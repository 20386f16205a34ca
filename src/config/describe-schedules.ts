import { instant } from '../clock.ts';
import { type Cadence, calendar, interval } from '../schedule/cadence.ts';
import type { CadenceConfig, ScheduleConfig } from './schedule.ts';

/** The cadence that the file asks for. */
export function cadenceOf(config: CadenceConfig): Cadence {
  return 'cron' in config ? calendar(config.cron, config.timezone) : interval(config.everyMs);
}

/**
 * What `belfry check` prints: for each schedule its cadence and the next `count` runs after `now`
 * (milliseconds since the epoch), as lines.
 */
export function describeSchedules(
  { schedules }: { readonly schedules: readonly ScheduleConfig[] },
  now: number,
  count: number,
): string[] {
  return schedules.flatMap(({ name, cadence, paused, feed }) => [
    `${name}: ${cadenceText(cadence)}, feed ${feed.type}${paused ? ', starts paused' : ''}`,
    ...nextRuns(cadenceOf(cadence), now, count).map((due) => `  ${instant(due)}`),
  ]);
}

function cadenceText(cadence: CadenceConfig): string {
  return 'cron' in cadence ? `cron "${cadence.cron}" in ${cadence.timezone}` : `every ${cadence.every}`;
}

function nextRuns(cadence: Cadence, now: number, count: number): number[] {
  const runs: number[] = [];
  for (let due = cadence.next(now); due !== null && runs.length < count; due = cadence.next(due))
    runs.push(due);
  return runs;
}
