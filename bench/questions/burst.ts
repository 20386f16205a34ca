import { belfryContender, contest, crowd, pausedClocks, plainContender } from '../contest.ts';
import { numberFlag, type Question } from './question.ts';

const EVERY_MS = 2000;
const TICKS = 20;
const COUNT = 2000;

export const burst: Question = {
  name: 'burst',
  asks: 'Many events in one turn: what does a frame cost when twenty schedules are due at once?',
  async ask(stage, flags) {
    const belfry = await stage.belfry({ schedules: pausedClocks(TICKS, EVERY_MS) });
    const plain = await stage.plain();
    const common = { transport: 'websocket', count: COUNT } as const;
    const belfryCrowd = await crowd(stage, { ...common, port: belfry.port });
    const plainCrowd = await crowd(stage, { ...common, port: plain.port });
    const [ours, theirs] = await contest(
      [
        belfryContender(belfry, belfryCrowd),
        plainContender(plain, plainCrowd, { everyMs: EVERY_MS, ticks: TICKS }),
      ],
      { everyMs: EVERY_MS, waves: 4, rounds: numberFlag(flags, 'rounds', 2) },
    );
    if (!ours || !theirs) return [];
    return [
      {
        what: `${TICKS} ticks in one turn to ${COUNT}: server CPU`,
        unit: 'µs/frame',
        belfry: ours.cpuMicros,
        plain: theirs.cpuMicros,
        target: 'ratio at most 0.14',
      },
      {
        what: `due until the last has the ${TICKS}`,
        unit: 'ms',
        belfry: ours.lastMs,
        plain: theirs.lastMs,
      },
    ];
  },
};
