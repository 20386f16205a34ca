// Checks every relative import in src, those of types included, against import-rules.json. There each row
// names a folder, or a file at the top, and what it may import besides itself: folders, files, or "*" for
// everything. A file at the top without a row may import everything; a folder must have a row.
//
// Biome can only list what is forbidden, folder by folder: eleven complements of this table.
// dependency-cruiser needs the TypeScript compiler's API to see type imports, which TypeScript 7 does not have.
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path/posix';

const [src = 'src'] = process.argv.slice(2);
const rules = JSON.parse(readFileSync(new URL('import-rules.json', import.meta.url), 'utf8'));

/** `import … from './x.ts'`, `export … from`, `import './x.ts'`, `import('./x.ts')`, over lines too. */
const RELATIVE_IMPORT = /\b(?:from|import)\s*\(?\s*['"](\.[^'"]+)['"]/g;

const faults = readdirSync(src, { recursive: true, encoding: 'utf8' })
  .filter((path) => path.endsWith('.ts'))
  .sort()
  .flatMap(faultsOf);
if (faults.length > 0) {
  process.stderr.write(`${faults.join('\n')}\n`);
  process.exitCode = 1;
}

/** `path` is relative to src, as are all paths below. */
function faultsOf(path) {
  const from = topOf(path);
  const allowed = Object.hasOwn(rules, from) ? rules[from] : from.endsWith('.ts') ? ['*'] : undefined;
  if (!allowed) return [`${join(src, path)}: scripts/import-rules.json has no row for ${from}`];
  const text = readFileSync(join(src, path), 'utf8');
  return [...text.matchAll(RELATIVE_IMPORT)].flatMap(({ 1: specifier, index }) => {
    const imported = relative(src, join(src, dirname(path), specifier));
    const names = [imported, topOf(imported), '*'];
    if (names.some((name) => name === from || allowed.includes(name))) return [];
    const place = `${join(src, path)}:${text.slice(0, index).split('\n').length}`;
    const row = allowed.join(', ') || 'nothing';
    return [`${place}: ${from} imports ${imported}; scripts/import-rules.json allows it ${row}`];
  });
}

/** The folder that a path is in, or the file where it is at the top. */
function topOf(path) {
  return path.split('/')[0];
}
