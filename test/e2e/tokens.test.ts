import type { JWTPayload } from 'jose';
import { describe, expect, it, onTestFinished } from 'vitest';
import type { BelfryOptions, Presence } from '../../src/belfry.ts';
import { type Received, SocketGuest, StreamGuest } from '../helpers/guest.ts';
import { ManualClock } from '../helpers/manual-clock.ts';
import { answer, handshake, RawClient, request } from '../helpers/raw.ts';
import { type ConfigOf, startServer, type TestServer } from '../helpers/server.ts';
import { keyPair, keyServer, keySet, signed } from '../helpers/tokens.ts';

const SECRET = 'a-secret-of-thirty-two-bytes-or-more';
const ROOMS = [
  { match: 'ops-*', subscribe: 'token', publish: 'token' },
  { match: 'lobby', publish: 'members' },
];
// The clock is moved by hand: no client is to be closed for its silence.
const PATIENT = { heartbeatSeconds: 7200, idleSeconds: 10_800 };

interface Guarded extends TestServer {
  readonly clock: ManualClock;
  token(claims: JWTPayload): Promise<string>;
  /** Opens a WebSocket, and waits until it is a member. */
  visit(room: string, claims?: JWTPayload | string): Promise<SocketGuest>;
}

/** A server on a clock that is moved by hand, whose tokens are signed with the secret. */
async function guarded(config: ConfigOf = {}, options: BelfryOptions = {}): Promise<Guarded> {
  const clock = new ManualClock();
  const server = await startServer(
    { access: { secretEnv: 'SECRET' }, rooms: ROOMS, ...config, server: { ...PATIENT, ...config.server } },
    { clock, env: { SECRET }, ...options },
  );
  onTestFinished(() => server.stop());
  const token = (claims: JWTPayload) => signed(claims, SECRET);
  return {
    ...server,
    clock,
    token,
    async visit(room, claims) {
      const text = typeof claims === 'object' ? await token(claims) : claims;
      const protocols = text === undefined ? [] : ['belfry', `bearer.${text}`];
      const guest = new SocketGuest(`${server.url}/rooms/${room}`, { protocols });
      onTestFinished(() => guest.socket.terminate());
      await guest.event('hello');
      return guest;
    },
  };
}

const inSeconds = (clock: ManualClock, seconds: number) => clock.now() / 1000 + seconds;
const statusOf = ({ error }: Received) => error?.status;

it('ends a connection when its token has expired, over WebSocket and SSE', async () => {
  const { url, clock, visit, token, admin } = await guarded();
  const claims = { rooms: 'ops-*', exp: inSeconds(clock, 60) };
  const socket = await visit('ops-1', claims);
  const stays = await visit('ops-1', { ...claims, exp: inSeconds(clock, 600) });
  const forEver = await visit('ops-1', { rooms: 'ops-*' });
  const stream = new StreamGuest(`${url}/rooms/ops-1`, { authorization: `Bearer ${await token(claims)}` });
  onTestFinished(() => stream.leave());
  await stream.event('hello');
  clock.advance(64_000);
  expect((await admin('/connections')).items).toHaveLength(4);
  clock.advance(2000);
  const expired = {
    ...{ code: 4003, reason: 'token expired', reconnect: true },
    ...{ retryAfterMs: expect.any(Number), ends: 'connection' },
  };
  for (const each of [socket, stream]) expect((await each.event('closing')).data).toEqual(expired);
  expect(await socket.closed).toEqual({ code: 4003, reason: 'token expired' });
  await expect.poll(async () => (await admin('/connections')).items).toHaveLength(2);
  expect((await stays.ask({ action: 'ping' })).data).toEqual({});
  expect((await forEver.ask({ action: 'ping' })).data).toEqual({});
  // With the old token it does not come back.
  const again = await fetch(`${url}/rooms/ops-1?access_token=${await token(claims)}`);
  expect(again.status).toBe(401);
});

