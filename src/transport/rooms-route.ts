import type { HttpBindings } from '@hono/node-server';
import { RESPONSE_ALREADY_SENT } from '@hono/node-server/utils/response';
import { type Context, Hono } from 'hono';
import { parseAccept } from 'hono/utils/accept';
import {
  type AccessSettings,
  type Admission,
  type Caller,
  type RequestTarget,
  roomsOf,
} from '../access/admission.ts';
import type { ClientAddress, ClientAddresses } from '../access/client-address.ts';
import type { Clock } from '../clock.ts';
import { Refusal, shown } from '../hub/errors.ts';
import type { JsonText, RoomEvent } from '../hub/event.ts';
import { eventText } from '../hub/frame.ts';
import type { Hub } from '../hub/hub.ts';
import type { CurrentTicks } from '../hub/join.ts';
import type { ClientParts } from './client.ts';
import { roomHeaders } from './room-headers.ts';
import { SseClient, streamHeaders, streamRefusal } from './sse.ts';

/** What Hono hands on of the Node request below it. */
export type NodeEnv = { Bindings: Partial<HttpBindings> };

export interface RoomsRouteParts {
  readonly hub: Hub;
  readonly clock: Clock;
  readonly currentTicks: CurrentTicks;
  readonly settings: { readonly current: AccessSettings };
  readonly admission: Admission;
  readonly clientParts: ClientParts;
  /** `url`: of the request; `referrer`: the page that shows it in a frame, or led to it. */
  readonly page: (url: RequestTarget, referrer: string | undefined) => Response;
}

const METHODS = 'GET, HEAD, OPTIONS';
/** Of the address of one room. */
const ROOM_METHODS = 'GET, HEAD, POST, OPTIONS';

const PREFLIGHT: Readonly<Record<string, string>> = {
  'Access-Control-Allow-Headers': 'Authorization, Content-Type, Idempotency-Key, Last-Event-ID',
  'Access-Control-Max-Age': '600',
};

/** What the 405 of a room tells a client to do. */
const PUBLISH = 'publish with POST /rooms/{room} or POST /admin/broadcast';

/** How long the JSON representation waits for a tick that has to be read first. */
const MAX_TICK_WAIT_MS = 2000;

const DEFAULT_LIMIT = 10;
const MAX_LIMIT = 1000;

/** `/rooms` and `/time`: everything of a room's address but the upgrade. */
export function roomsRoute(parts: RoomsRouteParts): Hono<NodeEnv> {
  const { admission, clock, settings } = parts;
  const app = new Hono<NodeEnv>();
  for (const path of ['/rooms/*', '/time']) {
    app.use(path, async (c, next) => {
      await next();
      // Refusals and what was published are answered elsewhere; both need the headers of the representations.
      if (!c.error && c.req.method !== 'POST') return;
      for (const [name, value] of Object.entries(headersFor(c, settings.current)))
        c.res.headers.set(name, value);
    });
    app.options(path, (c) => {
      admission.checkOrigin(callerOf(c));
      return new Response(null, {
        status: 204,
        headers: {
          ...headersFor(c, settings.current),
          ...PREFLIGHT,
          'Access-Control-Allow-Methods': methodsAt(c.req.path),
        },
      });
    });
  }
  app.get('/rooms/*', (c) => answer(c, parts));
  app.get('/time', (c) => {
    const caller = callerOf(c);
    const time = timeAnswer(caller.url, clock);
    admission.checkOrigin(caller);
    return jsonAnswer(c, JSON.stringify({ ...time, t2: clock.now() }), settings.current);
  });
  app.all('/rooms/*', (c, next) => {
    if (c.req.method !== 'POST' || !isOneRoom(c.req.path)) return notAllowed(c, PUBLISH);
    const caller = callerOf(c);
    roomsOf(caller.url);
    admission.checkOrigin(caller);
    // The admin API answers, which is mounted behind this.
    return next();
  });
  app.all('/time', (c) => notAllowed(c, 'it is asked for with GET'));
  return app;
}

