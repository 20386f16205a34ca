import { afterAll, beforeAll, describe, expect, it } from 'vitest';
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

  it('refuses a stream behind a request that is not answered yet', async () => {
    const stream = request('/rooms/lobby', { Accept: 'text/event-stream', Connection: 'close' });
    const client = new RawClient(server.port).say(request('/rooms/lobby') + stream);
    const heard = await client.all();
    expect(heard).toMatch(/^HTTP\/1\.1 200 .*"room":"lobby".*HTTP\/1\.1 400 /s);
    expect(heard).toContain('a stream cannot be pipelined');
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

function many(count: number): Record<string, string> {
  return Object.fromEntries(Array.from({ length: count }, (_, index) => [`X-${index}`, 'value']));
}
