import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { ConfigError, formatFaults } from '../../src/config/errors.ts';
import { defaultDocument, findConfig, MAX_FILE_BYTES } from '../../src/config/load.ts';

let cwd: string;
beforeEach(() => {
  cwd = mkdtempSync(join(tmpdir(), 'belfry-config-'));
});
afterEach(() => rmSync(cwd, { recursive: true }));

const write = (name: string, content: string | Buffer) => writeFileSync(join(cwd, name), content);

function linesOf(act: () => unknown): string[] {
  try {
    act();
  } catch (error) {
    if (error instanceof ConfigError) return formatFaults('unused', error);
    throw error;
  }
  throw new Error('no fault was found');
}

describe('findConfig', () => {
  it('takes --config before BELFRY_CONFIG before belfry.json', () => {
    for (const name of ['a.json', 'b.json', 'belfry.json']) write(name, JSON.stringify({ name }));
    const env = { BELFRY_CONFIG: 'b.json' };
    expect(findConfig({ path: 'a.json', env, cwd })).toEqual({
      document: { name: 'a.json' },
      label: 'a.json',
      path: join(cwd, 'a.json'),
      baseDirectory: cwd,
    });
    expect(findConfig({ env, cwd }).label).toBe('b.json');
    expect(findConfig({ env: { BELFRY_CONFIG: '' }, cwd }).label).toBe('belfry.json');
  });

  it('falls back to the built-in default', () => {
    expect(findConfig({ env: {}, cwd })).toEqual({
      document: defaultDocument,
      label: 'the built-in default',
      path: null,
      baseDirectory: cwd,
    });
  });

  it('refuses a file that was named and is not there, and a folder', () => {
    expect(linesOf(() => findConfig({ path: 'no.json', env: {}, cwd }))).toEqual([
      'no.json: cannot be read: there is no such file',
    ]);
    expect(linesOf(() => findConfig({ path: '.', env: {}, cwd }))).toEqual([
      '.: cannot be read: it is a folder',
    ]);
  });

  it('refuses at once what may never end: a pipe, a device, a file of any size', () => {
    execFileSync('mkfifo', [join(cwd, 'pipe')]);
    write('large', '');
    truncateSync(join(cwd, 'large'), MAX_FILE_BYTES + 1);
    symlinkSync('pipe', join(cwd, 'link'));
    const refused = (path: string) => linesOf(() => findConfig({ path, env: {}, cwd }));
    expect(refused('pipe')).toEqual(['pipe: cannot be read: it is a pipe: write it to a file first']);
    expect(refused('link')).toEqual(['link: cannot be read: it is a pipe: write it to a file first']);
    for (const path of ['/dev/zero', '/dev/tty']) {
      expect(refused(path)).toEqual([
        `${path}: cannot be read: it is a device or a socket: only plain files can be read`,
      ]);
    }
    expect(refused('large')).toEqual([
      `large: cannot be read: it is larger than ${MAX_FILE_BYTES} bytes: write a smaller one`,
    ]);
    expect(refused('large/inside')).toEqual([
      'large/inside: cannot be read: a part of its path is no folder',
    ]);
  });

  it('does not take the built-in default where belfry.json is there and cannot be read', () => {
    execFileSync('mkfifo', [join(cwd, 'belfry.json')]);
    expect(linesOf(() => findConfig({ env: {}, cwd }))).toEqual([
      'belfry.json: cannot be read: it is a pipe: write it to a file first',
    ]);
  });

  it('reads a file that claims to be empty', () => {
    expect(linesOf(() => findConfig({ path: '/proc/self/status', env: {}, cwd }))[0]).toContain(
      'is not JSON: line 1, column 1: a value is expected, not "N"',
    );
  });

  it('leaves out a byte order mark', () => {
    write('belfry.json', '\uFEFF{}');
    expect(findConfig({ env: {}, cwd }).document).toEqual({});
  });

  it('refuses what is not UTF-8', () => {
    write('belfry.json', Buffer.from('{"a":1}', 'utf16le').fill(0xff, 0, 1));
    expect(linesOf(() => findConfig({ env: {}, cwd }))).toEqual(['belfry.json: is not UTF-8 text']);
  });

  it('says line and column of what is not JSON', () => {
    write('belfry.json', '{\n  "server": {},\n}');
    expect(linesOf(() => findConfig({ env: {}, cwd }))).toEqual([
      'belfry.json: is not JSON: line 3, column 1: a key in double quotes is expected, not "}"',
    ]);
  });
});
