import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { type Handler, Hono } from 'hono';
import { etag } from 'hono/etag';
import { parseAccept } from 'hono/utils/accept';

/** Compiled, the browser's code lies beside; run from source, where the build put it. */
const BUILT = new URL(import.meta.url.endsWith('.ts') ? '../../dist/' : '../', import.meta.url);

/** What of it a browser loads, folders and a file, under the same paths: its imports are relative. */
const CODE = ['pages/client/', 'client/', 'protocol/', 'clock.js'];

/** The client library as one module, for pages of this server and of other allowed origins. */
export const CLIENT_PATH = '/client.js';

/** Under which all of it is served. */
export const PAGE_PATHS = ['/pages/*', '/client/*', '/protocol/*', '/clock.js', CLIENT_PATH];

const SCRIPT = 'text/javascript; charset=utf-8';

const ROOM_PAGE = readFileSync(new URL('room.html', import.meta.url), 'utf8');

/**
 * The live page of a room, the same bytes for every room: it holds no data, and what it connects to
 * is admitted then. Its links are relative, so that it works behind a path prefix. `headers`: what it may do
 * in a browser.
 */
export function roomPage(headers: Readonly<Record<string, string>>): Response {
  return new Response(ROOM_PAGE, {
    headers: {
      'Content-Type': 'text/html; charset=utf-8',
      'Cache-Control': 'no-store',
      Vary: 'Accept, Origin',
      ...headers,
    },
  });
}

/**
 * What the pages load: style, icon and code, read once here. Browsers ask for it each time, with an
 * ETag. Throws where the build has not been run.
 */
export function createPages(): Hono {
  const app = new Hono();
  for (const path of PAGE_PATHS) app.use(path, etag());
  serve(app, '/pages/room.css', new URL('room.css', import.meta.url), 'text/css; charset=utf-8');
  serve(app, '/pages/icon.svg', new URL('icon.svg', import.meta.url), 'image/svg+xml');
  app.get(CLIENT_PATH, clientLibrary());
  for (const path of CODE.flatMap(scripts)) {
    serve(app, `/${path}`, new URL(path, BUILT), SCRIPT);
  }
  return app;
}

/** How the build has compressed a file; the first is the smallest. */
const ENCODINGS = { br: '.br', gzip: '.gz' };

/** Answers with the bundle of the library, compressed where the client can read that. */
function clientLibrary(): Handler {
  const file = fileURLToPath(new URL('client/browser.js', BUILT));
  const answer = (suffix: string, encoding?: string) => {
    const body = readFileSync(`${file}${suffix}`);
    const headers = { ...fileHeaders(body, SCRIPT), Vary: 'Accept-Encoding, Origin' };
    return { encoding, body, headers: { ...headers, ...(encoding && { 'Content-Encoding': encoding }) } };
  };
  const plain = answer('');
  const compressed = Object.entries(ENCODINGS).map(([encoding, suffix]) => answer(suffix, encoding));
  return (c) => {
    const accepted = parseAccept(c.req.header('accept-encoding') ?? '');
    const isAccepted = (encoding = '') => accepted.some(({ type, q }) => type === encoding && q > 0);
    const { body, headers } = compressed.find(({ encoding }) => isAccepted(encoding)) ?? plain;
    return c.body(body, 200, headers);
  };
}

function scripts(path: string): string[] {
  if (path.endsWith('.js')) return [path];
  const url = new URL(path, BUILT);
  try {
    return readdirSync(url)
      .filter((name) => name.endsWith('.js'))
      .map((name) => path + name);
  } catch (cause) {
    throw new Error(`the pages' code is not in ${url.pathname}: run "npm run build"`, { cause });
  }
}

function serve(app: Hono, path: string, file: URL, type: string): void {
  const body = readFileSync(file);
  const headers = fileHeaders(body, type);
  app.get(path, (c) => c.body(body, 200, headers));
}

/** Headers of a file that browsers keep, and ask for each time. */
function fileHeaders(body: Buffer, type: string): Record<string, string> {
  return {
    'Content-Type': type,
    'Cache-Control': 'no-cache',
    ETag: `"${createHash('sha256').update(body).digest('base64url')}"`,
  };
}
