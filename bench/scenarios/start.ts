import type { Bench } from '../harness/bench.ts';
import { numberOption, type Scenario } from '../harness/scenario.ts';
import { median } from '../harness/statistics.ts';

const MANY = 1000;
const ZONES = ['UTC', 'Europe/Berlin', 'America/New_York', 'Asia/Tokyo'];

export const start: Scenario = {
  name: 'start',
  question: `From the command until /readyz answers, and what ${MANY} schedules and rooms add to it (--rounds 5)`,
  async *run(bench, options) {
    const [one, many]: [number[], number[]] = [[], []];
    // In turn, so that what else the machine does falls on both alike.
    for (let round = 0; round < numberOption(options, 'rounds', 5); round++) {
      one.push(await readyMs(bench, 1));
      many.push(await readyMs(bench, MANY));
    }
    const what = 'until /readyz answers';
    yield { what, unit: 'ms', belfry: median(one), target: 'at most 500 ms' };
    yield {
      what: `the same, with ${MANY} schedules for as many rooms: more`,
      unit: 'ms',
      belfry: median(many) - median(one),
      target: 'at most 200 ms',
    };
  },
};

async function readyMs(bench: Bench, count: number): Promise<number> {
  const numbers = Array.from({ length: count }, (_, index) => index);
  const schedules = numbers.map((number) => ({
    name: `clock-${number}`,
    every: `${1 + (number % 10)}00ms`,
    feed: { type: 'time', timezone: ZONES[number % ZONES.length] },
    rooms: [`room-${number}`],
  }));
  const rooms = numbers.map((number) => ({ match: `room-${number}`, history: 10 }));
  const beganAt = performance.now();
  const { port } = await bench.belfry({ schedules, rooms });
  if (!(await fetch(`http://127.0.0.1:${port}/readyz`)).ok) throw new Error('it listens and is not ready');
  const ms = performance.now() - beganAt;
  await bench.clear();
  return ms;
}
