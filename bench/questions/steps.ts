import { spawnSync } from 'node:child_process';
import { mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { WebSocket } from 'ws';
import type { Figure } from '../report.ts';
import type { Stage } from '../stage.ts';
import { numberFlag, type Question } from './question.ts';

const HOUR = 3600;
const DAY = 24 * HOUR;

/** How far ahead of the real time the clock is, step by step, in seconds. */
const AHEAD = [1.5, 0, 5, 0, HOUR, 0, DAY, 0, -DAY, 0, 365 * DAY, 0];

const MINUTES = 50;

/** What the server says that a viewer sees. */
interface Heard {
  readonly at: number;
  readonly event: string;
  readonly due: number | undefined;
  readonly schedule: string | undefined;
  readonly state: string | undefined;
}

export const steps: Question = {
  name: 'steps',
  asks: 'The clock is set forward and back: what is sent, left out and told? (--seconds 4 for each; needs faketime)',
  async ask(stage, flags) {
    const library = spawnSync('faketime', ['-f', '+0', 'printenv', 'LD_PRELOAD'], { encoding: 'utf8' });
    if (library.status !== 0) {
      console.log(
        'skipped: there is no program "faketime" on the PATH (Debian and Ubuntu: apt install faketime)',
      );
      return [];
    }
    const folder = mkdtempSync(join(tmpdir(), 'belfry-steps-'));
    try {
      return await ask(stage, new FakeTime(join(folder, 'ahead'), library.stdout.trim()), {
        seconds: numberFlag(flags, 'seconds', 4),
      });
    } finally {
      rmSync(folder, { recursive: true });
    }
  },
};

/** A wall clock that can be set, by a file; the monotonic one goes on as it is. */
class FakeTime {
  readonly env: Readonly<Record<string, string>>;
  readonly #file: string;
  #aheadMs = 0;

  constructor(file: string, library: string) {
    this.#file = file;
    this.env = {
      LD_PRELOAD: library,
      FAKETIME_TIMESTAMP_FILE: file,
      FAKETIME_NO_CACHE: '1',
      FAKETIME_DONT_FAKE_MONOTONIC: '1',
    };
    this.set(0);
  }

  set(seconds: number): void {
    this.#aheadMs = seconds * 1000;
    // In one piece: the server reads it whenever it asks for the time.
    writeFileSync(`${this.#file}.new`, seconds < 0 ? String(seconds) : `+${seconds}`);
    renameSync(`${this.#file}.new`, this.#file);
  }

  now(): number {
    return Date.now() + this.#aheadMs;
  }
}

async function ask(stage: Stage, time: FakeTime, { seconds }: { seconds: number }): Promise<Figure[]> {
  const feed = { type: 'time' };
  const belfry = await stage.belfry(
    {
      schedules: [
        { name: 'second', every: '1s', feed },
        { name: 'noon', cron: '0 12 * * *', feed },
        ...Array.from({ length: MINUTES }, (_, index) => ({
          name: `minute-${index}`,
          cron: '* * * * *',
          feed,
        })),
      ],
    },
    { env: time.env },
  );
  const heard: Heard[] = [];
  const socket = new WebSocket(`ws://127.0.0.1:${belfry.port}/rooms/lobby`);
  socket.on('message', (data) => heard.push(read(String(data))));
  await new Promise<void>((resolve, reject) => {
    socket.on('open', () => resolve());
    socket.on('error', reject);
  });
  await sleep(seconds * 1000);

  const figures: Figure[] = [];
  let before = 0;
  for (const ahead of AHEAD) {
    const missed = await belfry.metric('belfry_instants_missed_total{schedule="second"}');
    heard.length = 0;
    time.set(ahead);
    const setAt = Date.now();
    const wrongMs = await wrongBy(belfry.port, time);
    await sleep(seconds * 1000);
    const ticks = heard.filter(({ due, schedule }) => due !== undefined && schedule === 'second');
    const right = ticks.filter(({ due = 0, at }) => Math.abs(due - (time.now() - (Date.now() - at))) < 1500);
    const told = (state: string) => heard.filter((event) => event.state === state);
    const row = (what: string, unit: string, value: number, target?: string) =>
      figures.push({
        what: `${named(ahead - before)}: ${what}`,
        unit,
        belfry: value,
        ...(target && { target }),
      });
    row('ticks of every second', '', ticks.length, `${seconds - 2} to ${seconds + 1}`);
    row('from the step to the first right one', 'ms', (right[0]?.at ?? Number.NaN) - setAt, 'at most 3000');
    row(
      'instants left out',
      '',
      (await belfry.metric('belfry_instants_missed_total{schedule="second"}')) - missed,
      ahead > before ? `${Math.floor(ahead - before)} ± 2` : '0',
    );
    row('told as changed', 'schedules', new Set(told('changed').map(({ schedule }) => schedule)).size);
    row('an empty room, asked at once, is wrong by', 'ms', wrongMs, 'at most 2500');
    row(
      'noon sent',
      'times',
      heard.filter(({ due, schedule }) => due !== undefined && schedule === 'noon').length,
    );
    before = ahead;
  }
  socket.terminate();
  return figures;
}

function named(seconds: number): string {
  const [count, unit] =
    Math.abs(seconds) >= DAY
      ? [seconds / DAY, 'd']
      : Math.abs(seconds) >= HOUR
        ? [seconds / HOUR, 'h']
        : [seconds, 's'];
  return `${count > 0 ? '+' : ''}${count} ${unit}`;
}

/** How far the newest due instant that a room shows is from the present one. */
async function wrongBy(port: number, time: FakeTime): Promise<number> {
  const answer = await fetch(`http://127.0.0.1:${port}/rooms/empty`, {
    headers: { accept: 'application/json' },
  });
  // As the contract has it.
  const { ticks } = (await answer.json()) as { ticks: { tick: { schedule: string; due: string } }[] };
  const due = ticks.find(({ tick }) => tick.schedule === 'second')?.tick.due ?? '';
  return Math.abs(time.now() - Date.parse(due));
}

function read(text: string): Heard {
  // As the contract has it.
  const event = JSON.parse(text) as {
    event: string;
    replay?: true;
    tick?: { schedule: string; due: string };
    data?: { schedule?: string; state?: string };
  };
  const { tick, data, replay } = event;
  return {
    at: Date.now(),
    event: event.event,
    due: tick && !replay ? Date.parse(tick.due) : undefined,
    schedule: tick?.schedule ?? data?.schedule,
    state: event.event === 'status' ? data?.state : undefined,
  };
}
