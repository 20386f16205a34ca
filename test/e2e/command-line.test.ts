import { execFile } from 'node:child_process';
import { createServer } from 'node:net';
import { promisify } from 'node:util';
import { describe, expect, onTestFinished, test } from 'vitest';
import { outcomeOf } from '../helpers/command.ts';
import { stream } from './listeners.ts';
import { emptyFolder, fileWith, outcome, ownEnv, serve } from './process.ts';

const run = promisify(execFile);

describe('what serve prints', () => {
  test('says that the configuration came from the environment, first of all', async () => {
    const path = fileWith({});
    const { banner } = await serve({ env: { BELFRY_CONFIG: path } });
    expect(banner[0]).toBe(`Configuration: ${path}`);
  });

  test('names the configuration, the page, who can connect, and the next tick at a multiple of the interval', async () => {
    const { banner, url, stdout, stderr, child, ended } = await serve();
    expect(banner[0]).toBe('Configuration: the built-in default');
    expect(banner[1]).toBe(`Belfry rings at ${url}/rooms/lobby`);
    const page = await fetch(`${url}/rooms/lobby`, { headers: { accept: 'text/html' } });
    expect(await page.text()).toContain('<title>');
    expect(banner[2]).toBe(
      'Only this machine can connect. To open it: --host 0.0.0.0, with BELFRY_ADMIN_TOKEN set.',
    );
    const next = /^Next tick: "clock" at (\S+)$/.exec(banner[3] ?? '')?.[1] ?? '';
    expect(Date.parse(next) % 3000).toBe(0);
    expect(Math.abs(Date.parse(next) - Date.now())).toBeLessThan(6000);
    // Standard output is the log's, a line of JSON for each entry.
    child.kill('SIGTERM');
    await ended;
    const entries = stdout.all.map((line) => JSON.parse(line));
    expect(entries.map(({ msg }) => msg)).toEqual(['listening', 'stopping', 'stopped']);
    expect(stderr.all).toEqual(banner);
  });

  test('says what the way to open it leads to', async () => {
    const { banner, url } = await serve({
      args: ['--host', '0.0.0.0'],
      env: { BELFRY_ADMIN_TOKEN: 'sixteen-or-more-t0ken' },
    });
    expect(banner.slice(2, 4)).toEqual([
      'Any machine that reaches 0.0.0.0 can connect.',
      'Browsers use an IP address or the name of this machine; for another name set server.publicUrl.',
    ]);
    expect((await fetch(`${url}/livez`)).status).toBe(200);
  });

  test('says why there is no next tick', async () => {
    const path = fileWith({});
    const none = await serve({ args: ['--config', path] });
    expect(none.banner[0]).toBe(`Configuration: ${path}`);
    expect(none.banner).toContain('No tick is due: there is no schedule.');
    const feed = { type: 'time' };
    const paused = await serve({ config: { schedules: [{ name: 'a', every: '1s', paused: true, feed }] } });
    expect(paused.banner).toContain('No tick is due: every schedule is paused or over.');
  });

  test('prints lines that work when they are pasted, with a token made for this run', async () => {
    const { banner, url } = await serve();
    const listener = await stream(`${url}/rooms/lobby`);
    await listener.received.find(({ event }) => event === 'hello');
    const exported = banner.filter((line) => line.startsWith('  export BELFRY_ADMIN_TOKEN='));
    const curls = banner.filter((line) => line.startsWith('  curl '));
    expect(exported).toHaveLength(1);
    expect(curls).toHaveLength(3);
    const answers = await Promise.all(curls.map((curl) => paste([...exported, curl])));
    const [rooms, schedules, broadcast] = answers.map((text) => JSON.parse(text));
    expect(rooms.items.map(({ name }: { name: string }) => name)).toEqual(['lobby']);
    expect(schedules.items.map(({ name }: { name: string }) => name)).toEqual(['clock']);
    expect(broadcast).toMatchObject({ rooms: ['lobby'], connections: 1, unreached: [] });
    expect((await listener.received.find(({ event }) => event === 'message')).data).toBe('hi');
  });

  test('never prints a token that was configured', async () => {
    const config = { admin: { tokens: [{ name: 'ops', token: 'in-the-file', role: 'operator' }] } };
    const { banner, url, stdout, stderr, child, ended } = await serve({
      config,
      env: { BELFRY_ADMIN_TOKEN: 'in-the-env' },
    });
    expect(banner.join('\n')).not.toContain('export');
    for (const token of ['in-the-file', 'in-the-env']) {
      const lines = banner.filter((line) => line.startsWith('  curl '));
      const answers = await Promise.all(
        lines.map((line) => paste([`export BELFRY_ADMIN_TOKEN=${token}`, line])),
      );
      for (const answer of answers) expect(JSON.parse(answer)).not.toHaveProperty('status');
    }
    expect((await fetch(`${url}/admin/rooms`)).status).toBe(401);
    child.kill('SIGTERM');
    expect(await ended).toBe(0);
    const all = [...stdout.all, ...stderr.all].join('\n');
    expect(all).not.toMatch(/in-the-(file|env)/);
  });
});

