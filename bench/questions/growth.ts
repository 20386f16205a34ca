import {
  belfryContender,
  contest,
  crowd,
  type ContestOptions,
  pausedClocks,
  plainContender,
  type Result,
} from '../contest.ts';
import type { Figure } from '../report.ts';
import type { Stage } from '../stage.ts';
import type { Question } from './question.ts';

const EVERY_MS = 1000;
const MANY = 10_000;
const ROOMS = [1, 100, 10_000];
const CONNECTIONS = [100, 1000, 15_000];

export const growth: Question = {
  name: 'growth',
  asks: 'From 1 room to 10,000 and from 100 connections to 15,000: does a frame cost the same?',
  async ask(stage) {
    const figures: Figure[] = [];
    let ofOneRoom = Number.NaN;
    for (const rooms of ROOMS) {
      const [ours, theirs] = await measure(stage, MANY, rooms);
      if (!ours || !theirs) continue;
      if (rooms === 1) ofOneRoom = ours.cpuMicros;
      figures.push({
        what: `${MANY} connections in ${rooms} ${rooms === 1 ? 'room' : 'rooms'}; ratio to one room`,
        unit: 'µs/frame',
        belfry: ours.cpuMicros,
        plain: theirs.cpuMicros,
        ratio: ours.cpuMicros / ofOneRoom,
        ...(rooms === MANY && { target: 'ratio at most 1.5' }),
      });
    }
    for (const connections of CONNECTIONS) {
      const [ours, theirs] = await measure(stage, connections, 1);
      if (!ours || !theirs) continue;
      figures.push(
        {
          what: `${connections} connections in one room; ratio to ${MANY}`,
          unit: 'µs/frame',
          belfry: ours.cpuMicros,
          plain: theirs.cpuMicros,
          ratio: ours.cpuMicros / ofOneRoom,
        },
        {
          what: 'due until received by the last of them',
          unit: 'ms',
          belfry: ours.lastMs,
          plain: theirs.lastMs,
        },
      );
    }
    return figures;
  },
};

async function measure(stage: Stage, count: number, rooms: number): Promise<Result[]> {
  // With few connections a tick costs less than the operating system counts in: more of them.
  const everyMs = count < MANY ? 100 : EVERY_MS;
  const options: ContestOptions = { everyMs, waves: count < MANY ? 30 : 3, rounds: 1 };
  const belfry = await stage.belfry({ schedules: pausedClocks(1, everyMs) });
  const plain = await stage.plain();
  const common = { transport: 'websocket', count, rooms } as const;
  const belfryCrowd = await crowd(stage, { ...common, port: belfry.port });
  const plainCrowd = await crowd(stage, { ...common, port: plain.port });
  const results = await contest(
    [belfryContender(belfry, belfryCrowd), plainContender(plain, plainCrowd, { everyMs, ticks: 1 })],
    options,
  );
  await stage.clear();
  return results;
}
