import { EventEmitter } from 'node:events';
import { queryObjects } from 'node:v8';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { SocketGuest } from '../helpers/guest.ts';
import { clientFrame, exchange, handshake, RawClient } from '../helpers/raw.ts';
import { startServer, type TestServer } from '../helpers/server.ts';

let server: TestServer;
beforeAll(async () => {
  server = await startServer();
});
afterAll(() => server.stop());

/** Resolves when a room is empty again, looking at each turn of the loop that brings something. */
const emptied = (room: string) =>
  expect
    .poll(async () => (await server.admin(`/connections?room=${room}`)).items, { timeout: 10_000 })
    .toEqual([]);

/** That the process lives and lets others in. */
async function others(): Promise<void> {
  const guest = new SocketGuest(`${server.url}/rooms/others`);
  expect(await guest.event('hello')).toMatchObject({ data: { rooms: ['others'] } });
  await guest.leave();
}

describe('the upgrade gate', () => {
  it('answers a sound handshake as RFC 6455 has it', async () => {
    const client = new RawClient(server.port).say(handshake());
    const heard = await client.until('"hello"');
    expect(heard).toMatch(/^HTTP\/1\.1 101 Switching Protocols\r\n/);
    expect(heard).toContain('Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n');
    expect(heard).not.toMatch(/Sec-WebSocket-(Protocol|Extensions)/i);
    client.reset();
  });

  it.each([
    [
      'a missing key',
      '/rooms/lobby',
      { 'Sec-WebSocket-Key': undefined },
      400,
      'Sec-WebSocket-Key is missing',
    ],
    ['a short key', '/rooms/lobby', { 'Sec-WebSocket-Key': 'abc==' }, 400, 'Sec-WebSocket-Key is "abc=="'],
    ['an empty key', '/rooms/lobby', { 'Sec-WebSocket-Key': '' }, 400, 'Sec-WebSocket-Key is ""'],
    [
      'no version',
      '/rooms/lobby',
      { 'Sec-WebSocket-Version': undefined },
      426,
      'Version is missing: send 13',
    ],
    ['version 8', '/rooms/lobby', { 'Sec-WebSocket-Version': '8' }, 426, 'Version is "8": send 13'],
    ['version 013', '/rooms/lobby', { 'Sec-WebSocket-Version': '013' }, 426, 'send 13'],
    ['GET //', '//', {}, 404, 'rooms are at /rooms/{room}'],
    ['GET http://[', 'http://[', {}, 400, '"http://[" is not an address'],
    ['GET *', '*', {}, 400, '"*" is not an address'],
    ['a malformed %', '/rooms/%zz', {}, 400, 'not well encoded'],
    ['a bad room', '/rooms/a%20b', {}, 400, 'is not a room name'],
    ['no room', '/rooms', {}, 400, 'no room is named'],
    ['another place', '/time', {}, 404, 'rooms are at /rooms/{room}'],
    ['an empty protocol', '/rooms/lobby', { 'Sec-WebSocket-Protocol': '' }, 400, 'send \\"belfry\\"'],
    [
      'a protocol with a blank',
      '/rooms/lobby',
      { 'Sec-WebSocket-Protocol': 'a b' },
      400,
      'Sec-WebSocket-Protocol',
    ],
    ['a protocol twice', '/rooms/lobby', { 'Sec-WebSocket-Protocol': 'belfry, belfry' }, 400, 'different'],
    ['a protocol in brackets', '/rooms/lobby', { 'Sec-WebSocket-Protocol': '(x)' }, 400, 'tokens'],
    ['a foreign host', '/rooms/lobby', { Host: 'evil.example' }, 421, 'server.publicUrl'],
    ['no host', '/rooms/lobby', { Host: undefined }, 421, 'server.publicUrl'],
    ['two hosts', '/rooms/lobby', { 'X-More': 'x\r\nHost: 127.0.0.1' }, 400, 'two Host headers'],
    [
      'headers of which Node drops some',
      '/rooms/lobby',
      { 'X-More': `x\r\n${'a:\r\n'.repeat(1000)}Origin: https://evil.example` },
      431,
      'at most 100',
    ],
    ['a foreign origin', '/rooms/lobby', { Origin: 'https://x' }, 403, 'server.allowedOrigins'],
  ])('answers %s with a problem, and hangs up', async (_, target, headers, status, detail) => {
    const refused = await exchange(server.port, handshake(target, headers));
    expect(refused.status).toBe(status);
    expect(refused.headers.get('content-type')).toBe('application/problem+json');
    expect(refused.headers.get('cache-control')).toBe('no-store');
    expect(refused.headers.get('connection')).toBe('close');
    expect(refused.headers.get('content-length')).toBe(String(Buffer.byteLength(refused.body)));
    expect(JSON.parse(refused.body)).toMatchObject({ status });
    expect(refused.body.replaceAll('\\\\', '\\')).toContain(
      detail.replaceAll('"', '\\"').replaceAll('\\\\"', '\\"'),
    );
    if (status === 426) expect(refused.headers.get('sec-websocket-version')).toBe('13');
    await others();
  });

  it('answers POST with 405', async () => {
    const refused = await exchange(server.port, handshake('/rooms/lobby', {}, 'POST'));
    expect(refused.status).toBe(405);
    expect(refused.headers.get('allow')).toBe('GET');
  });

  it.each([
    '//[/../../rooms/lobby',
    '/\\[/../../rooms/lobby',
    '//../rooms/lobby',
    'http://elsewhere/rooms/lobby',
  ])('outlives %s, which two readers of addresses take for two addresses', async (target) => {
    const client = new RawClient(server.port).say(handshake(target));
    await client.until('"hello"');
    client.reset();
    await others();
  });

  it('answers a room that is closed for a while with 423 and when to come back', async () => {
    const guest = new SocketGuest(`${server.url}/rooms/shut`);
    await guest.event('hello');
    await server.admin('/rooms/shut?lock=30s&reconnect=true&reason=cleaning', { method: 'DELETE' });
    const refused = await exchange(server.port, handshake('/rooms/shut'));
    expect(refused.status).toBe(423);
    expect(Number(refused.headers.get('retry-after'))).toBeGreaterThanOrEqual(30);
    expect(JSON.parse(refused.body).detail).toContain('cleaning');
  });

  it('keeps no socket of somebody who was refused and does not hang up', async () => {
    const client = new RawClient(server.port).say(handshake('//'));
    await client.closed;
    // The server's end is gone altogether: what is sent now is answered with a reset.
    const gone = new Promise((resolve) => client.socket.once('close', resolve));
    const timer = setInterval(() => client.say('more'), 5);
    await gone;
    clearInterval(timer);
  });

  it.each([
    [['belfry'], 'belfry'],
    [['belfry', 'bearer.secret'], 'belfry'],
    [['bearer.secret', 'belfry'], 'belfry'],
  ])('answers the subprotocols %j with %s', async (protocols, answered) => {
    const guest = new SocketGuest(`${server.url}/rooms/lobby`, { protocols });
    await guest.event('hello');
    expect(guest.socket.protocol).toBe(answered);
    await guest.leave();
  });

  it('never sends a token back', async () => {
    const client = new RawClient(server.port).say(
      handshake('/rooms/lobby', { 'Sec-WebSocket-Protocol': 'bearer.secret' }),
    );
    expect(await client.until('"hello"')).not.toContain('secret');
    client.reset();
  });

  it.each([
    ['"Connection: Upgrade"', { Connection: 'close' }],
    ['"Upgrade: websocket"', { Connection: 'close', Upgrade: undefined }],
  ])('tells who asks without %s, as through a proxy, what has to be passed on', async (missing, more) => {
    const { status, headers, body } = await exchange(server.port, handshake('/rooms/lobby', more));
    expect(status).toBe(426);
    expect(headers.get('upgrade')).toBe('websocket');
    const { detail } = JSON.parse(body);
    expect(detail).toContain(missing);
    expect(detail).toContain('proxy_set_header Upgrade and Connection');
  });

  it('hears what comes right behind the handshake', async () => {
    const line = clientFrame('{"action":"echo","data":"early"}');
    const client = new RawClient(server.port).say(Buffer.concat([Buffer.from(handshake()), line]));
    const heard = await client.until('"early"');
    expect(heard.indexOf('"hello"')).toBeLessThan(heard.indexOf('"early"'));
    client.reset();
  });
});

