import { setTimeout as sleep } from 'node:timers/promises';
import type { Bench } from '../harness/bench.ts';
import { numberOption, type Result, type Scenario } from '../harness/scenario.ts';
import { median } from '../harness/statistics.ts';

const MANY = 1000;
const ZONES = ['UTC', 'Europe/Berlin', 'America/New_York', 'Asia/Tokyo'];
/** By then every schedule has had its first due instant. */
const SETTLED_MS = 1500;

export const start: Scenario = {
  name: 'start',
  question: `From the command until /readyz answers, and what ${MANY} schedules add to it (--rounds 5)`,
  async *run(bench, options): AsyncGenerator<Result> {
    const rounds = numberOption(options, 'rounds', 5);
    const one: Started[] = [];
    const many: Started[] = [];
    // In turn, so that what else the machine does falls on both alike.
    for (let round = 0; round < rounds; round++) {
      one.push(await startOnce(bench, 1));
      many.push(await startOnce(bench, MANY));
    }
    const more = (figure: (started: Started) => number) => median(many.map(figure)) - median(one.map(figure));
    yield {
      what: 'until /readyz answers',
      unit: 'ms',
      belfry: median(one.map(({ ms }) => ms)),
      target: 'at most 500 ms',
    };
    yield {
      what: `the same, ${MANY} interval schedules: more`,
      unit: 'ms',
      belfry: more(({ ms }) => ms),
      target: 'at most 200 ms',
    };
    yield {
      what: `resident memory, ${MANY} interval schedules: more`,
      unit: 'MiB',
      belfry: more(({ residentMiB }) => residentMiB),
      target: 'at most 20 MiB',
    };
  },
};

interface Started {
  readonly ms: number;
  readonly residentMiB: number;
}

async function startOnce(bench: Bench, count: number): Promise<Started> {
  const schedules = Array.from({ length: count }, (_, index) => ({
    name: `clock-${index}`,
    every: `${1 + (index % 10)}00ms`,
    feed: { type: 'time', timezone: ZONES[index % ZONES.length] },
  }));
  const beganAt = performance.now();
  const { port, cost } = await bench.belfry({ schedules });
  const { ok } = await fetch(`http://127.0.0.1:${port}/readyz`);
  if (!ok) throw new Error('it listens and is not ready');
  const ms = performance.now() - beganAt;
  await sleep(SETTLED_MS);
  const residentMiB = cost.residentKiB() / 1024;
  await bench.clear();
  return { ms, residentMiB };
}
