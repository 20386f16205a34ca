import { execFileSync } from 'node:child_process';
import { constants, openSync, writeFileSync } from 'node:fs';
import { Socket } from 'node:net';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { describe, expect, onTestFinished, test } from 'vitest';
import { requireTool } from '../helpers/browser.ts';
import { Collected } from './collected.ts';
import { embedded } from './embedded.ts';
import { BELFRY, emptyFolder, fileWith, ready, type Server, serve, start } from './process.ts';

const python = requireTool('python3');

/** Runs `belfry` with its standard streams as a shell directs them, such as `> /dev/full`. */
function redirected(args: readonly string[], redirection: string) {
  return start('bash', ['-c', `exec "$0" "$@" ${redirection}`, process.execPath, BELFRY, ...args]);
}

const served = (redirection: string, args: readonly string[] = []) =>
  ready(redirected(['serve', '--port', '0', ...args], redirection));

/** Makes the server log a line, as anybody can. */
async function refused({ url }: Server, origin: string): Promise<number> {
  return (await fetch(`${url}/rooms/lobby`, { headers: { origin, accept: 'application/json' } })).status;
}

async function livez({ url }: Server): Promise<number> {
  return (await fetch(`${url}/livez`)).status;
}

/** Makes the server log long entries until it reports that they are not read. Its configuration is in `config`. */
async function untilUnread(server: Server, config: string): Promise<void> {
  writeFileSync(config, JSON.stringify({ rooms: Array.from({ length: 90 }, () => 'no rule') }));
  const reload = { method: 'POST', headers: { authorization: `Bearer ${server.token}` } };
  for (let n = 0; !server.stderr.all.some((line) => line.startsWith('the log is not read')); n++) {
    if (n > 1000) throw new Error('more is kept than the bound permits');
    expect((await fetch(`${server.url}/admin/reload`, reload)).status).toBe(422);
  }
}

function fifo(): string {
  const path = join(emptyFolder(), 'pipe');
  execFileSync('mkfifo', [path]);
  return path;
}

/** A reader that is there and takes nothing until `read` is called. */
function reader(path: string) {
  const fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  return {
    read() {
      const stream = new Socket({ fd, readable: true, writable: false });
      onTestFinished(() => void stream.destroy());
      const lines = new Collected<string>();
      createInterface({ input: stream }).on('line', (line) => lines.push(line));
      return { lines, leave: () => new Promise<void>((done) => stream.on('close', done).destroy()) };
    },
  };
}

describe('a log that cannot be written', () => {
  test('is told once, and the server goes on, where its reader has gone: serve | head -1', async () => {
    const server = await serve();
    server.child.stdout?.destroy();
    for (const n of [1, 2, 3]) expect(await refused(server, `https://${n}.example`)).toBe(403);
    await server.stderr.find((line) => line.startsWith('the log cannot be written (EPIPE): '));
    expect(await livez(server)).toBe(200);
    server.child.kill('SIGTERM');
    expect(await server.ended).toBe(0);
    expect(server.stderr.all.filter((line) => line.includes('the log'))).toHaveLength(1);
  });

  test('is told once, and the server goes on, where the disk is full', async () => {
    const server = await served('>/dev/full');
    for (const n of [1, 2, 3]) expect(await refused(server, `https://${n}.example`)).toBe(403);
    await server.stderr.find((line) => line.startsWith('the log cannot be written (ENOSPC): '));
    server.child.kill('SIGTERM');
    expect(await server.ended).toBe(0);
    expect(server.stderr.all.filter((line) => line.includes('the log'))).toHaveLength(1);
  });

  test('is no end where it cannot even be told', async () => {
    const server = await serve();
    server.child.stdout?.destroy();
    server.child.stderr?.destroy();
    for (const n of [1, 2, 3]) expect(await refused(server, `https://${n}.example`)).toBe(403);
    expect(await livez(server)).toBe(200);
    server.child.kill('SIGTERM');
    expect(await server.ended).toBe(0);
  });

  test('goes on where another reader comes, and says how many lines are missing', async () => {
    const path = fifo();
    const first = reader(path);
    const server = await served(`>"${path}"`);
    const { lines, leave } = first.read();
    await lines.find((line) => line.includes('"listening"'));
    await leave();
    for (const n of [1, 2]) await refused(server, `https://${n}.example`);
    await server.stderr.find((line) => line.includes('EPIPE'));
    const second = reader(path).read();
    await refused(server, 'https://3.example');
    const dropped = await second.lines.find((line) => line.includes('dropped'));
    expect(JSON.parse(dropped)).toMatchObject({ lines: 2, msg: 'log lines were dropped' });
    await second.lines.find((line) => line.includes('https://3.example'));
  });

  test('holds nothing up where its reader does not read: serve | sleep', async () => {
    const path = fifo();
    const slow = reader(path);
    const config = fileWith({});
    const server = await served(`>"${path}"`, ['--config', config]);
    await untilUnread(server, config);
    expect(await livez(server)).toBe(200);
    const { lines } = slow.read();
    const dropped = await lines.find((line) => line.includes('log lines were dropped'));
    expect(JSON.parse(dropped).lines).toBeGreaterThan(0);
    await refused(server, 'https://again.example');
    await lines.find((line) => line.includes('https://again.example'));
  });
});

