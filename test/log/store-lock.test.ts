import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { StoreLock } from '../../src/log/store-lock.ts';

const NOW = Date.parse('2026-11-20T18:00:00.000Z');

describe('StoreLock', () => {
  let folder: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'belfry-lock-'));
  });
  afterEach(() => rmSync(folder, { recursive: true }));

  const file = () => join(folder, 'belfry.lock');
  const write = (holder: object) => writeFileSync(file(), JSON.stringify(holder));
  const dead = async () => {
    const child = spawn(process.execPath, ['-e', '']);
    await once(child, 'exit');
    return child.pid;
  };

  test('makes the folder, names the process, and leaves nothing behind', async () => {
    folder = join(folder, 'new');
    const lock = await StoreLock.take(folder, NOW);
    expect(JSON.parse(readFileSync(file(), 'utf8'))).toMatchObject({
      pid: process.pid,
      since: '2026-11-20T18:00:00.000Z',
    });
    lock.release();
    lock.release();
    expect(readdirSync(folder)).toEqual([]);
    folder = join(folder, '..');
  });

  test('refuses a second one, and says which process has it and what to do', async () => {
    const lock = await StoreLock.take(folder, NOW);
    await expect(StoreLock.take(folder, NOW)).rejects.toThrow(
      `the store in ${folder} is in use by another server of this process, since 2026-11-20T18:00:00.000Z: ` +
        'stop that one, or choose another folder with store.path',
    );
    expect(readdirSync(folder)).toHaveLength(2);
    lock.release();
    (await StoreLock.take(folder, NOW)).release();
  });

  test('refuses one that another process has, by its id', async () => {
    const other = spawn(process.execPath, ['-e', `process.stdin.resume()`]);
    write({ pid: other.pid, since: 'noon', nonce: 'n', socket: null, started: startOf(other.pid) });
    await expect(StoreLock.take(folder, NOW)).rejects.toThrow(`in use by process ${other.pid}, since noon`);
    other.kill('SIGKILL');
    await once(other, 'exit');
    (await StoreLock.take(folder, NOW)).release();
  });

  test('is not taken over where only the socket is gone', async () => {
    const lock = await StoreLock.take(folder, NOW);
    const socket = readdirSync(folder).find((name) => name.endsWith('.sock')) ?? '';
    rmSync(join(folder, socket));
    await expect(StoreLock.take(folder, NOW)).rejects.toThrow('is in use by another server of this process');
    lock.release();
    (await StoreLock.take(folder, NOW)).release();
  });

  test.each([
    ['a process that is gone', async () => ({ pid: await dead(), socket: null, started: 'boot 1' })],
    ['a process that is gone and had a socket', async () => ({ pid: 1, socket: 'gone.sock' })],
    ['an earlier process with the same id', async () => ({ pid: 1, socket: null, started: 'boot 1' })],
    [
      'an earlier process with our own id',
      async () => ({ pid: process.pid, socket: null, started: 'boot 1' }),
    ],
  ])('is taken over at once from %s', async (_, holder) => {
    write({ since: 'noon', nonce: 'n', ...(await holder()) });
    const began = performance.now();
    const lock = await StoreLock.take(folder, NOW);
    expect(performance.now() - began).toBeLessThan(500);
    lock.release();
    expect(readdirSync(folder)).toEqual([]);
  });

  test.each(['', '{"pid":', 'null', '[]'])('is taken over where the file holds %j', async (text) => {
    writeFileSync(file(), text);
    (await StoreLock.take(folder, NOW)).release();
    expect(readdirSync(folder)).toEqual([]);
  });

  test('is given to one of many that want it', async () => {
    write({ pid: process.pid, since: 'noon', nonce: 'n', socket: 'gone.sock' });
    const all = await Promise.allSettled(Array.from({ length: 20 }, () => StoreLock.take(folder, NOW)));
    const taken = all.flatMap((each) => (each.status === 'fulfilled' ? [each.value] : []));
    expect(taken).toHaveLength(1);
    taken[0]?.release();
    expect(readdirSync(folder)).toEqual([]);
  });

  test('works in a folder whose path is too long for a socket', async () => {
    const top = folder;
    folder = join(folder, 'x'.repeat(120));
    const lock = await StoreLock.take(folder, NOW);
    await expect(StoreLock.take(folder, NOW)).rejects.toThrow('is in use by another server of this process');
    lock.release();
    expect(readdirSync(folder)).toEqual([]);
    folder = top;
  });
});

function startOf(pid: number | undefined): string {
  const boot = readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
  return `${boot} ${readFileSync(`/proc/${pid}/stat`, 'utf8').replace(/.*\) /s, '').split(' ')[19]}`;
}