describe('an upgrade to something else', () => {
  const h2c = { Connection: 'Upgrade, HTTP2-Settings', Upgrade: 'h2c', 'HTTP2-Settings': 'AAMAAABk' };

  it('is ignored: the request is answered, and the connection ends', async () => {
    const alive = await exchange(server.port, handshake('/livez', h2c));
    expect(alive).toMatchObject({ status: 200, body: 'ok\n' });
    expect(alive.headers.get('connection')).toBe('close');
    const room = await exchange(server.port, handshake('/rooms/lobby', h2c));
    expect(JSON.parse(room.body)).toMatchObject({ room: 'lobby', ticks: [] });
    const nothing = await exchange(server.port, handshake('/nothing', h2c));
    expect(nothing.status).toBe(404);
  });

  it('opens a stream like any other', async () => {
    const client = new RawClient(server.port).say(
      handshake('/rooms/streams', { ...h2c, Accept: 'text/event-stream' }),
    );
    await client.until('"hello"');
    client.socket.end();
    await emptied('streams');
  });

  it('cannot have a body', async () => {
    const text = `${handshake('/admin/broadcast', { ...h2c, 'Content-Length': '13' }, 'POST')}{"data":"hi"}`;
    const refused = await exchange(server.port, text);
    expect(refused.status).toBe(400);
    expect(refused.body).toContain('cannot upgrade to \\"h2c\\"');
  });
});

