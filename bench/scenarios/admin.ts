import { setTimeout as sleep } from 'node:timers/promises';
import type { Belfry } from '../harness/belfry.ts';
import type { Subscribers } from '../harness/bench.ts';
import { numberOption, type Scenario } from '../harness/scenario.ts';
import { spread } from '../harness/statistics.ts';

const LOOP_DELAY = 'belfry_event_loop_delay_seconds{stat="max"}';

export const admin: Scenario = {
  name: 'admin',
  question: 'While a tick goes out to many: how long do an admin list and another room wait? (--seconds 12)',
  async *run(bench, options) {
    const count = numberOption(options, 'connections', 10_000);
    const seconds = numberOption(options, 'seconds', 12);
    const feed = { type: 'time' };
    const schedules = [
      { name: 'large', every: '500ms', paused: true, feed, rooms: ['large-*'] },
      { name: 'small', every: '100ms', feed, rooms: ['small-*'] },
    ];
    const belfry = await bench.belfry({ schedules });
    // There are fewer cores than processes: the many that only read must not delay the one that measures.
    const [large, small] = [bench.subscribers({ isLowPriority: true }), bench.subscribers()];
    const common = { transport: 'websocket', port: belfry.port } as const;
    await large.call('subscribe', { ...common, prefix: 'large', count });
    await small.call('subscribe', { ...common, prefix: 'small', count: 1, readsTimes: true });
    await sleep(1000);
    const idle = await measure(belfry, small, seconds);
    await belfry.startTicks();
    await sleep(1000);
    for (const [what, belfryMs] of Object.entries(await measure(belfry, small, seconds))) {
      yield {
        what: `while a tick goes to ${count}: ${what}`,
        unit: 'ms',
        belfry: belfryMs,
        against: { idle: idle[what] ?? Number.NaN },
        // `fanoutSliceMs` and five.
        target: 'at most 15 ms more than idle',
      };
    }
  },
};

/** Figures in milliseconds, by what they say. */
async function measure(belfry: Belfry, small: Subscribers, seconds: number): Promise<Record<string, number>> {
  await small.call('watch');
  // Reading the maximum sets it to zero.
  await belfry.metric(LOOP_DELAY);
  const took: number[] = [];
  const endsAt = performance.now() + seconds * 1000;
  while (performance.now() < endsAt) {
    const began = performance.now();
    await belfry.request('GET', '/admin/connections?limit=100');
    took.push(performance.now() - began);
    // No divisor of the schedules' intervals, so that every phase of a fan-out is met.
    await sleep(7);
  }
  const { lateMs, receivedMs } = await small.call('seen');
  return {
    'delay of the event loop, maximum': (await belfry.metric(LOOP_DELAY)) * 1000,
    'admin page of 100 connections, 99th percentile': spread(took).p99,
    "another room's tick sent late, 99th percentile": spread(lateMs).p99,
    "another room's tick due until received, 99th percentile": spread(receivedMs).p99,
  };
}
