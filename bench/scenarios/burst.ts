import { pausedClocks } from '../harness/belfry.ts';
import { Fanout, measureInTurn } from '../harness/fanout.ts';
import { numberOption, type Result, type Scenario } from '../harness/scenario.ts';

const EVERY_MS = 2000;
const TICKS = 20;

export const burst: Scenario = {
  name: 'burst',
  question: 'Twenty schedules are due at once: what does a frame cost? (--connections 2000)',
  async *run(bench, options): AsyncGenerator<Result> {
    const count = numberOption(options, 'connections', 2000);
    const belfry = await bench.belfry({ schedules: pausedClocks(TICKS, EVERY_MS) });
    const plain = await bench.baseline('plain');
    const subscribers = { transport: 'websocket', count, everyMs: EVERY_MS } as const;
    const ours = await Fanout.open(bench, belfry.ticks(), subscribers);
    const theirs = await Fanout.open(bench, plain.ticks({ everyMs: EVERY_MS, ticks: TICKS }), subscribers);
    await measureInTurn([ours, theirs], { rounds: numberOption(options, 'rounds', 2), ticks: 4 });
    yield {
      what: `${TICKS} ticks at once to ${count} WebSockets: server CPU`,
      unit: 'µs/frame',
      belfry: ours.cpuMicros,
      against: { plain: theirs.cpuMicros },
      target: 'at most 0.14 × plain',
    };
    yield {
      what: `due until the last has the ${TICKS}`,
      unit: 'ms',
      belfry: ours.lastMs,
      against: { plain: theirs.lastMs },
    };
  },
};