it('closes clients at different times when their tokens expire together', async () => {
  const { clock, visit } = await guarded();
  const claims = { rooms: 'ops-*', exp: inSeconds(clock, 60) };
  const guests = await Promise.all(Array.from({ length: 8 }, () => visit('ops-1', claims)));
  clock.advance(66_000);
  const told = await Promise.all(
    guests.map(async (guest) => (await guest.event('closing')).data.retryAfterMs),
  );
  expect(new Set(told).size).toBeGreaterThan(1);
  expect(Math.max(...told)).toBeLessThan(5000);
});

it('renews a token on an open connection', async () => {
  const { clock, visit, token } = await guarded();
  const guest = await visit('ops-1', { sub: 'ann', rooms: 'ops-*', exp: inSeconds(clock, 60) });
  const newer = { sub: 'ann', rooms: 'ops-*', publish: 'ops-1', exp: inSeconds(clock, 600) };
  expect(statusOf(await guest.ask({ action: 'publish', data: 1 }))).toBe(403);
  expect(await guest.ask({ action: 'token', data: { token: await token(newer) } })).toMatchObject({
    data: { expiresAt: new Date(newer.exp * 1000).toISOString() },
  });
  clock.advance(120_000);
  expect((await guest.ask({ action: 'publish', data: 1 })).data).toMatchObject({ connections: 1 });
  const endless = await token({ sub: 'ann', rooms: 'ops-*' });
  expect((await guest.ask({ action: 'token', data: { token: endless } })).data).toEqual({ expiresAt: null });
  clock.advance(1_000_000);
  expect(statusOf(await guest.ask({ action: 'publish', data: 1 }))).toBe(403);
});

it('leaves a connection as it was where the newer token is wrong', async () => {
  const { clock, visit, token } = await guarded();
  const claims = { sub: 'ann', rooms: 'ops-*', publish: 'ops-*', exp: inSeconds(clock, 60) };
  const guest = await visit('ops-1', claims);
  const sent = async (data: unknown) => statusOf(await guest.ask({ action: 'token', data }));
  expect(await sent({ token: await token({ ...claims, sub: 'bob' }) })).toBe(403);
  expect(await sent({ token: await token({ ...claims, sub: undefined }) })).toBe(403);
  expect(await sent({ token: await signed(claims, `${SECRET}!`) })).toBe(401);
  expect(await sent({ token: await token({ ...claims, exp: inSeconds(clock, -60) }) })).toBe(401);
  for (const data of [undefined, null, 'eyJ', {}, { token: 7 }]) expect(await sent(data)).toBe(400);
  expect((await guest.ask({ action: 'publish', data: 1 })).data).toMatchObject({ connections: 1 });
  clock.advance(66_000);
  expect((await guest.event('closing')).data).toMatchObject({ code: 4003 });
});

it('leaves the rooms that a newer token does not cover', async () => {
  const { url, visit, token, admin } = await guarded();
  const text = await token({ sub: 'ann', rooms: ['ops-1', 'ops-2'] });
  const guest = new SocketGuest(`${url}/rooms?room=ops-1&room=ops-2&room=lobby`, {
    headers: { authorization: `Bearer ${text}` },
  });
  onTestFinished(() => guest.socket.terminate());
  await guest.event('hello');
  await guest.ask({ action: 'token', data: { token: await token({ sub: 'ann', rooms: 'ops-2' }) } });
  expect(await guest.event('closing')).toMatchObject({
    room: 'ops-1',
    data: { code: 4003, reconnect: false, ends: 'room' },
  });
  const { items } = (await admin('/connections')) as { items: { rooms: string[] }[] }; // as openapi.yaml has it
  expect(items.map(({ rooms }) => rooms)).toEqual([['lobby', 'ops-2']]);
  expect(statusOf(await guest.ask({ action: 'subscribe', room: 'ops-1' }))).toBe(403);
  expect(statusOf(await guest.ask({ action: 'subscribe', room: 'ops-2' }))).toBeUndefined();
  const stranger = await visit('lobby');
  expect(statusOf(await stranger.ask({ action: 'subscribe', room: 'ops-2' }))).toBe(401);
});

