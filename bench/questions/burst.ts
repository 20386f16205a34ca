import { belfryContender, contest, pausedClocks, plainContender } from '../contest.ts';
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
    const [belfryLoad, plainLoad] = [stage.load(), stage.load()];
    await belfryLoad.call('open', { transport: 'websocket', port: belfry.port, count: COUNT });
    await plainLoad.call('open', { transport: 'websocket', port: plain.port, count: COUNT });
    const [ours, theirs] = await contest(
      [
        belfryContender(belfry, belfryLoad),
        plainContender(plain, plainLoad, { everyMs: EVERY_MS, ticks: TICKS }),
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
