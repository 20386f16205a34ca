import { readFileSync } from 'node:fs';
import { afterEach, expect, test } from 'vitest';
import { parse } from 'yaml';
import { createBelfry } from '../../src/belfry.ts';
import { SocketGuest } from '../helpers/guest.ts';
import { type Answer, exchange, handshake, request } from '../helpers/raw.ts';
import { type ConfigOf, startServer, type TestServer } from '../helpers/server.ts';

/** What openapi.yaml says of refusals, held against a server: each of them there, none besides. */

interface Declared {
  readonly content?: Readonly<Record<string, { readonly example: unknown }>>;
}
const { paths }: { paths: Record<string, Record<string, { responses: Record<string, Declared> }>> } = parse(
  readFileSync(new URL('../../openapi.yaml', import.meta.url), 'utf8'),
);

let server: TestServer;
const guests: SocketGuest[] = [];
afterEach(async () => {
  for (const guest of guests.splice(0)) guest.socket.terminate();
  await server.stop();
});

async function join(target = '/rooms/elsewhere'): Promise<void> {
  const guest = new SocketGuest(`${server.url}${target}`);
  guests.push(guest);
  await guest.event('hello');
}

const last = { Connection: 'close' };
const to = (target: string, headers: Record<string, string> = {}, method = 'GET') =>
  exchange(server.port, request(target, { ...last, ...headers }, method));
const upgrade = (target: string, headers: Record<string, string> = {}) =>
  exchange(server.port, handshake(target, headers));

/** Asked of the server without a socket, as programs that embed it may do. */
async function within(target: string, headers: Record<string, string> = {}) {
  const url = `http://127.0.0.1${target}`;
  const response = await server.belfry.fetch(
    new Request(url, { headers: { Host: '127.0.0.1', ...headers } }),
  );
  return { status: response.status, headers: response.headers, body: await response.text() };
}

const publish = (target: string, headers: Record<string, string> = {}) => {
  const all = { ...last, ...operator(), 'Content-Length': '5', ...headers };
  return exchange(server.port, `${request(target, all, 'POST')}hello`);
};

interface Tried {
  readonly path: string;
  readonly status: number;
  readonly config?: ConfigOf;
  readonly asked: () => Promise<Pick<Answer, 'status' | 'headers' | 'body'>>;
}

const BEHIND_PROXY = { trustProxy: ['127.0.0.1'] };

/** The refusals of a room's address, whether it names one room or two. */
function ofRooms(path: string, target: string, nowhere: string): Tried[] {
  const rule = (subscribe: string) => ({ rooms: [{ match: 'a', subscribe }] });
  return [
    { path, status: 400, asked: () => to(`${target}${target.includes('?') ? '&' : '?'}device=%00`) },
    { path, status: 401, config: rule('token'), asked: () => to(target, { Accept: 'text/event-stream' }) },
    { path, status: 403, asked: () => to(target, { Origin: 'https://x', Accept: 'text/event-stream' }) },
    { path, status: 404, asked: () => to(nowhere) },
    { path, status: 405, asked: () => to(target, {}, 'DELETE') },
    { path, status: 406, asked: () => to(target, { Accept: 'image/png' }) },
    { path, status: 421, asked: () => to(target, { Host: 'x' }) },
    {
      path,
      status: 423,
      async asked() {
        await join('/rooms/a');
        await server.admin('/rooms/a?lock=1m', { method: 'DELETE' });
        return upgrade(target);
      },
    },
    { path, status: 426, asked: () => upgrade(target, { 'Sec-WebSocket-Version': '8' }) },
    {
      path,
      status: 429,
      config: { limits: { connectionsPerAddress: 1 }, server: BEHIND_PROXY },
      asked: () => join().then(() => upgrade(target)),
    },
    {
      path,
      status: 501,
      asked: () => within(target, { Accept: 'text/event-stream' }),
    },
    {
      path,
      status: 503,
      config: { limits: { connections: 1 } },
      asked: () => join().then(() => upgrade(target)),
    },
  ];
}

const wrongToken = { Authorization: 'Bearer wrong', 'X-Forwarded-For': '203.0.113.1' };

