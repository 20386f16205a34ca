import { setTimeout as sleep } from 'node:timers/promises';
import type { Subscribers } from '../harness/bench.ts';
import type { Belfry } from '../harness/belfry.ts';
import { numberOption, type Result, type Scenario } from '../harness/scenario.ts';
import { spread } from '../harness/statistics.ts';

const LOOP_DELAY = 'belfry_event_loop_delay_seconds{stat="max"}';

export const admin: Scenario = {
  name: 'admin',
  question: 'While a tick goes out to many: how long do an admin list and another room wait? (--seconds 12)',
  async *run(bench, options): AsyncGenerator<Result> {
    const count = numberOption(options, 'connections', 10_000);
    const seconds = numberOption(options, 'seconds', 12);
    const feed = { type: 'time' };
    const belfry = await bench.belfry({
      schedules: [
        { name: 'large', every: '500ms', paused: true, feed, rooms: ['large-*'] },
        { name: 'small', every: '100ms', feed, rooms: ['small-*'] },
      ],
    });
    // There are fewer cores than processes: the many that only read must not delay the one that measures.
    const large = bench.subscribers({ isLowPriority: true });
    const small = bench.subscribers();
    const common = { transport: 'websocket', port: belfry.port } as const;
    await large.call('subscribe', { ...common, prefix: 'large', count });
    await small.call('subscribe', { ...common, prefix: 'small', count: 1, readsTimes: true });
    await sleep(1000);
    const idle = await measure(belfry, small, seconds);
    await belfry.ticks('large').start();
    await sleep(1000);
    const loaded = await measure(belfry, small, seconds);
    for (const [what, milliseconds] of loaded) {
      yield {
        what: `while a tick goes to ${count}: ${what}`,
        unit: 'ms',
        belfry: milliseconds,
        against: { idle: idle.get(what) ?? Number.NaN },
        // `fanoutSliceMs` and five.
        target: 'at most 15 ms more than idle',
      };
    }
  },
};

/** Figures in milliseconds, by what they say. */
async function measure(belfry: Belfry, small: Subscribers, seconds: number): Promise<Map<string, number>> {
  await small.call('watch');
  // Reading the most sets it to zero.
  await belfry.metric(LOOP_DELAY);
  const took: number[] = [];
  const endsAt = performance.now() + seconds * 1000;
  while (performance.now() < endsAt) {
    const began = performance.now();
    await belfry.admin('GET', '/connections?limit=100');
    took.push(performance.now() - began);
    // No divisor of the schedules' intervals, so that every phase of a fan-out is met.
    await sleep(7);
  }
  const loopMs = (await belfry.metric(LOOP_DELAY)) * 1000;
  const seen = await small.call('seen');
  const [page, late, received] = [spread(took), spread(seen.lateMs), spread(seen.receivedMs)];
  return new Map([
    ['event loop of the server late, most', loopMs],
    ['admin page of 100 connections, median', page.median],
    ['admin page of 100 connections, 99th percentile', page.p99],
    ['admin page of 100 connections, most', page.max],
    ["another room's tick sent late, 99th percentile", late.p99],
    ["another room's tick sent late, most", late.max],
    ["another room's tick due until received, 99th percentile", received.p99],
    ["another room's tick due until received, most", received.max],
  ]);
}
