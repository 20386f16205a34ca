/** Puts what the pages are made of, besides code, next to the compiled `src/pages/pages.ts`. */
import { copyFileSync, mkdirSync, readdirSync } from 'node:fs';

const from = new URL('../src/pages/', import.meta.url);
const to = new URL('../dist/pages/', import.meta.url);

mkdirSync(to, { recursive: true });
for (const name of readdirSync(from)) {
  if (/\.(html|css|svg)$/.test(name)) copyFileSync(new URL(name, from), new URL(name, to));
}
