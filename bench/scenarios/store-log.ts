import { join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { pathToFileURL } from 'node:url';
import type { Result } from '../harness/scenario.ts';
import { Cost } from '../harness/server.ts';
import { median } from '../harness/statistics.ts';

/** What is measured of the log is in `dist`, which benchmarks do not compile. */
interface Log {
  open(): Promise<void>;
  append(entries: readonly object[]): Promise<{ stored: Promise<void> }>;
  since(rooms: readonly string[], id: string, limitOf: () => number): Promise<ReadonlyMap<string, History>>;
  kept(rooms: readonly string[]): Promise<ReadonlyMap<string, { readonly count: number }>>;
  idAt(position: number): string;
  close(): Promise<void>;
}
interface History {
  readonly resumed: boolean | null;
  readonly messages: readonly object[];
}
type LogIn = (options?: { readonly kept?: number; readonly maxBytes?: number }) => Log;

const ROOMS = 10_000;
const MESSAGES = 100;
const MISSED = 1000;
/** The admin list has no longer pages. */
const PAGE = 1000;
const TRIMMING_SECONDS = 5;
/** Between two looks at how long the event loop is held. */
const LOOK_MS = 1;

/** The log without a server: 10,000 rooms that keep 100 messages each, and one of which a client missed 1,000. */
export async function* log(folder: string): AsyncIterable<Result> {
  const logIn = await logsOf(folder);
  await write(logIn());
  yield* reading(logIn);
  yield* holding(logIn);
}

async function logsOf(folder: string): Promise<LogIn> {
  const { LmdbLog } = await import(pathToFileURL(resolve('dist/log/lmdb-log.js')).href);
  const { systemClock } = await import(pathToFileURL(resolve('dist/clock.js')).href);
  const limits = { historyBytes: 262_144, totalHistoryBytes: 67_108_864, maxBufferedBytes: 1_048_576 };
  return ({ kept = MISSED, maxBytes = 2 ** 30 } = {}) => {
    const settings = { current: { limits, retentionOf: () => ({ messages: kept, ms: 3_600_000 }) } };
    const onFault = console.error;
    return new LmdbLog({ folder: join(folder, 'log'), maxBytes, clock: systemClock, settings, onFault });
  };
}

const entry = { event: 'message', time: '2026-11-20T18:00:04.120Z', data: JSON.stringify('x'.repeat(50)) };

async function write(log: Log): Promise<void> {
  await log.open();
  for (let n = 0; n < ROOMS * MESSAGES; n += 1000) {
    const entries = roomsFrom(n % ROOMS, 1000).map((room) => ({ ...entry, room }));
    const { stored } = await log.append(entries);
    if (n % 20_000 === 0) await stored;
  }
  const { stored } = await log.append(Array.from({ length: MISSED }, () => ({ ...entry, room: 'missed' })));
  await stored;
  await log.close();
}

function roomsFrom(first: number, count: number): string[] {
  return Array.from({ length: count }, (_, index) => `room-${first + index}`);
}

async function* reading(logIn: LogIn): AsyncIterable<Result> {
  const opened: number[] = [];
  const resumed: number[] = [];
  for (let round = -1; round < 9; round++) {
    const log = logIn();
    let began = performance.now();
    await log.open();
    opened.push(performance.now() - began);
    began = performance.now();
    const history = (await log.since(['missed'], log.idAt(ROOMS * MESSAGES), () => 10)).get('missed');
    // The first round compiles the code.
    if (round >= 0) resumed.push(performance.now() - began);
    if (history?.resumed !== true || history.messages.length !== MISSED)
      throw new Error('messages are missing');
    await log.close();
  }
  yield { what: '1,000,000 messages: opened', unit: 'ms', belfry: median(opened), target: 'at most 500 ms' };
  yield {
    what: 'a resume of 1,000 messages, read from the disk',
    unit: 'ms',
    belfry: median(resumed),
    target: 'at most 10 ms',
  };
}

/** How long the event loop is held at most. */
async function* holding(logIn: LogIn): AsyncIterable<Result> {
  const result = (what: string, { ms, workMs }: Held): Result => ({
    what: `${ROOMS} rooms that keep ${MESSAGES} messages: event loop held while ${what}`,
    unit: 'ms',
    belfry: ms,
    target: 'at most 20 ms',
    note: `processor time in one go at most ${workMs.toFixed(1)} ms`,
  });
  let log = logIn();
  yield result('opening', await held(() => log.open()));
  const listing = async () => {
    for (let first = 0; first < ROOMS; first += PAGE) {
      const kept = await log.kept(roomsFrom(first, PAGE));
      if (kept.get(`room-${first}`)?.count !== MESSAGES) throw new Error('messages are missing');
    }
  };
  yield result('listing', await held(listing));
  await log.close();
  for (const [what, options] of [
    ['trimming to 10 a room', { kept: 10 }],
    ['trimming to 64 MiB', { maxBytes: 2 ** 26 }],
  ] as const) {
    log = logIn(options);
    await log.open();
    yield result(what, await held(() => sleep(TRIMMING_SECONDS * 1000)));
    await log.close();
  }
}

interface Held {
  /** The longest time between two looks, also where other programs had the processors meanwhile. */
  readonly ms: number;
  /** The most processor time between two looks. */
  readonly workMs: number;
}

async function held(work: () => Promise<void>): Promise<Held> {
  const cost = new Cost(process.pid);
  const look = () => ({ atMs: performance.now(), workedMs: cost.mainThreadMs() });
  let longest: Held = { ms: 0, workMs: 0 };
  let before = look();
  const timer = setInterval(() => {
    const now = look();
    const ms = now.atMs - before.atMs - LOOK_MS;
    const workMs = now.workedMs - before.workedMs;
    longest = { ms: Math.max(longest.ms, ms), workMs: Math.max(longest.workMs, workMs) };
    before = now;
  }, LOOK_MS);
  try {
    await work();
    await sleep(10);
  } finally {
    clearInterval(timer);
  }
  return longest;
}