const TRIED: Tried[] = [
  ...ofRooms('/rooms/{room}', '/rooms/a', '/rooms/a/b'),
  ...ofRooms('/rooms', '/rooms?room=a', '/rooms/a/b'),
  {
    path: '/rooms/{room}',
    status: 413,
    config: { limits: { maxBodyBytes: 3 } },
    asked: () => publish('/rooms/a'),
  },
  {
    path: '/rooms/{room}',
    status: 409,
    config: { limits: { retained: 1 } },
    asked: () => publish('/rooms/a?key=a').then(() => publish('/rooms/a?key=b')),
  },
  {
    path: '/rooms/{room}',
    status: 422,
    async asked() {
      const headers = { 'Idempotency-Key': '8f14e45f' };
      await publish('/rooms/a', headers);
      return publish('/rooms/b', headers);
    },
  },
  { path: '/page', status: 400, asked: () => to('/page') },
  {
    path: '/page',
    status: 401,
    config: { rooms: [{ match: 'a', subscribe: 'token' }] },
    asked: () => to('/page?room=a'),
  },
  { path: '/page', status: 403, asked: () => to('/page?room=a', { Origin: 'https://x' }) },
  {
    path: '/page',
    status: 423,
    async asked() {
      await join('/rooms/a');
      await server.admin('/rooms/a?lock=1m', { method: 'DELETE' });
      return to('/page?room=a');
    },
  },
  { path: '/time', status: 400, asked: () => to('/time?t0=x') },
  { path: '/time', status: 403, asked: () => to('/time', { Origin: 'https://x' }) },
  { path: '/time', status: 405, asked: () => to('/time', {}, 'POST') },
  { path: '/time', status: 421, asked: () => to('/time', { Host: 'x' }) },
  {
    path: '/readyz',
    status: 503,
    config: { server: { drainSeconds: 5 } },
    async asked() {
      await join();
      void server.belfry.stop();
      return within('/readyz');
    },
  },
  ...['/', '/page', '/livez', '/readyz', '/openapi.yaml', '/metrics'].map((path) => ({
    path,
    status: 405,
    asked: () => to(path, {}, 'POST'),
  })),
  ...['/', '/page', '/time', '/openapi.yaml', '/metrics'].map((path) => ({
    path,
    status: 503,
    async asked() {
      const other = createBelfry({}, { env: {} });
      const response = await other.fetch(new Request(`http://127.0.0.1${path}`));
      return { status: response.status, headers: response.headers, body: await response.text() };
    },
  })),
  ...['/', '/page', '/openapi.yaml', '/metrics'].map((path) => ({
    path,
    status: 421,
    asked: () => to(path, { Host: 'x' }),
  })),
  { path: '/metrics', status: 401, asked: () => to('/metrics') },
  {
    path: '/metrics',
    status: 429,
    config: { server: BEHIND_PROXY },
    async asked() {
      for (let come = 0; come < 10; come++) await to('/metrics', wrongToken);
      return to('/metrics', wrongToken);
    },
  },
  ...Object.keys(paths)
    .filter((path) => path.startsWith('/admin/'))
    .flatMap((path): Tried[] => [
      { path, status: 405, asked: () => to(path.replace(/\{\w+\}/g, 'a'), operator(), 'PATCH') },
      { path, status: 421, asked: () => to(path.replace(/\{\w+\}/g, 'a'), { ...operator(), Host: 'x' }) },
    ]),
];

function operator(): Record<string, string> {
  return { Authorization: `Bearer ${server.belfry.madeToken}` };
}

const declaredFor = (path: string) => Object.values(paths[path] ?? {}).map(({ responses }) => responses);

test.each(TRIED)('$path refuses with $status, as declared', async ({ path, status, config, asked }) => {
  server = await startServer(config);
  const { status: answered, headers, body } = await asked();
  expect([answered, headers.get('content-type')]).toEqual([status, 'application/problem+json']);
  expect(JSON.parse(body)).toMatchObject({ status, detail: expect.any(String) });
  if (status === 405) expect(headers.get('allow')).toMatch(/^[A-Z]+(, [A-Z]+)*$/);
  const said = declaredFor(path).map((responses) => responses[status]?.content?.['application/problem+json']);
  // Of those at this address, the one for this method.
  expect(said.map((each) => numberless(each?.example))).toContainEqual(numberless(JSON.parse(body)));
});

/** Instants and numbers apart, such as those of seconds to wait. */
function numberless(value: unknown): unknown {
  const text = JSON.stringify(value ?? null).replace(/\d{4}-[\dT:.-]+Z/g, 'then');
  return JSON.parse(text.replace(/\b\d+\b/g, '0'));
}

test('each refusal that is declared outside of /admin was tried', async () => {
  server = await startServer();
  const tried = new Set(TRIED.map(({ path, status }) => `${path} ${status}`));
  const declared = Object.keys(paths)
    .filter((path) => !path.startsWith('/admin/'))
    .flatMap((path) =>
      declaredFor(path)
        .flatMap(Object.keys)
        .map((status) => `${path} ${status}`),
    )
    .filter((each) => / [45]\d\d$/.test(each));
  expect(declared.filter((each) => !tried.has(each))).toEqual([]);
});
