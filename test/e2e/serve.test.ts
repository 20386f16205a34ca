import { execFile } from 'node:child_process';
import { createServer } from 'node:net';
import { promisify } from 'node:util';
import { describe, expect, onTestFinished, test } from 'vitest';
import { outcomeOf } from '../helpers/command.ts';
import { stream } from './listeners.ts';
import { fileWith, outcome, ownEnv, serve } from './process.ts';

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
});

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