it('leaves the last room as well, says that only the room ends, and keeps the connection', async () => {
  const { visit, token } = await guarded();
  const guest = await visit('ops-1', { sub: 'ann', rooms: 'ops-1' });
  await guest.ask({ action: 'token', data: { token: await token({ sub: 'ann', rooms: 'ops-2' }) } });
  expect(await guest.event('closing')).toMatchObject({ room: 'ops-1', data: { ends: 'room' } });
  expect((await guest.ask({ action: 'subscribe', room: 'ops-2' })).data).toMatchObject({ room: 'ops-2' });
});

it('renews nothing without a token, or where tokens are not looked at', async () => {
  const { visit, token } = await guarded();
  const stranger = await visit('lobby');
  const text = await token({ sub: 'ann' });
  expect(statusOf(await stranger.ask({ action: 'token', data: { token: text } }))).toBe(403);
  const open = await guarded({ access: undefined });
  const guest = await open.visit('lobby', text);
  expect(statusOf(await guest.ask({ action: 'token', data: { token: text } }))).toBe(409);
});

it('knows the user of several connections: as target, as filter, in what it publishes, coming and leaving', async () => {
  const { belfry, visit, admin } = await guarded();
  const told: (Presence & { kind: string })[] = [];
  belfry.on('join', (presence) => told.push({ kind: 'join', ...presence }));
  belfry.on('leave', (presence) => told.push({ kind: 'leave', ...presence }));
  const claims = { sub: 'ann', rooms: 'ops-*', publish: 'ops-*' };
  const first = await visit('ops-1', claims);
  const second = await visit('ops-1', claims);
  const elsewhere = await visit('ops-2', claims);
  const bob = await visit('ops-1', { ...claims, sub: 'bob' });
  const { items } = (await admin('/connections?user=ann')) as { items: { user: string }[] }; // as openapi.yaml has it
  expect(items.map(({ user }) => user)).toEqual(['ann', 'ann', 'ann']);
  const body = JSON.stringify({ users: ['ann', 'eve'], data: 'psst' });
  expect(await admin('/broadcast', { method: 'POST', body })).toMatchObject({
    connections: 3,
    unreached: ['eve'],
  });
  for (const each of [first, second, elsewhere]) expect((await each.event('message')).data).toBe('psst');
  await bob.ask({ action: 'publish', data: 1, room: 'ops-1' });
  expect(await first.event('message')).toMatchObject({ from: { user: 'bob' }, data: 1 });
  for (const guest of [first, second, elsewhere, bob]) await guest.leave();
  await expect.poll(() => told.filter(({ kind }) => kind === 'leave')).toHaveLength(4);
  expect(told.map(({ kind, room, user, userConnections }) => [kind, room, user, userConnections])).toEqual([
    ['join', 'ops-1', 'ann', 1],
    ['join', 'ops-1', 'ann', 2],
    ['join', 'ops-2', 'ann', 1],
    ['join', 'ops-1', 'bob', 1],
    ['leave', 'ops-1', 'ann', 1],
    ['leave', 'ops-1', 'ann', 0],
    ['leave', 'ops-2', 'ann', 0],
    ['leave', 'ops-1', 'bob', 0],
  ]);
});

it('lets a listener publish over HTTP where its token covers the room, and nobody else', async () => {
  const { url, token, visit, clock } = await guarded();
  const guest = await visit('lobby');
  const claims = { sub: 'ann', publish: ['lobby', 'attic'] };
  const post = async (room: string, more: JWTPayload = {}, text = '', query = '') => {
    const authorization = `Bearer ${text || (await token({ ...claims, ...more }))}`;
    return fetch(`${url}/rooms/${room}${query}`, { method: 'POST', body: 'hi', headers: { authorization } });
  };
  const sent = await post('lobby');
  expect([sent.status, await sent.json()]).toEqual([
    200,
    { id: expect.any(String), rooms: ['lobby'], connections: 1, unreached: [], unknown: [], kept: true },
  ]);
  expect(await guest.event('message')).toMatchObject({ data: 'hi', from: { user: 'ann' } });
  await post('lobby', { sub: undefined });
  expect(await guest.event('message')).toMatchObject({ data: 'hi', from: {} });
  // Where its rule asks members for a token, and where no rule lets anyone publish.
  expect((await post('ops-1', { publish: 'ops-*' })).status).toBe(200);
  expect((await post('ops-1')).status).toBe(403);
  expect((await post('attic')).status).toBe(403);
  expect((await post('lobby', { publish: undefined })).status).toBe(403);
  expect((await post('lobby', {}, '', '?event=display.blank')).status).toBe(400);
  expect((await post('lobby', { exp: inSeconds(clock, -60) })).status).toBe(401);
  expect((await post('lobby', {}, await signed(claims, `${SECRET}!`))).status).toBe(401);
  expect((await post('lobby', {}, 'nonsense')).status).toBe(401);
  // Nothing else of the admin API.
  const authorization = `Bearer ${await token(claims)}`;
  for (const path of ['/admin/rooms', '/metrics']) {
    expect((await fetch(url + path, { headers: { authorization } })).status).toBe(401);
  }
});

