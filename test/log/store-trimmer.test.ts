import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { type Clock, systemClock } from '../../src/clock.ts';
import { LmdbLog } from '../../src/log/lmdb-log.ts';
import type { Retention } from '../../src/log/log.ts';
import { STORE_FILE, StoreFile } from '../../src/log/store-file.ts';
import type { StoreSpace } from '../../src/log/store-space.ts';
import { StoreTrimmer } from '../../src/log/store-trimmer.ts';
import { ManualClock } from '../helpers/manual-clock.ts';

const MIB = 1_048_576;
const ALL = Number.MAX_SAFE_INTEGER;
/** Longer than the pause between two looks. */
const LOOK_MS = 1100;

describe('StoreTrimmer', () => {
  let folder: string;
  let clock: ManualClock;
  let log: LmdbLog;
  let retention: Retention;

  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'belfry-trim-'));
    clock = new ManualClock();
    retention = { messages: 1000, ms: 60_000 };
  });
  afterEach(async () => {
    await log.close();
    rmSync(folder, { recursive: true });
  });

  async function open(maxBytes = 1024 * MIB, time: ManualClock | typeof systemClock = clock): Promise<void> {
    // Nothing stays in memory, so that each read is one of the disk.
    const limits = { historyBytes: 0, totalHistoryBytes: 0, maxBufferedBytes: Number.POSITIVE_INFINITY };
    const settings = { current: { limits, retentionOf: () => retention } };
    const onFault = (what: string) => {
      throw new Error(what);
    };
    log = new LmdbLog({ folder, maxBytes, clock: time, settings, onFault });
    await log.open();
  }

  async function append(count: number, room = 'a', characters = 8): Promise<void> {
    const entry = { room, event: 'message', time: '2026-11-20T18:00:04.120Z' };
    const entries = Array.from({ length: count }, () => ({
      ...entry,
      data: JSON.stringify('x'.repeat(characters)),
    }));
    await (await log.append(entries)).stored;
  }

  async function read(room: string, position?: number) {
    const id = position === undefined ? undefined : log.idAt(position);
    const history = (await log.since([room], id, () => ALL)).get(room);
    return { resumed: history?.resumed, positions: history?.messages.map(({ position }) => position) };
  }

  /** Ends what is under way, and says what is left on the disk. */
  async function onDisk(room = 'a'): Promise<{ positions: number[]; lost: number }> {
    await log.close();
    const file = await StoreFile.open(folder);
    const left = {
      positions: file.entriesAfter(room, 0, ALL).map((entry) => entry.position),
      lost: file.lostOf(room),
    };
    await file.close();
    return left;
  }

  async function looks(count = 1): Promise<void> {
    for (let look = 0; look < count; look++) {
      clock.advance(LOOK_MS);
      // A look ends with a commit, whose time nobody knows.
      await log.records('lock');
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }

  test('removes what is too many for a room, and remembers what it lost', async () => {
    retention = { messages: 3, ms: 60_000 };
    await open();
    await append(10);
    await append(2, 'b');
    await looks();
    expect(await onDisk()).toEqual({ positions: [8, 9, 10], lost: 7 });
    retention = { messages: 1000, ms: 60_000 };
    await open();
    expect(await read('a', 6)).toEqual({ resumed: false, positions: [8, 9, 10] });
    expect(await read('a', 7)).toEqual({ resumed: true, positions: [8, 9, 10] });
    expect(await read('b', 0)).toEqual({ resumed: true, positions: [11, 12] });
  });

  test('does so without a pause where a room gets many', async () => {
    retention = { messages: 3, ms: 60_000 };
    await open();
    for (let round = 0; round < 10; round++) await append(32);
    // Its commits tell nobody when they end; a busy machine takes a second.
    await new Promise((resolve) => setTimeout(resolve, 1500));
    expect((await onDisk()).positions.length).toBeLessThan(40);
  });

  test('removes what is too old, also in rooms that nobody writes to any more', async () => {
    retention = { messages: 1000, ms: 10_000 };
    await open();
    for (let n = 0; n < 120; n++) await append(2, `room-${n}`);
    await looks();
    clock.advance(6000);
    await append(1, 'room-7');
    await looks(6);
    expect(await onDisk('room-119')).toEqual({ positions: [], lost: 240 });
    expect((await onDisk('room-7')).positions).toEqual([241]);
  });

  test('removes the oldest of all rooms above maxBytes, and no record', async () => {
    await open(2 * MIB, systemClock);
    retention = { messages: 100_000, ms: 60_000_000 };
    await log.append([], () => [{ kind: 'retained', key: 'k', value: '"kept"' }]);
    await append(1, 'quiet');
    const file = join(folder, STORE_FILE);
    let largest = 0;
    for (let round = 0; round < 150; round++) {
      await append(5, `room-${round % 7}`, round % 3 === 0 ? 20_000 : 300);
      largest = Math.max(largest, statSync(file).size);
    }
    // Some of it is taken ahead.
    expect(largest).toBeLessThan(6 * MIB);
    expect(await read('quiet', 0)).toEqual({ resumed: false, positions: [] });
    const left = (await read('room-0')).positions ?? [];
    expect(left.length).toBeGreaterThan(2);
    const lost = (left[0] ?? 0) - 1;
    await log.close();
    await open(2 * MIB, systemClock);
    expect(await read('quiet', 0)).toEqual({ resumed: false, positions: [] });
    expect(await read('quiet', 1)).toEqual({ resumed: true, positions: [] });
    expect(await read('room-0', lost)).toEqual({ resumed: true, positions: left });
    expect(await read('room-0', 0)).toEqual({ resumed: false, positions: left });
    expect([...(await log.records('retained'))]).toEqual([['k', '"kept"']]);
  });

  test('keeps in mind what rooms lost, of very many of them only roughly', async () => {
    await open();
    await append(1, 'new');
    await log.close();
    const file = await StoreFile.open(folder);
    for (let n = 1; n <= 50_001; n++) void file.removeMessages(new Map([[`room-${n}`, [n]]]));
    await file.putState({ epoch: 'e', reserved: 60_000 });
    await file.close();
    await open();
    expect(await read('room-45000', 44_999)).toEqual({ resumed: false, positions: [] });
    await looks(6);
    await log.close();
    const after = await StoreFile.open(folder);
    const left = after.lostCount;
    const [oldest, newest] = [after.lostOf('room-1'), after.lostOf('room-50001')];
    await after.close();
    expect(left).toBeGreaterThan(10_000);
    expect(left).toBeLessThan(50_000);
    expect(oldest).toBeGreaterThan(1000);
    expect(oldest).toBeLessThan(40_000);
    expect(newest).toBe(50_001);
  });
});

