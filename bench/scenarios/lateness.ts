import { setTimeout as sleep } from 'node:timers/promises';
import { numberOption, type Result, type Scenario } from '../harness/scenario.ts';
import { spread } from '../harness/statistics.ts';

/** Ticks that come later than this are not counted. */
const MAX_LATE_MS = 1000;

export const lateness: Scenario = {
  name: 'lateness',
  question: 'An idle server: how late is a tick? (--minutes 1 --every-ms 100 --others 0)',
  async *run(bench, options) {
    const minutes = numberOption(options, 'minutes', 1);
    const everyMs = numberOption(options, 'every-ms', 100);
    const others = numberOption(options, 'others', 0);
    const feed = { type: 'time' };
    const other = (index: number) => ({ name: `other-${index}`, every: `${1 + (index % 10)}s`, feed });
    const { port } = await bench.belfry({
      schedules: [
        { name: 'clock', ...{ every: `${everyMs}ms`, feed, rooms: ['room-*'] } },
        ...Array.from({ length: others }, (_, index) => ({ ...other(index), rooms: ['other-*'] })),
      ],
    });
    const subscribers = bench.subscribers();
    const common = { transport: 'websocket', port, count: 1 } as const;
    await subscribers.call('subscribe', { ...common, readsTimes: true });
    if (others > 0) await subscribers.call('subscribe', { ...common, prefix: 'other' });
    await sleep(1000);
    const fromMs = Date.now();
    const untilMs = fromMs + minutes * 60_000;
    await subscribers.call('watch', { untilMs });
    await sleep(untilMs - fromMs + MAX_LATE_MS);
    const { lateMs, receivedMs, instants } = await subscribers.call('seen');
    yield {
      what: 'due instants without a tick',
      belfry: Math.floor(untilMs / everyMs) - Math.floor(fromMs / everyMs) - instants,
      target: `0 of ${(minutes * 60_000) / everyMs}`,
    };
    yield {
      ...percentile('due until sent (time minus due)', lateMs),
      target: 'at most 6 ms, median at most 2 ms',
    };
    yield percentile('due until received', receivedMs);
  },
};

function percentile(what: string, values: readonly number[]): Result {
  const { median, p99, max } = spread(values);
  const note = `median ${median.toFixed(1)}, maximum ${max.toFixed(1)}`;
  return { what: `${what}, 99th percentile`, unit: 'ms', belfry: p99, note };
}
