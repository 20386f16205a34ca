import { execFileSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { LmdbLog } from '../../src/log/lmdb-log.ts';
import { STORE_FILE } from '../../src/log/store-file.ts';
import { checkPages } from '../../src/log/store-pages.ts';
import { ManualClock } from '../helpers/manual-clock.ts';

const ALL = Number.MAX_SAFE_INTEGER;
const PAGE_BYTES = 4096;
const ADVICE =
  'run "belfry store check", restore a backup, or move the folder away to begin with an empty store';

const top = mkdtempSync(join(tmpdir(), 'belfry-damage-'));
afterAll(() => rmSync(top, { recursive: true }));

function logIn(folder: string): { log: LmdbLog; faults: string[] } {
  const limits = { historyBytes: 0, totalHistoryBytes: 0, maxBufferedBytes: Number.POSITIVE_INFINITY };
  const settings = { current: { limits, retentionOf: () => ({ messages: 1000, ms: 3_600_000 }) } };
  const faults: string[] = [];
  const onFault = (what: string) => faults.push(what);
  const log = new LmdbLog({ folder, maxBytes: 2 ** 30, clock: new ManualClock(), settings, onFault });
  return { log, faults };
}

const entry = (room: string, characters: number) => ({
  room,
  event: 'message',
  time: '2026-11-20T18:00:04.120Z',
  data: JSON.stringify('x'.repeat(characters)),
});

async function publish(log: LmdbLog, characters = 200): Promise<void> {
  await (await log.append([entry('a', characters)])).stored;
}

async function read(log: LmdbLog) {
  const history = (await log.since(['a'], log.idAt(0), () => ALL)).get('a');
  return { resumed: history?.resumed, count: history?.messages.length };
}

describe('a damaged store', () => {
  const original = join(top, 'original');
  const folder = join(top, 'copy');
  const path = join(folder, STORE_FILE);

  beforeAll(async () => {
    const { log } = logIn(original);
    await log.open();
    for (let n = 0; n < 200; n++) await publish(log, n % 20 === 0 ? 9000 : 200);
    await log.append([], () => [{ kind: 'lock', key: 'k', value: '1' }]);
    await log.close();
  });
  beforeEach(() => cpSync(original, folder, { recursive: true }));
  afterEach(() => rmSync(folder, { recursive: true }));

  const refusal = async (): Promise<string> => {
    const { log } = logIn(folder);
    const error = await log.open().then(
      () => log.close(),
      (reason) => reason,
    );
    return String(error);
  };

  test.each([
    ['is short', () => truncateSync(path, 20 * PAGE_BYTES), /the file ends before page \d+/],
    ['has no second head', () => truncateSync(path, 4200), /the file is too short/],
    ['is something else', () => writeFileSync(path, 'x'.repeat(20_000)), /page 0 is not the head of an LMDB/],
    ['has a text in the place of a head', () => flip(path, 24), /page 0 is not the head of an LMDB file/],
    ['is of another version of LMDB', () => flip(path, 28), /its LMDB version is \d+, and this reads 2/],
  ])('is refused where its file %s, with what to do', async (_, damage, what) => {
    damage();
    const message = await refusal();
    expect(message).toMatch(what);
    expect(message).toContain(`the store in ${path} is damaged: `);
    expect(message).toContain(ADVICE);
  });

  test('is refused or tells of a gap wherever its file is damaged, and never ends the process', async () => {
    const bytes = readFileSync(path);
    const outcomes = { refused: 0, sound: 0 };
    const damage = fc.record({
      at: fc.integer({ min: 0, max: bytes.length - 1 }),
      kind: fc.constantFrom('bit', 'page', 'end'),
    });
    await fc.assert(
      fc.asyncProperty(damage, async ({ at, kind }) => {
        const copy = Buffer.from(kind === 'end' ? bytes.subarray(0, at) : bytes);
        if (kind === 'bit') copy.writeUInt8(copy.readUInt8(at) ^ (1 << (at % 8)), at);
        if (kind === 'page') copy.fill(at % 256, at - (at % PAGE_BYTES), at - (at % PAGE_BYTES) + PAGE_BYTES);
        writeFileSync(path, copy);
        const { log, faults } = logIn(folder);
        try {
          await log.open();
        } catch (error) {
          expect(String(error)).toMatch(/^StoreError: the store in /);
          outcomes.refused++;
          return;
        }
        const { resumed } = await read(log);
        if (at > 0 || kind !== 'end') expect(resumed || faults.length > 0).toBe(true);
        await log.records('lock');
        await publish(log);
        await log.close();
        outcomes.sound++;
      }),
      { seed: 20_261_121, numRuns: Number(process.env.FC_RUNS ?? 60) },
    );
    expect(Math.min(outcomes.refused, outcomes.sound)).toBeGreaterThan(5);
  });

  test('is found by a check of all pages, which counts what is there', async () => {
    const sound = await checkPages(path, Number.POSITIVE_INFINITY);
    expect(sound).toMatchObject({ damage: undefined, isWhole: true });
    expect(sound.entries.get('messages')).toBe(200);
    const at = readFileSync(path).lastIndexOf('x'.repeat(100));
    flip(path, at + 50);
    expect((await checkPages(path, Number.POSITIVE_INFINITY)).damage).toMatch(/^page \d+ is damaged$/);
  });

  test('tells of a gap where a message is damaged while it is open', async () => {
    const { log, faults } = logIn(folder);
    await log.open();
    const at = readFileSync(path).lastIndexOf('x'.repeat(100));
    flip(path, at + 50);
    expect((await read(log)).resumed).toBe(false);
    expect(faults).toEqual([expect.stringMatching(/^the message \w+-\d+ in .*belfry\.mdb is damaged$/)]);
    await log.close();
  });
});

function flip(path: string, at: number): void {
  const bytes = readFileSync(path);
  bytes.writeUInt8(bytes.readUInt8(at) ^ 1, at);
  writeFileSync(path, bytes);
}

test('a path that is a file is refused', async () => {
  const path = join(top, 'file');
  writeFileSync(path, '');
  const refused = (folder: string) => expect(logIn(folder).log.open()).rejects;
  const message = (folder: string) =>
    `the store in ${folder} cannot be opened: there is a file where a folder should be: move it away, or choose another folder with store.path`;
  await refused(path).toThrow(message(path));
  await refused(join(path, 'below')).toThrow(message(join(path, 'below')));
});

/** Disks of a few MiB are made for the test, which only root may do. */
const mountPoint = join(top, 'disk');
const mount = (...options: string[]) => execFileSync('mount', [...options, mountPoint], { stdio: 'ignore' });
const canMount = (() => {
  mkdirSync(mountPoint);
  try {
    mount('-t', 'tmpfs', '-o', 'size=3m', 'belfry-test');
    execFileSync('umount', [mountPoint]);
    return true;
  } catch {
    return false;
  }
})();

describe.skipIf(!canMount)('a disk', () => {
  const folder = join(mountPoint, 'store');
  beforeEach(() => mount('-t', 'tmpfs', '-o', 'size=3m', 'belfry-test'));
  afterEach(() => execFileSync('umount', [mountPoint]));

  test('that is full refuses messages, keeps those it has, and takes others when there is space', async () => {
    const { log } = logIn(folder);
    await log.open();
    let stored = 0;
    const fill = async () => {
      for (; stored < 2000; stored++) await publish(log, 2000);
    };
    await expect(fill()).rejects.toThrow('ENOSPC');
    expect(stored).toBeGreaterThan(100);
    expect(await read(log)).toEqual({ resumed: true, count: stored });
    await log.close();
    await log.open();
    expect(await read(log)).toEqual({ resumed: true, count: stored });
    mount('-o', 'remount,size=20m');
    await publish(log);
    expect(await read(log)).toEqual({ resumed: true, count: stored + 1 });
    await log.close();
  });

  test('that is full, or read-only, is told at the start', async () => {
    writeFileSync(join(mountPoint, 'filler'), Buffer.alloc(2_200_000));
    await expect(logIn(folder).log.open()).rejects.toThrow(
      `the store in ${folder} cannot be opened: no space is left on its disk: make some, or choose another folder with store.path`,
    );
    mount('-o', 'remount,ro');
    await expect(logIn(folder).log.open()).rejects.toThrow(
      'its file system is read-only: mount it for writing',
    );
  });
});
