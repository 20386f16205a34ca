import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { WebSocket } from 'ws';
import type { Bench } from '../harness/bench.ts';
import { numberOption, type Result, type Scenario } from '../harness/scenario.ts';

const HOUR = 3600;
const DAY = 24 * HOUR;

/** How far the clock is ahead of the real time, step by step, in seconds. */
const AHEAD = [1.5, 0, 5, 0, HOUR, 0, DAY, 0, -DAY, 0, 365 * DAY, 0];

const MINUTE_SCHEDULES = 50;
const MISSED = 'belfry_instants_missed_total{schedule="second"}';

/** An event as a viewer gets it. */
interface Received {
  readonly at: number;
  /** Of live ticks only. */
  readonly due: number | undefined;
  readonly schedule: string | undefined;
  /** Of `status` events only. */
  readonly state: string | undefined;
}

export const steps: Scenario = {
  name: 'steps',
  question:
    'The clock is set forward and back: what is sent, left out and told? (--seconds 4 for each; needs faketime)',
  async *run(bench, options): AsyncGenerator<Result> {
    const library = spawnSync('faketime', ['-f', '+0', 'printenv', 'LD_PRELOAD'], { encoding: 'utf8' });
    if (library.status !== 0) {
      console.error('skipped: no program "faketime" on the PATH (Debian and Ubuntu: apt install faketime)');
      return;
    }
    const seconds = numberOption(options, 'seconds', 4);
    const clock = new FakeClock(library.stdout.trim());
    try {
      yield* measure(bench, clock, seconds);
    } finally {
      clock.remove();
    }
  },
};

async function* measure(bench: Bench, clock: FakeClock, seconds: number): AsyncGenerator<Result> {
  const feed = { type: 'time' };
  const minutes = Array.from({ length: MINUTE_SCHEDULES }, (_, index) => {
    return { name: `minute-${index}`, cron: '* * * * *', feed };
  });
  const schedules = [
    { name: 'second', every: '1s', feed },
    { name: 'noon', cron: '0 12 * * *', feed },
    ...minutes,
  ];
  const belfry = await bench.belfry({ schedules }, { env: clock.env });
  let received: Received[] = [];
  const socket = new WebSocket(`ws://127.0.0.1:${belfry.port}/rooms/lobby`);
  socket.on('message', (data) => received.push(read(String(data))));
  await once(socket, 'open');
  await sleep(seconds * 1000);

  let before = 0;
  for (const ahead of AHEAD) {
    const missedBefore = await belfry.metric(MISSED);
    received = [];
    clock.set(ahead);
    const setAt = Date.now();
    const wrongMs = Math.abs((await newestDue(belfry.port)) - Date.now() - clock.aheadMs);
    await sleep(seconds * 1000);
    const missed = (await belfry.metric(MISSED)) - missedBefore;
    const ticksOf = (name: string) =>
      received.filter(({ due, schedule }) => due !== undefined && schedule === name);
    const ticks = ticksOf('second');
    const right = ticks.find(({ due = 0, at }) => Math.abs(due - at - clock.aheadMs) < 1500);
    const changed = received.flatMap(({ schedule, state }) => (state === 'changed' ? [schedule] : []));
    const skipped = Math.max(Math.floor(ahead - before), 0);
    yield {
      what: `${named(ahead - before)}: until the first right tick of every second`,
      unit: 'ms',
      belfry: (right?.at ?? Number.NaN) - setAt,
      target: 'at most 3000 ms',
      note: [
        `${ticks.length} ticks (${seconds - 2} to ${seconds + 1})`,
        `${missed} instants left out (${skipped > 0 ? `${skipped} ± 2` : 0})`,
        `${new Set(changed).size} schedules told as changed`,
        `an empty room, asked at once, is wrong by ${wrongMs} ms (at most 2500)`,
        `noon sent ${ticksOf('noon').length} times`,
      ].join(', '),
    };
    before = ahead;
  }
  socket.terminate();
}

/** A wall clock that can be set; the monotonic one goes on as it is. */
class FakeClock {
  readonly env: Readonly<Record<string, string>>;
  readonly #folder = mkdtempSync(join(tmpdir(), 'belfry-steps-'));
  readonly #file = join(this.#folder, 'ahead');
  aheadMs = 0;

  constructor(library: string) {
    this.env = {
      LD_PRELOAD: library,
      FAKETIME_TIMESTAMP_FILE: this.#file,
      FAKETIME_NO_CACHE: '1',
      FAKETIME_DONT_FAKE_MONOTONIC: '1',
    };
    this.set(0);
  }

  set(seconds: number): void {
    this.aheadMs = seconds * 1000;
    // Renamed into place, because the server reads it whenever it asks for the time.
    writeFileSync(`${this.#file}.new`, seconds < 0 ? String(seconds) : `+${seconds}`);
    renameSync(`${this.#file}.new`, this.#file);
  }

  remove(): void {
    rmSync(this.#folder, { recursive: true });
  }
}

function named(seconds: number): string {
  const size = Math.abs(seconds);
  const [count, unit] =
    size >= DAY ? [seconds / DAY, 'd'] : size >= HOUR ? [seconds / HOUR, 'h'] : [seconds, 's'];
  return `${count > 0 ? '+' : ''}${count} ${unit}`;
}

/** The newest due instant that an empty room shows, in milliseconds since the epoch. */
async function newestDue(port: number): Promise<number> {
  const answer = await fetch(`http://127.0.0.1:${port}/rooms/empty`, {
    headers: { accept: 'application/json' },
  });
  // The shape of a room's JSON.
  const { ticks } = (await answer.json()) as { ticks: { tick: { schedule: string; due: string } }[] };
  return Date.parse(ticks.find(({ tick }) => tick.schedule === 'second')?.tick.due ?? '');
}

function read(text: string): Received {
  // The shape of an event.
  const { event, tick, data, replay } = JSON.parse(text) as {
    event: string;
    replay?: true;
    tick?: { schedule: string; due: string };
    data?: { schedule?: string; state?: string };
  };
  return {
    at: Date.now(),
    due: tick && !replay ? Date.parse(tick.due) : undefined,
    schedule: tick?.schedule ?? data?.schedule,
    state: event === 'status' ? data?.state : undefined,
  };
}