it('limits how fast one user publishes over HTTP, whatever its tokens', async () => {
  const { url, token } = await guarded({ limits: { messagesPerSecond: 1, messageBurst: 3 } });
  const post = async (claims: JWTPayload) => {
    const headers = { authorization: `Bearer ${await token({ publish: '*', ...claims })}` };
    return fetch(`${url}/rooms/lobby`, { method: 'POST', body: 'hi', headers });
  };
  const statuses: number[] = [];
  for (const rooms of ['a', 'b', 'c', 'd']) statuses.push((await post({ sub: 'ann', rooms })).status);
  expect(statuses).toEqual([200, 200, 200, 429]);
  expect((await post({ sub: 'bob' })).status).toBe(200);
  // Of a token without a user, the token counts.
  for (const rooms of ['a', 'a', 'a', 'a', 'b']) statuses.push((await post({ rooms })).status);
  expect(statuses.slice(4)).toEqual([200, 200, 200, 429, 200]);
});

it('sends once what a listener repeats with a key, and keeps the keys of listeners apart', async () => {
  const { url, token } = await guarded();
  const post = async (claims: JWTPayload) => {
    const authorization = `Bearer ${await token({ publish: '*', ...claims })}`;
    const headers = { authorization, 'idempotency-key': 'k' };
    const answer = await fetch(`${url}/rooms/lobby`, { method: 'POST', body: 'hi', headers });
    return ((await answer.json()) as { id: string }).id; // as openapi.yaml has it
  };
  const ann = await post({ sub: 'ann', rooms: 'a' });
  expect(await post({ sub: 'ann', rooms: 'b' })).toBe(ann);
  const others = [await post({ sub: 'bob' }), await post({ rooms: 'a' }), await post({ rooms: 'b' })];
  expect(new Set([ann, ...others]).size).toBe(4);
  expect(await post({ rooms: 'b' })).toBe(others[2]);
});

