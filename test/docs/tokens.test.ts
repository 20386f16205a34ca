import { execFile } from 'node:child_process';
import { symlinkSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';
import { fileWith, ownEnv, serve } from '../e2e/process.ts';
import { blocks, TOP } from './documents.ts';

test('docs/tokens.md has lines that make a token, listen with it and publish', async () => {
  const [config = ''] = blocks('json access');
  const [lines = ''] = blocks('sh token');
  const path = fileWith(config, 'wall.json');
  const cwd = dirname(path);
  symlinkSync(join(TOP, 'dist'), join(cwd, 'dist'));
  // A status of 400 or more is an error to curl then.
  const env = {
    WALL_SECRET: 'a-secret-of-thirty-two-bytes-or-more',
    CURL_HOME: dirname(fileWith('fail\n', '.curlrc')),
    BELFRY_ADMIN_TOKEN: 'an-operators-token',
  };
  const { url } = await serve({ args: ['--config', path], env });
  const script = `set -e\n${lines.replaceAll('127.0.0.1:8080', new URL(url).host)}`;
  const { stdout } = await promisify(execFile)('bash', ['-c', script], { cwd, env: { ...ownEnv(), ...env } });
  const answers = stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line));
  expect(answers).toMatchObject([
    { room: 'ops-1', events: [] },
    { rooms: [], connections: 0, kept: true },
    { room: 'ops-1', events: [{ data: 'Lunch is ready', from: { user: 'wall-1' } }] },
  ]);
});