describe('StoreTrimmer, in the background', () => {
  const PAGE = 100;
  let nowMs: number;
  let used: number;
  /** Of each room, oldest first. */
  let stored: Map<string, number[]>;
  /** The rooms that were looked at, and in which iteration of the event loop. */
  let looked: { room: string; iteration: number }[];
  let iteration: number;
  let look: () => void;
  let trimmer: StoreTrimmer;

  const room = (name: string) => stored.get(name) ?? [];
  /** Each call takes so long on the clock. */
  const takeMs = (ms: number) => {
    nowMs += ms;
  };

  beforeEach(() => {
    [nowMs, used, stored, looked, iteration] = [0, 0, new Map(), [], 0];
    const clock: Clock = {
      now: () => nowMs,
      monotonic: () => nowMs,
      after: (_, callback) => {
        look = callback;
        return () => {};
      },
    };
    const file = {
      lostCount: 0,
      growthOfRemovals: () => 0,
      roomAfter: () => undefined,
      get usedBytes() {
        return used;
      },
      *oldest() {
        for (const [name, positions] of stored)
          for (const position of positions) yield { position, room: name };
      },
      positionBehind: (name: string, count: number) => {
        looked.push({ room: name, iteration });
        takeMs(2);
        return room(name).at(-1 - count) ?? 0;
      },
      entriesAfter: (name: string, after: number, limit: number) => {
        const positions = room(name).filter((position) => position > after);
        return positions.slice(0, limit).map((position) => ({ position, atMs: 0 }));
      },
      removeMessages: async (removed: ReadonlyMap<string, readonly number[]>) => {
        for (const [name, positions] of removed) {
          used -= positions.length * PAGE;
          stored.set(
            name,
            room(name).filter((position) => !positions.includes(position)),
          );
        }
      },
    };
    trimmer = new StoreTrimmer({
      // The other methods are those of reads and appends.
      file: file as unknown as StoreFile,
      // Space without end.
      space: { take: async () => {}, release: () => {} } as unknown as StoreSpace,
      clock,
      settings: { current: { retentionOf: () => ({ messages: 10, ms: 60_000 }) } },
      nowMs: () => nowMs,
      position: () => 1000,
      maxBytes: 1000 * PAGE,
      onFault: (what, error) => {
        throw new Error(what, { cause: error });
      },
    });
  });
  afterEach(() => trimmer.stop());

  function add(name: string, count: number): void {
    for (let n = 0; n < count; n++) {
      stored.set(name, [...room(name), (room(name).at(-1) ?? 0) + 1]);
      used += PAGE;
      trimmer.added(name, PAGE);
    }
  }

  /** Resolves after so many iterations of the event loop. */
  async function iterations(count: number): Promise<void> {
    for (let n = 0; n < count; n++) {
      await new Promise(setImmediate);
      iteration++;
    }
  }

  test('holds the event loop for no more than 5 ms, and the room that it looks at', async () => {
    for (let n = 0; n < 60; n++) add(`room-${n}`, 32);
    await iterations(200);
    expect(new Set(looked.map((each) => each.room)).size).toBe(60);
    const perIteration = new Map<number, number>();
    for (const each of looked) perIteration.set(each.iteration, (perIteration.get(each.iteration) ?? 0) + 1);
    expect(Math.max(...perIteration.values())).toBeLessThanOrEqual(3);
    expect(perIteration.size).toBeGreaterThanOrEqual(20);
  });

  test('forgets a room that lost all its messages: it counts from zero again', async () => {
    add('emptied', 31);
    trimmer.start();
    used = 1000 * PAGE;
    look();
    await iterations(20);
    expect(room('emptied')).toEqual([]);
    used = 0;
    add('emptied', 1);
    await iterations(20);
    expect(looked).toEqual([]);
    add('emptied', 31);
    await iterations(20);
    expect(looked).toMatchObject([{ room: 'emptied' }]);
  });
});
