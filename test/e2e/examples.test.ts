import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { parse } from 'yaml';
import { type Belfry, createBelfry } from '../../src/belfry.ts';
import { SocketGuest, StreamGuest } from '../helpers/guest.ts';
import { ManualClock } from '../helpers/manual-clock.ts';

/** The examples of openapi.yaml, held against a server: each is an answer that it gives. */

interface Operation {
  readonly operationId: string;
  readonly parameters?: readonly {
    readonly name: string;
    readonly in: string;
    readonly schema: { readonly example?: unknown };
  }[];
  readonly requestBody?: { readonly content: Record<string, { readonly example: unknown }> };
  readonly responses: Readonly<Record<string, { content?: Record<string, { readonly example: unknown }> }>>;
}
const { paths }: { paths: Record<string, Record<string, Operation>> } = parse(
  readFileSync(new URL('../../openapi.yaml', import.meta.url), 'utf8'),
);
type Called = { readonly method: string; readonly operation: Operation };
const operations = Object.entries(paths).flatMap(([path, methods]) =>
  Object.entries(methods).map(([method, operation]) => ({ path, method: method.toUpperCase(), operation })),
);

/** Shown in the examples: two schedules, one of them paused, would be another page. */
const CONFIG = {
  server: { port: 0, drainSeconds: 0, heartbeatSeconds: 2 },
  admin: {
    tokens: [
      { name: 'ops', token: 'operator-token', role: 'operator' },
      { name: 'wall', token: 'viewer-token', role: 'viewer' },
      { name: 'desk', token: 'publisher-token', role: 'publisher', rooms: ['lobby'] },
    ],
  },
  rooms: [{ match: '*', publish: 'members', page: { title: 'Main lobby', schedules: ['clock'] } }],
  schedules: [{ name: 'clock', every: '3s', feed: { type: 'time', timezone: 'Europe/Berlin' } }],
};

let belfry: Belfry;
let clock: ManualClock;
let wallId: string;
let waitingId: string;
/** What a reload reads. */
let document: object;
const guests: { leave(): unknown }[] = [];

beforeEach(() => {
  clock = new ManualClock('2026-11-20T17:59:57.000Z');
  document = CONFIG;
  belfry = createBelfry(CONFIG, { env: {}, clock, source: { label: 'belfry.json', read: () => document } });
});

/** The server of the examples: it is 18:00:03, and a wall listens in the lobby over either transport. */
async function listenedTo(): Promise<void> {
  const { port } = await belfry.start();
  const url = `http://127.0.0.1:${port}/rooms/lobby`;
  const wall = new SocketGuest(`${url}?device=wall-3`, { headers: { 'User-Agent': 'Mozilla/5.0' } });
  wallId = (await wall.event('hello')).data.connection;
  const other = new StreamGuest(url);
  await other.event('hello');
  guests.push(wall, other);
  const pinged = once(wall.socket, 'ping');
  await clock.advanceSettled(6000);
  await pinged;
  // Its reply comes after the answer to the ping.
  await wall.ask({ action: 'ping' });
  await belfry.publish({ target: { rooms: ['lobby'] }, data: { text: 'hello' } });
}

afterEach(async () => {
  for (const guest of guests.splice(0)) guest.leave();
  await belfry.stop(AbortSignal.abort());
});

const bearer = (token: string) => ({ Authorization: `Bearer ${token}` });
const asOperator = bearer('operator-token');

const [CLOCK] = CONFIG.schedules;
const FAULTY = { ...CONFIG, schedules: [CLOCK, { ...CLOCK, name: 'market', every: 3 }] };
const MORE = {
  ...CONFIG,
  server: { ...CONFIG.server, port: 8081 },
  schedules: [CLOCK, { ...CLOCK, name: 'market' }],
};

interface Ask {
  readonly query?: string;
  readonly headers?: Record<string, string>;
  readonly method?: string;
  readonly body?: string;
  /** In place of the examples of the first parameters in the path. */
  readonly names?: readonly string[];
  /** What has to happen before. */
  readonly before?: () => unknown;
  /** Another server than the one of the examples. */
  readonly server?: Belfry;
}

