import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { BelfryConfig } from '../harness/belfry.ts';
import type { Bench } from '../harness/bench.ts';
import { Caller } from '../harness/caller.ts';
import { Disk } from '../harness/disk.ts';
import { numberOption, type Options, type Result, type Scenario } from '../harness/scenario.ts';
import { median, spread } from '../harness/statistics.ts';
import { log } from './store-log.ts';

const ROOM = 'wall-0';
const KEPT = 10;
const BROADCASTS_PER_SECOND = 50;
/** Of a second each. */
const TURNS_PER_ROUND = 6;
/** They compile the code. */
const WARM_UP_TURNS = 3;
const RULE = [{ match: '*', history: 10_000 }];

/** The parts of the scenario, by their names in `--only`. */
const PARTS = {
  delivery: delivering,
  answers: answering,
  log: (_bench, folder) => log(folder),
  joins: joining,
} as const satisfies Record<string, Part>;

type Part = (bench: Bench, folder: string, options: Options) => AsyncIterable<Result>;

export const store: Scenario = {
  name: 'store',
  question:
    'What does a log on disk cost? (--connections 1000 --seconds 10 --rounds 3 --only delivery,answers,log,joins)',
  async *run(bench, options) {
    for (const part of chosen(options.only)) {
      const folder = mkdtempSync(join(tmpdir(), 'belfry-bench-store-'));
      try {
        yield* part(bench, folder, options);
      } finally {
        await bench.clear();
        rmSync(folder, { recursive: true });
      }
    }
  },
};

function chosen(only: string | undefined): Part[] {
  const names = only?.split(',') ?? Object.keys(PARTS);
  return names.map((name) => {
    const part = Object.entries(PARTS).find(([key]) => key === name)?.[1];
    if (!part) throw new Error(`--only: there is no part "${name}"; known: ${Object.keys(PARTS).join(', ')}`);
    return part;
  });
}

const stored = (folder: string, name: string, config: BelfryConfig = {}) => ({
  rooms: RULE,
  store: { path: join(folder, name) },
  ...config,
});

/**
 * Broadcasts leave at the same pace from both, since a server that waits between them finds its readers asleep,
 * and waking them is a part of its writes. They take turns, since the machine is not equally fast at all times.
 */
async function* delivering(bench: Bench, folder: string, options: Options): AsyncIterable<Result> {
  const count = numberOption(options, 'connections', 1000);
  const rounds = numberOption(options, 'rounds', 3);
  const servers = [await bench.belfry(stored(folder, 'delivery')), await bench.belfry({ rooms: RULE })];
  const micros: number[][] = [[], []];
  for (const { port } of servers) {
    const subscribers = bench.subscribers({ isLowPriority: true });
    await subscribers.call('subscribe', { transport: 'websocket', prefix: 'wall', port, count });
  }
  for (let turn = -WARM_UP_TURNS; turn < rounds * TURNS_PER_ROUND; turn++) {
    for (const [index, server] of servers.entries()) {
      const before = server.cost.cpuMs();
      await paced(BROADCASTS_PER_SECOND, 1, () => server.broadcast(ROOM, 200));
      const used = ((server.cost.cpuMs() - before) * 1000) / (BROADCASTS_PER_SECOND * count);
      if (turn >= 0) micros[index]?.push(used);
    }
  }
  const [disk = [], memory = []] = micros;
  yield {
    what: `a broadcast to ${count} WebSockets, ${BROADCASTS_PER_SECOND} a second, CPU of each frame`,
    unit: 'µs',
    belfry: median(disk),
    against: { memory: median(memory) },
    target: 'at most 1.1 × memory',
  };
}

/** Beside each call the disk alone makes a commit, half an interval later: no answer is better than that. */
async function* answering(bench: Bench, folder: string, options: Options): AsyncIterable<Result> {
  const seconds = numberOption(options, 'seconds', 10);
  const server = await bench.belfry(stored(folder, 'answers'));
  const caller = new Caller(server.port, '/admin/broadcast', { rooms: ROOM, data: 'x'.repeat(200) });
  const disk = await Disk.open(join(folder, 'alone'));
  for (const perSecond of [20, 200]) {
    const answered: number[] = [];
    const committed: number[] = [];
    const call = async () => {
      const ms = caller.call();
      await sleep(500 / perSecond);
      committed.push(await disk.commit());
      answered.push(await ms);
    };
    await paced(perSecond, 2, call);
    for (const times of [answered, committed]) times.length = 0;
    const waited = server.cost.waitedMs();
    await paced(perSecond, seconds, call);
    const waitedMs = (server.cost.waitedMs() - waited) / (perSecond * seconds);
    yield {
      what: `POST /admin/broadcast, ${perSecond} a second, answered: 99th percentile`,
      unit: 'ms',
      belfry: spread(answered).p99,
      against: { 'the disk alone': spread(committed).p99 },
      target: 'at most 5 ms',
      note: `median ${median(answered).toFixed(1)} ms, of the disk ${median(committed).toFixed(1)} ms; the server waited for a processor ${waitedMs.toFixed(1)} ms of each`,
    };
  }
  caller.close();
  await disk.close();
}

/** Begins calls at a pace, whether those before are answered or not. */
async function paced(perSecond: number, seconds: number, call: () => Promise<void>): Promise<void> {
  const calls: Promise<void>[] = [];
  const beganAt = performance.now();
  for (let n = 0; n < perSecond * seconds; n++) {
    await sleep(Math.max(0, beganAt + (n * 1000) / perSecond - performance.now()));
    calls.push(call());
  }
  await Promise.all(calls);
}

/** 5,000 connect to rooms that keep messages, or keep none. */
async function* joining(bench: Bench, folder: string, options: Options): AsyncIterable<Result> {
  const rounds = numberOption(options, 'rounds', 3);
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
  yield {
    what: `${count} connect at once and get ${KEPT} kept messages, CPU of each`,
    unit: 'µs',
    belfry: median(kept),
    against: { 'without history': median(none) },
    target: 'at most 1.3 × without history',
  };
}
