import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { createBelfry } from '../../src/belfry.ts';
import { outcomeOf } from '../helpers/command.ts';

describe('belfry store', () => {
  let folder: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'belfry-store-'));
    writeFileSync(join(folder, 'belfry.json'), '{"store":{},"rooms":[{"match":"*","history":1000}]}');
  });
  afterEach(() => rmSync(folder, { recursive: true }));

  const file = () => join(folder, 'belfry-data', 'belfry.mdb');
  const config = () => join(folder, 'belfry.json');
  const run = (...args: string[]) => outcomeOf(['store', ...args], { cwd: folder });

  /** Publishes into a server that keeps the store open until the work is done. */
  async function served(count: number, work: () => Promise<void> = async () => {}): Promise<void> {
    const document = JSON.parse(readFileSync(config(), 'utf8'));
    const belfry = createBelfry({ ...document, server: { port: 0 } }, { baseDirectory: folder, env: {} });
    await belfry.start();
    try {
      const target = { rooms: ['lobby'] };
      for (let n = 0; n < count; n++) await belfry.publish({ target, data: 'x'.repeat(1000) });
      await work();
    } finally {
      await belfry.stop(AbortSignal.abort());
    }
  }

  test('check tells what a store has, of the configuration or of a folder', async () => {
    await served(20);
    const line = /^.*belfry\.mdb is in order: 20 messages, 0 records, \d+\.\d MiB$/;
    for (const where of [[], ['--config', config()], ['--path', join(folder, 'belfry-data')]]) {
      const { code, stdout } = await run('check', ...where);
      expect([code, ...stdout]).toEqual([0, expect.stringMatching(line)]);
    }
  });

  test('check names the damage and what to do', async () => {
    await served(20);
    const bytes = readFileSync(file());
    const at = bytes.lastIndexOf('x'.repeat(500));
    bytes.write('y', at);
    writeFileSync(file(), bytes);
    const { code, stderr } = await run('check');
    expect([code, ...stderr]).toEqual([
      1,
      expect.stringMatching(
        `^${file()} is damaged: page \\d+ is damaged: restore a backup, or move the folder away to begin with an empty store$`,
      ),
    ]);
  });

  test('backup copies a store that is in use, and the copy is a store', async () => {
    const target = join(folder, 'backup');
    await served(20, async () => {
      const { code, stdout, stderr } = await run('backup', target);
      expect([stderr, code]).toEqual([[], 0]);
      expect(stdout).toEqual([expect.stringMatching(/backup\/belfry\.mdb: \d+\.\d MiB, checked$/)]);
    });
    expect((await run('check', '--path', target)).stdout[0]).toContain('in order: 20 messages');
    rmSync(join(folder, 'belfry-data'), { recursive: true });
    writeFileSync(config(), '{"store":{"path":"backup"},"rooms":[{"match":"*","history":1000}]}');
    await served(1);
    expect((await run('check')).stdout[0]).toContain('in order: 21 messages');
    const again = await run('backup', target);
    expect([again.code, ...again.stderr]).toEqual([
      1,
      `${join(target, 'belfry.mdb')} is there already: name a folder without a store`,
    ]);
  });

  test('compact gives space back, and keeps what there is', async () => {
    await served(300);
    const before = readFileSync(file()).length;
    const { code, stdout } = await run('compact');
    expect([code, ...stdout]).toEqual([0, expect.stringMatching(/: \d+\.\d MiB before, \d+\.\d MiB now$/)]);
    expect(readFileSync(file()).length).toBeLessThan(before);
    expect(existsSync(`${file()}.compact`)).toBe(false);
    expect((await run('check')).stdout[0]).toContain('in order: 300 messages');
    await served(1);
    expect((await run('check')).stdout[0]).toContain('in order: 301 messages');
  });

  test.each(['check', 'compact'])('%s is refused while a server uses the store', async (command) => {
    await served(1, async () => {
      const { code, stderr } = await run(command);
      expect(code).toBe(1);
      expect(stderr[0]).toContain('is in use by ');
    });
  });

  test('says where there is no store', async () => {
    const nowhere = join(folder, 'nowhere');
    expect((await run('check', '--path', nowhere)).stderr).toEqual([`there is no store in ${nowhere}`]);
    expect(existsSync(nowhere)).toBe(false);
    writeFileSync(config(), '{}');
    const { code, stderr } = await run('compact');
    expect(code).toBe(1);
    expect(stderr[0]).toContain('has no store: write "store": {}, or name its folder with --path');
  });
});