async function answer(c: Context<NodeEnv>, parts: RoomsRouteParts): Promise<Response> {
  if (isLostUpgrade(c)) throw upgradeLost();
  const representation = representationFor(c.req.header('accept'));
  const caller = callerOf(c);
  switch (representation) {
    case 'html':
      if (!isFrontPage(caller.url)) roomsOf(caller.url);
      parts.settings.current.origins.checkHost(caller);
      // By a relative address.
      if (isFrontPage(caller.url)) return c.redirect('./');
      return parts.page(caller.url, caller.header('referer'));
    case 'sse':
      return stream(c, caller, parts);
    case 'json':
      return snapshot(c, caller, parts);
  }
}

/** `/rooms` without a room leads a browser to the list of rooms. */
function isFrontPage({ pathname, searchParams }: RequestTarget): boolean {
  return pathname === '/rooms' && !searchParams.has('room');
}

async function snapshot(c: Context<NodeEnv>, caller: Caller, parts: RoomsRouteParts): Promise<Response> {
  const limit = limitOf(caller.url);
  const { rooms, since } = await parts.admission.check(caller);
  const [room, ...others] = rooms;
  if (room === undefined || others.length > 0) {
    throw new Refusal(400, 'JSON shows one room: ask for /rooms/{room}; several come over WebSocket or SSE');
  }
  const text = await roomSnapshot(room, since, limit, parts);
  return jsonAnswer(c, text, parts.settings.current);
}

/** With a newline at its end, for terminals and line-based tools, as every JSON answer. */
function jsonAnswer(c: Context<NodeEnv>, text: JsonText, settings: AccessSettings): Response {
  const headers = { 'Content-Type': 'application/json', ...headersFor(c, settings) };
  return new Response(`${text}\n`, { headers });
}

async function stream(c: Context<NodeEnv>, caller: Caller, parts: RoomsRouteParts): Promise<Response> {
  const headers = headersFor(c, parts.settings.current);
  try {
    if (c.req.method === 'HEAD') {
      await parts.admission.check(caller);
      return streamHeaders(headers);
    }
    const outgoing = c.env?.outgoing;
    if (!outgoing) throw new Refusal(501, 'a stream needs the Node server below: pass on its bindings');
    const entry = await parts.admission.enter(caller);
    try {
      SseClient.open(outgoing, headers, entry, parts.clientParts);
    } catch (error) {
      entry.slot.release();
      entry.reservation.release();
      throw error;
    }
    return RESPONSE_ALREADY_SENT;
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    const told = streamRefusal(error, headers, c.req.method);
    if (!told) throw error;
    // Counted as a refusal, although its status is 200 or 204.
    c.error = error;
    return told;
  }
}

/** Whether a request was meant to open a WebSocket, but lacks a header without which Node sees no upgrade. */
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

function headersFor(c: Context<NodeEnv>, settings: AccessSettings): Record<string, string> {
  const caller = { peerAddress: peerAddressOf(c), header: (name: string) => c.req.header(name) };
  return roomHeaders(caller, settings);
}

/** The request as access control sees it. */
export function callerOf(c: Context): Caller {
  return {
    url: new URL(c.req.url),
    header: (name) => c.req.header(name),
    peerAddress: peerAddressOf(c),
  };
}

function peerAddressOf(c: Context): string | undefined {
  return c.env?.incoming?.socket.remoteAddress;
}

/** Address and protocol of a request's client, as trusted proxies name them; `''` without a Node server's bindings. */
export function clientAddressOf(c: Context, addresses: ClientAddresses): ClientAddress {
  return addresses.of(peerAddressOf(c), { header: (name) => c.req.header(name) });
}

function notAllowed(c: Context<NodeEnv>, instead: string): never {
  throw new Refusal(405, `${c.req.method} does nothing here: ${instead}`, {
    headers: { Allow: methodsAt(c.req.path) },
  });
}

/** Whether a path under `/rooms` names a room. */
const isOneRoom = (path: string) => path.startsWith('/rooms/');

const methodsAt = (path: string) => (isOneRoom(path) ? ROOM_METHODS : METHODS);

/** The times of `/time`, for clients without a WebSocket; `t2` is added when the answer is written. */
function timeAnswer(url: RequestTarget, clock: Clock): { t0: number | null; t1: number } {
  const t1 = clock.now();
  const text = url.searchParams.get('t0');
  const t0 = text === null || text.trim() === '' ? null : Number(text);
  if (t0 !== null && !Number.isFinite(t0)) {
    throw Refusal.invalid('t0', `${shown(text)} is not a time: send milliseconds as a number`);
  }
  return { t0, t1 };
}

