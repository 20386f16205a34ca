import { execFile } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, symlinkSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { EventSource } from 'eventsource';
import { describe, expect, onTestFinished, test } from 'vitest';
import { WebSocket } from 'ws';
import { parseConfig } from '../../src/config/parse.ts';
import { feedKinds } from '../../src/feed/kinds.ts';
import { REASONS } from '../../src/feed/reason.ts';
import { Collected } from '../e2e/collected.ts';
import { isTick, type Received, visit } from '../e2e/listeners.ts';
import { fileWith, ownEnv, serve, start } from '../e2e/process.ts';

const run = promisify(execFile);
const TOP = fileURLToPath(new URL('../../', import.meta.url));
const README = readFileSync(join(TOP, 'README.md'), 'utf8');
const ADDRESS = /(?<=\/\/)127\.0\.0\.1:8080/g;

/** Every block of code: what stands behind its three backticks says what it is for. */
const BLOCKS = [...README.matchAll(/^```(.*)\n([\s\S]*?)^```$/gm)].map(([, kind = '', text = '']) => ({
  kind,
  text,
}));

describe('README.md', () => {
  test('has no block of code that nothing tries', () => {
    const tried = [
      'sh run',
      'sh stream',
      'sh serve',
      'js browser',
      'js program',
      'json config',
      'json tick',
      'json status',
    ];
    // The lines for nginx are tried in e2e/nginx.test.ts.
    const elsewhere = ['json message', 'nginx', 'text'];
    const others = BLOCKS.filter(({ kind }) => ![...tried, ...elsewhere].includes(kind));
    // `npm start` is tried in e2e/npm-start.test.ts, `npm test` by whoever reads this.
    expect(others.map(({ text }) => text)).toEqual([
      'npm ci && npm start\n',
      'npm ci && npm test\n',
      'npm install ../belfry\n',
    ]);
    for (const kind of tried) expect(blocks(kind)).not.toEqual([]);
  });

  test('shows configurations that are in order', () => {
    const env = { OPS_TOKEN: 'a', MONITOR_TOKEN: 'b', PRICES_TOKEN: 'c' };
    for (const text of blocks('json config')) {
      expect(() => parseConfig(JSON.parse(text), { feedKinds, env })).not.toThrow();
    }
  });

  test('tells of every key of the configuration, with its default', () => {
    const schema: unknown = JSON.parse(readFileSync(join(TOP, 'belfry.schema.json'), 'utf8'));
    const [chapter = ''] = README.split('\n## The configuration\n')[1]?.split('\n## ') ?? [];
    const rows = [...chapter.matchAll(/^\| `(\w+)` \| (.*?) ?\|/gm)];
    const told = new Map(rows.map(([, key = '', byDefault = '']) => [key, byDefault.replaceAll('`', '')]));
    const keys = keysOf(schema).filter(([key]) => key !== '$schema');
    expect(keys.length).toBeGreaterThan(50);
    const untold = keys.filter(([key]) => !new RegExp(`[\`"]${key}[\`"]`).test(chapter));
    expect(untold).toEqual([]);
    const numbers = keys.filter(([key, byDefault]) => typeof byDefault === 'number' && told.has(key));
    expect(numbers.length).toBeGreaterThan(20);
    for (const [key, byDefault] of numbers) expect([key, told.get(key)]).toEqual([key, String(byDefault)]);
  });

  test('names every reason that a status can give, and what may be beside it', () => {
    for (const reason of [...Object.keys(REASONS), 'missedAtLeast'])
      expect(README).toContain(`\`${reason}\``);
  });

  test('shows ticks and messages as they are', async () => {
    const schedules = [
      { name: 'clock', every: '200ms', feed: { type: 'time' } },
      { name: 'prices', every: '200ms', feed: { type: 'file', path: 'missing' } },
    ];
    const { url, token } = await serve({ config: { schedules } });
    const { received } = await visit(`${url}/rooms/lobby`);
    const headers = { authorization: `Bearer ${token}` };
    await fetch(`${url}/admin/broadcast`, { method: 'POST', headers, body: '{"data":"hi"}' });
    const tick = await received.find((one) => isTick(one) && one.tick?.previous !== null);
    const message = await received.find(({ event }) => event === 'message');
    const status = await received.find(({ event }) => event === 'status');
    expect(shapeOf(JSON.parse(blocks('json tick')[0] ?? ''))).toEqual(shapeOf(tick));
    expect(shapeOf(JSON.parse(blocks('json status')[0] ?? ''))).toEqual(shapeOf(status));
    expect(shapeOf(JSON.parse(blocks('json message')[0] ?? ''))).toEqual(shapeOf(message));
  });

  test('has command lines that work one after the other', async () => {
    const { url, token } = await serve();
    await visit(`${url}/rooms/lobby`);
    const host = new URL(url).host;
    const env = { ...ownEnv(), BELFRY_ADMIN_TOKEN: token };
    for (const line of blocks('sh run').flatMap((block) => block.split('\n'))) {
      if (line === '' || line.startsWith('#')) continue;
      const options = { cwd: TOP, env };
      const { stdout, stderr } = await run('bash', ['-c', line.replace(ADDRESS, host)], options);
      expect(stderr, line).toBe('');
      if (stdout.startsWith('{')) expect(JSON.parse(stdout).status, `${line}\n${stdout}`).toBeUndefined();
      else expect(stdout, line).toMatch(/^openapi: |^belfry\.json is in order|^clock: every 3 seconds/);
    }
  });

  test('has command lines that show what happens', async () => {
    const { url } = await serve();
    for (const block of blocks('sh stream')) {
      const line = `exec ${block.trim().replace(ADDRESS, new URL(url).host)}`;
      const running = start('bash', ['-c', line], { cwd: TOP });
      await running.stdout.find((text) => text.includes('"unixMs"'));
      running.child.kill('SIGINT');
      await running.ended;
    }
  });

  test('has a command line that lets others in', async () => {
    const line = (blocks('sh serve')[0] ?? '').trim().replace('--port 8080', '--port 0');
    const running = start('bash', ['-c', `${line} & wait`], { cwd: TOP, group: true });
    await running.stderr.find((text) => text === 'Whoever reaches 0.0.0.0 can connect.');
  });

  test('has lines for a page that hear the time, and what they publish themselves', async () => {
    const { url } = await serve({ config: JSON.parse(readFileSync(join(TOP, 'belfry.json'), 'utf8')) });
    const heard = new Collected<Received>();
    const opened: { close(): void }[] = [];
    onTestFinished(() => {
      for (const each of opened) each.close();
    });
    const kept = <Made extends { close(): void }>(made: Made): Made => {
      opened.push(made);
      return made;
    };
    // Both are made with `new`, which a function that returns an object allows.
    const parts = {
      WebSocket: function open(address: string) {
        return kept(new WebSocket(address));
      },
      EventSource: function open(address: string) {
        return kept(new EventSource(address));
      },
      console: { log: (object: Received) => heard.push(object) },
    };
    for (const block of blocks('js browser')) {
      const code = block.replace(ADDRESS, new URL(url).host);
      new Function(...Object.keys(parts), code)(...Object.values(parts));
    }
    await heard.several(3, ({ tick }) => tick !== undefined);
    await heard.find(({ reply, error }) => reply === 'publish' && error === undefined);
    await heard.several(3, ({ data }) => JSON.stringify(data) === '{"text":"hello"}');
  });

  test('has a program that runs to its end', async () => {
    const program = fileWith(blocks('js program')[0] ?? '', 'program.mjs');
    const folder = dirname(program);
    mkdirSync(join(folder, 'node_modules'));
    symlinkSync(TOP, join(folder, 'node_modules/belfry'));
    const running = start(process.execPath, [program], { cwd: folder });
    expect(await running.ended).toBe(0);
    expect(running.stderr.all).toEqual([]);
    expect(running.stdout.all).toEqual([
      expect.stringMatching(/^http:\/\/127\.0\.0\.1:\d+\/rooms\/lobby$/),
      "lobby { text: 'up' }",
    ]);
  });

  test('names files and folders that are there', () => {
    const tree = BLOCKS.find(({ text }) => text.startsWith('src/'))?.text ?? '';
    const names = [...tree.matchAll(/^ {2}([\w./-]+)|^(\w+\/)/gm)].map(([, inside, top]) =>
      inside === undefined ? (top ?? '') : `src/${inside}`,
    );
    expect(names.length).toBeGreaterThan(10);
    for (const name of names) expect(existsSync(join(TOP, name)), name).toBe(true);
    const files = readdirSync(join(TOP, 'src')).filter((name) => name.endsWith('.ts'));
    expect([...new Set(tree.match(/[\w-]+\.ts/g))].sort()).toEqual(files.sort());
  });

  test('names every program without which tests are skipped', () => {
    const tests = readdirSync(join(TOP, 'test'), { recursive: true, encoding: 'utf8' });
    const sources = tests
      .filter((path) => path.endsWith('.test.ts'))
      .map((path) => readFileSync(join(TOP, 'test', path), 'utf8'));
    const programs = sources.flatMap((source) =>
      [...source.matchAll(/requireTool\((?:'[\w-]+', )?'([\w-]+)'\)/g)].map(([, program]) => program),
    );
    expect(programs).toContain('nginx');
    const [paragraph = ''] = README.match(/^runs the tests\.[\s\S]*?\n\n/m) ?? [];
    for (const program of new Set(programs)) expect(paragraph).toContain(`\`${program}\``);
  });

  test('tells of imports what lint holds', () => {
    const lint: { overrides: Override[] } = JSON.parse(readFileSync(join(TOP, 'biome.json'), 'utf8'));
    const rows = README.split('\n').filter((line) => line.startsWith('| `'));
    const told = rows.flatMap((row) => {
      const [, folders = '', allowed = ''] = row.split('|');
      return named(folders).map(
        (folder) => [folder, named(allowed).filter((name) => !name.includes('.'))] as const,
      );
    });
    const held = lint.overrides.map(({ includes, linter }) => {
      const group = linter.rules.style.noRestrictedImports.options.patterns.flatMap(
        (pattern) => pattern.group,
      );
      return [/src\/(\w+)/.exec(includes[0] ?? '')?.[1] ?? '', group] as const;
    });
    expect(held.length).toBeGreaterThan(8);
    for (const [folder, forbidden] of held) {
      const allowed = told.find(([name]) => name === folder)?.[1];
      expect(allowed, folder).toBeDefined();
      for (const [other] of held) {
        const isAllowed = other === folder || (allowed ?? []).some((name) => name.split('/')[0] === other);
        expect(forbidden.includes(`**/${other}/**`), `${folder} imports ${other}`).toBe(!isAllowed);
      }
    }
  });
});

