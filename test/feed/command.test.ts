import { chmodSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { mkdtemp, realpath, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { systemClock } from '../../src/clock.ts';
import { commandFeed } from '../../src/feed/command.ts';
import { ManualClock } from '../helpers/manual-clock.ts';
import { faults, read, readable, tick } from './fixture.ts';

/** A busy machine takes its time; a free one never needs it. */
const PATIENCE = { timeout: 10_000 };

let folder: string;
let clock: ManualClock;
beforeEach(async () => {
  folder = await realpath(await mkdtemp(join(tmpdir(), 'belfry-command-')));
  clock = new ManualClock();
});
afterEach(() => {
  expect(clock.pending).toBe(0);
  return rm(folder, { recursive: true });
});

const feed = (argv: string[], options = {}) =>
  readable(commandFeed, { argv, ...options }, { baseDirectory: folder, clock });
const sh = (script: string, options = {}) => feed(['sh', '-c', script], options);

/** A process id that a script wrote to a file in its folder. */
const pidIn = (file: string) =>
  vi.waitFor(() => {
    const pid = Number(readFileSync(join(folder, file), 'utf8'));
    if (!pid) throw new Error(`${file} is empty`);
    return pid;
  }, PATIENCE);

/** Whether a process runs; one that has ended and whom nobody has asked about does not. */
function runs(pid: number): boolean {
  try {
    return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'));
  } catch {
    return false;
  }
}
const gone = (pid: number) => vi.waitFor(() => expect(runs(pid)).toBe(false), PATIENCE);

// The state of processes is read from /proc.
describe.skipIf(process.platform !== 'linux')('the command feed', () => {
  it.each([
    ['{"a":\n[1, 2]}\n', '{"a":[1,2]}'],
    ['42\n', '42'],
    ['  up 3 days\n\n', '"up 3 days"'],
    ['{"a":', '"{\\"a\\":"'],
    ['', '""'],
  ])('makes JSON of the output %j', async (output, expected) => {
    expect(await read(feed(['printf', '%s', output]))).toBe(expected);
  });

  it('picks a part, and says so where there is none', async () => {
    expect(await read(feed(['echo', '{"a":[7]}'], { pick: '/a/0' }))).toBe('7');
    await expect(read(feed(['echo', 'plain text'], { pick: '/a' }))).rejects.toThrow(
      'the output of "echo" holds nothing at "/a"',
    );
  });

  it('has no shell read the arguments', async () => {
    expect(await read(feed(['echo', '$HOME', '*', '; echo', '`id`', 'a  b']))).toBe(
      '"$HOME * ; echo `id` a  b"',
    );
  });

  it('starts in the folder of the config file, from which paths are taken too', async () => {
    expect(await read(feed(['pwd']))).toBe(JSON.stringify(folder));
    mkdirSync(join(folder, 'bin'));
    writeFileSync(join(folder, 'bin/own'), '#!/bin/sh\necho own\n');
    chmodSync(join(folder, 'bin/own'), 0o755);
    expect(await read(feed(['./bin/own']))).toBe('"own"');
  });

  describe('gives it a small environment:', () => {
    const own = {
      PATH: process.env.PATH,
      HOME: '/home/wall',
      TZ: 'Europe/Berlin',
      LC_ALL: 'C.UTF-8',
      BELFRY_ADMIN_TOKEN: 's3cret-admin',
      OPS_TOKEN: 's3cret-ops',
      LC_TOKEN: 's3cret-lc',
      NODE_OPTIONS: '--no-warnings',
    };
    const environment = async (options: object = {}) => {
      const printing = readable(
        commandFeed,
        { argv: ['env', '-0'], ...options },
        { baseDirectory: folder, clock, env: own },
      );
      const lines: string[] = JSON.parse(await read(printing)).split('\0');
      return Object.fromEntries(lines.filter(Boolean).map((line) => line.split(/=(.*)/s).slice(0, 2)));
    };
    const passed = { PATH: process.env.PATH, HOME: '/home/wall', TZ: 'Europe/Berlin', LC_ALL: 'C.UTF-8' };

    it('of the server none but what says where and for whom programs run', async () => {
      expect(await environment()).toEqual(passed);
    });

    it('what the file passes on, which goes first', async () => {
      const env = { OPS_TOKEN: 'passed on', TZ: 'UTC', _x1: 'a=b\n', EMPTY: '' };
      expect(await environment({ env })).toEqual({ ...passed, ...env });
    });

    it('not that of the process, where another was handed in', async () => {
      const bare = readable(commandFeed, { argv: ['env'] }, { baseDirectory: folder, clock, env: {} });
      expect(await read(bare)).toBe('""');
    });
  });

  it('gives it nothing to read', async () => {
    expect(await read(feed(['cat']))).toBe('""');
  });

  it('tells exit code and first line of complaint, without the arguments', async () => {
    const failing = sh('echo; echo "no such disk" >&2; echo more >&2; exit 3 # hush');
    await expect(read(failing)).rejects.toThrow(/^"sh" ended with exit code 3: no such disk$/);
    await expect(read(sh('exit 1'))).rejects.toThrow(/^"sh" ended with exit code 1$/);
    await expect(read(sh('kill -SEGV $$'))).rejects.toThrow(/^"sh" was ended by SIGSEGV$/);
  });

  it('keeps little of a long complaint, and reads it all', async () => {
    const error = await read(sh('head -c 65536 /dev/zero | tr "\\0" x >&2; exit 1')).catch(String);
    expect(error).toBe(`FeedError: "sh" ended with exit code 1: ${'x'.repeat(200)}`);
  });

  it('ends a command that floods standard error, and its children', async () => {
    const endless = sh('sleep 1000 & echo $! > child; yes >&2', { maxBytes: 1000 });
    const error = await read(endless).catch((reason) => reason);
    expect(error).toMatchObject({ reason: 'too-large' });
    expect(error.message).toBe(
      'the standard error of "sh" is larger than 65536 bytes: raise maxBytes if that is as it should be',
    );
    await gone(await pidIn('child'));
  });

  it('takes as much on standard error as on standard output, and 64 KiB at least', async () => {
    const complaint = (bytes: number) => sh(`head -c ${bytes} /dev/zero >&2; echo 1`, { maxBytes: 100_000 });
    expect(await read(complaint(100_000))).toBe('1');
    await expect(read(complaint(100_001))).rejects.toThrow('is larger than 100000 bytes');
    expect(await read(sh('head -c 65536 /dev/zero >&2; echo 1', { maxBytes: 10 }))).toBe('1');
  });

  it('ignores complaints of a command that succeeds', async () => {
    expect(await read(sh('echo warning >&2; echo 1'))).toBe('1');
  });

  it('says what cannot be started', async () => {
    await expect(read(feed(['no-such-command']))).rejects.toThrow(
      /^"no-such-command" cannot be started: it was not found$/,
    );
    writeFileSync(join(folder, 'data'), 'x');
    await expect(read(feed(['./data']))).rejects.toThrow(
      /^"\.\/data" cannot be started: it is not a program that may be run$/,
    );
  });

  it('refuses output that is not UTF-8', async () => {
    await expect(read(feed(['printf', '\\377']))).rejects.toThrow('the output of "printf" is not UTF-8');
  });

  it('takes maxBytes of output, ends a command that prints more, and its children', async () => {
    expect(await read(feed(['printf', 'x'.repeat(10)], { maxBytes: 10 }))).toBe('"xxxxxxxxxx"');
    const endless = sh('sleep 1000 & echo $! > child; yes', { maxBytes: 1000 });
    await expect(read(endless)).rejects.toThrow('the output of "sh" is larger than 1000 bytes');
    await gone(await pidIn('child'));
  });

  it('leaves no child behind, be it that the command ended well', async () => {
    const careless = sh(
      'sleep 1000 >/dev/null 2>&1 & echo $! > silent; sleep 1000 & echo $! > talking; echo 1',
    );
    expect(await read(careless)).toBe('1');
    await gone(await pidIn('silent'));
    await gone(await pidIn('talking'));
  });

  it('ends at once when aborted, where the command ends on SIGTERM', async () => {
    const over = new AbortController();
    const value = sh('echo $$ > self; sleep 1000 & echo $! > child; wait').read(tick, over.signal);
    const pids = [await pidIn('self'), await pidIn('child')];
    over.abort(new Error('no answer within 10 s'));
    await expect(value).rejects.toThrow(/^no answer within 10 s$/);
    for (const pid of pids) await gone(pid);
  });

  it('kills command and children that ignore SIGTERM, a second after it', async () => {
    const over = new AbortController();
    const value = sh(
      `trap 'echo 1 > asked' TERM
       sh -c 'trap "" TERM; echo $$ > child; while :; do sleep 0.1; done' &
       echo $$ > self; while :; do sleep 0.1; done`,
    ).read(tick, over.signal);
    const pids = [await pidIn('self'), await pidIn('child')];
    over.abort(new Error('time is up'));
    await pidIn('asked');
    clock.advance(999);
    expect(pids.map(runs)).toEqual([true, true]);
    clock.advance(1);
    await expect(value).rejects.toThrow('time is up');
    for (const pid of pids) await gone(pid);
  });

  it('does so with the real clock', async () => {
    const stubborn = readable(
      commandFeed,
      { argv: ['sh', '-c', 'trap "" TERM; echo $$ > self; sleep 1000 & echo $! > child; wait; wait'] },
      { baseDirectory: folder, clock: systemClock },
    );
    const over = new AbortController();
    const value = stubborn.read(tick, over.signal);
    const pids = [await pidIn('self'), await pidIn('child')];
    over.abort(new Error('time is up'));
    await expect(value).rejects.toThrow('time is up');
    for (const pid of pids) await gone(pid);
  });

  it('is not held up by a child that got away and keeps the output open', async () => {
    const over = new AbortController();
    const value = sh('setsid sh -c "echo \\$\\$ > away; exec sleep 1000" & wait').read(tick, over.signal);
    const away = await pidIn('away');
    over.abort(new Error('time is up'));
    await expect(value).rejects.toThrow('time is up');
    process.kill(away, 'SIGKILL');
  });

  it('starts nothing when it is aborted already', async () => {
    const over = AbortSignal.abort(new Error('too late'));
    await expect(sh('echo 1 > started').read(tick, over)).rejects.toThrow('too late');
    expect(existsSync(join(folder, 'started'))).toBe(false);
  });

  it('does nothing when it is aborted afterwards', async () => {
    const over = new AbortController();
    expect(await sh('echo 1').read(tick, over.signal)).toBe('1');
    over.abort();
    expect(clock.pending).toBe(0);
  });

  it('runs one command at a time', async () => {
    const over = new AbortController();
    const slow = sh('echo $$ > self; sleep 1000');
    const first = slow.read(tick, over.signal);
    await pidIn('self');
    await expect(read(slow)).rejects.toThrow('"sh" is still running');
    over.abort(new Error('enough'));
    await expect(first).rejects.toThrow('enough');
    const again = new AbortController();
    const second = slow.read(tick, again.signal);
    again.abort(new Error('enough again'));
    await expect(second).rejects.toThrow('enough again');
  });

  const empty = 'argv: names no command: write a list such as ["df", "--output=pcent", "/"]';
  it.each([
    [{ argv: [] }, empty],
    [{ argv: ['', 'x'] }, empty],
    [{ argv: ['echo', 'a\0b'] }, 'argv.1: holds a NUL character'],
    [{}, expect.stringMatching(/^argv: /)],
    [
      { argv: ['x'], env: { '1A': 'x' } },
      'env.1A: "1A" is not the name of an environment variable: write letters, digits and _, not starting with a digit',
    ],
    [{ argv: ['x'], env: { 'A=B': 'x' } }, expect.stringMatching(/^env\.A=B: "A=B" is not the name/)],
    [{ argv: ['x'], env: { '': 'x' } }, expect.stringMatching(/^env\.: "" is not the name/)],
    [{ argv: ['x'], env: { 'A\0': 'x' } }, expect.stringMatching(/is not the name/)],
    [
      { argv: ['x'], env: { A: 's3cret\0' } },
      'env.A: holds a NUL character, which no environment variable can have',
    ],
    [{ argv: ['x'], env: { A: 1 } }, expect.stringMatching(/^env\.A: /)],
    [{ argv: ['x'], env: ['A'] }, expect.stringMatching(/^env: /)],
    [{ argv: 'df /' }, expect.stringMatching(/^argv: /)],
    [{ argv: ['sleep', 5] }, expect.stringMatching(/^argv\.1: /)],
  ])('refuses the options %j', (options, expected) => {
    expect(faults(commandFeed, options)).toEqual([expected]);
  });
});
