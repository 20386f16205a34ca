import type { HttpBindings } from '@hono/node-server';
import { afterEach, describe, expect, test } from 'vitest';
import { exchange, RawClient, request } from '../helpers/raw.ts';
import { type ConfigOf, startServer, type TestServer } from '../helpers/server.ts';

let server: TestServer;
afterEach(() => server.stop());

const GUESS = { Authorization: 'Bearer wrong', Connection: 'close' };

const guess = async (headers: Record<string, string> = {}) =>
  (await exchange(server.port, request('/admin/rooms', { ...GUESS, ...headers }))).status;

async function guessTen(headers: (attempt: number) => Record<string, string> = () => ({})) {
  for (let attempt = 0; attempt < 10; attempt++) expect(await guess(headers(attempt))).toBe(401);
}

const begin = async (config?: ConfigOf) => {
  server = await startServer(config);
};
const rightToken = () => `Bearer ${server.belfry.madeToken}`;
const operator = () => guess({ Authorization: rightToken() });

describe('guessing tokens is limited', () => {
  test('behind a proxy on this machine that is not trusted, and the operator gets in', async () => {
    await begin();
    await guessTen((attempt) => ({ 'X-Forwarded-For': `203.0.113.${attempt}` }));
    expect(await guess({ 'X-Forwarded-For': '203.0.113.99' })).toBe(429);
    expect(await operator()).toBe(200);
  });

  test('for each client of a trusted proxy apart', async () => {
    await begin({ server: { trustProxy: ['127.0.0.1'] } });
    const from = (address: string) => ({ 'X-Forwarded-For': address });
    await guessTen(() => from('203.0.113.1'));
    expect(await guess(from('203.0.113.1'))).toBe(429);
    expect(await guess(from('203.0.113.2'))).toBe(401);
  });

  test('across an IPv6 network', async () => {
    await begin({ server: { trustProxy: ['127.0.0.1'] } });
    await guessTen((attempt) => ({ 'X-Forwarded-For': `2001:db8::${attempt}` }));
    expect(await guess({ 'X-Forwarded-For': '2001:db8::ffff' })).toBe(429);
    expect(await operator()).toBe(200);
  });

  test('in another HTTP server that hands on no address', async () => {
    await begin();
    const within = async (authorization: string, env?: Partial<HttpBindings>) => {
      const headers = { Host: '127.0.0.1', Authorization: authorization };
      const asked = new Request('http://127.0.0.1/admin/rooms', { headers });
      return (await server.belfry.fetch(asked, env)).status;
    };
    for (let attempt = 0; attempt < 10; attempt++) expect(await within('Bearer wrong')).toBe(401);
    expect(await within('Bearer wrong')).toBe(429);
    expect(await within(rightToken())).toBe(200);
    expect(await guess()).toBe(401);
  });

  test('to one guess for each connection', async () => {
    await begin();
    await guessTen();
    const guesses = request('/admin/rooms', { Authorization: 'Bearer wrong' }).repeat(50);
    const heard = await new RawClient(server.port).say(guesses).all();
    expect(heard.match(/^HTTP\/1.1 \d+/gm)).toEqual(['HTTP/1.1 429']);
  });
});
