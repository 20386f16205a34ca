import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { Refusal } from '../../src/hub/errors.ts';
import type { Hub } from '../../src/hub/hub.ts';
import { LmdbLog } from '../../src/log/lmdb-log.ts';
import type { Log } from '../../src/log/log.ts';
import type { MemoryLogOptions } from '../../src/log/memory-log.ts';
import { ManualClock } from '../helpers/manual-clock.ts';
import { FakeSink, lines, quiet, type Seen, stage } from './fixture.ts';

/** More runs, and others, by command: `FC_RUNS=100000 FC_SEED=7 npx vitest run test/hub/retained.property.test.ts`. */
const RUNS = Number(process.env.FC_RUNS ?? 300);
const SEED = Number(process.env.FC_SEED ?? 20_261_121);
const TIMEOUT_MS = 300_000 + RUNS * 100;
const ROOMS = ['a', 'b', 'c1'];
const CLIENTS: readonly (readonly string[])[] = [['a'], ['a', 'b', 'c1'], ['b', 'c1']];

const client = fc.integer({ min: 0, max: CLIENTS.length - 1 });
const key = fc.constantFrom('k1', 'k2');

/** What happens, told so that a counterexample reads as a story. */
const step = fc.oneof(
  {
    weight: 5,
    arbitrary: fc.record({
      do: fc.constant('retain' as const),
      key,
      patterns: fc.constantFrom(['a'], ['b'], ['a', 'b'], ['*'], ['c*'], ['a', 'c*']),
      ttlMs: fc.constantFrom(undefined, undefined, 700, 5000),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      do: fc.constant('withdraw' as const),
      key,
      room: fc.constantFrom(undefined, ...ROOMS),
    }),
  },
  { weight: 3, arbitrary: fc.record({ do: fc.constant('say' as const), room: fc.constantFrom(...ROOMS) }) },
  { weight: 4, arbitrary: fc.record({ do: fc.constant('come' as const), client }) },
  {
    weight: 4,
    arbitrary: fc.record({
      do: fc.constant('cut' as const),
      client,
      kept: fc.double({ min: 0, max: 1, noNaN: true }),
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({ do: fc.constant('time' as const), ms: fc.constantFrom(400, 2000, 11_000) }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('restart' as const) }) },
  { weight: 4, arbitrary: fc.record({ do: fc.constant('wait' as const) }) },
);

interface Notice {
  readonly data: unknown;
  readonly endsAtMs: number;
}

/** What was done with a key, the newest last; the newest that is for a room counts there. */
class Model {
  readonly #acts: { key: string; patterns: readonly string[]; notice: Notice | undefined }[] = [];

  add(key: string, patterns: readonly string[], notice: Notice | undefined): void {
    this.#acts.push({ key, patterns, notice });
  }

  in(room: string, nowMs: number): Record<string, unknown> {
    const found = new Map<string, Notice | undefined>();
    for (const { key, patterns, notice } of this.#acts) {
      const isFor = patterns.some((pattern) => new RegExp(`^${pattern.replace('*', '.*')}$`).test(room));
      if (isFor) found.set(key, notice);
    }
    return shown(found, nowMs);
  }
}

function shown(notices: ReadonlyMap<string, Notice | undefined>, nowMs: number): Record<string, unknown> {
  const entries = [...notices].filter(([, notice]) => notice && notice.endsAtMs > nowMs);
  return Object.fromEntries(entries.map(([key, notice]) => [key, notice?.data]).sort());
}

/** A wall: it keeps the last id that it has seen, and what its rooms retain. */
class Wall {
  readonly #rooms: readonly string[];
  readonly #notices: Map<string, Map<string, Notice>>;
  readonly #ids = new Set<string>();
  #lastId: string | undefined;
  #visit: { readonly hub: Hub; readonly sink: FakeSink; leave(): void } | undefined;
  #coming: Promise<void> = Promise.resolve();

  constructor(rooms: readonly string[]) {
    this.#rooms = rooms;
    this.#notices = new Map(rooms.map((room) => [room, new Map()]));
  }

  come(hub: Hub): void {
    if (this.#visit) return;
    const sink = new FakeSink(lines);
    const connection = hub.connect({ remoteAddress: '192.0.2.1' }, sink);
    this.#visit = { hub, sink, leave: () => hub.disconnect(connection) };
    this.#coming = hub.join(connection, this.#rooms, this.#lastId);
  }

  joined(): Promise<void> {
    return this.#coming;
  }

  /** The connection is over; of what was written the wall got the first part. */
  cut(kept: number): void {
    const { sink, leave } = this.#visit ?? {};
    this.#visit = undefined;
    leave?.();
    for (const event of sink?.seen.slice(0, Math.ceil(sink.seen.length * kept)) ?? []) this.#take(event);
  }

  in(room: string, nowMs: number): Record<string, unknown> {
    return shown(this.#notices.get(room) ?? new Map(), nowMs);
  }

  #take({
    event,
    id,
    room = '',
    key,
    data,
    until,
  }: Seen & { data?: { key?: string; resumed?: object } }): void {
    if (event === 'hello') {
      const gaps = Object.entries(data?.resumed ?? {}).filter(([, resumed]) => resumed !== true);
      for (const [name] of gaps) this.#notices.get(name)?.clear();
      // What a room with a gap retains lies below the last id, and may bring the wall back to there.
      if (gaps.length > 0) this.#ids.clear();
    }
    if (id !== undefined) this.#lastId = id;
    if (id !== undefined && room !== '') {
      expect(this.#ids, 'messages that came before').not.toContain(`${id} ${room}`);
      this.#ids.add(`${id} ${room}`);
    }
    const endsAtMs = until === undefined ? Number.POSITIVE_INFINITY : Date.parse(until);
    if (key !== undefined) this.#notices.get(room)?.set(key, { data, endsAtMs });
    if (event === 'withdrawn') this.#notices.get(room)?.delete(data?.key ?? '');
  }
}

test('every wall shows what its rooms retain, however often it was cut off', () => run(RUNS), TIMEOUT_MS);

test(
  'the same with a log on disk',
  async () => {
    const folders: string[] = [];
    const logs: LmdbLog[] = [];
    try {
      await run(Math.ceil(RUNS / 10), async ({ clock, settings: { current } }) => {
        await Promise.all(logs.splice(0).map((log) => log.close()));
        const folder = mkdtempSync(join(tmpdir(), 'belfry-walls-'));
        folders.push(folder);
        // Most of it has to be read from the disk.
        const limits = {
          historyBytes: 700,
          totalHistoryBytes: 700,
          maxBufferedBytes: Number.POSITIVE_INFINITY,
        };
        const settings = { current: { ...current, limits } };
        const onFault = (what: string) => expect.fail(what);
        const log = new LmdbLog({ folder, maxBytes: 2 ** 30, clock, settings, onFault });
        await log.open();
        logs.push(log);
        return log;
      });
    } finally {
      await Promise.all(logs.map((log) => log.close()));
      for (const folder of folders) rmSync(folder, { recursive: true });
    }
  },
  TIMEOUT_MS,
);

async function run(runs: number, logOf?: (options: MemoryLogOptions) => Promise<Log>): Promise<void> {
  const counts = { retained: 0, withdrawn: 0, ended: 0 };
  await fc.assert(
    fc.asyncProperty(
      fc.array(step, { minLength: 10, maxLength: 60, size: 'max' }),
      fc.integer({ min: 0, max: 5 }),
      fc.integer({ min: 0, max: 3 }),
      // Time stands still: with 0 a join is done in one go, with less each of its steps waits for its turn.
      fc.constantFrom(0, -1),
      async (steps, history, joinHistory, fanoutSliceMs) => {
        const clock = new ManualClock();
        const all = await stage({
          clock,
          history,
          joinHistory: Math.min(joinHistory, history),
          limits: { fanoutSliceMs },
          ...(logOf && { logOf }),
        });
        const rest = () => (logOf ? restOf(all.log) : quiet());
        let { hub } = all;
        const model = new Model();
        const walls = CLIENTS.map((rooms) => new Wall(rooms));
        for (const [number, one] of steps.entries()) {
          if (one.do === 'retain') {
            const { key, patterns, ttlMs } = one;
            const endsAtMs = ttlMs === undefined ? Number.POSITIVE_INFINITY : clock.now() + ttlMs;
            const timed = ttlMs === undefined ? {} : { ttlMs };
            await hub.publish({
              target: { rooms: patterns },
              event: 'message',
              data: `${number}`,
              key,
              ...timed,
            });
            model.add(key, patterns, { data: number, endsAtMs });
          }
          if (one.do === 'withdraw') {
            const { key, room } = one;
            const isDone = await hub.withdraw(key, room).then(() => true, expectNotFound);
            if (isDone) model.add(key, room === undefined ? ['*'] : [room], undefined);
            if (isDone) counts.withdrawn++;
          }
          if (one.do === 'say')
            await hub.publish({ target: { rooms: [one.room] }, event: 'message', data: '"x"' });
          if (one.do === 'come') walls[one.client]?.come(hub);
          if (one.do === 'cut') walls[one.client]?.cut(one.kept);
          if (one.do === 'time') await clock.advance(one.ms);
          if (one.do === 'wait') await rest();
          if (one.do === 'restart') {
            await rest();
            for (const wall of walls) wall.cut(1);
            hub.stop();
            hub = await all.restart();
          }
        }
        await rest();
        for (const wall of walls) {
          wall.cut(0.5);
          wall.come(hub);
        }
        for (const wall of walls) await wall.joined();
        await rest();
        for (const [index, wall] of walls.entries()) {
          wall.cut(1);
          for (const room of CLIENTS[index] ?? []) {
            const expected = model.in(room, clock.now());
            expect(wall.in(room, clock.now()), `wall ${index} in ${room}`).toEqual(expected);
            counts.retained += Object.keys(expected).length;
            if (Object.keys(expected).length < Object.keys(model.in(room, 0)).length) counts.ended++;
          }
        }
        expect(all.faults).toEqual([]);
      },
    ),
    { seed: SEED, numRuns: runs },
  );
  // The runs have shown what they are for.
  for (const [what, count] of Object.entries(counts)) expect(count, what).toBeGreaterThan(runs / 30);
}

/** A join waits for the disk, and may have read it by several parts. */
async function restOf(log: Log): Promise<void> {
  for (let round = 0; round < 3; round++) {
    await log.records('lock');
    await quiet();
  }
}

function expectNotFound(error: unknown): false {
  expect(error).toBeInstanceOf(Refusal);
  return false;
}
