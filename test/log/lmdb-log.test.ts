import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { LmdbLog } from '../../src/log/lmdb-log.ts';
import { StoreFile } from '../../src/log/store-file.ts';
import { logContract } from '../contract/log.ts';
import { ManualClock } from '../helpers/manual-clock.ts';

const opened = new Map<LmdbLog, { folder: string; again: () => LmdbLog }>();

afterEach(async () => {
  for (const [log, { folder }] of opened) {
    await log.close();
    rmSync(folder, { recursive: true, force: true });
  }
  opened.clear();
});

async function start(folder: string, again: () => LmdbLog): Promise<LmdbLog> {
  const log = again();
  await log.open();
  opened.set(log, { folder, again });
  return log;
}

logContract('LmdbLog', {
  bytesOf: (count) => count * 308,
  async open({ messages, ms, roomBytes, totalBytes }, clock) {
    const limits = {
      historyBytes: roomBytes,
      totalHistoryBytes: totalBytes,
      maxBufferedBytes: Number.POSITIVE_INFINITY,
    };
    const folder = mkdtempSync(join(tmpdir(), 'belfry-log-'));
    const settings = { current: { limits, retentionOf: () => ({ messages, ms }) } };
    const onFault = (what: string) => {
      throw new Error(what);
    };
    return start(folder, () => new LmdbLog({ folder, maxBytes: 1_073_741_824, clock, settings, onFault }));
  },
  async reopen(log) {
    const one = opened.get(log as LmdbLog);
    if (!one) throw new Error('not opened here');
    opened.delete(log as LmdbLog);
    await log.close();
    return start(one.folder, one.again);
  },
});

describe('LmdbLog', () => {
  const entry = (n: number) => ({
    room: 'a',
    event: 'message',
    time: '2026-11-20T18:00:04.120Z',
    data: `${n}`,
  });
  let folder: string;
  const faults: string[] = [];
  let log: LmdbLog;
  const restart = (bytes = Number.POSITIVE_INFINITY) => {
    const limits = {
      historyBytes: bytes,
      totalHistoryBytes: bytes,
      maxBufferedBytes: Number.POSITIVE_INFINITY,
    };
    const settings = { current: { limits, retentionOf: () => ({ messages: 10, ms: 3_600_000 }) } };
    const onFault = (what: string) => faults.push(what);
    const clock = new ManualClock();
    return start(folder, () => new LmdbLog({ folder, maxBytes: 1_073_741_824, clock, settings, onFault }));
  };
  const read = async (position?: number) => {
    const id = position === undefined ? undefined : log.idAt(position);
    const history = (await log.since(['a'], id, () => 10)).get('a');
    return [history?.resumed, history?.messages.map((message) => message.position)];
  };
  const append = async (n: number) => (await log.append([entry(n)])).stored;

  beforeEach(async () => {
    folder = mkdtempSync(join(tmpdir(), 'belfry-log-'));
    log = await restart();
  });

  test('reads a room into memory once, whatever number of clients ask at the same time', async () => {
    for (let n = 1; n <= 8; n++) await append(n);
    await log.close();
    log = await restart();
    const all = [1, 2, 3, 4, 5, 6, 7, 8];
    expect(await Promise.all([read(), read(), read(0)])).toEqual([
      [null, all],
      [null, all],
      [true, all],
    ]);
    expect(await read()).toEqual([null, all]);
    expect(await read(5)).toEqual([true, [6, 7, 8]]);
    expect((await log.kept(['a'])).get('a')?.count).toBe(8);
  });

  test('gives each message once where some come while it reads', async () => {
    for (let n = 1; n <= 5; n++) await append(n);
    await log.close();
    log = await restart();
    await Promise.all([read(), append(6), read(2), append(7), read()]);
    expect(await read()).toEqual([null, [1, 2, 3, 4, 5, 6, 7]]);
    expect(await read(3)).toEqual([true, [4, 5, 6, 7]]);
  });

  test.each([
    ['in memory', Number.POSITIVE_INFINITY],
    ['that has left memory', 0],
  ])(
    'keeps the other messages of a room %s where one could not be stored, and tells of the gap',
    async (_, bytes) => {
      await log.close();
      log = await restart(bytes);
      for (let n = 1; n <= 3; n++) await append(n);
      const put = vi.spyOn(StoreFile.prototype, 'put').mockRejectedValueOnce(new Error('no space'));
      await expect(append(4)).rejects.toThrow('no space');
      put.mockRestore();
      expect(await read()).toEqual([null, [1, 2, 3]]);
      expect(await read(3)).toEqual([false, [1, 2, 3]]);
      await append(5);
      for (let start = 0; start < 2; start++) {
        expect(await read(3)).toEqual([false, [1, 2, 3, 5]]);
        expect(await read(4)).toEqual([true, [5]]);
        expect(await read()).toEqual([null, [1, 2, 3, 5]]);
        expect(await read(1)).toEqual([false, [1, 2, 3, 5]]);
        await log.close();
        log = await restart(bytes);
      }
      const few = await log.since(['a'], undefined, () => 1);
      expect(few.get('a')?.messages.length).toBe(1);
      expect(await read(2)).toEqual([false, [1, 2, 3, 5]]);
      expect(await read(3)).toEqual([false, [1, 2, 3, 5]]);
    },
  );

  test('tells of the gap also where very many rooms lost a message', async () => {
    const rooms = Array.from({ length: 1100 }, (_, index) => `room-${index}`);
    const entries = rooms.map((room) => ({ ...entry(1), room }));
    await (await log.append(entries)).stored;
    const id = log.idAt(entries.length);
    const put = vi.spyOn(StoreFile.prototype, 'put').mockRejectedValueOnce(new Error('no space'));
    await expect((await log.append(entries)).stored).rejects.toThrow('no space');
    put.mockRestore();
    for (let start = 0; start < 2; start++) {
      const histories = [...(await log.since(rooms, id, () => 10)).values()];
      expect(histories.filter(({ resumed }) => resumed !== false)).toEqual([]);
      expect(new Set(histories.map(({ messages }) => messages.length))).toEqual(new Set([1]));
      // What is lost is stored by the next commit.
      await append(1);
      await log.close();
      log = await restart(0);
    }
  });

  test('takes no more where very much waits for the disk, until that is done', async () => {
    let end = () => {};
    const committed = new Promise<void>((resolve) => {
      end = resolve;
    });
    const put = vi.spyOn(StoreFile.prototype, 'put').mockReturnValue(committed);
    const large = { ...entry(1), data: JSON.stringify('x'.repeat(1_048_576)) };
    const before = await log.append(Array.from({ length: 33 }, () => large));
    await expect(log.append([entry(2)])).rejects.toThrow('33 MiB wait for the disk already');
    expect((await log.head()).position).toBe(33);
    put.mockRestore();
    end();
    await before.stored;
    await append(3);
    expect((await log.head()).position).toBe(34);
  });
});
