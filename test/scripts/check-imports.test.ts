import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it, onTestFinished } from 'vitest';

const SCRIPT = fileURLToPath(new URL('../../scripts/check-imports.mjs', import.meta.url));

/** Runs the check on a folder with these files; their paths are relative to it. */
function check(files: Readonly<Record<string, string>>) {
  const src = mkdtempSync(join(tmpdir(), 'belfry-imports-'));
  onTestFinished(() => rmSync(src, { recursive: true }));
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(dirname(join(src, path)), { recursive: true });
    writeFileSync(join(src, path), text);
  }
  const { status, stderr } = spawnSync(process.execPath, [SCRIPT, src], { encoding: 'utf8' });
  return { status, faults: stderr.replaceAll(`${src}/`, '').split('\n').filter(Boolean) };
}

describe('check-imports', () => {
  it('finds nothing in src', () => {
    const src = fileURLToPath(new URL('../../src', import.meta.url));
    const { status, stderr } = spawnSync(process.execPath, [SCRIPT, src], { encoding: 'utf8' });
    expect(stderr).toBe('');
    expect(status).toBe(0);
  });

  it.each([
    `import { a } from '../feed/a.ts';`,
    `import type { A } from '../feed/a.ts';`,
    `import {\n  a,\n  b,\n} from '../feed/a.ts';`,
    `export * from '../feed/a.ts';`,
    `import '../feed/a.ts';`,
    `const a = await import('../feed/a.ts');`,
    `type A = import('../feed/a.ts').A;`,
    `import { a } from '../../feed/a.ts';`,
  ])('sees %j', (text) => {
    const path = text.includes('../../') ? 'hub/deep/b.ts' : 'hub/b.ts';
    const { status, faults } = check({ [path]: text, 'feed/a.ts': '' });
    expect(faults).toEqual([expect.stringMatching(/^hub\/(deep\/)?b\.ts:\d: hub imports feed\/a\.ts; /)]);
    expect(status).toBe(1);
  });

  it('allows a folder what its row names, and itself', () => {
    const text = `\nimport '../hub/a.ts';\nimport './b.ts';\nimport '../clock.ts';\nimport 'zod';`;
    expect(check({ 'schedule/c.ts': text })).toEqual({ status: 0, faults: [] });
  });

  it('allows of a folder only the file that is named', () => {
    expect(check({ 'config/a.ts': `import '../hub/event.ts';` }).faults).toEqual([]);
    expect(check({ 'config/a.ts': `import '../hub/hub.ts';` }).faults).toHaveLength(1);
  });

  it('wants a row for every folder, but not for a file at the top', () => {
    expect(check({ 'unknown/a.ts': '' }).faults).toEqual([
      'unknown/a.ts: scripts/import-rules.json has no row for unknown',
    ]);
    expect(check({ 'server.ts': `import './feed/a.ts';` }).faults).toEqual([]);
    expect(check({ 'clock.ts': `import './feed/a.ts';` }).faults).toHaveLength(1);
  });
});
