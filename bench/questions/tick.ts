import { belfryContender, contest, pausedClocks, plainContender } from '../contest.ts';
import { numberFlag, type Question } from './question.ts';

const EVERY_MS = 500;

export const tick: Question = {
  name: 'tick',
  asks: 'One tick to many: what does a frame cost, and when has the last one got it?',
  async ask(stage, flags) {
    const count = numberFlag(flags, 'connections', 10_000);
    const belfry = await stage.belfry({ schedules: pausedClocks(1, EVERY_MS) });
    const plain = await stage.plain();
    const [belfryLoad, plainLoad] = [stage.load(), stage.load()];
    await belfryLoad.call('open', { transport: 'websocket', port: belfry.port, count });
    await plainLoad.call('open', { transport: 'websocket', port: plain.port, count });
    const [ours, theirs] = await contest(
      [
        belfryContender(belfry, belfryLoad),
        plainContender(plain, plainLoad, { everyMs: EVERY_MS, ticks: 1 }),
      ],
      { everyMs: EVERY_MS, waves: 8, rounds: numberFlag(flags, 'rounds', 3) },
    );
    if (!ours || !theirs) return [];
    const who = `${count} WebSockets`;
    return [
      {
        what: `one tick to ${who}: server CPU`,
        unit: 'µs/frame',
        belfry: ours.cpuMicros,
        plain: theirs.cpuMicros,
        target: 'ratio at most 0.80',
      },
      {
        what: `due until received by the last of ${who}`,
        unit: 'ms',
        belfry: ours.lastMs,
        plain: theirs.lastMs,
        target: 'ratio at most 0.9',
      },
    ];
  },
};