describe('a reload', () => {
  /** A server with one other secret in its environment. */
  async function reloadable(rooms: object[]) {
    const document = { server: { ...PATIENT, drainSeconds: 0 }, access: { secretEnv: 'SECRET' }, rooms };
    const source = { label: 'belfry.json', read: (): object => document };
    const server = await guarded(document, { env: { SECRET, OTHER: `${SECRET}!` }, source });
    const reload = (changes: object) => {
      source.read = () => ({ ...document, ...changes });
      return server.belfry.reload();
    };
    return { ...server, reload };
  }
  const claims = { sub: 'ann', rooms: 'ops-*' };

  it.each(['token', 'nobody'])('takes clients out of rooms that are for "%s" now', async (subscribe) => {
    const { url, visit, reload } = await reloadable([{ match: '*' }]);
    const out = await visit('ops-1');
    const also = await visit('ops-1', { rooms: 'lobby' });
    const stream = new StreamGuest(`${url}/rooms/ops-1`);
    onTestFinished(() => stream.leave());
    await stream.event('hello');
    const stays = new SocketGuest(`${url}/rooms?room=ops-1&room=lobby`);
    onTestFinished(() => stays.socket.terminate());
    await stays.event('hello');
    const covered = await visit('ops-1', claims);
    await reload({ rooms: [{ match: 'ops-*', subscribe }] });
    const left = { code: 4003, reason: 'the rule of the room has changed', reconnect: false };
    for (const guest of [out, also, stream]) {
      expect(await guest.event('closing')).toMatchObject({
        room: 'ops-1',
        data: { ...left, ends: 'connection' },
      });
    }
    expect((await out.closed).code).toBe(4003);
    expect(await stays.event('closing')).toEqual({
      event: 'closing',
      room: 'ops-1',
      data: { ...left, ends: 'room' },
    });
    expect(statusOf(await stays.ask({ action: 'unsubscribe', room: 'lobby' }))).toBeUndefined();
    if (subscribe === 'nobody') expect((await covered.closed).code).toBe(4003);
    else expect(statusOf(await covered.ask({ action: 'ping' }))).toBeUndefined();
  });

  it('closes those whose token has to be verified again, and tells them to come back', async () => {
    const { visit, reload } = await reloadable(ROOMS);
    const guests = [await visit('ops-1', claims), await visit('lobby', claims)];
    const without = await visit('lobby');
    await reload({ limits: { rooms: 77 } });
    for (const guest of guests) expect(statusOf(await guest.ask({ action: 'ping' }))).toBeUndefined();
    await reload({ access: { secretEnv: 'OTHER' } });
    for (const guest of guests) {
      expect((await guest.event('closing')).data).toEqual({
        code: 4003,
        reason: 'the token has to be verified again',
        reconnect: true,
        retryAfterMs: expect.any(Number),
        ends: 'connection',
      });
      expect((await guest.closed).code).toBe(4003);
    }
    expect(statusOf(await without.ask({ action: 'ping' }))).toBeUndefined();
    await visit('ops-1', await signed(claims, `${SECRET}!`));
  });

  it('counts for a token that is being verified', async () => {
    const { url, key, keys, hold, release, source, document, belfry } = await remote();
    hold();
    const authorization = `Bearer ${await signed(claims, key)}`;
    const coming = fetch(`${url}/rooms/ops-1`, { headers: { authorization } });
    await expect.poll(() => keys.count).toBe(1);
    source.read = () => ({ ...document, access: { jwksUrl: keys.url, issuer: 'me' } });
    await belfry.reload();
    release();
    expect((await coming).status).toBe(401);
  });
});

it('looks at no token where none is configured', async () => {
  const { visit, admin } = await guarded({ access: undefined });
  await visit('lobby', 'nonsense');
  const { items } = (await admin('/connections')) as { items: { user: unknown }[] }; // as openapi.yaml has it
  expect(items.map(({ user }) => user)).toEqual([null]);
});

/** A server whose keys are at an address, and what tells it to go on. */
async function remote(config: ConfigOf = {}) {
  const key = keyPair('a');
  const keys = await keyServer(keySet(key));
  let release = () => {};
  const hold = () => {
    keys.held = new Promise<void>((resolve) => {
      release = resolve;
    });
  };
  const document = { access: { jwksUrl: keys.url }, rooms: ROOMS, ...config };
  const source = { label: 'belfry.json', read: (): object => document };
  const server = await guarded(document, { source });
  const token = await signed({ sub: 'ann', rooms: 'ops-*' }, key);
  return { ...server, key, keys, hold, release: () => release(), token, source, document };
}

