import type { HttpBindings } from '@hono/node-server';
import { RESPONSE_ALREADY_SENT } from '@hono/node-server/utils/response';
import { type Context, Hono } from 'hono';
import {
  type AccessRules,
  admit,
  type Caller,
  checkOrigin,
  type Entry,
  enter,
  roomsOf,
} from '../access/admission.ts';
import type { Clock } from '../clock.ts';
import { Refusal, shown } from '../hub/errors.ts';
import { limitOf, roomSnapshot, type SnapshotParts } from './json.ts';
import { representationFor } from './representation.ts';
import type { SocketSink } from './socket-sink.ts';
import { openStream, streamHeaders, streamRefusal } from './sse.ts';

/** What Hono hands on of the Node request below it. */
export type NodeEnv = { Bindings: Partial<HttpBindings> };

export interface RoomUrlParts extends SnapshotParts {
  readonly access: AccessRules;
  /** Makes a stream of a connection of it. */
  readonly connectStream: (sink: SocketSink, entry: Entry, onGone: (callback: () => void) => void) => void;
  readonly page: () => Response;
}

const METHODS = 'GET, HEAD, OPTIONS';

const PREFLIGHT: Readonly<Record<string, string>> = {
  'Access-Control-Allow-Methods': METHODS,
  'Access-Control-Allow-Headers': 'Authorization, Last-Event-ID',
  'Access-Control-Max-Age': '600',
};

/** `/rooms` and `/time`: everything of a room's address but the upgrade. */
export function roomUrl(parts: RoomUrlParts): Hono<NodeEnv> {
  const { access, clock } = parts;
  const app = new Hono<NodeEnv>();
  for (const path of ['/rooms/*', '/time']) {
    app.use(path, async (c, next) => {
      await next();
      // Refusals are formatted once for the whole server; here they are one of several representations.
      if (!c.error) return;
      for (const [name, value] of Object.entries(headersFor(c, access))) c.res.headers.set(name, value);
    });
    app.options(path, (c) => {
      checkOrigin(callerOf(c), access);
      return new Response(null, { status: 204, headers: { ...headersFor(c, access), ...PREFLIGHT } });
    });
  }
  app.get('/rooms/*', (c) => answer(c, parts));
  app.get('/time', (c) => {
    const caller = callerOf(c);
    const time = timeAnswer(caller.url, clock);
    checkOrigin(caller, access);
    return c.json({ ...time, t2: clock.now() }, 200, headersFor(c, access));
  });
  app.all('/rooms/*', (c) => notAllowed(c, 'publish over WebSocket, or with POST /admin/broadcast'));
  app.all('/time', (c) => notAllowed(c, 'it is asked for with GET'));
  return app;
}

async function answer(c: Context<NodeEnv>, parts: RoomUrlParts): Promise<Response> {
  if (isLostUpgrade(c)) throw upgradeLost();
  const representation = representationFor(c.req.header('accept'));
  const caller = callerOf(c);
  switch (representation) {
    case 'html':
      roomsOf(caller.url);
      parts.access.origins.checkHost(caller.header('host'));
      return parts.page();
    case 'sse':
      return stream(c, caller, parts);
    case 'json':
      return snapshot(c, caller, parts);
  }
}

async function snapshot(c: Context<NodeEnv>, caller: Caller, parts: RoomUrlParts): Promise<Response> {
  const limit = limitOf(caller.url);
  const { rooms, since } = admit(caller, parts.access);
  const [room, ...others] = rooms;
  if (room === undefined || others.length > 0) {
    throw new Refusal(400, 'JSON shows one room: ask for /rooms/{room}; several come over WebSocket or SSE');
  }
  const text = await roomSnapshot(room, since, limit, parts);
  return new Response(text, {
    headers: { 'Content-Type': 'application/json', ...headersFor(c, parts.access) },
  });
}

function stream(c: Context<NodeEnv>, caller: Caller, parts: RoomUrlParts): Response {
  const headers = headersFor(c, parts.access);
  try {
    if (c.req.method === 'HEAD') {
      admit(caller, parts.access);
      return streamHeaders(headers);
    }
    const outgoing = c.env?.outgoing;
    if (!outgoing) throw new Refusal(501, 'a stream needs the Node server below: pass on its bindings');
    const entry = enter(caller, parts.access);
    entry.seat.leaveWith(outgoing);
    const { sink, onGone } = openStream(outgoing, headers);
    parts.connectStream(sink, entry, onGone);
    return RESPONSE_ALREADY_SENT;
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    const told = streamRefusal(error, headers);
    if (!told) throw error;
    // For who counts refusals: the status does not tell.
    c.error = error;
    return told;
  }
}

/** No upgrade to Node, since half of it is missing, but its sender meant one. */
function isLostUpgrade(c: Context<NodeEnv>): boolean {
  const upgrade = c.req.header('upgrade')?.toLowerCase() ?? 'websocket';
  return upgrade === 'websocket' && c.req.header('sec-websocket-key') !== undefined;
}

function upgradeLost(): Refusal {
  return new Refusal(
    426,
    'a WebSocket was asked for without "Upgrade: websocket" and "Connection: Upgrade": a proxy in between ' +
      'has to pass them on (nginx: proxy_http_version 1.1, proxy_set_header Upgrade and Connection)',
    { headers: { Upgrade: 'websocket' } },
  );
}

/** What every representation carries; a page of an allowed origin may read it, refusals too. */
function headersFor(c: Context<NodeEnv>, { origins, clients }: AccessRules): Record<string, string> {
  const { header, peerAddress } = callerOf(c);
  const { protocol } = clients.of(peerAddress, header);
  const origin = origins.readableBy(header('origin'), header('host'), protocol);
  return {
    'Cache-Control': 'no-store',
    Vary: 'Accept, Origin',
    ...(origin !== undefined && {
      'Access-Control-Allow-Origin': origin,
      'Access-Control-Expose-Headers': 'Retry-After',
    }),
  };
}

/** The request as access control sees it. */
export function callerOf(c: Context): Caller {
  return {
    url: new URL(c.req.url),
    header: (name) => c.req.header(name),
    peerAddress: c.env?.incoming?.socket.remoteAddress,
  };
}

function notAllowed(c: Context<NodeEnv>, instead: string): never {
  throw new Refusal(405, `${c.req.method} does nothing here: ${instead}`, { headers: { Allow: METHODS } });
}

/** The clock for those who have no WebSocket: `t2` is put in last. */
function timeAnswer(url: URL, clock: Clock): { t0: number | null; t1: number } {
  const t1 = clock.now();
  const text = url.searchParams.get('t0');
  const t0 = text === null || text.trim() === '' ? null : Number(text);
  if (t0 !== null && !Number.isFinite(t0)) {
    throw Refusal.invalid('t0', `${shown(text)} is not a time: send milliseconds as a number`);
  }
  return { t0, t1 };
}