/** Runs a program whose standard output is a terminal; the program itself holds the other end, and reads nothing. */
const IN_A_TERMINAL = `import os, pty, sys
ours, its = pty.openpty()
os.set_inheritable(ours, True)
os.dup2(its, 1)
os.execv(sys.argv[1], sys.argv[1:])`;

describe.skipIf(!python)('a terminal that is not read', () => {
  test('holds nothing up: Ctrl-S, a stalled ssh session', async () => {
    const config = fileWith({});
    const args = ['-c', IN_A_TERMINAL, process.execPath, BELFRY, 'serve', '--port', '0', '--config', config];
    const server = await ready(start(python ?? '', args));
    await untilUnread(server, config);
    expect(await livez(server)).toBe(200);
    server.child.kill('SIGTERM');
    expect(await server.ended).toBe(0);
  });
});

describe('output that cannot be written', () => {
  test('check and explain end quietly where their reader has gone', async () => {
    for (const args of [['check'], ['explain', 'clock'], ['--help']]) {
      const running = start('bash', [
        '-c',
        '"$0" "$@" | true; exit $PIPESTATUS',
        process.execPath,
        BELFRY,
        ...args,
      ]);
      expect(await running.ended).toBe(0);
      expect(running.stderr.all).toEqual([]);
    }
  });

  test.each([[['check']], [['explain', 'clock']]])('%j says that the disk is full', async (args) => {
    const running = redirected(args, '>/dev/full');
    expect(await running.ended).toBe(1);
    expect(running.stderr.all).toEqual(['standard output cannot be written: ENOSPC']);
  });

  test('faults set the exit code, also where they cannot be written', async () => {
    const running = redirected(['check', fileWith({ a: 1 })], '2>/dev/full');
    expect(await running.ended).toBe(2);
  });

  test('watch ends quietly where its reader has gone, and says that the disk is full', async () => {
    const { url } = await embedded({
      schedules: [{ name: 'c', every: '100ms', feed: { type: 'time' } }],
    });
    const args = ['watch', `${url}/rooms/lobby`];
    const left = start(process.execPath, [BELFRY, ...args]);
    await left.stdout.find((line) => line.includes('due'));
    left.child.stdout?.destroy();
    expect(await left.ended).toBe(0);
    expect(left.stderr.all).toEqual([expect.stringMatching(/^connected to /)]);

    const full = redirected(args, '>/dev/full');
    expect(await full.ended).toBe(1);
    expect(full.stderr.all.at(-1)).toBe('what comes cannot be written: ENOSPC');
  });

  test('watch shows what comes although its input cannot be read', async () => {
    const { url } = await embedded({});
    const running = redirected(['watch', `${url}/rooms/lobby`], '</');
    await running.stdout.find((line) => line.includes('hello'));
  });
});
