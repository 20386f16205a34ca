import { setTimeout as sleep } from 'node:timers/promises';
import type { Figure } from '../report.ts';
import type { Stage } from '../stage.ts';
import { median } from '../statistics.ts';
import { numberFlag, type Question } from './question.ts';

const MANY = 1000;
const ZONES = ['UTC', 'Europe/Berlin', 'America/New_York', 'Asia/Tokyo'];
/** Every schedule has had its first instant by then. */
const SETTLED_MS = 1500;

export const start: Question = {
  name: 'start',
  asks: `From the command until /readyz answers, and what ${MANY} schedules add to it (--rounds 5)`,
  async ask(stage, flags): Promise<Figure[]> {
    const rounds = numberFlag(flags, 'rounds', 5);
    // By turns: what else the machine does meanwhile falls on both alike.
    const [few, many] = [new Starts(), new Starts()];
    for (let round = 0; round < rounds; round++) {
      await few.once(stage, 1);
      await many.once(stage, MANY);
    }
    return [
      { what: 'until /readyz answers', unit: 'ms', belfry: few.ms, target: 'at most 500' },
      {
        what: `the same, ${MANY} interval schedules: more`,
        unit: 'ms',
        belfry: many.ms - few.ms,
        target: 'at most 200',
      },
      {
        what: `resident memory, ${MANY} interval schedules: more`,
        unit: 'MiB',
        belfry: many.residentMiB - few.residentMiB,
        target: 'at most 20',
      },
    ];
  },
};

/** The median of several starts. */
class Starts {
  readonly #ms: number[] = [];
  readonly #residentMiB: number[] = [];

  async once(stage: Stage, count: number): Promise<void> {
    const schedules = Array.from({ length: count }, (_, index) => ({
      name: `clock-${index}`,
      every: `${1 + (index % 10)}00ms`,
      feed: { type: 'time', timezone: ZONES[index % ZONES.length] },
    }));
    const beganAt = performance.now();
    const { port, cost } = await stage.belfry({ schedules });
    const { ok } = await fetch(`http://127.0.0.1:${port}/readyz`);
    if (!ok) throw new Error('it says where it is and is not ready');
    this.#ms.push(performance.now() - beganAt);
    await sleep(SETTLED_MS);
    this.#residentMiB.push(cost.residentKiB() / 1024);
    await stage.clear();
  }

  get ms(): number {
    return median(this.#ms);
  }

  get residentMiB(): number {
    return median(this.#residentMiB);
  }
}
