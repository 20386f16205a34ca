import { constants, setPriority } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import type { OpenOptions } from './load/api.ts';
import type { Load, PlainServer, Stage } from './stage.ts';
import type { BelfryServer } from './servers/belfry.ts';
import type { Cost } from './servers/cost.ts';
import { median } from './statistics.ts';

/**
 * Many who listen, in two processes. Those who came first and those who came last are watched: whichever
 * end a server begins at, one of them is the last to get an event.
 */
export interface Crowd {
  readonly watched: Load;
  readonly others: Load;
}

/** So many are watched at either end. */
const WATCHED = 50;

export interface CrowdOptions extends Pick<OpenOptions, 'transport' | 'port' | 'count' | 'rooms' | 'prefix'> {
  /**
   * Whether those who are not watched are read with the lowest priority. Reading thousands of sockets
   * takes as long as writing to them, and readers from another machine would not take the server's cores.
   */
  readonly givesWay?: boolean;
}

export async function crowd(stage: Stage, { givesWay, ...options }: CrowdOptions): Promise<Crowd> {
  const [watched, others] = [stage.load(), stage.load()];
  if (givesWay) giveWay(others);
  const { count } = options;
  await watched.call('open', { ...options, count: WATCHED });
  await others.call('open', { ...options, first: WATCHED, count: count - 2 * WATCHED });
  await watched.call('open', { ...options, first: count - WATCHED, count: WATCHED });
  return { watched, others };
}

export function giveWay({ child }: Load): void {
  if (child.pid !== undefined) setPriority(child.pid, constants.priority.PRIORITY_LOW);
}

/** A server that sends at every whole multiple of a time, when it is told to, and who listens. */
export interface Contender {
  readonly cost: Cost;
  readonly crowd: Crowd;
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
  for (const { crowd } of contenders) await crowd.watched.call('watchWaves', { everyMs });
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
  { cost, crowd, begin, end }: Contender,
  everyMs: number,
  waves: number,
): Promise<Result> {
  await begin();
  // The first wave after a pause is told with a `status`, and is not counted.
  await untilMiddle(everyMs);
  await sleep(everyMs);
  await untilMiddle(everyMs);
  await crowd.watched.call('waves');
  const cpuBefore = cost.cpuMs();
  const before = await received(crowd);
  await sleep(everyMs * waves);
  const cpuAfter = cost.cpuMs();
  const events = (await received(crowd)) - before;
  const seen = await crowd.watched.call('waves');
  await end();
  await sleep(everyMs / 2);
  return {
    events,
    cpuMicros: ((cpuAfter - cpuBefore) * 1000) / events,
    lastMs: median(seen.map(({ lastMs }) => lastMs)),
  };
}

async function received({ watched, others }: Crowd): Promise<number> {
  const both = await Promise.all([watched.call('received'), others.call('received')]);
  return both.reduce((sum, { events }) => sum + events, 0);
}

function untilMiddle(everyMs: number): Promise<void> {
  const phase = Date.now() % everyMs;
  const half = everyMs / 2;
  return sleep(phase < half ? half - phase : everyMs + half - phase);
}

/** Belfry, by pausing and resuming the schedules whose names begin with `named`. */
export function belfryContender(server: BelfryServer, crowd: Crowd, named = ''): Contender {
  return {
    cost: server.cost,
    crowd,
    begin: () => server.resume(named),
    end: () => server.pause(named),
  };
}

export function plainContender(
  { remote, cost }: PlainServer,
  crowd: Crowd,
  options: { everyMs: number; ticks: number },
): Contender {
  return { cost, crowd, begin: () => remote.call('tick', options), end: () => remote.call('stop') };
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
