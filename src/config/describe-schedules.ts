import { type Explanation, explain, explanationLines } from '../schedule/explain.ts';
import { cadenceOf, describedCadence, type ScheduleConfig } from './schedule.ts';

interface WithSchedules {
  readonly schedules: readonly ScheduleConfig[];
}

/**
 * What `belfry check` prints: for each schedule its cadence and the next `count` runs after `now`
 * (milliseconds since the epoch), as lines.
 */
export function describeSchedules({ schedules }: WithSchedules, now: number, count: number): string[] {
  return schedules.flatMap((schedule) => {
    const [head, ...runs] = explanationLines(explained(schedule, now, count));
    return [`${head}, feed ${schedule.feed.type}${schedule.paused ? ', starts paused' : ''}`, ...runs];
  });
}

/** What `belfry explain` prints of one schedule, as lines. Throws where none has this name. */
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
  return explain(
    { name, cadence: cadenceOf(cadence), describedCadence: describedCadence(cadence) },
    from,
    count,
  );
}
