import { dirname, join } from 'node:path';
import { expect, test, vi } from 'vitest';
import { PATIENCE } from '../feed/upstream.ts';
import { visit } from './listeners.ts';
import { fileWith, serve } from './process.ts';
import { isRunning, pidsIn, STUBBORN_COMMAND } from './stubborn-command.ts';

test.skipIf(process.platform !== 'linux')(
  'a command that does not heed SIGTERM ends with the server',
  async () => {
    const config = fileWith({
      server: { drainSeconds: 0 },
      schedules: [
        { name: 'stays', every: '100ms', timeout: '1m', feed: { type: 'command', argv: STUBBORN_COMMAND } },
      ],
    });
    const server = await serve({ args: ['--config', config] });
    await visit(`${server.url}/rooms/lobby`);
    const started = () => pidsIn(join(dirname(config), 'pids'));
    await vi.waitUntil(() => started().length === 2, PATIENCE);
    expect(started().filter(isRunning)).toHaveLength(2);
    const askedAt = performance.now();
    server.child.kill('SIGTERM');
    expect(await server.ended).toBe(0);
    expect(performance.now() - askedAt).toBeLessThan(4000);
    await vi.waitFor(() => expect(started().filter(isRunning)).toEqual([]), PATIENCE);
  },
);

test('a command gets nothing of the server that the file does not pass on', async () => {
  const env = {
    OPS_TOKEN: 'ops-s3cret-0123456789',
    PRICES_TOKEN: 'prices-s3cret',
    BELFRY_ADMIN_TOKEN: 'admin-s3cret',
  };
  const command = (more: object) => ({ type: 'command', argv: ['env'], ...more });
  const prices = {
    type: 'http',
    url: 'http://127.0.0.1:9/',
    headers: { authorization: `Bearer \${PRICES_TOKEN}` },
  };
  const config = {
    admin: { tokens: [{ name: 'ops', tokenEnv: 'OPS_TOKEN', role: 'operator' }] },
    schedules: [
      { name: 'bare', every: '200ms', feed: command({}) },
      { name: 'passed', every: '200ms', feed: command({ env: { KEY: `is \${PRICES_TOKEN}` } }) },
      { name: 'prices', every: '1h', feed: prices },
    ],
  };
  const server = await serve({ config, env });
  const { received } = await visit(`${server.url}/rooms/lobby`);
  const printed = async (name: string) =>
    String((await received.find(({ tick }) => tick?.schedule === name)).data);
  const bare = await printed('bare');
  expect(bare).toMatch(/^PATH=/m);
  expect(bare).not.toMatch(/s3cret|TOKEN|^(?!PATH|HOME|USER|LOGNAME|SHELL|TMPDIR|TZ|LANG|LC_)/m);
  const passed = await printed('passed');
  expect(passed).toMatch(/^KEY=is prices-s3cret$/m);
  expect(passed).not.toMatch(/TOKEN|ops-|admin-/);
});