it('starts and serves clients without a token while the keys cannot be fetched', async () => {
  const { url, clock, keys, port, token, key } = await remote();
  keys.body = undefined;
  const authorization = `Bearer ${token}`;
  expect((await fetch(`${url}/rooms/lobby`)).status).toBe(200);
  expect((await fetch(`${url}/rooms/ops-1`)).status).toBe(401);
  const json = await fetch(`${url}/rooms/ops-1`, { headers: { authorization } });
  expect([json.status, Number(json.headers.get('retry-after'))]).toEqual([503, expect.any(Number)]);
  expect(await json.text()).not.toContain(keys.url);
  const upgrade = handshake('/rooms/ops-1', { Authorization: authorization });
  const refused = answer(await new RawClient(port).say(upgrade).all());
  expect([refused.status, refused.headers.has('retry-after')]).toEqual([503, true]);
  const stream = await fetch(`${url}/rooms/ops-1`, {
    headers: { authorization, accept: 'text/event-stream' },
  });
  const text = await stream.text();
  expect(stream.status).toBe(200);
  expect(text).toMatch(/^retry: \d+\n\ndata: \{"event":"closing","data":\{"code":1013,/);
  expect(keys.count).toBe(1);
  keys.body = keySet(key);
  clock.advance(30_000);
  const status = async () => (await fetch(`${url}/rooms/ops-1`, { headers: { authorization } })).status;
  await expect.poll(status).toBe(200);
  expect(keys.count).toBe(2);
});

it('keeps fetched keys over a reload, until their address is another', async () => {
  const { belfry, url, visit, keys, token, source, document, clock, key } = await remote();
  await visit('ops-1', token);
  source.read = () => ({ ...document, limits: { rooms: 77 } });
  await belfry.reload();
  await visit('ops-1', token);
  source.read = () => ({ ...document, access: { jwksUrl: keys.url, issuer: 'me' } });
  await belfry.reload();
  const asked = await fetch(`${url}/rooms/ops-1`, { headers: { authorization: `Bearer ${token}` } });
  expect(asked.status).toBe(401);
  await visit('ops-1', await signed({ iss: 'me', rooms: 'ops-*' }, key));
  expect(keys.count).toBe(1);
  const others = await keyServer(keySet(key));
  source.read = () => ({ ...document, access: { jwksUrl: others.url } });
  await belfry.reload();
  await visit('ops-1', token);
  expect([keys.count, others.count]).toEqual([1, 1]);
  // The keys that no configuration names are not fetched any more.
  clock.advance(600_000);
  await expect.poll(() => others.count).toBe(2);
  expect(keys.count).toBe(1);
});

it.each([
  ['WebSocket', (headers: Record<string, string>) => handshake('/rooms/ops-1', headers)],
  [
    'SSE',
    (headers: Record<string, string>) => request('/rooms/ops-1', { ...headers, Accept: 'text/event-stream' }),
  ],
])('keeps no slot of a client that resets while its token is verified: %s', async (_what, text) => {
  const { port, keys, hold, release, token, admin } = await remote({ limits: { connections: 1 } });
  hold();
  const client = new RawClient(port).say(text({ Authorization: `Bearer ${token}` }));
  await expect.poll(() => keys.count).toBe(1);
  client.reset();
  await client.closed;
  release();
  const status = async () => {
    const next = new RawClient(port).say(handshake('/rooms/lobby'));
    const head = await next.until('\r\n\r\n');
    next.reset();
    return answer(head).status;
  };
  await expect.poll(status).toBe(101);
  await expect.poll(async () => (await admin('/connections')).items).toEqual([]);
});

it('bounds what is verified at the same time, and decides on all of it in the end', async () => {
  const { port, keys, hold, release, token, admin } = await remote({ limits: { connectionsPerAddress: 0 } });
  hold();
  const text = handshake('/rooms/ops-1', { Authorization: `Bearer ${token}` });
  const clients = Array.from({ length: 300 }, () => new RawClient(port).say(text));
  onTestFinished(() => {
    for (const client of clients) client.reset();
  });
  const statuses = () => clients.flatMap(({ heard }) => (heard === '' ? [] : [heard.slice(9, 12)]));
  await expect.poll(statuses).toEqual(Array(44).fill('503'));
  expect(keys.count).toBe(1);
  release();
  await expect.poll(() => statuses().filter((status) => status === '101')).toHaveLength(256);
  await expect.poll(async () => (await admin('/connections?limit=1000')).items).toHaveLength(256);
});

it('stops while tokens are being verified', async () => {
  const { belfry, port, clock, keys, hold, token } = await remote();
  hold();
  const client = new RawClient(port).say(handshake('/rooms/ops-1', { Authorization: `Bearer ${token}` }));
  await expect.poll(() => keys.count).toBe(1);
  await belfry.stop();
  expect((await client.all()).slice(0, 12)).toBe('HTTP/1.1 503');
  expect(clock.pending).toBe(0);
});
