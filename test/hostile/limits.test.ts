import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { afterEach, describe, expect, test, vi } from 'vitest';
import { systemClock } from '../../src/clock.ts';
import { SocketGuest } from '../helpers/guest.ts';
import { clientFrame, exchange, handshake, RawClient, request } from '../helpers/raw.ts';
import { startServer, type TestServer } from '../helpers/server.ts';

/** Named as a proxy, a client on this machine is measured like any other. */
const behindProxy = { trustProxy: ['127.0.0.1'] };
const asked = { Accept: 'text/event-stream', Connection: 'close' };

describe('limits', () => {
  let server: TestServer;
  const guests: SocketGuest[] = [];

  afterEach(async () => {
    for (const guest of guests.splice(0)) guest.socket.terminate();
    await server.stop();
  });

  async function start(limits: object, more: object = {}): Promise<void> {
    server = await startServer({ rooms: [{ match: '*', publish: 'members' }], limits, server: more });
  }

  async function join(target = '/rooms/lobby', headers: Record<string, string> = {}): Promise<SocketGuest> {
    const guest = new SocketGuest(`${server.url}${target}`, { headers });
    guests.push(guest);
    await guest.event('hello');
    return guest;
  }

  const refused = (target = '/rooms/lobby', headers: Record<string, string> = {}) =>
    exchange(server.port, handshake(target, headers));

  async function opened(): Promise<Socket> {
    const socket = connect({ port: server.port, host: '127.0.0.1' });
    await new Promise<void>((resolve) => socket.once('connect', () => resolve()));
    return socket.on('error', () => {});
  }

  test('of connections answer 503 with Retry-After, and SSE with a stream that says when', async () => {
    await start({ connections: 1 });
    const guest = await join();
    const { status, headers } = await refused();
    expect(status).toBe(503);
    expect(Number(headers.get('retry-after'))).toBeGreaterThan(0);
    const stream = await exchange(server.port, request('/rooms/lobby', asked));
    expect(stream.status).toBe(200);
    expect(stream.body).toMatch(/^retry: \d+\n/);
    expect(stream.body).toMatch(
      /data: \{"event":"closing","data":\{"code":1013,.*"reconnect":true,"retryAfterMs":\d+/,
    );
    await guest.leave();
    await vi.waitFor(() => join());
  });

  test('of connections are given back by handshakes that break off', async () => {
    await start({ connections: 5 });
    for (let come = 0; come < 50; come++) {
      await new Promise<void>((resolve) => {
        const socket = connect({ port: server.port, host: '127.0.0.1' }, () => {
          socket.write(handshake(), () => socket.resetAndDestroy());
        });
        socket.on('error', () => {}).on('close', () => resolve());
      });
    }
    for (let come = 0; come < 20; come++) expect((await refused('/rooms/a%00')).status).toBe(400);
    await vi.waitFor(() => join());
    for (let come = 0; come < 4; come++) await join();
    expect((await refused()).status).toBe(503);
  });

  test('of an address answer 429, count what the proxy says, and leave this machine alone', async () => {
    await start({ connectionsPerAddress: 1 }, behindProxy);
    await join('/rooms/lobby', { 'X-Forwarded-For': '203.0.113.1' });
    expect((await refused('/rooms/lobby', { 'X-Forwarded-For': '127.0.0.1, 203.0.113.1' })).status).toBe(429);
    await join('/rooms/lobby', { 'X-Forwarded-For': '203.0.113.2' });
    const { items } = await server.admin('/connections');
    expect(items).toMatchObject([{ remoteAddress: '203.0.113.1' }, { remoteAddress: '203.0.113.2' }]);
    await server.stop();

    await start({ connectionsPerAddress: 1, connectsPerSecondPerAddress: 1 });
    for (let come = 0; come < 5; come++) await join('/rooms/lobby', { 'X-Forwarded-For': '203.0.113.1' });
  });

  test('of connects answer 429 with Retry-After', async () => {
    await start({ connectsPerSecondPerAddress: 3 }, behindProxy);
    const from = { 'X-Forwarded-For': '203.0.113.1' };
    for (let come = 0; come < 3; come++) await join('/rooms/lobby', from);
    const { status, headers } = await refused('/rooms/lobby', from);
    expect(status).toBe(429);
    expect(Number(headers.get('retry-after'))).toBeGreaterThan(0);
  });

  test('of rooms refuse what would make one more', async () => {
    await start({ rooms: 2 });
    const guest = await join('/rooms?room=a&room=b');
    expect((await refused('/rooms/c')).status).toBe(503);
    await join('/rooms/a');
    expect((await guest.ask({ action: 'subscribe', room: 'c' })).error).toMatchObject({ status: 503 });
  });

  test('of rooms refuse no client the empty room that a rule names', async () => {
    server = await startServer({
      rooms: [{ match: 'lobby', publish: 'members' }],
      limits: { rooms: 50, roomsPerAddress: 50 },
      server: behindProxy,
    });
    const from = { 'X-Forwarded-For': '203.0.113.1' };
    const rooms = Array.from({ length: 50 }, (_, index) => `room=r${index}`);
    const greedy = await join(`/rooms?${rooms.join('&')}`, from);
    expect((await refused('/rooms/other')).status).toBe(503);
    await join('/rooms/lobby', { 'X-Forwarded-For': '203.0.113.2' });
    expect((await greedy.ask({ action: 'subscribe', room: 'lobby' })).data).toMatchObject({ room: 'lobby' });
  });

  test('of rooms hold in a burst of handshakes, though joins wait for each other', async () => {
    let calls = 0;
    // With it each join takes as long as all of one turn may.
    const clock = { ...systemClock, monotonic: () => systemClock.monotonic() + calls++ };
    const limits = { rooms: 200, fanoutSliceMs: 1 };
    server = await startServer({ limits, server: { emptyRoomSeconds: 0 } }, { clock });
    const clients = Array.from({ length: 200 }, () => new RawClient(server.port));
    await Promise.all(clients.map(({ socket }) => socket.connecting && once(socket, 'connect')));
    // Connections are accepted in their order: now those are, and what they send is read in one turn.
    await server.admin('/stats');
    clients.forEach((client, index) => {
      const rooms = Array.from({ length: 40 }, (_, room) => `room=r${index}-${room}`);
      client.say(handshake(`/rooms?${rooms.join('&')}`));
    });
    const heads = await Promise.all(clients.map((client) => client.until('\r\n\r\n')));
    const welcome = clients.filter((_, index) => heads[index]?.startsWith('HTTP/1.1 101 '));
    expect(welcome).toHaveLength(5);
    expect(heads.filter((head) => head.startsWith('HTTP/1.1 503 '))).toHaveLength(195);
    await Promise.all(welcome.map((client) => client.until('"hello"')));
    expect(await server.admin('/stats')).toMatchObject({ rooms: 200 });
    for (const { socket } of clients) socket.destroy();
    await vi.waitFor(async () => expect(await server.admin('/stats')).toMatchObject({ rooms: 0 }));
    // Nothing stays reserved.
    for (const half of [0, 1]) {
      const rooms = Array.from({ length: 100 }, (_, room) => `room=new${half}-${room}`);
      await join(`/rooms?${rooms.join('&')}`);
    }
  });

  test('of rooms per address answer 429 until the rooms have ended, and SSE with a stream that says when', async () => {
    await start({ roomsPerAddress: 3 }, { ...behindProxy, emptyRoomSeconds: 0 });
    const from = { 'X-Forwarded-For': '203.0.113.1' };
    const guest = await join('/rooms?room=a&room=b', from);
    expect((await refused('/rooms?room=c&room=d', from)).status).toBe(429);
    expect((await guest.ask({ action: 'subscribe', room: 'c' })).error).toBeUndefined();
    expect((await guest.ask({ action: 'subscribe', room: 'd' })).error).toMatchObject({ status: 429 });
    const { status, headers } = await refused('/rooms/d', from);
    expect(status).toBe(429);
    expect(Number(headers.get('retry-after'))).toBeGreaterThan(0);
    const stream = await exchange(server.port, request('/rooms/d', { ...asked, ...from }));
    expect(stream.status).toBe(200);
    expect(stream.body).toMatch(
      /^retry: \d+\n[\s\S]*"event":"closing","data":\{"code":1013,.*"reconnect":true,"retryAfterMs":\d+/,
    );
    await join('/rooms/a', from);
    await join('/rooms/d', { 'X-Forwarded-For': '203.0.113.2' });
    await guest.ask({ action: 'unsubscribe', room: 'b' });
    await vi.waitFor(
      async () => expect((await guest.ask({ action: 'subscribe', room: 'e' })).error).toBeUndefined(),
      { timeout: 5000, interval: 100 },
    );
  });

  test('of rooms in a connection refuse a request with 400 and a subscription with 403', async () => {
    await start({ roomsPerConnection: 2 });
    expect((await refused('/rooms?room=a&room=b&room=c')).status).toBe(400);
    const guest = await join('/rooms?room=a&room=b');
    expect((await guest.ask({ action: 'subscribe', room: 'c' })).error).toMatchObject({ status: 403 });
    expect((await guest.ask({ action: 'subscribe', room: 'b' })).data).toMatchObject({ room: 'b' });
  });

  test('of messages answer 429 and take nothing, then close with 4129', async () => {
    await start({ messagesPerSecond: 1, messageBurst: 5 });
    const [guest, other] = [await join(), await join()];
    for (let sent = 0; sent < 5; sent++) {
      expect((await guest.ask({ action: 'publish', data: sent })).error).toBeUndefined();
    }
    expect((await guest.ask({ action: 'publish', data: 'too fast' })).error).toMatchObject({ status: 429 });
    for (let sent = 0; sent < 30; sent++) guest.say({ action: 'publish', data: 'too fast' });
    expect(await guest.event('closing')).toMatchObject({ data: { code: 4129, reconnect: true } });
    expect((await guest.closed).code).toBe(4129);
    for (let sent = 0; sent < 5; sent++) expect((await other.event('message')).data).toBe(sent);
    await other.ask({ action: 'ping' });
    expect(other.rest.filter(({ data }) => data === 'too fast')).toEqual([]);
  });

  test('of messages in a room answer 429 to the client beyond it, and close none that keeps its own limit', async () => {
    await start({ roomMessagesPerSecond: 10 });
    const guests = await Promise.all(Array.from({ length: 5 }, () => join()));
    const replies = await Promise.all(
      guests.flatMap((guest) =>
        // As many as one client may send at once.
        Array.from({ length: 100 }, (_, data) => guest.ask({ action: 'publish', data })),
      ),
    );
    const refusals = replies.flatMap(({ error }) => (error ? [error] : []));
    expect(refusals.length).toBeGreaterThan(400);
    expect(refusals.length).toBeLessThanOrEqual(490);
    for (const { status, detail } of refusals) {
      expect(status).toBe(429);
      expect(detail).toMatch(/room "lobby".*limits\.roomMessagesPerSecond.*wait \d+ ms/);
    }
    for (const guest of guests) expect(guest.socket.readyState).toBe(guest.socket.OPEN);
  });

  test('of messages in a room count no message that is refused for another reason', async () => {
    await start({ roomMessagesPerSecond: 1, eventBytes: 100 });
    const guest = await join();
    const wrong = [
      [400, { event: 'belfry:x y' }],
      [400, { event: 'hello' }],
      [413, { data: 'x'.repeat(101) }],
    ] as const;
    for (const [status, line] of wrong) {
      expect((await guest.ask({ action: 'publish', data: 1, ...line })).error).toMatchObject({ status });
    }
    expect((await guest.ask({ action: 'publish', data: 1 })).error).toBeUndefined();
    expect((await guest.ask({ action: 'publish', data: 1 })).error).toMatchObject({ status: 429 });
  });

  test('of failed tokens answer 429 after ten in a minute', async () => {
    await start({}, behindProxy);
    const attempt = (address: string) =>
      exchange(
        server.port,
        request('/admin/rooms', {
          Authorization: 'Bearer wrong',
          Connection: 'close',
          'X-Forwarded-For': address,
        }),
      );
    for (let tried = 0; tried < 10; tried++) expect((await attempt('203.0.113.1')).status).toBe(401);
    expect((await attempt('203.0.113.1')).status).toBe(429);
    expect((await attempt('203.0.113.2')).status).toBe(401);
  });

  test('of unsent bytes hold for answers that are not read as well', async () => {
    const room = { match: '*', history: 200 };
    const large = { historyBytes: 2 ** 25, totalHistoryBytes: 2 ** 25 };
    for (const [totalBufferedBytes, isCut] of [
      [1000, true],
      [2 ** 28, false],
    ] as const) {
      server = await startServer({ rooms: [room], limits: { ...large, totalBufferedBytes } });
      for (let sent = 0; sent < 200; sent++) {
        await server.belfry.publish({ target: { rooms: ['lobby'] }, data: 'x'.repeat(60_000) });
      }
      // More than the kernel takes at once, of which nothing has been read when it is written.
      const { status, body } = await exchange(
        server.port,
        request('/rooms/lobby?limit=1000', { Connection: 'close' }),
      );
      expect([status, body.length < 12_000_000]).toEqual([200, isCut]);
      await server.stop();
    }
  });

  test('of unsent bytes hold for messages that are not complete as well', async () => {
    await start({ totalBufferedBytes: 131_072 });
    const guest = await join();
    const half = clientFrame('x'.repeat(16_000)).subarray(0, -1);
    const clients = Array.from({ length: 20 }, () => new RawClient(server.port).say(handshake()));
    for (const client of clients) {
      await client.until('"event":"hello"');
      client.say(half);
    }
    const closed = () => clients.filter(({ heard }) => heard.includes('"code":4101'));
    await vi.waitFor(() => expect(closed().length).toBeGreaterThanOrEqual(12), 5000);
    expect((await guest.ask({ action: 'ping' })).error).toBeUndefined();
    const stayed = clients.filter(({ heard }) => !heard.includes('"code":4101'));
    expect(stayed.length).toBeGreaterThan(0);
    for (const client of clients) client.socket.destroy();
  });

  test('of sockets close one more unheard, and leave those who are there alone', async () => {
    await start({ sockets: 2 });
    const guest = await join();
    const silent = await opened();
    for (let come = 0; come < 3; come++)
      await expect(refused()).resolves.toMatchObject({ status: Number.NaN });
    expect((await guest.ask({ action: 'ping' })).error).toBeUndefined();
    expect(server.logged.map(({ msg }) => msg)).toEqual([
      'all 2 sockets are taken (limits.sockets): new ones are closed without an answer',
    ]);
    silent.destroy();
    await vi.waitFor(async () => expect((await refused('/rooms/a%00')).status).toBe(400));
  });

  test('of seconds for headers end what stays half a request with 408', async () => {
    await start({ headersSeconds: 0.5 });
    for (const half of ['', 'GET /rooms/lob', handshake().slice(0, -2)]) {
      const { status, headers } = await exchange(server.port, half);
      expect([status, headers.get('content-type')]).toEqual([408, 'application/problem+json']);
    }
  });

  test('that are 0 are none', async () => {
    const limits = {
      connections: 0,
      connectionsPerAddress: 0,
      connectsPerSecond: 0,
      connectsPerSecondPerAddress: 0,
      messagesPerSecond: 0,
      messageBurst: 0,
      roomMessagesPerSecond: 0,
      sockets: 0,
      headersSeconds: 0,
      rooms: 0,
      roomsPerConnection: 0,
      roomsPerAddress: 0,
    };
    await start(limits, behindProxy);
    const guest = await join(`/rooms?${Array.from({ length: 200 }, (_, room) => `room=r${room}`).join('&')}`);
    for (let sent = 0; sent < 500; sent++) guest.say({ action: 'ping' });
    expect((await guest.ask({ action: 'ping' })).error).toBeUndefined();
  });
});