const fetchOf = (path: string, init: RequestInit = {}, server = belfry) =>
  server.fetch(
    new Request(`http://127.0.0.1${path}`, { ...init, headers: { Host: '127.0.0.1', ...init.headers } }),
  );

async function ask(path: string, { operation, method: usual }: Called, how: Ask): Promise<Response> {
  await how.before?.();
  const { method = usual, headers = asOperator, query = '', server } = how;
  let target = path;
  const names = [...(how.names ?? [])];
  for (const { name, in: place, schema } of operation.parameters ?? []) {
    if (place !== 'path') continue;
    target = target.replace(`{${name}}`, names.shift() ?? (name === 'id' ? wallId : String(schema.example)));
  }
  const body = how.body ?? JSON.stringify(operation.requestBody?.content['application/json']?.example);
  const init = { method, headers, ...(method === 'POST' && body !== undefined && { body }) };
  return fetchOf(target + query, init, server);
}

/** With what differs from server to server, or from run to run, told by its kind only. */
function alike(value: unknown, key = ''): unknown {
  // What is under these names is whatever there is.
  if (['closes', 'refusals', 'config'].includes(key)) return 'record';
  if (Array.isArray(value)) return value.map((item) => alike(item));
  if (typeof value === 'object' && value !== null)
    return Object.fromEntries(Object.entries(value).map(([name, item]) => [name, alike(item, name)]));
  if (typeof value === 'number') return 'number';
  if (typeof value !== 'string') return value;
  if (/^\d{4}-\d\d-\d\dT[\d:.]+(Z|[+-]\d\d:\d\d)$/.test(value)) return 'instant';
  if (key === 'id' || key === 'last') return 'id';
  return value.replace(/\b\d+\b/g, 'number');
}

const ANSWERED = operations.flatMap(({ path, method, operation }) =>
  Object.entries(operation.responses).flatMap(([status, { content = {} }]) =>
    Object.entries(content).map(([type, { example }]) => ({
      call: `${operation.operationId} ${status}`,
      path,
      method,
      operation,
      status: Number(status),
      type,
      example,
    })),
  ),
);

/** How each call comes to its answers, where its examples alone do not. */
const HOW: Readonly<Record<string, Ask>> = {
  'page 200': { query: '?room=lobby' },
  'time 200': { query: '?t0=1795197603001' },
  'listConnections 200': { query: '?transport=websocket' },
  'closeConnection 200': { query: '?reason=replaced%20by%20wall-4' },
  'explainSchedule 200': { query: '?count=1' },
  'unlockRoom 200': {
    before: () => fetchOf('/admin/rooms/lobby', { method: 'DELETE', headers: asOperator }),
  },
  'listRetained 200': { before: () => retain('lunch') },
  'withdraw 200': { before: () => retain('lunch') },
  'withdraw 404': {},
  'withdrawFromRoom 200': { before: () => retain('lunch') },
  'withdrawFromRoom 404': { names: ['attic'] },
  'broadcast 409': {
    before: () => Promise.all(Array.from({ length: 1000 }, (_, index) => retain(String(index)))),
    body: JSON.stringify({ data: 1, key: 'lunch' }),
  },
  'reload 200': {
    before() {
      document = MORE;
    },
  },
  'getConfig 200': {
    before() {
      document = FAULTY;
      return fetchOf('/admin/reload', { method: 'POST', headers: asOperator });
    },
  },
  'reload 422': {
    before() {
      document = FAULTY;
    },
  },
  'explainSchedule 400': { query: '?count=0' },
  'broadcast 400': { body: '{}' },
  'broadcast 413': { body: JSON.stringify({ data: 'x'.repeat(1_048_576) }) },
  'broadcast 422': {
    headers: { ...asOperator, 'Idempotency-Key': '8f14e45f' },
    body: '{"data":2}',
    before() {
      const headers = { ...asOperator, 'Idempotency-Key': '8f14e45f' };
      return fetchOf('/admin/broadcast', { method: 'POST', headers, body: '{"data":1}' });
    },
  },
  'broadcast 202': { body: '{"data":1,"in":"1h"}' },
  'listBroadcasts 200': { before: wait },
  'cancelBroadcast 200': {
    before: wait,
    get names() {
      return [waitingId];
    },
  },
  'cancelBroadcast 404': { names: ['nobody'] },
  'broadcast 415': { headers: { ...asOperator, 'Content-Type': 'multipart/form-data' } },
};

