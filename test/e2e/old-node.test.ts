import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { BELFRY, start } from './process.ts';

const { engines } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8'));

/** Runs the program as if by another version of Node. */
async function under(version: string) {
  const pretend = `Object.defineProperty(process, 'versions', { value: { ...process.versions, node: '${version}' } })`;
  const args = ['--import', `data:text/javascript,${encodeURIComponent(pretend)}`, BELFRY, '--version'];
  const running = start(process.execPath, args);
  return { code: await running.ended, stdout: running.stdout.all, stderr: running.stderr.all };
}

test.each(['12.22.12', '18.20.8', '20.18.3'])('Node %s is told which one is needed', async (version) => {
  const { code, stdout, stderr } = await under(version);
  expect(stderr).toEqual([
    `Belfry needs Node 20.19 or newer, and this is Node ${version}: install a newer one, for example from https://nodejs.org`,
  ]);
  expect(stdout).toEqual([]);
  expect(code).toBe(1);
  expect(engines.node).toBe('>=20.19');
});

test.each(['20.19.0', '22.0.0'])('Node %s runs it', async (version) => {
  expect(await under(version)).toEqual({ code: 0, stdout: ['0.1.0'], stderr: [] });
});

test('the file that says so imports nothing first, and holds nothing that Node 12 cannot read', () => {
  const text = readFileSync(BELFRY, 'utf8');
  expect(text).not.toMatch(/^import /m);
  // Top-level await is from 14.8, ?. and ?? from 14.0, ??= and ||= from 15.0.
  expect(text).not.toMatch(/\bawait\b|\?\.|\?\?|\|\|=/);
});
