import { pausedClocks } from '../harness/belfry.ts';
import { Fanout, measureInTurn } from '../harness/fanout.ts';
import { numberOption, type Result, type Scenario } from '../harness/scenario.ts';

const EVERY_MS = 500;

export const tick: Scenario = {
  name: 'tick',
  question:
    'One tick to many: what does a frame cost, and when has the last one got it? (--connections 10000)',
  async *run(bench, options): AsyncGenerator<Result> {
    const count = numberOption(options, 'connections', 10_000);
    const rounds = numberOption(options, 'rounds', 3);
    for (const isLowPriority of [false, true]) {
      const belfry = await bench.belfry({ schedules: pausedClocks(1, EVERY_MS) });
      const [plain, ws] = [await bench.baseline('plain'), await bench.baseline('ws')];
      const subscribers = { transport: 'websocket', count, isLowPriority, everyMs: EVERY_MS } as const;
      const ours = await Fanout.open(bench, belfry.ticks(), subscribers);
      const ofPlain = await Fanout.open(bench, plain.ticks({ everyMs: EVERY_MS }), subscribers);
      const ofWs = await Fanout.open(bench, ws.ticks({ everyMs: EVERY_MS }), subscribers);
      await measureInTurn([ours, ofPlain, ofWs], { rounds, ticks: 8 });
      const readers = isLowPriority ? 'readers give way' : 'readers take the cores as well';
      yield {
        what: `one tick to ${count} WebSockets: server CPU, ${readers}`,
        unit: 'µs/frame',
        belfry: ours.cpuMicros,
        against: { plain: ofPlain.cpuMicros, ws: ofWs.cpuMicros },
        target: 'at most 0.80 × plain, 1.10 × ws',
      };
      yield {
        what: `due until received by the last, ${readers}`,
        unit: 'ms',
        belfry: ours.lastMs,
        against: { plain: ofPlain.lastMs, ws: ofWs.lastMs },
        target: 'at most 0.9 × plain',
      };
      await bench.clear();
    }
  },
};
