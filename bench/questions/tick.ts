import { belfryContender, contest, crowd, pausedClocks, plainContender, type Result } from '../contest.ts';
import type { Figure } from '../report.ts';
import type { Stage } from '../stage.ts';
import { numberFlag, type Question } from './question.ts';

const EVERY_MS = 500;

export const tick: Question = {
  name: 'tick',
  asks: 'One tick to many: what does a frame cost, and when has the last one got it?',
  async ask(stage, flags) {
    const count = numberFlag(flags, 'connections', 10_000);
    const rounds = numberFlag(flags, 'rounds', 3);
    const figures: Figure[] = [];
    for (const givesWay of [false, true]) {
      const [ours, theirs] = await measure(stage, count, rounds, givesWay);
      if (!ours || !theirs) continue;
      const readers = givesWay ? 'readers give way' : 'readers take the cores as well';
      figures.push(
        {
          what: `one tick to ${count} WebSockets: server CPU, ${readers}`,
          unit: 'µs/frame',
          belfry: ours.cpuMicros,
          plain: theirs.cpuMicros,
          target: 'ratio at most 0.80',
        },
        {
          what: `due until received by the last, ${readers}`,
          unit: 'ms',
          belfry: ours.lastMs,
          plain: theirs.lastMs,
          target: 'ratio at most 0.9',
        },
      );
    }
    return figures;
  },
};

async function measure(stage: Stage, count: number, rounds: number, givesWay: boolean): Promise<Result[]> {
  const belfry = await stage.belfry({ schedules: pausedClocks(1, EVERY_MS) });
  const plain = await stage.plain();
  const common = { transport: 'websocket', count, givesWay } as const;
  const belfryCrowd = await crowd(stage, { ...common, port: belfry.port });
  const plainCrowd = await crowd(stage, { ...common, port: plain.port });
  const results = await contest(
    [
      belfryContender(belfry, belfryCrowd),
      plainContender(plain, plainCrowd, { everyMs: EVERY_MS, ticks: 1 }),
    ],
    { everyMs: EVERY_MS, waves: 8, rounds },
  );
  await stage.clear();
  return results;
}
