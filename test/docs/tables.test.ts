import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { parse } from 'yaml';
import { createBelfry } from '../../src/belfry.ts';
import { parseConfig } from '../../src/config/parse.ts';
import { feedKinds } from '../../src/feed/kinds.ts';
import type { RefusalReason } from '../../src/hub/errors.ts';
import { RECORD_KINDS } from '../../src/log/log.ts';
import { STORE_FILE } from '../../src/log/store-file.ts';
import { REASONS } from '../../src/protocol/status.ts';
import { outcomeOf } from '../helpers/command.ts';
import { documentAt, named, TOP, table } from './documents.ts';

const CONFIGURATION = 'docs/configuration.md';
const DELIVERY = 'docs/delivery.md';

/** A part of a JSON Schema, as far as tests look into it. */
interface Schema {
  readonly properties: Readonly<Record<string, Schema>>;
  readonly items: Schema;
  readonly oneOf: readonly Schema[];
  readonly const?: string;
  readonly default?: unknown;
}

const schema: Schema = JSON.parse(readFileSync(join(TOP, 'belfry.schema.json'), 'utf8'));
const openapi = parse(readFileSync(join(TOP, 'openapi.yaml'), 'utf8'));

describe('docs/configuration.md', () => {
  const { access, server, admin, rooms, schedules, store, limits } = schema.properties;
  // The schema leaves out the default of a list whose entries are changed by parsing.
  const inForce = parseConfig({}, { feedKinds, env: {} });
  test.each([
    ['Schedules', schedules?.items, {}],
    ['Rooms', rooms?.items, {}],
    ['Tokens of listeners', access, {}],
    ['Tokens of the admin API', admin?.properties.tokens?.items, {}],
    ['Server', server, inForce.server],
    ['Store', store, {}],
    ['Limits', limits, inForce.limits],
  ])('has each key of its chapter "%s", with its default', (heading, part, defaults: object) => {
    const told = table(CONFIGURATION, 'key', heading).map(([key, byDefault]) => [key, byDefault]);
    expect(told.sort()).toEqual(
      Object.entries(part?.properties ?? {})
        .map(([key, of]) => [
          `\`${key}\``,
          defaultOf({ ...of, default: Object(defaults)[key] ?? of.default }),
        ])
        .sort(),
    );
  });

  test('has no chapter less than the file has keys', () => {
    const keys = Object.keys(schema.properties);
    expect(keys.sort()).toEqual([
      '$schema',
      'access',
      'admin',
      'limits',
      'rooms',
      'schedules',
      'server',
      'store',
    ]);
    const page = documentAt(CONFIGURATION);
    for (const key of keys) expect(page.includes(`\`${key}`) || page.includes(`"${key}"`), key).toBe(true);
  });

  test('has each type of feed, with its keys and their defaults', () => {
    const told = table(CONFIGURATION, '`type`').map(([type, keys = '']) => [
      type,
      keys === '' ? [] : keys.split(', ').sort(),
    ]);
    const kinds = schedules?.items.properties.feed?.oneOf ?? [];
    expect(kinds.length).toBeGreaterThan(5);
    expect(told.sort()).toEqual(
      kinds
        .map(({ properties: { type, ...options } }) => [
          `\`"${type?.const}"\``,
          Object.entries(options)
            .map(([key, of]) => `\`${key}\`${of.default === undefined ? '' : ` (${defaultOf(of)})`}`)
            .sort(),
        ])
        .sort(),
    );
  });

  test('has each command, with its options', async () => {
    const help = async (...args: string[]) => (await outcomeOf([...args, '--help'])).stdout.join('\n');
    const commands = (await help()).split('\nCommands:\n')[1]?.matchAll(/^ {2}(\w+)/gm) ?? [];
    const names = [...commands].map(([, name = '']) => name).filter((name) => name !== 'help');
    const told = table(CONFIGURATION, 'command');
    expect(told.map(([command]) => command).sort()).toEqual(names.map((name) => `\`${name}\``).sort());
    const texts = await Promise.all(names.map((name) => help(name)));
    for (const [at, name] of names.entries()) {
      const options = [...(texts[at] ?? '').matchAll(/^ {2}(?:-\w, )?(--\w+)/gm)].map(([, option]) => option);
      const [, does = ''] = told.find(([command]) => command === `\`${name}\``) ?? [];
      const given = named(does).filter((option) => option.startsWith('--'));
      expect([name, ...given, '--help']).toEqual([name, ...options]);
    }
  });

  test('has each environment variable', () => {
    const sources = readdirSync(join(TOP, 'src'), { recursive: true, encoding: 'utf8' })
      .filter((path) => path.endsWith('.ts'))
      .map((path) => readFileSync(join(TOP, 'src', path), 'utf8'));
    const used = new Set(sources.flatMap((source) => source.match(/\bBELFRY_[A-Z_]+\b/g) ?? []));
    const told = table(CONFIGURATION, 'variable').flatMap(([variable = '']) => named(variable));
    expect(told.sort()).toEqual([...used].sort());
  });
});