interface Override {
  readonly includes: readonly string[];
  readonly linter: {
    readonly rules: {
      readonly style: {
        readonly noRestrictedImports: {
          readonly options: { readonly patterns: { readonly group: string[] }[] };
        };
      };
    };
  };
}

/** Every key that a schema has at any depth, with its default. */
function keysOf(schema: unknown): [key: string, byDefault: unknown][] {
  if (typeof schema !== 'object' || schema === null) return [];
  return Object.entries(schema).flatMap(([word, part]): [string, unknown][] => {
    if (word !== 'properties') return keysOf(part);
    const keys = Object.entries(Object(part));
    return keys.flatMap(([key, of]) => [[key, Object(of).default], ...keysOf(of)]);
  });
}

function blocks(kind: string): string[] {
  return BLOCKS.filter((block) => block.kind === kind).map(({ text }) => text);
}

function named(cell: string): string[] {
  return [...cell.matchAll(/`([^`]+)`/g)].map(([, name = '']) => name);
}

/** The keys of an object and of what is in it, in their order. */
function shapeOf(value: unknown): unknown {
  if (typeof value !== 'object' || value === null) return typeof value === 'object' ? 'null' : typeof value;
  return Object.entries(value).map(([key, inside]) => [key, shapeOf(inside)]);
}
