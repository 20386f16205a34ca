import type { HttpBindings } from '@hono/node-server';
import { RESPONSE_ALREADY_SENT } from '@hono/node-server/utils/response';
import { type Context, Hono } from 'hono';
import {
  type Admission,
  type Caller,
  checkOrigin,
  roomsOf,
  type AccessRules,
  admit,
} from '../access/admit.ts';
import { problemResponse } from '../access/problem.ts';
import type { Clock } from '../clock.ts';
import type { Sink } from '../hub/outbox.ts';
import { Refusal } from '../hub/refusal.ts';
import { limitOf, roomSnapshot, type SnapshotParts } from './json.ts';
import { representationFor } from './representation.ts';
import { openStream, streamHeaders, streamRefusal } from './sse.ts';

/** What Hono hands on of the Node request below it. */
export type NodeEnv = { Bindings: Partial<HttpBindings> };

export interface RoomUrlParts extends SnapshotParts {
  readonly access: AccessRules;
  /** Makes a stream of a connection of it. */
  readonly connectStream: (sink: Sink, admission: Admission, onGone: (callback: () => void) => void) => void;
  readonly page: () => Response;
}

/** `/rooms` and `/time`: everything of a room's address but the upgrade. */
export function roomUrl(parts: RoomUrlParts): Hono<NodeEnv> {
  const app = new Hono<NodeEnv>();
  app.get('/rooms/*', (c) => answer(c, parts));
  app.get('/time', (c) => {
    const caller = callerOf(c);
    checkOrigin(caller, parts.access);
    return c.json(timeAnswer(caller.url, parts.clock), 200, headersFor(c));
  });
  for (const path of ['/rooms/*', '/time']) {
    app.options(path, (c) => {
      checkOrigin(callerOf(c), parts.access);
      return new Response(null, { status: 204, headers: { ...headersFor(c), ...PREFLIGHT } });
    });
  }
  return app;
}

const PREFLIGHT: Readonly<Record<string, string>> = {
  'Access-Control-Allow-Methods': 'GET, HEAD',
  'Access-Control-Allow-Headers': 'Authorization, Last-Event-ID',
  'Access-Control-Max-Age': '600',
};

async function answer(c: Context<NodeEnv>, parts: RoomUrlParts): Promise<Response> {
  const representation = representationFor(c.req.header('accept'));
  const caller = callerOf(c);
  if (representation === 'html') {
    roomsOf(caller.url);
    return parts.page();
  }
  if (representation === 'sse') return stream(c, caller, parts);
  const admission = admit(caller, parts.access);
  const [room, ...others] = admission.rooms;
  if (room === undefined || others.length > 0) {
    throw new Refusal(400, 'JSON shows one room: ask for /rooms/{room}; several come over WebSocket or SSE');
  }
  const text = await roomSnapshot(room, admission.since, limitOf(caller.url), parts);
  return new Response(text, { headers: { 'Content-Type': 'application/json', ...headersFor(c) } });
}

function stream(c: Context<NodeEnv>, caller: Caller, parts: RoomUrlParts): Response {
  const headers = headersFor(c);
  try {
    const admission = admit(caller, parts.access);
    if (c.req.method === 'HEAD') return streamHeaders(headers);
    const { outgoing } = c.env;
    if (!outgoing) throw new Refusal(501, 'a stream needs the Node server below: pass on its bindings');
    const { sink, onGone } = openStream(outgoing, headers);
    parts.connectStream(sink, admission, onGone);
    return RESPONSE_ALREADY_SENT;
  } catch (error) {
    const told = error instanceof Refusal ? streamRefusal(error, headers) : undefined;
    if (told) return told;
    throw error;
  }
}

/** What every representation carries; who may read it from another origin is told by name. */
function headersFor(c: Context<NodeEnv>): Record<string, string> {
  const origin = c.req.header('origin');
  return {
    'Cache-Control': 'no-store',
    Vary: 'Accept, Origin',
    ...(origin !== undefined && { 'Access-Control-Allow-Origin': origin }),
  };
}

/** A refusal at these addresses: as everywhere, but read by caches as one of several representations. */
export function roomProblem(error: unknown): Response {
  const response = problemResponse(error);
  response.headers.set('Vary', 'Accept, Origin');
  return response;
}

function callerOf(c: Context<NodeEnv>): Caller {
  return {
    url: new URL(c.req.url),
    header: (name) => c.req.header(name),
    remoteAddress: c.env?.incoming?.socket.remoteAddress ?? '',
  };
}

function timeAnswer(url: URL, clock: Clock): { t0: number | null; t1: number; t2: number } {
  const t1 = clock.now();
  const text = url.searchParams.get('t0');
  const t0 = text === null || text.trim() === '' ? null : Number(text);
  if (t0 !== null && !Number.isFinite(t0)) {
    const message = `${JSON.stringify(text)} is not a time: send milliseconds as a number`;
    throw new Refusal(400, message, { errors: [{ path: 't0', message }] });
  }
  return { t0, t1, t2: clock.now() };
}
