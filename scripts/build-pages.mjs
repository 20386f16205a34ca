// Builds what browsers load, next to the compiled code, each file compressed as well:
// dist/client/browser.js  the client library as one module
// dist/assets/            the pages' scripts, styles and pictures, whose names hold a hash of their content
// dist/*.html             the pages, with the names of those files in their links
// Types are not checked here: `npm run typecheck` does it.
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { brotliCompressSync, gzipSync } from 'node:zlib';

// So that each call waits until esbuild's process has ended: none outlives this script.
process.env.ESBUILD_WORKER_THREADS = '0';
const { buildSync } = await import('esbuild');

const path = (name) => fileURLToPath(new URL(`../${name}`, import.meta.url));
const SOURCE = path('src/pages');
const ASSETS = path('dist/assets');

/** What pages link to; the style that a script imports is built beside it under its name. */
const SCRIPTS = { wall: 'wall/main.tsx', inspector: 'inspector/inspector.ts' };
const OTHERS = { inspector: 'inspector.css', front: 'front.css', icon: 'icon.svg', room: '../../docs/room.png' };

const shared = { bundle: true, minify: true, format: 'esm', target: 'es2022', logLevel: 'warning' };

buildSync({
  ...shared,
  entryPoints: [path('src/client/index.ts')],
  outfile: path('dist/client/browser.js'),
});
compress(path('dist/client/browser.js'));

rmSync(ASSETS, { recursive: true, force: true });
const hashed = { ...shared, outdir: ASSETS, entryNames: '[name]-[hash]', assetNames: '[name]-[hash]', metafile: true };
const built = [
  buildSync({
    ...hashed,
    entryPoints: entries(SCRIPTS),
    loader: { '.svg': 'file' },
    jsx: 'automatic',
    jsxImportSource: 'preact',
  }),
  buildSync({ ...hashed, entryPoints: entries(OTHERS), loader: { '.svg': 'copy', '.png': 'copy' } }),
];

/** The name of each built file by the name that pages link to: `wall.js` is `wall-2ZQ4XK7C.js`. */
const names = new Map();
for (const output of built.flatMap(({ metafile }) => Object.keys(metafile.outputs))) {
  const name = basename(output);
  names.set(name.replace(/-[A-Z0-9]{8}(?=\.\w+$)/, ''), name);
  if (!name.endsWith('.png')) compress(join(ASSETS, name));
}

mkdirSync(path('dist/pages'), { recursive: true });
for (const page of readdirSync(SOURCE).filter((name) => name.endsWith('.html'))) {
  const html = readFileSync(join(SOURCE, page), 'utf8').replace(/pages\/([\w.-]+)(?=")/g, (_, name) => {
    if (!names.has(name)) throw new Error(`${page} links to ${name}, which is not built`);
    return `pages/${names.get(name)}`;
  });
  writeFileSync(path(`dist/pages/${page}`), html);
}

function entries(files) {
  return Object.entries(files).map(([out, file]) => ({ in: join(SOURCE, file), out }));
}

/** Writes a compressed file beside one that is served, once for all requests. */
function compress(file) {
  const bytes = readFileSync(file);
  writeFileSync(`${file}.gz`, gzipSync(bytes, { level: 9 }));
  writeFileSync(`${file}.br`, brotliCompressSync(bytes));
}
