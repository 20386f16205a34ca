import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { getRequestListener, RequestError } from '@hono/node-server';
import { type Handler, Hono, type MiddlewareHandler } from 'hono';
import { etag } from 'hono/etag';
import type { Origins } from './access/origins.ts';
import { type AdminParts, createAdmin } from './admin/app.ts';
import { Refusal, type RefusalReason, reasonOf, withoutTokens } from './hub/errors.ts';
import type { Lifecycle } from './lifecycle.ts';
import { frontPageText } from './pages/front.ts';
import { CLIENT_PATH, createPages, FRONT_FILES, htmlAnswer, PAGE_PATHS, page } from './pages/pages.ts';
import { type PageRouteParts, pageRoute } from './transport/page-route.ts';
import { problem, problemResponse } from './transport/problem.ts';
import { headFault } from './transport/request-head.ts';
import { originHeaders } from './transport/room-headers.ts';
import { callerOf, type NodeEnv, type RoomsRouteParts, roomsRoute } from './transport/rooms-route.ts';
import { pageHeaders, SECURITY_HEADERS } from './transport/security-headers.ts';
import type { StreamGate } from './transport/stream-gate.ts';

export interface HttpParts {
  readonly rooms: Omit<RoomsRouteParts, 'page'>;
  readonly pages: Pick<PageRouteParts, 'settings' | 'nextOf'>;
  readonly admin: AdminParts;
  readonly lifecycle: Pick<Lifecycle, 'isServing' | 'checkOpen'>;
  /** Called with the reason of each request that was refused. */
  readonly onRefused: (reason: RefusalReason) => void;
  /** Called with every error that is no refusal. */
  readonly onFault: (what: string, error: unknown) => void;
}

/** Answered only where `Host` names this server; rooms check it themselves, after their names. */
const GUARDED_BY_HOST = ['/', '/page', ...PAGE_PATHS, '/openapi.yaml', '/admin/*', '/metrics'];

/** Paths that answer GET and HEAD only. */
const READ_ONLY = ['/', '/page', CLIENT_PATH, '/livez', '/readyz', '/openapi.yaml', '/metrics'];

/** Everything that is answered over plain HTTP. Every refusal is formatted and counted here. */
export function httpApp({ rooms, pages, admin, lifecycle, onRefused, onFault }: HttpParts): Hono<NodeEnv> {
  const checkServing = () => {
    if (!lifecycle.isServing) lifecycle.checkOpen();
  };
  const app = new Hono<NodeEnv>();
  app.onError((error) => {
    if (!(error instanceof Refusal)) onFault('a request failed', error);
    return problemResponse(error);
  });
  app.notFound((c) => {
    c.error = new Refusal(404, `there is nothing at ${withoutTokens(c.req.path)}`);
    return problemResponse(c.error);
  });
  app.use(async (c, next) => {
    await next();
    if (c.error) onRefused(reasonOf(c.error));
    for (const [name, value] of Object.entries(SECURITY_HEADERS)) {
      if (!c.res.headers.has(name)) c.res.headers.set(name, value);
    }
  });
  app.use(async (c, next) => {
    // A room refuses its listeners by itself: over SSE with an event of the stream.
    const isListening = /^\/rooms(\/|$)/.test(c.req.path) && c.req.method !== 'POST';
    if (c.req.path !== '/livez' && !isListening) checkServing();
    await next();
  });
  for (const path of GUARDED_BY_HOST) app.use(path, hostCheck(rooms.settings));
  app.get('/livez', (c) => c.text('ok\n'));
  app.get('/readyz', (c) => {
    lifecycle.checkOpen();
    return c.text('ok\n');
  });
  app.get('/openapi.yaml', etag(), describing());
  app.use(CLIENT_PATH, async (c, next) => {
    await next();
    const headers = originHeaders(callerOf(c), rooms.settings.current);
    for (const [name, value] of Object.entries(headers)) c.res.headers.set(name, value);
  });
  app.route('/', createPages());
  const headers = (referrer: string | undefined) => {
    checkServing();
    return pageHeaders(rooms.settings.current.origins.frameAncestors(referrer));
  };
  const roomPage: RoomsRouteParts['page'] = ({ pathname, searchParams }, referrer) =>
    page(
      searchParams.has('inspect') ? 'inspector' : 'wall',
      pathname.startsWith('/rooms/') ? 1 : 0,
      headers(referrer),
    );
  app.route('/', roomsRoute({ ...rooms, page: roomPage }));
  const frontPage: PageRouteParts['frontPage'] = async (facts, referrer) =>
    htmlAnswer(await frontPageText({ ...facts, files: FRONT_FILES }), headers(referrer));
  app.route('/', pageRoute({ ...rooms, ...pages, frontPage }));
  app.route('/', createAdmin(admin));
  // Last, since the first route that matches answers.
  for (const path of READ_ONLY) {
    app.all(path, (c) => {
      throw new Refusal(405, `${c.req.method} does nothing at ${path}: it takes GET, HEAD`, {
        headers: { Allow: 'GET, HEAD' },
      });
    });
  }
  return app;
}

/**
 * Serves the committed `openapi.yaml`, which a test holds equal to what the routes declare. It is read
 * once, since any stranger may ask for it and making it takes 30 ms.
 */
function describing(): Handler {
  const body = readFileSync(new URL('../openapi.yaml', import.meta.url));
  const headers = {
    'Content-Type': 'application/yaml',
    'Cache-Control': 'no-cache',
    ETag: `"${createHash('sha256').update(body).digest('base64url')}"`,
  };
  return (c) => c.body(body, 200, headers);
}

/**
 * A listener for Node's server that hands requests to a Hono app. It refuses those that are ambiguous, that
 * no `Request` can be made of, or that `streams` refuses. The promise resolves when all of the answer has been written, or a stream of
 * events has begun.
 */
export function requestListener(
  fetch: Parameters<typeof getRequestListener>[0],
  onRefused: (reason: RefusalReason) => void = () => {},
  streams: Pick<StreamGate, 'refuses'> = { refuses: () => false },
): (request: IncomingMessage, response: ServerResponse) => Promise<void> {
  const listener = getRequestListener(fetch, {
    overrideGlobalObjects: false,
    errorHandler: (error) =>
      problemResponse(error instanceof RequestError ? new Refusal(400, error.message) : error),
  });
  return async (request, response) => {
    const fault = headFault(request);
    if (!fault) return streams.refuses(request, response) ? undefined : listener(request, response);
    onRefused(fault.reason);
    const { status, headers, body } = problem(fault);
    response.shouldKeepAlive = false;
    response.writeHead(status, { 'Content-Length': Buffer.byteLength(body), ...headers });
    response.end(body);
  };
}

/** Answers only requests to a host that is this server's, see `Origins.checkHost`: 421 to the others. */
export function hostCheck(settings: { readonly current: { readonly origins: Origins } }): MiddlewareHandler {
  return (c, next) => {
    settings.current.origins.checkHost({ header: (name) => c.req.header(name) });
    return next();
  };
}