describe('what keeps serve from starting', () => {
  test('a port in use: one line that names --port, and exit code 1', async () => {
    const port = await takenPort();
    const { code, stdout, stderr } = await outcome(['serve', '--port', String(port)]);
    expect(stderr).toEqual([`port ${port} on 127.0.0.1 is taken: choose another with --port or BELFRY_PORT`]);
    expect(stdout).toEqual([]);
    expect(code).toBe(1);
  });

  test('an address of another machine: one line that names --host, and exit code 1', async () => {
    const { code, stderr } = await outcome(['--port', '0', '--host', '192.0.2.1'], {
      env: { BELFRY_ADMIN_TOKEN: 'any-of-sixteen-letters' },
    });
    expect(stderr).toEqual(['192.0.2.1 is not an address of this machine: choose another with --host']);
    expect(code).toBe(1);
  });

  test('faults of the configuration: a line each, and exit code 2', async () => {
    const path = fileWith({ shedules: [], server: { port: '8080' }, schedules: [{ name: 'a', every: 3 }] });
    const { code, stdout, stderr } = await outcomeOf(['serve', '--config', path]);
    expect(code).toBe(2);
    expect(stdout).toEqual([]);
    for (const line of stderr) expect(line.startsWith(`${path}: `)).toBe(true);
    expect(stderr).toContain(`${path}: unknown key "shedules": did you mean "schedules"?`);
    expect(stderr).toContain(`${path}: schedules[0].every: 3 is not a duration: write "3s"`);
    expect(stderr.filter((line) => line.includes('server.port'))).toHaveLength(1);
  });

  test('a file that is not JSON: line and column', async () => {
    const path = fileWith('{\n  "server": oops\n}');
    const { code, stderr } = await outcomeOf(['--config', path]);
    expect(stderr).toHaveLength(1);
    expect(stderr[0]).toMatch(/is not JSON: .*line 2, column 13/);
    expect(code).toBe(2);
  });

  test('a file that is not there', async () => {
    const { code, stderr } = await outcomeOf(['--config', 'none.json']);
    expect(stderr).toEqual(['none.json: cannot be read: there is no such file']);
    expect(code).toBe(2);
  });

  test('an empty --config, as from a variable that is not set', async () => {
    const { code, stderr } = await outcomeOf(['--config', '']);
    expect(stderr).toEqual(['the configuration: "" names no file']);
    expect(code).toBe(2);
  });

  test.each([
    [['--port', 'http'], '--port: "http" is not a port: write a whole number from 0 to 65535'],
    [['--port', '65536'], '--port: "65536" is not a port: write a whole number from 0 to 65535'],
  ])('a wrong value of a flag: %j', async (args, line) => {
    const { code, stderr } = await outcomeOf(args);
    expect(stderr).toEqual([line]);
    expect(code).toBe(2);
  });

  test('an address that others can reach, without a token', async () => {
    const { code, stderr } = await outcomeOf(['--host', '0.0.0.0', '--port', '0']);
    expect(stderr).toHaveLength(1);
    expect(stderr[0]).toContain('BELFRY_ADMIN_TOKEN');
    expect(code).toBe(2);
  });

  test('an address that others can reach, with a token that is too short', async () => {
    const env = { BELFRY_ADMIN_TOKEN: 'fifteen-letters' };
    const { code, stderr } = await outcomeOf(['--host', '0.0.0.0', '--port', '0'], { env });
    expect(stderr).toEqual([
      'the built-in default: the environment variable BELFRY_ADMIN_TOKEN is too short for server.host "0.0.0.0", which others can reach: write at least 16 characters',
    ]);
    expect(code).toBe(2);
  });

  test.each([
    [['--prot', '80'], "error: unknown option '--prot'"],
    [['serve', '--port'], "error: option '--port <number>' argument missing"],
    [['serve', 'serve'], "error: too many arguments for 'serve'"],
    [['serv'], "error: unknown command 'serv': did you mean serve?"],
    [['chek', 'belfry.json'], "error: unknown command 'chek': did you mean check?"],
    [['start'], "error: unknown command 'start': write one of serve, check, explain, store, watch"],
    [['--port', '0', 'check'], 'error: the command comes first: write belfry check …'],
  ])('a flag or command that does not exist: %j', async (args, message) => {
    const { code, stdout, stderr } = await outcomeOf(args);
    expect(stderr[0]).toContain(message);
    expect(stdout).toEqual([]);
    expect(code).toBe(1);
  });
});

