import { setTimeout as sleep } from 'node:timers/promises';
import type { Spread } from '../statistics.ts';
import { numberFlag, type Question } from './question.ts';

export const lateness: Question = {
  name: 'lateness',
  asks: 'An idle server: how late is a tick? (--minutes 1, --every-ms 100, --others 0)',
  async ask(stage, flags) {
    const minutes = numberFlag(flags, 'minutes', 1);
    const everyMs = numberFlag(flags, 'every-ms', 100);
    const others = flags.others === undefined ? 0 : numberFlag(flags, 'others', 1);
    const belfry = await stage.belfry({
      schedules: [
        { name: 'clock', every: `${everyMs}ms`, feed: { type: 'time' }, rooms: ['room-*'] },
        ...Array.from({ length: others }, (_, index) => ({
          name: `other-${index}`,
          every: `${1 + (index % 10)}s`,
          feed: { type: 'time' },
          rooms: ['other-*'],
        })),
      ],
    });
    const [load, crowd] = [stage.load(), stage.load()];
    const common = { transport: 'websocket', port: belfry.port } as const;
    await load.call('open', { ...common, count: 1, times: true });
    if (others > 0) await crowd.call('open', { ...common, count: 1, prefix: 'other' });
    await sleep(1000);
    await load.call('times');
    await sleep(minutes * 60_000);
    const { late, lateness, all, firstDue, lastDue } = await load.call('times');
    return [
      { what: 'ticks', unit: '', belfry: late.count, target: `${(minutes * 60_000) / everyMs} ± 1` },
      {
        what: 'missed between the first and the last of them',
        unit: '',
        belfry: (lastDue - firstDue) / everyMs + 1 - late.count,
        target: '0',
      },
      ...lateness.map(({ atMost, count }, index) => ({
        what: `sent ${binName(atMost, lateness[index - 1]?.atMost)} late`,
        unit: 'ticks',
        belfry: count,
      })),
      ...rows('due until sent (time minus due)', late, ['at most 2 ms', 'at most 6 ms']),
      ...rows('due until received', all, []),
    ];
  },
};

function binName(atMost: number, above: number | undefined): string {
  if (atMost === Number.MAX_VALUE) return `more than ${above} ms`;
  return above === undefined || above === atMost - 1 ? `${atMost} ms` : `${above + 1} to ${atMost} ms`;
}

function rows(what: string, { median, p99, max }: Spread, [ofMedian, ofP99]: readonly string[]) {
  return [
    { what: `${what}, median`, unit: 'ms', belfry: median, ...(ofMedian && { target: ofMedian }) },
    { what: `${what}, 99th percentile`, unit: 'ms', belfry: p99, ...(ofP99 && { target: ofP99 }) },
    { what: `${what}, most`, unit: 'ms', belfry: max },
  ];
}
