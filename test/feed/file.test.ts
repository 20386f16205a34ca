import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import {
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { fileFeed } from '../../src/feed/file.ts';
import { faults, read, readable, tick } from './fixture.ts';

/** Where the kernel tells about itself in /proc. */
const onLinux = it.skipIf(process.platform !== 'linux');

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'belfry-file-'));
});
afterEach(() => rm(folder, { recursive: true }));

const feed = (options: unknown) => readable(fileFeed, options, { baseDirectory: folder });
const write = (name: string, content: string | Uint8Array) => writeFileSync(join(folder, name), content);

describe('the file feed', () => {
  it('sends JSON on one line where the name ends in .json', async () => {
    write('prices.json', '\ufeff{\r\n  "eur": [1.5,\n 2]\n}\n');
    expect(await read(feed({ path: 'prices.json' }))).toBe('{"eur":[1.5,2]}');
  });

  it('sends anything else as a JSON string, as it stands', async () => {
    write('motd.txt', 'Grüße,\n"you"\u2028\n');
    expect(JSON.parse(await read(feed({ path: 'motd.txt' })))).toBe('Grüße,\n"you"\u2028\n');
  });

  it('sends the part that pick points at', async () => {
    write('prices.json', '{"eur":{"usd":1.08}}');
    expect(await read(feed({ path: 'prices.json', pick: '/eur/usd' }))).toBe('1.08');
    await expect(read(feed({ path: 'prices.json', pick: '/eur/__proto__' }))).rejects.toThrow(
      'prices.json holds nothing at "/eur/__proto__"',
    );
  });

  it('takes absolute paths and links', async () => {
    write('a.txt', 'here');
    symlinkSync(join(folder, 'a.txt'), join(folder, 'b'));
    expect(await read(feed({ path: join(folder, 'a.txt') }))).toBe('"here"');
    expect(await read(feed({ path: 'b' }))).toBe('"here"');
  });

  it('sees a file that was replaced, of the same size and age', async () => {
    const longAgo = new Date('2026-01-01T00:00:00Z');
    write('a.json', '1');
    utimesSync(join(folder, 'a.json'), longAgo, longAgo);
    const one = feed({ path: 'a.json' });
    expect(await read(one)).toBe('1');
    write('next.json', '2');
    utimesSync(join(folder, 'next.json'), longAgo, longAgo);
    renameSync(join(folder, 'next.json'), join(folder, 'a.json'));
    expect(await read(one)).toBe('2');
  });

  it('sees a file that was written to', async () => {
    write('a.json', '1');
    const one = feed({ path: 'a.json' });
    expect(await read(one)).toBe('1');
    write('a.json', '22');
    expect(await read(one)).toBe('22');
  });

  onLinux('reads a file again only when it has changed', async () => {
    const size = 8_000_000;
    write('a.txt', 'x'.repeat(size));
    const one = feed({ path: 'a.txt', maxBytes: size });
    const start = bytesRead();
    const value = await read(one);
    const once = bytesRead();
    expect(once - start).toBeGreaterThanOrEqual(size);
    expect(await read(one)).toBe(value);
    expect(bytesRead() - once).toBeLessThan(size / 2);
  });

  onLinux('always reads files of the kernel, whose times and sizes mean nothing', async () => {
    const uptime = feed({ path: '/proc/self/io' });
    expect(await read(uptime)).not.toBe(await read(uptime));
  });

  it('names a missing file as the config does, and comes back when it is there', async () => {
    const one = feed({ path: 'later.txt' });
    await expect(read(one)).rejects.toThrow(/^later\.txt does not exist$/);
    await expect(read(feed({ path: 'no/such/folder' }))).rejects.toThrow(/^no\/such\/folder does not exist$/);
    write('later.txt', 'here');
    expect(await read(one)).toBe('"here"');
    rmSync(join(folder, 'later.txt'));
    await expect(read(one)).rejects.toThrow('later.txt does not exist');
  });

  it('refuses half-written JSON and takes it when it is whole', async () => {
    const one = feed({ path: 'a.json' });
    write('a.json', '{"a":');
    await expect(read(one)).rejects.toThrow('a.json is not JSON: Unexpected end of JSON input');
    write('a.json', '{"a":1}');
    expect(await read(one)).toBe('{"a":1}');
    write('a.json', '');
    await expect(read(one)).rejects.toThrow('a.json is not JSON');
  });

  it('refuses more than maxBytes, and takes exactly so many', async () => {
    write('a.txt', 'x'.repeat(10));
    expect(await read(feed({ path: 'a.txt', maxBytes: 10 }))).toBe('"xxxxxxxxxx"');
    await expect(read(feed({ path: 'a.txt', maxBytes: 9 }))).rejects.toThrow('a.txt is larger than 9 bytes');
    write('big', 'x'.repeat(65_537));
    await expect(read(feed({ path: 'big' }))).rejects.toThrow('big is larger than 65536 bytes');
  });

  onLinux('cuts off a file that is longer than it says', async () => {
    const one = feed({ path: '/proc/self/status', maxBytes: 100 });
    await expect(read(one)).rejects.toThrow('/proc/self/status is larger than 100 bytes');
  });

  it('refuses bytes that are not UTF-8', async () => {
    write('a.txt', Uint8Array.of(0x68, 0xff, 0x69));
    await expect(read(feed({ path: 'a.txt' }))).rejects.toThrow('a.txt is not UTF-8');
  });

  it('refuses JSON that is nested too deeply to be written', async () => {
    write('a.json', '['.repeat(30_000) + ']'.repeat(30_000));
    await expect(read(feed({ path: 'a.json' }))).rejects.toThrow('a.json is nested too deeply');
  });

  it('refuses directories and devices', async () => {
    mkdirSync(join(folder, 'sub.json'));
    await expect(read(feed({ path: 'sub.json' }))).rejects.toThrow('sub.json is a directory');
    await expect(read(feed({ path: '.' }))).rejects.toThrow('. is a directory');
    await expect(read(feed({ path: '/dev/zero' }))).rejects.toThrow('/dev/zero is a device or a socket');
  });

  it('refuses a socket', async () => {
    const server = createServer().listen(join(folder, 'sock'));
    await once(server, 'listening');
    await expect(read(feed({ path: 'sock' }))).rejects.toThrow('sock is a device or a socket');
    server.close();
  });

  it('does not hang on a pipe that nobody writes to', async () => {
    execFileSync('mkfifo', [join(folder, 'pipe')]);
    await expect(read(feed({ path: 'pipe' }))).rejects.toThrow(
      'pipe is a pipe: only plain files can be read',
    );
  });

  onLinux('keeps no file open, whatever happened', async () => {
    write('bad.json', '{');
    write('good.json', '1');
    const open = () => readdirSync('/proc/self/fd').length;
    const before = open();
    for (let round = 0; round < 50; round++) {
      await read(feed({ path: 'bad.json' })).catch(() => {});
      await read(feed({ path: 'good.json' }));
      await read(feed({ path: 'good.json', maxBytes: 1 }));
      await read(feed({ path: '/proc/self/status', maxBytes: 1 })).catch(() => {});
    }
    expect(open()).toBeLessThan(before + 10);
  });

  it('rejects with the reason when it is aborted', async () => {
    write('a.txt', 'x');
    const over = new AbortController();
    const value = feed({ path: 'a.txt' }).read(tick, over.signal);
    over.abort(new Error('time is up'));
    await expect(value).rejects.toThrow('time is up');
    await expect(feed({ path: 'a.txt' }).read(tick, over.signal)).rejects.toThrow('time is up');
  });

  it.each([
    [{}, /^path: /],
    [{ path: '' }, 'path: is empty: write the path of a file, such as "prices.json"'],
    [{ path: 'a\0b' }, 'path: holds a NUL character: no file has such a name'],
    [{ path: 7 }, /^path: /],
    [{ path: 'a', maxBytes: 0 }, /^maxBytes: /],
    [{ path: 'a', maxBytes: 1.5 }, /^maxBytes: /],
    [{ path: 'a', maxBytes: '1' }, /^maxBytes: /],
    [{ path: 'a', pick: 'b' }, /^pick: "b" is not a JSON Pointer: "" for all, or .* such as "\/prices\/0"$/],
  ])('refuses the options %j', (options, expected) => {
    expect(faults(fileFeed, options)).toEqual([
      typeof expected === 'string' ? expected : expect.stringMatching(expected),
    ]);
  });
});

/** What this process has read of anything, in bytes. */
function bytesRead(): number {
  return Number(/^rchar: (\d+)$/m.exec(readFileSync('/proc/self/io', 'utf8'))?.[1]);
}