describe('check', () => {
  test('shows the next five runs of each schedule', async () => {
    const feed = { type: 'time' };
    const path = fileWith({
      schedules: [
        { name: 'often', every: '250ms', feed },
        { name: 'noon', cron: '0 12 * * *', timezone: 'Europe/Berlin', feed },
      ],
    });
    const { code, stdout, stderr } = await outcomeOf(['check', path]);
    expect(stderr).toEqual([]);
    expect(stdout[0]).toBe(`${path} is in order`);
    expect(stdout[1]).toBe('often: every 250 milliseconds (UTC), feed time');
    expect(stdout[7]).toBe('noon: at 12:00 (Europe/Berlin), feed time');
    const runs = [...stdout.slice(2, 7), ...stdout.slice(8, 13)].map(instantIn);
    expect(runs.every((at) => at > Date.now() - 20_000)).toBe(true);
    expect(runs.slice(0, 5).every((at) => at % 250 === 0)).toBe(true);
    expect(stdout[13]).toMatch(/^memory: /);
    expect(code).toBe(0);
  });

  test('tells the most memory that the limits permit, and what it is made of', async () => {
    const counts = { sockets: 2048, connections: 1024, roomsPerConnection: 1, rooms: 1 };
    const limits = { ...counts, totalBufferedBytes: 1_048_576 };
    const { stdout, stderr } = await outcomeOf(['check', fileWith({ limits })]);
    expect(stdout.slice(1)).toEqual([
      "memory: at most 314 MiB beside the program's own 90 MiB:",
      '  sockets 2048 × 112 KiB, requests that wait in each = 224 MiB',
      '  unsent or half received limits.totalBufferedBytes = 1 MiB',
      '  memberships 1024 × 1 rooms × 70 B = 1 MiB',
      '  history limits.totalHistoryBytes = 64 MiB',
      '  retained messages limits.retainedBytes = 1 MiB',
      '  waiting broadcasts limits.waitingBytes = 8 MiB',
      '  answers for retries limits.idempotencyBytes = 8 MiB',
      '  rooms 1 × 1 KiB = 1 MiB',
      '  admin bodies 4 at a time × 2 × 1024 KiB = 8 MiB',
    ]);
    expect(stderr).toEqual([]);
  });

  test.each([
    [
      { totalBufferedBytes: 1e15 },
      /^the limits permit \d+ MiB with the program, and it may use \d+ MiB: lower /,
    ],
    [{ connections: 0 }, /^nothing bounds the memory: limits\.connections is 0$/],
  ])('warns where limits permit more memory than there is: %j', async (limits, warning) => {
    const { code, stderr } = await outcomeOf(['check', fileWith({ limits })]);
    expect(stderr).toEqual([expect.stringMatching(warning)]);
    expect(code).toBe(0);
  });

  test('without a file it takes the one that serve would take', async () => {
    const path = fileWith({ schedules: [] });
    const { stdout } = await outcomeOf(['check'], { env: { BELFRY_CONFIG: path } });
    expect(stdout[0]).toBe(`${path} is in order`);
    const builtIn = await outcomeOf(['check'], { cwd: emptyFolder() });
    expect(builtIn.stdout[0]).toBe('the built-in default is in order');
  });

  test('prints the faults of a broken file, a line each, with exit code 2', async () => {
    const path = fileWith({ server: { prot: 1 }, rooms: [{ match: '!' }] });
    const { code, stdout, stderr } = await outcomeOf(['check', path]);
    expect(stderr).toHaveLength(2);
    expect(stderr.some((line) => line.includes('did you mean "port"?'))).toBe(true);
    expect(stdout).toEqual([]);
    expect(code).toBe(2);
  });
});

