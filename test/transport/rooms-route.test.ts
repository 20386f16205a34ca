import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { StreamGuest } from '../helpers/guest.ts';
import { exchange, RawClient, request } from '../helpers/raw.ts';
import { startServer, type TestServer } from '../helpers/server.ts';

const FRIEND = 'https://friend.example';

let server: TestServer;
beforeAll(async () => {
  server = await startServer({
    server: { allowedOrigins: [FRIEND] },
    rooms: [{ match: 'cellar', subscribe: 'nobody' }],
    schedules: [
      {
        name: 'bell',
        every: '1h',
        rooms: ['belfry'],
        event: 'bell',
        feed: { type: 'message', data: { n: '{{seq}}' } },
      },
    ],
  });
});
afterAll(() => server.stop());

const get = (path: string, headers: Record<string, string> = {}, method = 'GET') =>
  fetch(server.url + path, { method, headers, redirect: 'manual' });
// biome-ignore lint/suspicious/noExplicitAny: tests look into whatever came.
const bodyOf = (response: Response): Promise<any> => response.json();
const connections = async () => (await server.admin('/connections')).items;
const lock = (room: string, query: string) => server.admin(`/rooms/${room}?${query}`, { method: 'DELETE' });

/** Locks a room that somebody has to be in first. */
async function locked(room: string, query: string): Promise<void> {
  const guest = new StreamGuest(`${server.url}/rooms/${room}`);
  await guest.event('hello');
  const done = guest.event('closing');
  await lock(room, query);
  await done;
  guest.leave();
}

