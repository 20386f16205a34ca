import { setTimeout as sleep } from 'node:timers/promises';
import { giveWay } from '../contest.ts';
import type { Times } from '../load/api.ts';
import type { BelfryServer } from '../servers/belfry.ts';
import { type Spread, spread } from '../statistics.ts';
import type { Load } from '../stage.ts';
import { numberFlag, type Question } from './question.ts';

const SECONDS = 12;
const EVERY_MS = 500;
const LOOP_DELAY = 'belfry_event_loop_delay_seconds{stat="max"}';
/** `fanoutSliceMs` and five. */
const TARGET = 'loaded minus idle at most 15 ms';

export const admin: Question = {
  name: 'admin',
  asks: 'While a tick goes out to many: how long do an admin list and another room wait?',
  async ask(stage, flags) {
    const count = numberFlag(flags, 'connections', 10_000);
    const belfry = await stage.belfry({
      schedules: [
        { name: 'large', every: `${EVERY_MS}ms`, paused: true, feed: { type: 'time' }, rooms: ['large-*'] },
        { name: 'small', every: '100ms', feed: { type: 'time' }, rooms: ['small-*'] },
      ],
    });
    const [load, other] = [stage.load(), stage.load()];
    // The cores are fewer than the processes: those who read the large room must not keep who measures waiting.
    giveWay(load);
    await load.call('open', { transport: 'websocket', prefix: 'large', port: belfry.port, count });
    await other.call('open', {
      transport: 'websocket',
      prefix: 'small',
      port: belfry.port,
      count: 1,
      times: true,
    });
    await sleep(1000);
    const idle = await measure(belfry, other);
    await belfry.resume('large');
    await sleep(1000);
    const loaded = await measure(belfry, other);
    const rows = [
      ['event loop of the server: late, most', idle.loopMs, loaded.loopMs],
      ['admin page of 100 connections, median', idle.page.median, loaded.page.median],
      ['admin page of 100 connections, 99th percentile', idle.page.p99, loaded.page.p99],
      ['admin page of 100 connections, most', idle.page.max, loaded.page.max],
      ["another room's tick: sent late, 99th percentile", idle.times.late.p99, loaded.times.late.p99],
      ["another room's tick: sent late, most", idle.times.late.max, loaded.times.late.max],
      ["another room's tick: due until received, 99th percentile", idle.times.all.p99, loaded.times.all.p99],
      ["another room's tick: due until received, most", idle.times.all.max, loaded.times.all.max],
    ] as const;
    return rows.flatMap(([what, idleMs, loadedMs]) => [
      { what: `${what}, idle`, unit: 'ms', belfry: idleMs },
      { what: `${what}, while a tick goes to ${count}`, unit: 'ms', belfry: loadedMs, target: TARGET },
    ]);
  },
};

interface Held {
  readonly page: Spread;
  readonly times: Times;
  /** How late the server's event loop came to what was due, at most. */
  readonly loopMs: number;
}

async function measure(belfry: BelfryServer, other: Load): Promise<Held> {
  await other.call('times');
  await belfry.metric(LOOP_DELAY);
  const took: number[] = [];
  const endsAt = performance.now() + SECONDS * 1000;
  while (performance.now() < endsAt) {
    const began = performance.now();
    await belfry.admin('GET', '/connections?limit=100');
    took.push(performance.now() - began);
    // Not a multiple of the schedules' times, so that every phase of a fan-out is met.
    await sleep(7);
  }
  const loopMs = (await belfry.metric(LOOP_DELAY)) * 1000;
  return { page: spread(took), times: await other.call('times'), loopMs };
}