function howTo({ call, method, operation: { operationId }, status }: (typeof ANSWERED)[number]): Ask {
  const known = HOW[call];
  if (known) return known;
  switch (status) {
    case 400:
      if (operationId.endsWith('Room')) return { names: ['-'] };
      return { query: operationId.startsWith('list') ? '?limit=0' : '?colour=red' };
    case 401:
      return { headers: {} };
    case 403:
      return { headers: bearer(method === 'GET' ? 'publisher-token' : 'viewer-token') };
    case 404:
      if (operationId.endsWith('Connection')) return { names: ['nobody'] };
      return { names: [operationId.endsWith('Room') ? 'attic' : 'tides'] };
    case 405:
      return { method: 'PATCH', names: ['a', 'a'] };
    case 421:
      return { headers: { ...asOperator, Host: 'x' } };
    case 429:
      return { headers: bearer('wrong'), before: guessTen };
    case 503:
      return { server: createBelfry({}, { env: {} }) };
    default:
      return {};
  }
}

/** A broadcast waits. */
async function wait(): Promise<void> {
  const body = JSON.stringify({ rooms: 'lobby', data: { text: 'hello' }, in: '1h' });
  const answer = await fetchOf('/admin/broadcast', { method: 'POST', headers: asOperator, body });
  waitingId = ((await answer.json()) as { id: string }).id;
}

const retain = (key: string) =>
  belfry.publish({ target: { rooms: ['lobby'] }, data: { text: 'Lunch is ready' }, key, ttl: '1h' });

async function guessTen(): Promise<void> {
  for (let count = 0; count < 10; count++) await fetchOf('/admin/stats', { headers: bearer('wrong') });
}

const isJson = ({ type }: { type: string }) => type.endsWith('json');
// What is refused outside of /admin is in openapi.test.ts.
const TRIED = ANSWERED.filter(
  (answer) => isJson(answer) && (answer.status === 200 || answer.path.startsWith('/admin/')),
);

describe('the examples of openapi.yaml', () => {
  test.each(TRIED.filter(({ call }) => call !== 'reload 409'))(
    'are what a server answers: $call',
    async (tried) => {
      if (tried.status === 200) await listenedTo();
      else await belfry.run();
      const response = await ask(tried.path, tried, howTo(tried));
      expect([response.status, response.headers.get('content-type')]).toEqual([tried.status, tried.type]);
      expect(alike(await response.json())).toEqual(alike(tried.example));
    },
  );

  test('are what a server without a file answers to a reload', async () => {
    const embedded = createBelfry(CONFIG, { env: {}, clock });
    await embedded.run();
    const response = await fetchOf('/admin/reload', { method: 'POST', headers: asOperator }, embedded);
    await embedded.stop(AbortSignal.abort());
    const declared = TRIED.find(({ call }) => call === 'reload 409');
    expect(alike(await response.json())).toEqual(alike(declared?.example));
  });

  test.each(['/livez', '/readyz'])('are all there is of %s', async (path) => {
    await belfry.run();
    const declared = ANSWERED.find((answer) => answer.path === path && answer.status === 200);
    expect(await (await fetchOf(path)).text()).toBe(declared?.example);
  });
});

describe('/time', () => {
  test('without t0 answers as its schema says', async () => {
    await belfry.run();
    expect(alike(await (await fetchOf('/time')).json())).toEqual({ t0: null, t1: 'number', t2: 'number' });
  });
});