describe('the room URL', () => {
  it.each([
    ['application/json', 'application/json'],
    ['text/html', 'text/html; charset=utf-8'],
    ['image/png', 'application/problem+json'],
  ])('Accept: %s is answered as %s, by GET and HEAD alike', async (accept, type) => {
    const answers = await Promise.all(
      ['GET', 'HEAD'].map((method) => get('/rooms/lobby', { accept }, method)),
    );
    for (const { status, headers } of answers) {
      const of = (name: string) => headers.get(name);
      expect([status, of('content-type'), of('cache-control'), of('vary')]).toEqual([
        type === 'application/problem+json' ? 406 : 200,
        type,
        'no-store',
        'Accept, Origin',
      ]);
    }
    expect(answers[1]?.status).toBe(answers[0]?.status);
    expect(await answers[1]?.text()).toBe('');
  });

  it('answers HEAD as a stream would be, and subscribes nobody', async () => {
    const head = await get('/rooms/lobby', { accept: 'text/event-stream' }, 'HEAD');
    expect(head.status).toBe(200);
    expect(head.headers.get('content-type')).toBe('text/event-stream');
    expect(head.headers.get('vary')).toBe('Accept, Origin');
    expect(await connections()).toEqual([]);
    expect((await server.admin('/rooms')).items).toEqual([]);
  });

  it('shows a room as JSON, and makes none by that', async () => {
    await server.belfry.publish({ target: { rooms: ['notices'] }, data: { text: 'one' } });
    await server.belfry.publish({ target: { rooms: ['notices'] }, data: { text: 'two' } });
    const all = await bodyOf(await get('/rooms/notices'));
    expect(all).toMatchObject({
      room: 'notices',
      connections: 0,
      ticks: [],
      events: [{ data: { text: 'one' } }, { data: { text: 'two' } }],
      resumed: null,
    });
    expect(all.last).toBe(all.events[1].id);
    const one = await bodyOf(await get('/rooms?room=notices&limit=1'));
    expect(one.events).toEqual([all.events[1]]);
    const empty = await bodyOf(await get('/rooms/empty'));
    expect(empty).toMatchObject({ events: [], ticks: [] });
    expect(typeof empty.last).toBe('string');
    expect((await server.admin('/rooms')).items).toEqual([]);
  });

  it('shows the current tick of each schedule as JSON', async () => {
    const { ticks } = await bodyOf(await get('/rooms/belfry'));
    expect(ticks).toMatchObject([
      { event: 'bell', tick: { schedule: 'bell', previous: null }, replay: true },
    ]);
  });

  it.each([
    ['/rooms/a%20b', 400],
    ['/rooms/', 400],
    ['/rooms', 400],
    ['/rooms?room=a&room=b', 400],
    ['/rooms/a/b', 404],
    ['/rooms/lobby?limit=0', 400],
    ['/rooms/lobby?limit=1001', 400],
    ['/rooms/lobby?limit=1e2', 400],
    ['/rooms/lobby?limit=', 400],
    ['/rooms/lobby?device=%00', 400],
    ['/rooms/cellar', 403],
    ['/time?t0=x', 400],
    ['/time?t0=Infinity', 400],
  ])('refuses %s with %i', async (path, status) => {
    const refused = await get(path, { origin: FRIEND });
    expect(refused.status).toBe(status);
    expect(refused.headers.get('content-type')).toBe('application/problem+json');
    expect(refused.headers.get('cache-control')).toBe('no-store');
    expect(refused.headers.get('vary')).toBe('Accept, Origin');
    expect(refused.headers.get('access-control-allow-origin')).toBe(FRIEND);
  });

  it.each(['PUT', 'DELETE', 'PATCH'])('refuses %s with 405 and what to do instead', async (method) => {
    const refused = await get('/rooms/lobby', {}, method);
    expect(refused.status).toBe(405);
    expect(refused.headers.get('allow')).toBe('GET, HEAD, POST, OPTIONS');
    expect((await bodyOf(refused)).detail).toContain('POST /admin/broadcast');
  });

  it.each(['text/html', 'text/event-stream', 'application/json'])(
    'answers a foreign host with 421, whatever it accepts: %s',
    async (accept) => {
      const text = request('/rooms/lobby', { Host: 'evil.example', Accept: accept, Connection: 'close' });
      const refused = await exchange(server.port, text);
      expect(refused.status).toBe(421);
      expect(refused.body).toContain('server.publicUrl');
      const malformed = await exchange(server.port, text.replace('/lobby', '/-'));
      expect(malformed.status).toBe(400);
    },
  );

  it('tells when, on the clock of the server', async () => {
    const before = Date.now();
    const { t0, t1, t2 } = await bodyOf(await get('/time?t0=17.5'));
    expect(t0).toBe(17.5);
    expect(t1).toBeGreaterThanOrEqual(before);
    expect(t2).toBeGreaterThanOrEqual(t1);
    expect(Date.now()).toBeGreaterThanOrEqual(t2);
    expect((await bodyOf(await get('/time'))).t0).toBeNull();
  });
});

describe('pages of other origins', () => {
  it.each(['/rooms/lobby', '/time'])('may read %s where they are allowed', async (path) => {
    const { status, headers } = await get(path, { origin: FRIEND });
    expect(status).toBe(200);
    expect(headers.get('access-control-allow-origin')).toBe(FRIEND);
    expect(headers.get('vary')).toContain('Origin');
  });

  it.each(['/rooms/lobby', '/time'])(
    'may ask before %s where they are allowed, and only there',
    async (path) => {
      const preflight = {
        'access-control-request-method': 'GET',
        'access-control-request-headers': 'authorization',
      };
      const yes = await get(path, { ...preflight, origin: FRIEND }, 'OPTIONS');
      expect(yes.status).toBe(204);
      expect(yes.headers.get('access-control-allow-origin')).toBe(FRIEND);
      expect(yes.headers.get('access-control-allow-headers')).toContain('Authorization');
      const no = await get(path, { ...preflight, origin: 'https://x' }, 'OPTIONS');
      expect(no.status).toBe(403);
      expect(no.headers.get('access-control-allow-origin')).toBeNull();
    },
  );

  it.each(['application/json', 'text/event-stream'])(
    'are refused as %s with the key to set',
    async (accept) => {
      const refused = await get('/rooms/lobby', { origin: 'https://x', accept });
      expect(refused.status).toBe(403);
      expect(refused.headers.get('access-control-allow-origin')).toBeNull();
      expect((await bodyOf(refused)).detail).toMatch(
        /^origin "https:\/\/x" is not allowed: add it to server\.allowed/,
      );
    },
  );

  it('are in the log once a minute each', async () => {
    const lines = () => server.logged.filter(({ msg }) => msg.includes('"https://twice'));
    for (const path of ['/rooms/lobby', '/time', '/rooms/other'])
      await get(path, { origin: 'https://twice' });
    expect(lines()).toHaveLength(1);
    await get('/time', { origin: 'https://twice.example' });
    expect(lines()).toHaveLength(2);
  });

  it('are never let into /admin', async () => {
    for (const method of ['GET', 'OPTIONS']) {
      const { headers } = await get('/admin/rooms', { origin: FRIEND }, method);
      expect(headers.get('access-control-allow-origin')).toBeNull();
    }
  });
});

