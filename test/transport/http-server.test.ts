import { Server } from 'node:net';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { listenerOf } from '../helpers/listener.ts';
import { exchange, RawClient, request } from '../helpers/raw.ts';
import { startServer, type TestServer } from '../helpers/server.ts';

let server: TestServer;
beforeAll(async () => {
  server = await startServer();
});
afterAll(() => server.stop());

describe('Listener', () => {
  it.each([
    ['no HTTP at all', 'hello\r\n\r\n', 400, 'this is not HTTP/1.1'],
    ['a header without a colon', 'GET / HTTP/1.1\r\nHost\r\n\r\n', 400, 'this is not HTTP/1.1'],
    ['a line break within a header', 'GET / HTTP/1.1\r\nHost: a\nX: \0\r\n\r\n', 400, 'this is not HTTP/1.1'],
    ['headers of 20 kB', request('/livez', { 'X-Large': 'x'.repeat(20_000) }), 431, 'at most 16384 bytes'],
    ['2,000 headers', request('/livez', many(2000)), 431, 'at most 16384 bytes'],
    ['an address of 20 kB', request(`/rooms/${'x'.repeat(20_000)}`), 431, 'at most 16384 bytes'],
    [
      'two lengths of one body',
      request('/admin/broadcast', { 'Content-Length': '2', 'Transfer-Encoding': 'chunked' }, 'POST'),
      400,
      'this is not HTTP/1.1',
    ],
  ])('answers %s with a problem, and hangs up', async (_, text, status, detail) => {
    const refused = await exchange(server.port, text);
    expect(refused.status).toBe(status);
    expect(refused.headers.get('content-type')).toBe('application/problem+json');
    expect(JSON.parse(refused.body)).toMatchObject({ status, detail: expect.stringContaining(detail) });
  });

  it('answers what is not HTTP behind a request that was answered', async () => {
    const client = new RawClient(server.port).say(request('/livez'));
    await client.until('ok\n');
    client.say('nonsense\r\n\r\n');
    expect(await client.all()).toMatch(/^HTTP\/1\.1 200 .*HTTP\/1\.1 400 Bad Request\r\n/s);
  });

  it('writes nothing into a stream, whatever comes behind it', async () => {
    for (const behind of [
      'nonsense\r\n\r\n',
      request('/livez'),
      request('/x', { 'X-Large': 'x'.repeat(20_000) }),
    ]) {
      const client = new RawClient(server.port).say(request('/rooms/lobby', { Accept: 'text/event-stream' }));
      await client.until('"hello"');
      client.say(behind);
      const other = new RawClient(server.port).say(request('/livez', { Connection: 'close' }));
      await other.all();
      await server.belfry.publish({ target: { rooms: ['lobby'] }, data: 'after' }).catch(() => {});
      await Promise.race([client.until('"after"'), client.closed]);
      expect(client.heard.match(/HTTP\/1\.1/g)).toHaveLength(1);
      client.reset();
    }
  });

  it('opens a stream behind a request when that is answered', async () => {
    const stream = request('/rooms/lobby', { Accept: 'text/event-stream' });
    const client = new RawClient(server.port).say(request('/rooms/lobby') + stream);
    const heard = await client.until('"hello"');
    expect(heard).toMatch(/^HTTP\/1\.1 200 .*"room":"lobby".*HTTP\/1\.1 200 .*text\/event-stream/s);
    client.socket.end();
    await client.closed;
  });

  it('ends a stream whose client has ended its side', async () => {
    const client = new RawClient(server.port).say(request('/rooms/ended', { Accept: 'text/event-stream' }));
    await client.until('"hello"');
    client.socket.end();
    await client.closed;
    await expect.poll(async () => (await server.admin('/connections?room=ended')).items).toEqual([]);
  });

  it.each([
    [
      'with 101 headers',
      request('/livez').replace('\r\n\r\n', `\r\n${'a:\r\n'.repeat(100)}\r\n`),
      431,
      'at most 100',
    ],
    ['with two hosts', request('/livez').replace('Host', 'Host: localhost\r\nHost'), 400, 'two Host headers'],
    ['with an expectation', request('/livez', { Expect: 'tea' }), 417, 'Expect is "tea"'],
    ['with CONNECT', 'CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\n\r\n', 405, 'this is no proxy'],
    ['of HTTP/2.0', 'GET /livez HTTP/2.0\r\nHost: localhost\r\n\r\n', 505, 'HTTP/2.0 is not spoken here'],
    ['of the preface of HTTP/2', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 400, 'this is not HTTP/1.1'],
  ])('answers a request %s with a problem, and hangs up', async (_, text, status, detail) => {
    const refused = await exchange(server.port, text);
    expect(refused.status).toBe(status);
    expect(refused.headers.get('content-type')).toBe('application/problem+json');
    expect(refused.headers.get('connection')).toBe('close');
    expect(JSON.parse(refused.body)).toMatchObject({ status, detail: expect.stringContaining(detail) });
  });

  it('takes up to 100 headers, and sees the last of them', async () => {
    const headers = `${'a:\r\n'.repeat(97)}Origin: https://evil.example\r\nConnection: close\r\n`;
    const refused = await exchange(
      server.port,
      request('/rooms/lobby').replace('\r\n\r\n', `\r\n${headers}\r\n`),
    );
    expect(refused.status).toBe(403);
  });

  it('lets nobody hold it up when it stops: sockets that say nothing are cut', async () => {
    const other = await startServer();
    const silent = new RawClient(other.port).say('GET /livez HTTP/1.1\r\n');
    const stream = new RawClient(other.port).say(request('/rooms/lobby', { Accept: 'text/event-stream' }));
    await stream.until('"hello"');
    await other.stop();
    await Promise.all([silent.closed, stream.closed]);
    await expect(fetch(`${other.url}/livez`)).rejects.toThrow();
    await other.stop();
  });
});

