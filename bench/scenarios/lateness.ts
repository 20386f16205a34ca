import { setTimeout as sleep } from 'node:timers/promises';
import { numberOption, type Result, type Scenario } from '../harness/scenario.ts';
import { spread } from '../harness/statistics.ts';

/** Upper bounds in milliseconds, fine where a tick should be. */
const BOUNDS = [0, 1, 2, 3, 4, 6, 10, 20, 50, 100, Number.POSITIVE_INFINITY];

/** Ticks that come later than this are not counted. */
const MOST_LATE_MS = 1000;

export const lateness: Scenario = {
  name: 'lateness',
  question: 'An idle server: how late is a tick? (--minutes 1, --every-ms 100, --others 0)',
  async *run(bench, options): AsyncGenerator<Result> {
    const minutes = numberOption(options, 'minutes', 1);
    const everyMs = numberOption(options, 'every-ms', 100);
    const others = numberOption(options, 'others', 0);
    const feed = { type: 'time' };
    const belfry = await bench.belfry({
      schedules: [
        { name: 'clock', every: `${everyMs}ms`, feed, rooms: ['room-*'] },
        ...Array.from({ length: others }, (_, index) => {
          return { name: `other-${index}`, every: `${1 + (index % 10)}s`, feed, rooms: ['other-*'] };
        }),
      ],
    });
    const [watched, other] = [bench.subscribers(), bench.subscribers()];
    const common = { transport: 'websocket', port: belfry.port, count: 1 } as const;
    await watched.call('subscribe', { ...common, readsTimes: true });
    if (others > 0) await other.call('subscribe', { ...common, prefix: 'other' });
    await sleep(1000);
    const fromMs = Date.now();
    const untilMs = fromMs + minutes * 60_000;
    await watched.call('watch', { untilMs });
    await sleep(untilMs - fromMs + MOST_LATE_MS);
    const { lateMs, receivedMs, instants } = await watched.call('seen');
    yield { what: 'ticks', belfry: lateMs.length, target: `${(minutes * 60_000) / everyMs} ± 1` };
    yield {
      what: 'due instants without a tick',
      belfry: Math.floor(untilMs / everyMs) - Math.floor(fromMs / everyMs) - instants,
      target: '0',
    };
    yield {
      ...percentile('due until sent (time minus due)', lateMs),
      target: 'at most 6 ms, median at most 2 ms',
    };
    yield percentile('due until received', receivedMs);
  },
};

function percentile(what: string, values: Float64Array): Result {
  const { median, p99, max } = spread(values);
  const upTo = (bound: number) => values.filter((value) => value <= bound).length;
  const bins = BOUNDS.map((bound, index) => {
    return { bound, count: upTo(bound) - upTo(BOUNDS[index - 1] ?? Number.NEGATIVE_INFINITY) };
  });
  const counts = bins
    .filter(({ count }) => count > 0)
    .map(({ bound, count }) => `at most ${bound}: ${count}`);
  return {
    what: `${what}, 99th percentile`,
    unit: 'ms',
    belfry: p99,
    note: `median ${median.toFixed(1)}, most ${max.toFixed(1)}; ticks by milliseconds: ${counts.join(', ')}`,
  };
}