describe('docs/storage.md', () => {
  const STORAGE = 'docs/storage.md';

  test('has each command of belfry store, and their options', async () => {
    const { stdout } = await outcomeOf(['store', '--help']);
    const commands =
      stdout
        .join('\n')
        .split('\nCommands:\n')[1]
        ?.matchAll(/^ {2}(\w+)/gm) ?? [];
    const names = [...commands].map(([, name = '']) => name).filter((name) => name !== 'help');
    expect(table(STORAGE, 'command').map(([command]) => command)).toEqual(names.map((name) => `\`${name}\``));
    for (const name of names) {
      const help = (await outcomeOf(['store', name, '--help'])).stdout.join('\n');
      const options = [...help.matchAll(/^ {2}(?:-\w, )?(--\w+)/gm)].map(([, option]) => option);
      expect(options).toEqual(['--config', '--path', '--help']);
    }
    expect(documentAt(STORAGE)).toMatch(/`--config` .* `--path` /);
  });

  test('has all that is kept, and the files', () => {
    const kept = table(STORAGE, 'what', 'What is kept').map(([what]) => what);
    expect(kept).toEqual(['messages', ...RECORD_KINDS].map((kind) => `\`${kind}\``));
    const files = table(STORAGE, 'file').map(([file]) => file);
    expect(files.slice(0, 2)).toEqual([`\`${STORE_FILE}\``, `\`${STORE_FILE}-lock\``]);
  });
});

describe('docs/delivery.md', () => {
  test('has each reason that a status can give', () => {
    const told = table(DELIVERY, '`reason`').map(([reason]) => reason);
    expect(told.sort()).toEqual(
      Object.keys(REASONS)
        .map((reason) => `\`${reason}\``)
        .sort(),
    );
    expect(documentAt(DELIVERY)).toContain('"missedAtLeast":true');
  });

  test('has each field of a tick', () => {
    const told = table(DELIVERY, 'field of `tick`').flatMap(([field = '']) => named(field));
    expect(told).toEqual(Object.keys(openapi.components.schemas.Tick.properties));
  });
});

describe('docs/admin.md', () => {
  test('has each call of the admin API, with the least role that it is for', () => {
    const paths = Object.entries<Record<string, { 'x-roles': readonly string[] }>>(openapi.paths);
    const calls = paths
      .filter(([path]) => path.startsWith('/admin') || path === '/rooms/{room}')
      .flatMap(([path, { get, ...methods }]) =>
        Object.entries(path.startsWith('/admin') && get ? { get, ...methods } : methods).map(
          ([method, { 'x-roles': roles }]) => [`\`${method.toUpperCase()} ${path}\``, roles[0]],
        ),
      );
    expect(calls.length).toBeGreaterThan(15);
    const told = table('docs/admin.md', 'call').map(([call, role]) => [call, role]);
    expect(told.sort()).toEqual(calls.sort());
  });
});

describe('docs/metrics.md', () => {
  // The metrics themselves are compared in observe/metrics.test.ts.
  test('has each reason of a refusal', () => {
    // The type checker holds this to `RefusalReason`, of which nothing is there at run time.
    const reasons = {
      address: true,
      attempts: true,
      conflict: true,
      draining: true,
      full: true,
      host: true,
      input: true,
      internal: true,
      lock: true,
      method: true,
      origin: true,
      rate: true,
      representation: true,
      role: true,
      rooms: true,
      rule: true,
      size: true,
      timeout: true,
      token: true,
      type: true,
      unknown: true,
      upgrade: true,
    } satisfies Record<RefusalReason, true>;
    const told = table('docs/metrics.md', 'reason').flatMap(([reason = '']) => named(reason));
    expect(told).toEqual(Object.keys(reasons));
  });
});

describe('docs/embedding.md', () => {
  const names = (title: string) => table('docs/embedding.md', title).flatMap(([name = '']) => named(name));

  test('has each member of what createBelfry returns', () => {
    expect(names('member').sort()).toEqual(Object.keys(createBelfry({}, { env: {} })).sort());
  });

  test('has each name that the package exports, types included', () => {
    const { exports } = JSON.parse(readFileSync(join(TOP, 'package.json'), 'utf8'));
    const declarations = readFileSync(join(TOP, exports['.'].types), 'utf8');
    expect(declarations).not.toMatch(/^export (?:\*|default)/m);
    const lists = [...declarations.matchAll(/^export (?:type )?\{([^}]*)\}/gm)].flatMap(([, list = '']) =>
      list.split(',').map((name) =>
        name
          .trim()
          .replace(/^type /, '')
          .replace(/^.* as /, ''),
      ),
    );
    const declared = [
      ...declarations.matchAll(
        /^export (?:declare )?(?:abstract )?(?:function|class|const|interface|type) (\w+)/gm,
      ),
    ].map(([, name = '']) => name);
    expect(names('name').sort()).toEqual([...lists, ...declared].filter((name) => name !== '').sort());
  });
});

/** As the tables write it. */
function defaultOf(part: Schema): string {
  return part.default === undefined ? '' : `\`${JSON.stringify(part.default)}\``;
}