// Each count is a collection and a walk over the whole heap, which take seconds on a busy machine.
describe('clients that vanish', { timeout: 60_000 }, () => {
  /**
   * How many objects there are that a connection is made of, after a collection: requests, sockets and
   * WebSockets are all emitters. It takes a quarter of a second.
   */
  const emitters = () => Number(queryObjects(EventEmitter, { format: 'count' }));
  const patience = { timeout: 30_000, interval: 500 };

  /** Some at a time, so that the machine's own limits are not what is tested. */
  async function aThousand(vanish: (client: RawClient, index: number) => Promise<unknown>): Promise<void> {
    let started = 0;
    const worker = async () => {
      while (started < 1000) {
        const index = started++;
        const client = new RawClient(server.port);
        await new Promise((resolve) => client.socket.once('connect', resolve));
        await vanish(client, index);
      }
    };
    await Promise.all(Array.from({ length: 40 }, worker));
  }

  it('leave nothing behind, resetting in mid-handshake a thousand times', async () => {
    const before = emitters();
    await aThousand(async (client, index) => {
      const text = handshake('/rooms/resets');
      // Cut anywhere in the request, right behind it, or when the answer has begun.
      const cut = index % 4 === 0 ? (index * 7) % text.length : text.length;
      await new Promise((resolve) => client.socket.write(text.slice(0, cut), resolve));
      if (index % 4 === 1) await client.until('101');
      if (index % 4 === 2) client.socket.end();
      if (index % 4 === 2) await new Promise((resolve) => setImmediate(resolve));
      client.reset();
    });
    await emptied('resets');
    await others();
    await expect.poll(() => emitters() - before, patience).toBeLessThan(50);
  });

  it('leave nothing behind after a thousand faulty handshakes', async () => {
    const before = emitters();
    const faults = [
      handshake('/rooms/faults', { 'Sec-WebSocket-Key': undefined }),
      handshake('/rooms/faults', { 'Sec-WebSocket-Version': '8' }),
      handshake('//'),
      handshake('http://['),
      handshake('/rooms/faults', { 'Sec-WebSocket-Protocol': 'a a' }),
    ];
    await aThousand((client, index) => client.say(faults[index % faults.length] ?? '').all());
    await others();
    await expect.poll(() => emitters() - before, patience).toBeLessThan(50);
  });
});
