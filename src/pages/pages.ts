import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { type Handler, Hono } from 'hono';
import { etag } from 'hono/etag';
import { parseAccept } from 'hono/utils/accept';

/** Compiled, what browsers load lies beside; run from source, where the build put it. */
const BUILT = new URL(import.meta.url.endsWith('.ts') ? '../../dist/' : '../', import.meta.url);

/** The client library as one module, for pages of this server and of other allowed origins. */
export const CLIENT_PATH = '/client.js';

/** Under which everything is served that pages load. */
export const PAGE_PATHS = ['/pages/*', CLIENT_PATH];

const TYPES: Readonly<Record<string, string>> = {
  js: 'text/javascript; charset=utf-8',
  css: 'text/css; charset=utf-8',
  svg: 'image/svg+xml',
  png: 'image/png',
};

/** The name of a file changes with its content, so a browser need not ask for it again. */
const FOR_A_YEAR = 'public, max-age=31536000, immutable';

const ASSETS = new URL('assets/', BUILT);

/** The names of the files in it, with a hash of the content, without their compressed forms. */
const NAMES = readdirSync(ASSETS).filter((name) => !/\.(br|gz)$/.test(name));

/** What the front page loads, relative to it. */
export const FRONT_FILES = { style: asset('front.css'), icon: asset('icon.svg'), picture: asset('room.png') };

/** The pages, the same bytes for everybody: they hold no data, and what they connect to is admitted then. */
const PAGES = { wall: html('wall'), inspector: html('inspector') };

/**
 * A page. `top`: how many folders its address is below the server's, since links are relative: they have to work
 * behind a path prefix. `headers`: what it may do in a browser.
 */
export function page(
  name: keyof typeof PAGES,
  top: 0 | 1,
  headers: Readonly<Record<string, string>>,
): Response {
  return htmlAnswer(PAGES[name][top], headers);
}

/** A page that no cache keeps. `headers`: what it may do in a browser. */
export function htmlAnswer(text: string, headers: Readonly<Record<string, string>>): Response {
  return new Response(text, {
    headers: {
      'Content-Type': 'text/html; charset=utf-8',
      'Cache-Control': 'no-store',
      Vary: 'Accept, Origin',
      ...headers,
    },
  });
}

/**
 * What the pages load, and the client library; read once here. Throws where the build has not been run.
 */
export function createPages(): Hono {
  const app = new Hono();
  app.use(CLIENT_PATH, etag());
  app.get(CLIENT_PATH, file(new URL('client/browser.js', BUILT), 'no-cache', 'Accept-Encoding, Origin'));
  for (const name of NAMES) app.get(`/pages/${name}`, file(new URL(name, ASSETS), FOR_A_YEAR));
  return app;
}

/** How the build has compressed a file; the first is the smallest. */
const ENCODINGS = { br: '.br', gzip: '.gz' };

/** Answers with a file, compressed where the build has done that and the client can read it. */
function file(url: URL, cacheControl: string, vary = 'Accept-Encoding'): Handler {
  const type = TYPES[url.pathname.split('.').at(-1) ?? ''] ?? 'application/octet-stream';
  const answer = (body: Buffer<ArrayBuffer>, encoding?: string) => ({
    encoding,
    body,
    headers: {
      'Content-Type': type,
      'Cache-Control': cacheControl,
      ETag: `"${createHash('sha256').update(body).digest('base64url')}"`,
      Vary: vary,
      ...(encoding && { 'Content-Encoding': encoding }),
    },
  });
  const plain = answer(readFileSync(url));
  const there = new Set(readdirSync(new URL('.', url)));
  const name = url.pathname.split('/').at(-1) ?? '';
  const compressed = Object.entries(ENCODINGS)
    .filter(([, suffix]) => there.has(name + suffix))
    .map(([encoding, suffix]) => answer(readFileSync(`${fileURLToPath(url)}${suffix}`), encoding));
  return (c) => {
    const accepted = parseAccept(c.req.header('accept-encoding') ?? '');
    const isAccepted = (encoding = '') => accepted.some(({ type, q }) => type === encoding && q > 0);
    const { body, headers } = compressed.find(({ encoding }) => isAccepted(encoding)) ?? plain;
    return c.body(body, 200, headers);
  };
}

/** The path of a file by its name without the hash. */
function asset(name: string): string {
  const [stem, ending] = name.split('.');
  const pattern = new RegExp(`^${stem}-[A-Z0-9]{8}\\.${ending}$`);
  const found = NAMES.find((each) => pattern.test(each));
  if (found === undefined) throw new Error(`there is no ${name} in ${ASSETS.pathname}: run "npm run build"`);
  return `pages/${found}`;
}

/** A page for addresses in the server's own folder, and one below. */
function html(name: string): readonly [string, string] {
  const url = new URL(`pages/${name}.html`, BUILT);
  try {
    const text = readFileSync(url, 'utf8');
    return [text.replaceAll('"../', '"'), text];
  } catch (cause) {
    throw new Error(`the pages are not in ${url.pathname}: run "npm run build"`, { cause });
  }
}
