import { afterEach, expect, test, vi } from 'vitest';
import { Refusal } from '../../src/hub/errors.ts';
import { SocketGuest } from '../helpers/guest.ts';
import { exchange, handshake, request } from '../helpers/raw.ts';
import { type ConfigOf, startServer, type TestServer } from '../helpers/server.ts';

let server: TestServer;
const guests: SocketGuest[] = [];
afterEach(async () => {
  for (const guest of guests.splice(0)) guest.socket.terminate();
  await server.stop();
});

async function join(target: string): Promise<SocketGuest> {
  const guest = new SocketGuest(`${server.url}${target}`);
  guests.push(guest);
  await guest.event('hello');
  return guest;
}

const last = { Connection: 'close' };
const sse = { ...last, Accept: 'text/event-stream' };
const ask = (text: string) => () => exchange(server.port, text);

async function lock(): Promise<void> {
  await join('/rooms/lobby');
  await server.admin('/rooms/lobby?lock=1m', { method: 'DELETE' });
}

/** What is asked, how it is configured, and the reason that it is counted under. */
const REFUSED: [reason: string, what: string, config: ConfigOf, asked: () => Promise<unknown>][] = [
  ['input', 'a room that is none', {}, ask(request('/rooms/-', last))],
  ['input', 'a key that is none', {}, ask(handshake('/rooms/lobby', { 'Sec-WebSocket-Key': 'x' }))],
  ['token', 'a call without a token', {}, ask(request('/admin/rooms', last))],
  ['origin', 'a page from elsewhere', {}, ask(request('/time', { ...last, Origin: 'https://x' }))],
  ['origin', 'its handshake', {}, ask(handshake('/rooms/lobby', { Origin: 'https://x' }))],
  [
    'rule',
    'a room for nobody',
    { rooms: [{ match: '*', subscribe: 'nobody' }] },
    ask(handshake('/rooms/lobby')),
  ],
  ['unknown', 'an address of nothing', {}, ask(request('/nothing', last))],
  ['unknown', 'an address of nothing below /rooms', {}, ask(request('/rooms/a/b', last))],
  ['unknown', 'a room that is not there', {}, () => server.admin('/rooms/attic')],
  ['method', 'a method that does nothing', {}, ask(request('/rooms/lobby', last, 'DELETE'))],
  ['representation', 'a picture of a room', {}, ask(request('/rooms/a', { ...last, Accept: 'image/png' }))],
  ['host', 'another host', {}, ask(request('/time', { ...last, Host: 'x' }))],
  [
    'size',
    'a body that is too large',
    { limits: { maxBodyBytes: 1 } },
    () => server.admin('/broadcast', { method: 'POST', body: '{}' }),
  ],
  ['upgrade', 'an old WebSocket', {}, ask(handshake('/rooms/a', { 'Sec-WebSocket-Version': '8' }))],
  ['lock', 'a locked room', {}, async () => [await lock(), await ask(handshake('/rooms/lobby'))()]],
  [
    'lock',
    'a locked room as a stream, which is a 204',
    {},
    async () => [await lock(), await ask(request('/rooms/lobby', sse))()],
  ],
  [
    'full',
    'a place too many',
    { limits: { connections: 1 } },
    async () => [await join('/rooms/a'), await ask(handshake('/rooms/b'))()],
  ],
  [
    'full',
    'a place too many as a stream, which is a 200',
    { limits: { connections: 1 } },
    async () => [await join('/rooms/a'), await ask(request('/rooms/b', sse))()],
  ],
  [
    'rooms',
    'a room too many',
    { limits: { rooms: 1 } },
    async () => [await join('/rooms/a'), await ask(handshake('/rooms/b'))()],
  ],
  [
    'address',
    'a connection too many of an address',
    { limits: { connectionsPerAddress: 1 }, server: { trustProxy: ['127.0.0.1'] } },
    async () => [await join('/rooms/a'), await ask(handshake('/rooms/b'))()],
  ],
];

test.each(REFUSED)('is counted as "%s": %s', async (reason, _what, config, asked) => {
  server = await startServer(config);
  await asked();
  expect((await server.admin('/stats')).refusals).toEqual({ [reason]: 1 });
});

test('a viewer that acts is counted by its role', async () => {
  const token = 'a-token-of-a-viewer';
  server = await startServer({ admin: { tokens: [{ name: 'wall', token, role: 'viewer' }] } });
  const headers = { authorization: `Bearer ${token}` };
  expect((await fetch(`${server.url}/admin/reload`, { method: 'POST', headers })).status).toBe(403);
  const stats = await fetch(`${server.url}/admin/stats`, { headers });
  expect(await stats.json()).toMatchObject({ refusals: { role: 1 } });
});

test('what is asked of a server that stops is counted as draining', async () => {
  server = await startServer({ server: { drainSeconds: 5 } });
  await join('/rooms/a');
  const headers = { authorization: `Bearer ${server.belfry.madeToken}` };
  const stopped = server.belfry.stop();
  await server.belfry.fetch(new Request(`${server.url}/rooms/a`, { headers: { host: 'localhost' } }));
  const stats = await server.belfry.fetch(
    new Request(`${server.url}/admin/stats`, { headers: { host: 'localhost', ...headers } }),
  );
  expect(await stats.json()).toMatchObject({ refusals: { draining: 1 } });
  await stopped;
});

test.each([
  ['input', 'hello'],
  ['rule', '{"action":"publish","data":1}'],
  ['unknown', '{"action":"fail"}'],
  ['internal', '{"action":"break"}'],
])('an error reply is counted as "%s": %s', async (reason, line) => {
  server = await startServer();
  server.belfry.action('fail', () => {
    throw new Refusal(404, 'there is none');
  });
  server.belfry.action('break', () => {
    throw new TypeError('no');
  });
  const guest = await join('/rooms/a');
  guest.socket.send(line);
  await vi.waitFor(async () => expect((await server.admin('/stats')).refusals).toEqual({ [reason]: 1 }));
});

test('messages that come too fast are counted by their rate', async () => {
  server = await startServer({ limits: { messageBurst: 1, messagesPerSecond: 1 } });
  const guest = await join('/rooms/a');
  for (let times = 0; times < 3; times++) guest.socket.send('{"action":"ping"}');
  await vi.waitFor(async () => expect((await server.admin('/stats')).refusals).toEqual({ rate: 2 }));
});

test('what succeeds is not counted', async () => {
  server = await startServer();
  await join('/rooms/a');
  expect((await fetch(`${server.url}/rooms/a`)).status).toBe(200);
  expect((await fetch(`${server.url}/`, { redirect: 'manual' })).status).toBe(302);
  expect((await server.admin('/stats')).refusals).toEqual({});
});
