import { cpSync, existsSync, mkdtempSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { closingOf, visit } from './listeners.ts';
import { lives, ready, start } from './process.ts';

const TOP = fileURLToPath(new URL('../../', import.meta.url));
const SLOW_START_MS = 60_000;

describe('npm start', () => {
  // In a copy, because other tests run what was built in the original.
  const cwd = mkdtempSync(join(tmpdir(), 'belfry-start-'));
  afterAll(() => rmSync(cwd, { recursive: true }));
  beforeAll(() => {
    for (const name of [
      'package.json',
      'tsconfig.json',
      'belfry.json',
      'openapi.yaml',
      'docs',
      'src',
      'scripts',
    ]) {
      cpSync(join(TOP, name), join(cwd, name), { recursive: true });
    }
    symlinkSync(join(TOP, 'node_modules'), join(cwd, 'node_modules'));
  });

  /** The build is a script that runs before: it is left out where it has run already. */
  async function npmStart() {
    const options = existsSync(join(cwd, 'dist')) ? ['--ignore-scripts'] : [];
    return ready(start('npm', ['start', ...options, '--', '--port', '0'], { cwd, group: true }));
  }

  test(
    'builds and serves; SIGTERM to npm stops the server with exit code 0 and leaves nothing',
    async () => {
      const server = await npmStart();
      expect(server.banner).toContain('Configuration: belfry.json');
      const { received, over } = await visit(`${server.url}/rooms/lobby`);
      await received.find(({ tick }) => tick !== undefined);
      server.child.kill('SIGTERM');
      expect(await over).toBe(1012);
      expect(await server.ended).toBe(0);
      expect(lives(-server.pid)).toBe(false);
    },
    SLOW_START_MS,
  );

  test(
    'drains at one Ctrl-C, which the terminal sends to npm and the server, and npm to the server',
    async () => {
      const server = await npmStart();
      const visitors = [];
      for (let count = 0; count < 3; count++) visitors.push(await visit(`${server.url}/rooms/lobby`));
      process.kill(-server.pid, 'SIGINT');
      for (const visitor of visitors) {
        expect(await closingOf(visitor)).toMatchObject({ code: 1012 });
        expect(await visitor.over).toBe(1012);
      }
      expect(await server.ended).toBe(0);
      expect(lives(-server.pid)).toBe(false);
    },
    SLOW_START_MS,
  );
});
