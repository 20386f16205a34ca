import { Hono } from 'hono';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { requestListener } from '../src/http-app.ts';
import { listenerOf } from './helpers/listener.ts';
import { exchange, request } from './helpers/raw.ts';

const app = new Hono().get('/livez', (c) => c.text('ok'));
const answer = requestListener(app.fetch);
const written: boolean[] = [];
const { listener } = listenerOf({
  request: async (incoming, response) => {
    await answer(incoming, response);
    written.push(response.writableEnded);
  },
});
let port: number;

beforeAll(async () => {
  ({ port } = await listener.listen('127.0.0.1', 0));
});
afterAll(() => listener.close());

describe('requestListener', () => {
  it.each([
    ['no host', request('/livez', { Host: undefined, Connection: 'close' }), 'Missing host header'],
    ['a host with a blank', request('/livez', { Host: 'a b', Connection: 'close' }), 'Invalid URL'],
    ['a host with a user', request('/livez', { Host: 'a@b', Connection: 'close' }), 'Invalid host header'],
    ['an address that is none', request('http://[', { Connection: 'close' }), 'Invalid absolute URL'],
  ])('answers %s with a problem', async (_, text, detail) => {
    const refused = await exchange(port, text);
    expect(refused.status).toBe(400);
    expect(refused.headers.get('content-type')).toBe('application/problem+json');
    expect(JSON.parse(refused.body)).toMatchObject({ status: 400, detail });
  });

  it.each([
    ['an answer', {}],
    ['a refusal', { Expect: 'tea' }],
  ])('resolves when %s has been written', async (_, headers) => {
    written.length = 0;
    await exchange(port, request('/livez', { ...headers, Connection: 'close' }));
    expect(written).toEqual([true]);
  });

  it('hands the others on', async () => {
    expect(await exchange(port, request('/livez', { Connection: 'close' }))).toMatchObject({ body: 'ok' });
  });
});
