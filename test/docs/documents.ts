import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const TOP = fileURLToPath(new URL('../../', import.meta.url));

/** README.md and docs/*.md: the path in the repository, and the text. */
export const DOCUMENTS: ReadonlyMap<string, string> = new Map(
  ['README.md', ...readdirSync(join(TOP, 'docs')).map((name) => `docs/${name}`)]
    .filter((path) => path.endsWith('.md'))
    .map((path) => [path, readFileSync(join(TOP, path), 'utf8')]),
);

export interface Block {
  readonly path: string;
  /** What stands behind the three backticks: the language, and what a test does with the block. */
  readonly kind: string;
  readonly text: string;
}

/** Every block of code, in order. */
export const BLOCKS: readonly Block[] = [...DOCUMENTS].flatMap(([path, document]) =>
  [...document.matchAll(/^```(.*)\n([\s\S]*?)^```$/gm)].map(([, kind = '', text = '']) => ({
    path,
    kind,
    text,
  })),
);

/** The text of each block of this kind. */
export function blocks(kind: string): string[] {
  return BLOCKS.filter((block) => block.kind === kind).map(({ text }) => text);
}

export function documentAt(path: string): string {
  const document = DOCUMENTS.get(path);
  if (document === undefined) throw new Error(`there is no ${path}`);
  return document;
}

/**
 * The rows of a table, each a list of cells, without its header. `title` is the first cell of the header;
 * `heading` the chapter, for titles that a document has more than once.
 */
export function table(path: string, title: string, heading?: string): string[][] {
  const document = documentAt(path);
  const chapter =
    heading === undefined ? document : document.split(`\n## ${heading}\n`)[1]?.split('\n## ')[0];
  const lines = (chapter ?? '').split('\n');
  const first = lines.findIndex((line) => line.startsWith(`| ${title} |`));
  if (first === -1) throw new Error(`${path} has no table "${title}"`);
  // The second line of a table is |---|---|.
  const body = lines.slice(first + 2);
  const end = body.findIndex((line) => !line.startsWith('|'));
  const rows = end === -1 ? body : body.slice(0, end);
  return rows.map((row) =>
    row
      .split('|')
      .slice(1, -1)
      .map((cell) => cell.trim()),
  );
}

/** The names between backticks in a text. */
export function named(text: string): string[] {
  return [...text.matchAll(/`([^`]+)`/g)].map(([, name = '']) => name);
}

/** The keys of an object and of what is in it, in their order. */
export function shapeOf(value: unknown): unknown {
  if (typeof value !== 'object' || value === null) return value === null ? 'null' : typeof value;
  return Object.entries(value).map(([key, inside]) => [key, shapeOf(inside)]);
}
