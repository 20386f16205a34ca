import { setTimeout as sleep } from 'node:timers/promises';
import type { Opened, Times } from '../load/api.ts';
import type { Load } from '../stage.ts';
import type { Question } from './question.ts';

const COUNT = 5000;
const RESIDENTS = 100;
const EVERY_MS = 100;

export const storm: Question = {
  name: 'storm',
  asks: 'Thousands connect at once: how long until they are in, and what do those inside notice?',
  async ask(stage) {
    const belfry = await stage.belfry({
      schedules: [{ name: 'clock', every: `${EVERY_MS}ms`, feed: { type: 'time' }, rooms: ['inside-*'] }],
    });
    const ours = await measure(belfry.port, belfry.cost, stage.load(), stage.load());
    await stage.clear();
    const plain = await stage.plain();
    await plain.remote.call('tick', { everyMs: EVERY_MS, ticks: 1 });
    const theirs = await measure(plain.port, plain.cost, stage.load(), stage.load());
    return [
      {
        what: `${COUNT} connects at once: until all are in`,
        unit: 'ms',
        belfry: ours.opened.ms,
        plain: theirs.opened.ms,
      },
      {
        what: 'of them, the 99th percentile',
        unit: 'ms',
        belfry: ours.opened.each.p99,
        plain: theirs.opened.each.p99,
      },
      { what: 'failed', unit: '', belfry: ours.opened.failed, plain: theirs.opened.failed },
      {
        what: 'server CPU of one of them',
        unit: 'µs',
        belfry: ours.cpuMicros,
        plain: theirs.cpuMicros,
        target: 'at most 140 µs',
      },
      {
        what: `due until received by ${RESIDENTS} who were in, meanwhile, 99th percentile`,
        unit: 'ms',
        belfry: ours.times.all.p99,
        plain: theirs.times.all.p99,
      },
    ];
  },
};

async function measure(
  port: number,
  cost: { cpuMs(): number },
  load: Load,
  inside: Load,
): Promise<{ opened: Opened; cpuMicros: number; times: Times }> {
  await load.call('open', { transport: 'websocket', port, count: 1000 });
  await load.call('closeAll');
  await inside.call('open', {
    transport: 'websocket',
    port,
    count: RESIDENTS,
    prefix: 'inside',
    times: true,
  });
  await sleep(1000);
  await inside.call('times');
  const before = cost.cpuMs();
  const opened = await load.call('open', {
    transport: 'websocket',
    port,
    count: COUNT,
    atOnce: COUNT,
    mayFail: true,
  });
  const cpuMicros = ((cost.cpuMs() - before) * 1000) / COUNT;
  return { opened, cpuMicros, times: await inside.call('times') };
}