describe('sockets', () => {
  const limits = { sockets: Number.POSITIVE_INFINITY, headersSeconds: Number.POSITIVE_INFINITY };

  async function open(port: number): Promise<RawClient> {
    const client = new RawClient(port);
    await new Promise((resolve) => client.socket.once('connect', resolve));
    return client;
  }

  it('above limits.sockets are closed unheard, whether those before say something or not', async () => {
    const changing = { ...limits, sockets: 3 };
    const refused: string[] = [];
    const { listener, crowded } = listenerOf({
      settings: { current: { limits: changing } },
      onRefused: (reason) => refused.push(reason),
    });
    const { port } = await listener.listen('127.0.0.1', 0);
    const silent = [await open(port), await open(port)];
    const served = new RawClient(port).say(request('/'));
    await served.until('200 OK');
    for (let come = 0; come < 3; come++) expect(await new RawClient(port).say(request('/')).all()).toBe('');
    expect(refused).toEqual(['full', 'full', 'full']);
    expect(crowded).toEqual([
      'all 3 sockets are taken (limits.sockets): new ones are closed without an answer',
    ]);
    // A reload that allows more is followed at once.
    changing.sockets = 4;
    expect(await new RawClient(port).say(request('/', { Connection: 'close' })).all()).toContain('200 OK');
    changing.sockets = 3;
    silent.pop()?.reset();
    await vi.waitFor(async () =>
      expect(await new RawClient(port).say(request('/', { Connection: 'close' })).all()).toContain('200 OK'),
    );
    listener.cut();
    await listener.close();
  });

  it('of an address that has too many are closed unheard, and given back when they close', async () => {
    let left = 1;
    const takeSocket = () => (left-- > 0 ? { release: () => void left++ } : void left++);
    const { listener, crowded, faults } = listenerOf({ connections: { takeSocket } });
    const { port } = await listener.listen('127.0.0.1', 0);
    const first = await open(port);
    for (let come = 0; come < 3; come++) expect(await new RawClient(port).say(request('/')).all()).toBe('');
    expect(crowded).toEqual([
      '127.0.0.1 has too many sockets (limits.connectionsPerAddress): new ones are closed without an answer',
    ]);
    first.reset();
    await vi.waitFor(() => expect(left).toBe(1));
    const answered = await new RawClient(port).say(request('/', { Connection: 'close' })).all();
    expect(answered).toContain('200 OK');
    expect(faults).toEqual([]);
    await listener.close();
  });

  it.each([
    ['nothing', '', ''],
    ['half a request line', 'GET /li', ''],
    ['half a handshake', 'GET /rooms/lobby HTTP/1.1\r\nUpgrade: websocket\r\n', ''],
    ['a byte now and then', 'GET /', 'x'],
    ['half a request behind another', `${request('/')}GET`, ''],
  ])('on which %s comes end in time with 408', async (_, text, trickle) => {
    const { listener } = listenerOf({
      settings: { current: { limits: { ...limits, headersSeconds: 0.5 } } },
    });
    const { port } = await listener.listen('127.0.0.1', 0);
    const openedAt = performance.now();
    const client = await open(port);
    client.say(text);
    const timer = setInterval(() => trickle && client.say(trickle), 50);
    const heard = await client.all();
    clearInterval(timer);
    const tookMs = performance.now() - openedAt;
    expect(heard).toMatch(/HTTP\/1\.1 408 .*application\/problem\+json.*did not come in time/s);
    expect(tookMs).toBeGreaterThan(450);
    // Generous, since machines are busy; Node alone would take a minute.
    expect(tookMs).toBeLessThan(5000);
    await listener.close();
  });

  it('which expire at the same moment are answered in slices', async () => {
    let inTurn = 0;
    const mostInTurn = { refused: 0 };
    const { listener } = listenerOf({
      settings: { current: { limits: { ...limits, headersSeconds: 0.5 } } },
      onRefused() {
        if (inTurn++ === 0) setImmediate(() => (inTurn = 0));
        mostInTurn.refused = Math.max(mostInTurn.refused, inTurn);
      },
    });
    const { port } = await listener.listen('127.0.0.1', 0);
    const clients = await Promise.all(Array.from({ length: 200 }, () => open(port)));
    const answers = await Promise.all(clients.map((client) => client.say('GET /').all()));
    for (const answer of answers) expect(answer).toContain('408 Request Timeout');
    expect(mostInTurn.refused).toBeLessThanOrEqual(32);
    await listener.close();
  });

  it('that cannot be accepted are logged once a minute, and the server goes on', async () => {
    const listen = vi.spyOn(Server.prototype, 'listen');
    const { listener, faults } = listenerOf({});
    const { port } = await listener.listen('127.0.0.1', 0);
    const [server] = listen.mock.contexts as [Server];
    listen.mockRestore();
    const error = Object.assign(new Error('accept EMFILE'), { code: 'EMFILE' });
    for (let come = 0; come < 3; come++) server.emit('error', error);
    expect(faults).toEqual([error]);
    expect(await new RawClient(port).say(request('/', { Connection: 'close' })).all()).toContain('200 OK');
    await listener.close();
  });
});

function many(count: number): Record<string, string> {
  return Object.fromEntries(Array.from({ length: count }, (_, index) => [`X-${index}`, 'value']));
}
