import type { Bench } from '../harness/bench.ts';
import { pausedClocks } from '../harness/belfry.ts';
import { Fanout, measureInTurn } from '../harness/fanout.ts';
import type { Result, Scenario } from '../harness/scenario.ts';

const MANY = 10_000;

export const growth: Scenario = {
  name: 'growth',
  question: 'From 1 room to 10,000 and from 100 connections to 15,000: does a frame cost the same?',
  async *run(bench): AsyncGenerator<Result> {
    let inOneRoom = Number.NaN;
    for (const rooms of [1, 100, MANY]) {
      const { ours, plain } = await measure(bench, MANY, rooms);
      if (rooms === 1) inOneRoom = ours.cpuMicros;
      yield {
        what: `${MANY} connections in ${rooms} ${rooms === 1 ? 'room' : 'rooms'}: server CPU`,
        unit: 'µs/frame',
        belfry: ours.cpuMicros,
        against: { plain: plain.cpuMicros, 'one room': inOneRoom },
        ...(rooms === MANY && { target: 'at most 1.5 × one room' }),
      };
    }
    for (const connections of [100, 1000, 15_000]) {
      const { ours, plain } = await measure(bench, connections, 1);
      yield {
        what: `${connections} connections in one room: server CPU`,
        unit: 'µs/frame',
        belfry: ours.cpuMicros,
        against: { plain: plain.cpuMicros, [`${MANY} connections`]: inOneRoom },
      };
      yield {
        what: 'due until received by the last of them',
        unit: 'ms',
        belfry: ours.lastMs,
        against: { plain: plain.lastMs },
      };
    }
  },
};

async function measure(bench: Bench, count: number, rooms: number): Promise<{ ours: Fanout; plain: Fanout }> {
  // With few connections a tick costs less than the operating system's unit of time: so more of them.
  const isFew = count < MANY;
  const everyMs = isFew ? 100 : 1000;
  const belfry = await bench.belfry({ schedules: pausedClocks(1, everyMs) });
  const baseline = await bench.baseline('plain');
  const subscribers = { transport: 'websocket', count, rooms, everyMs } as const;
  const ours = await Fanout.open(bench, belfry.ticks(), subscribers);
  const plain = await Fanout.open(bench, baseline.ticks({ everyMs }), subscribers);
  await measureInTurn([ours, plain], { rounds: 1, ticks: isFew ? 30 : 3 });
  await bench.clear();
  return { ours, plain };
}