/** The forms of an answer at a room's address. */
export type Representation = 'json' | 'sse' | 'html';

const OFFERED: ReadonlyMap<string, Representation> = new Map([
  ['application/json', 'json'],
  ['text/event-stream', 'sse'],
  ['text/html', 'html'],
]);

/** What is sent for each range of `Accept`, the preferred form first. */
const RANGES: ReadonlyMap<string, readonly Representation[]> = new Map([
  ['*/*', ['json', 'html', 'sse']],
  ['application/*', ['json']],
  ['text/*', ['html', 'sse']],
]);

/**
 * Chooses by the `Accept` header and its q-values; JSON without the header. Throws a 406 `Refusal`. Not with
 * `accepts` of Hono, which serves an excluded type for a range, and ranks a range below any exact type.
 */
export function representationFor(accept: string | undefined): Representation {
  if (accept === undefined || accept.trim() === '') return 'json';
  const accepted = parseAccept(accept).map(({ type, q }) => ({ type: type.toLowerCase(), q }));
  const excluded = new Set(accepted.filter(({ q }) => q === 0).map(({ type }) => OFFERED.get(type)));
  // `parseAccept` sorts by q and keeps the order of the header otherwise.
  for (const { type, q } of accepted) {
    if (q === 0) continue;
    const exact = OFFERED.get(type);
    const meant = exact ? [exact] : (RANGES.get(type) ?? []);
    const representation = meant.find((each) => !excluded.has(each));
    if (representation) return representation;
  }
  throw new Refusal(
    406,
    `a room comes as ${[...OFFERED.keys()].join(', ')} or over WebSocket, not as ${shown(accept)}`,
  );
}

/** A room as it is now: the newest tick of each schedule, and messages, the newest last. */
async function roomSnapshot(
  room: string,
  since: string | undefined,
  limit: number,
  { hub, currentTicks, clock }: RoomsRouteParts,
): Promise<JsonText> {
  const newest = hub.newestId;
  const [{ resumed, messages }, ticks] = await Promise.all([
    hub.history(room, since),
    ticksNow(room, currentTicks, clock),
  ]);
  const connections = hub.memberCount(room);
  // A client that resumes gets all messages page by page; one that begins gets the newest.
  const page = resumed ? messages.slice(0, limit) : messages.slice(-limit);
  const isCut = resumed && page.length < messages.length;
  const last = isCut ? page.at(-1)?.id : newest;
  const head = JSON.stringify({ room, connections, last, resumed }).slice(0, -1);
  const events = page.map(({ event }) => event);
  return `${head},"ticks":${list(ticks)},"events":${list(events)}}`;
}

/** Reads `?limit=`; throws a 400 `Refusal`. */
function limitOf(url: RequestTarget): number {
  const text = url.searchParams.get('limit');
  if (text === null) return DEFAULT_LIMIT;
  const limit = Number(text);
  if (/^\d+$/.test(text) && limit >= 1 && limit <= MAX_LIMIT) return limit;
  throw Refusal.invalid('limit', `${shown(text)} is not a limit: a whole number from 1 to ${MAX_LIMIT}`);
}

/** The current ticks, those included that are read in time. A live tick that is sent meanwhile counts. */
async function ticksNow(room: string, currentTicks: CurrentTicks, clock: Clock): Promise<RoomEvent[]> {
  const { ticks, coming } = currentTicks.request(room);
  if (coming.length === 0) return [...ticks];
  const read: RoomEvent[] = [];
  const collect = (tick: RoomEvent | undefined) => void (tick && read.push(tick));
  const all = Promise.all(coming.map((tick) => tick.then(collect)));
  let cancel = () => {};
  const timeout = new Promise<void>((resolve) => {
    cancel = clock.after(MAX_TICK_WAIT_MS, resolve);
  });
  await Promise.race([all, timeout]);
  cancel();
  const atHand = currentTicks.request(room).ticks;
  const known = new Set(atHand.map(({ tick }) => tick?.schedule));
  return [...atHand, ...read.filter(({ tick }) => !known.has(tick?.schedule))];
}

function list(events: readonly RoomEvent[]): JsonText {
  return `[${events.map(eventText).join(',')}]`;
}