describe('what is closed for a while', () => {
  it('is 423 with Retry-After as JSON, which a page of an allowed origin may read', async () => {
    await locked('shut', 'lock=30s&reconnect=true&reason=cleaning');
    const refused = await get('/rooms/shut', { origin: FRIEND });
    expect(refused.status).toBe(423);
    expect(Number(refused.headers.get('retry-after'))).toBeGreaterThanOrEqual(30);
    expect(refused.headers.get('access-control-allow-origin')).toBe(FRIEND);
    expect(refused.headers.get('access-control-expose-headers')).toBe('Retry-After');
    expect((await bodyOf(refused)).detail).toContain('cleaning');
  });

  it('is a stream that says when to come back, over SSE', async () => {
    await locked('pause', 'lock=30s&reconnect=true&reason=cleaning');
    const stream = await get('/rooms/pause', { accept: 'text/event-stream' });
    expect(stream.status).toBe(200);
    expect(stream.headers.get('content-type')).toBe('text/event-stream');
    const [, retry, data] = /^retry: (\d+)\n\ndata: (.+)\n\n$/.exec(await stream.text()) ?? [];
    expect(Number(retry)).toBeGreaterThanOrEqual(29_000);
    expect(JSON.parse(data ?? '')).toEqual({
      event: 'closing',
      data: {
        ...{ code: 4001, reason: 'cleaning', reconnect: true },
        ...{ retryAfterMs: Number(retry), ends: 'connection' },
      },
    });
  });

  it('leaves the connection open after HEAD, for the requests behind it', async () => {
    await locked('stairs', 'lock=30s&reconnect=true');
    const head = request('/rooms/stairs', { Accept: 'text/event-stream' }, 'HEAD');
    const next = request('/livez', { Connection: 'close' });
    const heard = await new RawClient(server.port).say(head + next).all();
    expect(heard.match(/HTTP\/1\.1 \d+/g)).toEqual(['HTTP/1.1 200', 'HTTP/1.1 200']);
    expect(heard).toMatch(/ok\n$/);
  });

  it('is left out of several rooms on one stream, which is told so', async () => {
    await locked('attic', 'lock=30s&reason=cleaning');
    const guest = new StreamGuest(`${server.url}/rooms?room=attic&room=roof`);
    expect((await guest.event('hello')).data.rooms).toEqual(['roof']);
    expect(await guest.event('closing')).toMatchObject({
      room: 'attic',
      data: { code: 4001, reason: 'cleaning', reconnect: true, ends: 'room' },
    });
    guest.leave();
  });

  it('is 204 over SSE and 423 without Retry-After as JSON where nobody is to come back', async () => {
    await locked('over', 'lock=30s&reconnect=false');
    expect((await get('/rooms/over', { accept: 'text/event-stream' })).status).toBe(204);
    const guest = new StreamGuest(`${server.url}/rooms/over`);
    expect(await guest.failed).toBe(204);
    const refused = await get('/rooms/over');
    expect(refused.status).toBe(423);
    expect(refused.headers.get('retry-after')).toBeNull();
  });

  it('says when to come back while it drains', async () => {
    const other = await startServer({ server: { drainSeconds: 0.5 } });
    const guests = [1, 2, 3].map(() => new StreamGuest(`${other.url}/rooms/lobby`));
    await Promise.all(guests.map((guest) => guest.event('hello')));
    const stopped = other.stop();
    const [json, sse] = await Promise.all([
      fetch(`${other.url}/rooms/lobby`),
      fetch(`${other.url}/rooms/lobby`, { headers: { accept: 'text/event-stream' } }),
    ]);
    expect(json.status).toBe(503);
    expect(Number(json.headers.get('retry-after'))).toBeGreaterThanOrEqual(1);
    expect(sse.status).toBe(200);
    expect(await sse.text()).toMatch(/^retry: \d+\n\ndata: {"event":"closing","data":{"code":1012,/);
    for (const guest of guests) {
      const { data } = await guest.event('closing');
      expect(data).toMatchObject({ code: 1012, reconnect: true });
      guest.leave();
    }
    await stopped;
  });
});

describe('a stream', () => {
  it('carries what clients need to come back: retry, ids of messages, no event field', async () => {
    const client = new RawClient(server.port).say(request('/rooms/wire', { Accept: 'text/event-stream' }));
    await client.until('"hello"');
    const { id } = await server.belfry.publish({ target: { rooms: ['wire'] }, data: { text: 'a\nb' } });
    await client.until('a\\nb');
    const [head = '', ...events] = client.heard.split(/\r?\n\r?\n/);
    expect(head).toMatch(/^HTTP\/1\.1 200 OK\r\n/);
    for (const line of [
      'Content-Type: text/event-stream',
      'X-Accel-Buffering: no',
      'Cache-Control: no-store',
    ])
      expect(head).toContain(`\r\n${line}`);
    expect(head).not.toMatch(/transfer-encoding|content-length/i);
    expect(Number(/^retry: (\d+)$/.exec(events[0] ?? '')?.[1])).toBeGreaterThanOrEqual(2000);
    expect(events[1]).toMatch(/^id: .+\ndata: {.*"event":"hello"/);
    expect(events[2]).toMatch(new RegExp(`^id: ${id}\ndata: {.*"event":"message"`));
    expect(client.heard).not.toMatch(/^event:/m);
    client.reset();
  });

  it('is told why it ends, and when to come back', async () => {
    const client = new RawClient(server.port).say(request('/rooms/ending', { Accept: 'text/event-stream' }));
    await client.until('"hello"');
    await lock('ending', 'lock=2s&reconnect=true&reason=tidying');
    expect(await client.all()).toMatch(
      /\ndata: {"event":"closing",.*"reason":"tidying".*}\n\nretry: \d+\n\n$/,
    );
  });

  it.each(['reset', 'end'] as const)('is forgotten when its client is gone, by %s', async (way) => {
    const client = new RawClient(server.port).say(request('/rooms/gone', { Accept: 'text/event-stream' }));
    await client.until('"hello"');
    expect(await connections()).toHaveLength(1);
    if (way === 'reset') client.reset();
    else client.socket.end();
    await expect.poll(connections).toEqual([]);
  });

  it('is cut where its client was told to go and does not hang up', async () => {
    const client = new RawClient(server.port).say(request('/rooms/deaf', { Accept: 'text/event-stream' }));
    await client.until('"hello"');
    await lock('deaf', 'lock=0s');
    await client.closed;
    const cut = new Promise((resolve) => client.socket.once('close', resolve));
    const timer = setInterval(() => client.say('more'), 20);
    await cut;
    clearInterval(timer);
  });

  it('holds several rooms at once', async () => {
    const guest = new StreamGuest(`${server.url}/rooms?room=one&room=two`);
    expect((await guest.event('hello')).data.rooms).toEqual(['one', 'two']);
    await server.belfry.publish({ target: { rooms: ['two'] }, data: 2 });
    expect(await guest.event('message')).toMatchObject({ room: 'two', data: 2 });
    guest.leave();
    await expect.poll(connections).toEqual([]);
  });
});