describe('explain', () => {
  const feed = { type: 'time' };
  const nightly = { name: 'nightly', cron: '30 2 * * *', timezone: 'Europe/Berlin', feed };

  test('tells the next runs of a schedule, and what daylight saving does to them', async () => {
    const path = fileWith({ schedules: [nightly] });
    const from = ['--from', '2026-03-28T00:00:00Z', '--count', '3'];
    const { code, stdout, stderr } = await outcomeOf(['explain', 'nightly', '--config', path, ...from]);
    expect(stdout).toEqual([
      'nightly: at 02:30 (Europe/Berlin)',
      '  Sat 2026-03-28 02:30:00+01:00  2026-03-28T01:30:00.000Z',
      '  Sun 2026-03-29 03:00:00+02:00  2026-03-29T01:00:00.000Z  the clocks go forward: 02:30 does not exist, runs at 03:00',
      '  Mon 2026-03-30 02:30:00+02:00  2026-03-30T00:30:00.000Z',
    ]);
    expect(stderr).toEqual([]);
    expect(code).toBe(0);
  });

  test('tells ten from now on where it is asked for nothing else', async () => {
    const { stdout } = await outcomeOf(['explain', 'clock'], { cwd: emptyFolder() });
    expect(stdout[0]).toBe('clock: every 3 seconds (UTC)');
    const runs = stdout.slice(1).map(instantIn);
    expect(runs).toEqual(runs.map((_, index) => (runs[0] ?? 0) + index * 3000));
    expect(runs).toHaveLength(10);
    expect(Math.abs((runs[0] ?? 0) - Date.now())).toBeLessThan(20_000);
  });

  test.each([
    [['clok'], 'there is no schedule "clok"; known: clock'],
    [['clock', '--from', 'tomorrow'], '--from: "tomorrow" is not an instant: write "2026-11-20T18:00:00Z"'],
    [['clock', '--from', '2026-13-01T00:00Z'], '--from: "2026-13-01T00:00Z" is not an instant'],
    [['clock', '--from', '2026-02-30T00:00Z'], '--from: "2026-02-30T00:00Z" is not an instant'],
    [['clock', '--count', '0'], '--count: "0" is not a whole number from 1 to 1000'],
    [['clock', '--count', 'many'], '--count: "many" is not a whole number from 1 to 1000'],
    [[], "error: missing required argument 'schedule'"],
  ])('says what is wrong with %j', async (args, message) => {
    const { code, stdout, stderr } = await outcomeOf(['explain', ...args], { cwd: emptyFolder() });
    expect(stderr).toEqual([expect.stringContaining(message)]);
    expect(stdout).toEqual([]);
    expect(code).toBe(1);
  });
});

test('--version prints the version of the package', async () => {
  expect((await outcomeOf(['--version'])).stdout).toEqual(['0.1.0']);
});

/** The instant that a line tells of. */
function instantIn(line: string): number {
  return Date.parse(/\S+Z/.exec(line)?.[0] ?? '');
}

/** What lines print that are typed into a shell. */
async function paste(lines: readonly string[]): Promise<string> {
  return (await run('bash', ['-c', lines.join('\n')], { env: ownEnv() })).stdout;
}

async function takenPort(): Promise<number> {
  const server = createServer();
  onTestFinished(() => void server.close());
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('not a TCP address');
  return address.port;
}
