import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { BLOCKS, DOCUMENTS, documentAt, named, TOP, table } from './documents.ts';

const DEVELOPMENT = 'docs/development.md';
const { scripts, files }: { scripts: Record<string, string>; files: string[] } = JSON.parse(
  readFileSync(join(TOP, 'package.json'), 'utf8'),
);

describe('the documents', () => {
  test('link to files and headings that exist', () => {
    for (const [path, document] of DOCUMENTS) {
      for (const [, link = ''] of document.matchAll(/\]\((?!https?:)([^)]+)\)/g)) {
        const [file = '', anchor] = link.split('#');
        const target = file === '' ? path : join(dirname(path), file);
        expect(existsSync(join(TOP, target)), `${path}: ${link}`).toBe(true);
        if (anchor !== undefined) expect(anchorsOf(documentAt(target)), `${path}: ${link}`).toContain(anchor);
      }
    }
  });

  test('are all named in the README, and part of the package', () => {
    const readme = documentAt('README.md');
    for (const path of DOCUMENTS.keys()) if (path !== 'README.md') expect(readme).toContain(`](${path})`);
    expect(files).toContain('docs');
  });

  test('name scripts and benchmarks that exist', () => {
    const text = [...DOCUMENTS.values()].join('\n');
    const run = [...text.matchAll(/npm run (?:-s )?([\w:-]+)/g)].map(([, name = '']) => name);
    expect(run.filter((name) => !(name in scripts))).toEqual([]);
    const benches = [...text.matchAll(/npm run bench ([a-z ]+)/g)].flatMap(([, names = '']) =>
      names.trim().split(' '),
    );
    const measured = table('docs/performance.md', 'question').flatMap(([cell = '']) =>
      named(cell).slice(0, 1),
    );
    expect(measured.length).toBeGreaterThan(5);
    const folder = join(TOP, 'bench/scenarios');
    const sources = readdirSync(folder).map((path) => readFileSync(join(folder, path), 'utf8'));
    const scenarios = sources.flatMap((source) =>
      [...source.matchAll(/^ +name: '(\w+)',$/gm)].map(([, name]) => name),
    );
    expect(scenarios).toEqual(expect.arrayContaining([...benches, ...measured]));
  });
});

describe('README.md', () => {
  test('shows a picture of the room page on its first screen', () => {
    const picture = documentAt('README.md').split('\n').slice(0, 15).join('\n');
    expect(picture).toContain('](docs/room.png)');
    expect(statSync(join(TOP, 'docs/room.png')).size).toBeLessThan(150_000);
  });

  test('names every program without which tests are skipped', () => {
    const tests = readdirSync(join(TOP, 'test'), { recursive: true, encoding: 'utf8' });
    const sources = tests
      .filter((path) => path.endsWith('.ts') && !path.includes('node_modules'))
      .map((path) => readFileSync(join(TOP, 'test', path), 'utf8'));
    const programs = sources.flatMap((source) =>
      [...source.matchAll(/requireTool\((?:'[\w-]+', )?'([\w-]+)'\)/g)].map(([, program]) => program),
    );
    expect(programs).toContain('nginx');
    const [paragraph = ''] = documentAt('README.md').match(/^runs the tests\.[\s\S]*?\n\n/m) ?? [];
    for (const program of new Set(programs)) expect(paragraph).toContain(`\`${program}\``);
  });
});

describe('docs/development.md', () => {
  test('names each script of package.json', () => {
    const told = table(DEVELOPMENT, 'script').flatMap(([script = '']) => named(script));
    const hooks = Object.keys(scripts).filter(
      (name) => name.replace(/^pre/, '') in scripts && /^pre/.test(name),
    );
    const expected = Object.keys(scripts).filter((name) => !hooks.includes(name));
    expect(told.map((line) => line.replace(/^npm (?:run )?/, '')).sort()).toEqual(expected.sort());
  });

  test('names files and folders that exist, and each file of src itself', () => {
    const tree = BLOCKS.find(({ path, text }) => path === DEVELOPMENT && text.startsWith('src/'))?.text ?? '';
    const names = [...tree.matchAll(/^ {2}([\w./-]+)|^(\w+\/)/gm)].map(([, inside, top]) =>
      inside === undefined ? (top ?? '') : `src/${inside}`,
    );
    expect(names.length).toBeGreaterThan(10);
    for (const name of names) expect(existsSync(join(TOP, name)), name).toBe(true);
    const own = readdirSync(join(TOP, 'src')).filter((name) => name.endsWith('.ts'));
    expect([...new Set(tree.match(/[\w-]+\.ts/g))].sort()).toEqual(own.sort());
  });
});

/** The anchors of a document's headings, as GitHub makes them. */
function anchorsOf(document: string): string[] {
  return [...document.matchAll(/^#+ (.*)$/gm)].map(([, heading = '']) =>
    heading
      .toLowerCase()
      .replace(/[^\w -]/g, '')
      .replaceAll(' ', '-'),
  );
}
