import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { documentAt, named, TOP, table } from './documents.ts';

const SECURITY = 'docs/security.md';

interface Schema {
  readonly properties: Readonly<Record<string, Schema>>;
}

const schema: Schema = JSON.parse(readFileSync(join(TOP, 'belfry.schema.json'), 'utf8'));

describe('docs/security.md', () => {
  const threats = table(SECURITY, 'threat');

  test('names for each threat a file of the source or a key, and a test, that exist', () => {
    expect(threats.length).toBeGreaterThan(20);
    for (const [threat, , where = '', shown = ''] of threats) {
      expect(named(where), threat).not.toEqual([]);
      for (const name of named(where)) expect([threat, name, isThere(name)]).toEqual([threat, name, true]);
      expect(named(shown), threat).not.toEqual([]);
      for (const path of named(shown)) {
        expect(path).toMatch(/^test\/.+\.test\.ts$/);
        expect(existsSync(join(TOP, path)), path).toBe(true);
      }
    }
  });

  test('names only metrics and reasons that exist', () => {
    const metrics = documentAt(SECURITY).match(/belfry_\w+/g) ?? [];
    expect(metrics.length).toBeGreaterThan(0);
    for (const metric of metrics) expect(documentAt('docs/metrics.md')).toContain(`\`${metric}\``);
  });

  test('is linked from the pages that it is about', () => {
    for (const path of ['docs/proxies.md', 'docs/admin.md', 'docs/configuration.md'])
      expect(documentAt(path), path).toContain('](security.md');
  });
});

/** Whether a file of `src`, or a key of the configuration, is there. */
function isThere(name: string): boolean {
  if (name.endsWith('.ts')) return existsSync(join(TOP, 'src', name));
  let at: Schema | undefined = schema;
  for (const key of name.split('.')) at = at?.properties?.[key];
  return at !== undefined;
}
