// Builds what browsers load, next to the compiled code: the client library as one module, compressed too, and what
// the pages are made of besides code. Needs the types compiled before.
import { copyFileSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { brotliCompressSync, gzipSync } from 'node:zlib';
import { build } from 'esbuild';

const path = (name) => fileURLToPath(new URL(`../${name}`, import.meta.url));

await build({
  entryPoints: [path('src/client/index.ts')],
  outfile: path('dist/client/browser.js'),
  bundle: true,
  minify: true,
  format: 'esm',
  target: 'es2022',
  logLevel: 'warning',
});
compress(path('dist/client/browser.js'));

mkdirSync(path('dist/pages'), { recursive: true });
for (const name of readdirSync(path('src/pages'))) {
  if (/\.(html|css|svg)$/.test(name)) copyFileSync(path(`src/pages/${name}`), path(`dist/pages/${name}`));
}

/** Writes a compressed file beside one that is served, once for all requests. */
function compress(file) {
  const bytes = readFileSync(file);
  writeFileSync(`${file}.gz`, gzipSync(bytes, { level: 9 }));
  writeFileSync(`${file}.br`, brotliCompressSync(bytes));
}
