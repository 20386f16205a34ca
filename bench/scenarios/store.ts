import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { pathToFileURL } from 'node:url';
import type { Belfry, BelfryConfig } from '../harness/belfry.ts';
import type { Bench } from '../harness/bench.ts';
import { numberOption, type Result, type Scenario } from '../harness/scenario.ts';
import { median, spread } from '../harness/statistics.ts';

/** What is measured of the log is in `dist`, which benchmarks do not compile. */
interface Log {
  open(): Promise<void>;
  append(entries: readonly object[]): Promise<{ stored: Promise<void> }>;
  since(rooms: readonly string[], id: string, limitOf: () => number): Promise<ReadonlyMap<string, History>>;
  idAt(position: number): string;
  close(): Promise<void>;
}
interface History {
  readonly resumed: boolean | null;
  readonly messages: readonly object[];
}

const ROOM = 'wall-0';
const KEPT = 10;
const RULE = [{ match: '*', history: 10_000 }];

export const store: Scenario = {
  name: 'store',
  question: 'What does a log on disk cost? (--connections 1000 --seconds 10 --rounds 3)',
  async *run(bench, options) {
    const rounds = numberOption(options, 'rounds', 3);
    const folder = mkdtempSync(join(tmpdir(), 'belfry-bench-store-'));
    try {
      yield await delivering(bench, folder, numberOption(options, 'connections', 1000), rounds);
      await bench.clear();
      yield* answering(bench, folder, numberOption(options, 'seconds', 10));
      await bench.clear();
      yield* reading(join(folder, 'many'));
      yield await joining(bench, folder, rounds);
    } finally {
      await bench.clear();
      rmSync(folder, { recursive: true });
    }
  },
};

const stored = (folder: string, name: string, config: BelfryConfig = {}) => ({
  rooms: RULE,
  store: { path: join(folder, name) },
  ...config,
});

async function delivering(bench: Bench, folder: string, count: number, rounds: number): Promise<Result> {
  const servers = [await bench.belfry(stored(folder, 'delivery')), await bench.belfry({ rooms: RULE })];
  const micros: number[][] = [[], []];
  for (const { port } of servers) {
    const subscribers = bench.subscribers({ isLowPriority: true });
    await subscribers.call('subscribe', { transport: 'websocket', prefix: 'wall', port, count });
  }
  for (let round = 0; round <= rounds; round++) {
    for (const [index, server] of servers.entries()) {
      const broadcasts = 200;
      const before = server.cost.cpuMs();
      for (let n = 0; n < broadcasts; n++) await server.broadcast(ROOM, 200);
      const used = ((server.cost.cpuMs() - before) * 1000) / (broadcasts * count);
      // The first round compiles the code.
      if (round > 0) micros[index]?.push(used);
    }
  }
  const [disk = [], memory = []] = micros;
  return {
    what: `a broadcast to ${count} WebSockets, CPU of each frame`,
    unit: 'µs',
    belfry: median(disk),
    against: { memory: median(memory) },
    target: 'at most 1.1 × memory',
  };
}

async function* answering(bench: Bench, folder: string, seconds: number): AsyncIterable<Result> {
  const server = await bench.belfry(stored(folder, 'answers'));
  for (const perSecond of [20, 200]) {
    await paced(server, perSecond, 2);
    yield {
      what: `POST /admin/broadcast, ${perSecond} a second, answered: 99th percentile`,
      unit: 'ms',
      belfry: spread(await paced(server, perSecond, seconds)).p99,
      target: 'at most 5 ms',
    };
  }
}

async function paced(server: Belfry, perSecond: number, seconds: number): Promise<number[]> {
  const took: number[] = [];
  const calls: Promise<void>[] = [];
  const call = async () => {
    const began = performance.now();
    await server.broadcast(ROOM, 200);
    took.push(performance.now() - began);
  };
  const beganAt = performance.now();
  for (let n = 0; n < perSecond * seconds; n++) {
    await sleep(Math.max(0, beganAt + (n * 1000) / perSecond - performance.now()));
    calls.push(call());
  }
  await Promise.all(calls);
  return took;
}

async function* reading(folder: string): AsyncIterable<Result> {
  const { LmdbLog } = await import(pathToFileURL(resolve('dist/log/lmdb-log.js')).href);
  const { systemClock } = await import(pathToFileURL(resolve('dist/clock.js')).href);
  const limits = { historyBytes: 262_144, totalHistoryBytes: 67_108_864, maxBufferedBytes: 1_048_576 };
  const retentionOf = () => ({ messages: 1000, ms: 3_600_000 });
  const settings = { current: { limits, retentionOf } };
  const options = { folder, maxBytes: 2 ** 30, clock: systemClock, settings, onFault: console.error };
  const entry = { event: 'message', time: '2026-11-20T18:00:04.120Z', data: JSON.stringify('x'.repeat(50)) };
  let log: Log = new LmdbLog(options);
  await log.open();
  for (let n = 0; n < 1_000_000; n += 1000) {
    const entries = Array.from({ length: 1000 }, (_, index) => ({ ...entry, room: `room-${index}` }));
    const { stored } = await log.append(entries);
    if (n % 20_000 === 0) await stored;
  }
  const { stored } = await log.append(Array.from({ length: 1000 }, () => ({ ...entry, room: 'missed' })));
  await stored;
  await log.close();
  const opened: number[] = [];
  const resumed: number[] = [];
  for (let round = 0; round < 5; round++) {
    log = new LmdbLog(options);
    let began = performance.now();
    await log.open();
    opened.push(performance.now() - began);
    began = performance.now();
    const history = (await log.since(['missed'], log.idAt(1_000_000), () => 10)).get('missed');
    resumed.push(performance.now() - began);
    if (history?.resumed !== true || history.messages.length !== 1000)
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

/** 5,000 connect to rooms that keep messages, or keep none. */
async function joining(bench: Bench, folder: string, rounds: number): Promise<Result> {
  const count = 5000;
  const rooms = (joinHistory: number) => [{ match: '*', history: KEPT, joinHistory }];
  const servers = [
    await bench.belfry(stored(folder, 'joins', { rooms: rooms(KEPT) })),
    await bench.belfry(stored(folder, 'none', { rooms: rooms(0) })),
  ];
  const took: number[][] = [[], []];
  for (const server of servers) for (let n = 0; n < KEPT; n++) await server.broadcast('storm-0', 200);
  const subscribers = bench.subscribers({ isLowPriority: true });
  for (let round = 0; round <= rounds; round++) {
    for (const [index, { port, cost }] of servers.entries()) {
      const before = cost.cpuMs();
      const storm = { transport: 'websocket', prefix: 'storm', port, count, atOnce: count } as const;
      await subscribers.call('subscribe', storm);
      await sleep(1000);
      if (round > 0) took[index]?.push(((cost.cpuMs() - before) * 1000) / count);
      await subscribers.call('close');
      await sleep(1000);
    }
  }
  const [kept = [], none = []] = took;
  return {
    what: `${count} connect at once and get ${KEPT} kept messages, CPU of each`,
    unit: 'µs',
    belfry: median(kept),
    against: { 'without history': median(none) },
    target: 'at most 1.3 × without history',
  };
}
