import { setTimeout as sleep } from 'node:timers/promises';
import type { Load, PlainServer } from './stage.ts';
import type { BelfryServer } from './servers/belfry.ts';
import type { Cost } from './servers/cost.ts';
import { median } from './statistics.ts';

/** A server that sends at every whole multiple of a time, when it is told to, and who listens. */
export interface Contender {
  readonly cost: Cost;
  readonly load: Load;
  begin(): Promise<void>;
  end(): Promise<void>;
}

export interface Result {
  /** Server CPU for each event that came in, in microseconds. */
  readonly cpuMicros: number;
  /** From the instant until the last had it, in milliseconds. */
  readonly lastMs: number;
  readonly events: number;
}

export interface ContestOptions {
  readonly everyMs: number;
  /** How many instants are measured in each round. */
  readonly waves: number;
  readonly rounds: number;
}

/** Medians over rounds in which one after the other is measured, so that all see the same machine. */
export async function contest(
  contenders: readonly Contender[],
  { everyMs, waves, rounds }: ContestOptions,
): Promise<Result[]> {
  const results = contenders.map((): Result[] => []);
  for (const { load } of contenders) await load.call('watchWaves', { everyMs });
  for (let round = 0; round < rounds; round++) {
    for (const [index, contender] of contenders.entries()) {
      results[index]?.push(await measure(contender, everyMs, waves));
    }
  }
  return results.map((all) => ({
    cpuMicros: median(all.map(({ cpuMicros }) => cpuMicros)),
    lastMs: median(all.map(({ lastMs }) => lastMs)),
    events: all.reduce((sum, { events }) => sum + events, 0),
  }));
}

/** From the middle between two instants to the middle between two others, when nothing is under way. */
async function measure(
  { cost, load, begin, end }: Contender,
  everyMs: number,
  waves: number,
): Promise<Result> {
  await begin();
  // The first wave after a pause is told with a `status`, and is not counted.
  await untilMiddle(everyMs);
  await sleep(everyMs);
  await untilMiddle(everyMs);
  await load.call('waves');
  const cpuBefore = cost.cpuMs();
  const before = await load.call('received');
  await sleep(everyMs * waves);
  const cpuAfter = cost.cpuMs();
  const after = await load.call('received');
  const seen = await load.call('waves');
  await end();
  await sleep(everyMs / 2);
  const events = after.events - before.events;
  return {
    events,
    cpuMicros: ((cpuAfter - cpuBefore) * 1000) / events,
    lastMs: median(seen.map(({ lastMs }) => lastMs)),
  };
}

function untilMiddle(everyMs: number): Promise<void> {
  const phase = Date.now() % everyMs;
  const half = everyMs / 2;
  return sleep(phase < half ? half - phase : everyMs + half - phase);
}

/** Belfry, by pausing and resuming the schedules whose names begin with `named`. */
export function belfryContender(server: BelfryServer, load: Load, named = ''): Contender {
  return {
    cost: server.cost,
    load,
    begin: () => server.resume(named),
    end: () => server.pause(named),
  };
}

export function plainContender(
  { remote, cost }: PlainServer,
  load: Load,
  options: { everyMs: number; ticks: number },
): Contender {
  return { cost, load, begin: () => remote.call('tick', options), end: () => remote.call('stop') };
}

/** Schedules of the time that do nothing until they are resumed. */
export function pausedClocks(
  count: number,
  everyMs: number,
  more: { readonly rooms?: readonly string[]; readonly named?: string } = {},
): object[] {
  const { rooms, named = 'clock' } = more;
  return Array.from({ length: count }, (_, index) => ({
    name: `${named}-${index}`,
    every: `${everyMs}ms`,
    paused: true,
    feed: { type: 'time' },
    ...(rooms && { rooms }),
  }));
}
