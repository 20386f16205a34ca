import { beforeEach, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { FakeServer, problemOf } from './fakes.ts';

let server: FakeServer;
beforeEach(() => {
  server = new FakeServer();
});

const path = '/admin/rooms/lobby/retained';
const Page = z.strictObject({
  items: z.array(z.looseObject({ key: z.string() })),
  next: z.string().nullable(),
});
const keysOf = async (query = '') => {
  const { items, next } = Page.parse(await (await server.call(`GET ${path}${query}`)).json());
  return { keys: items.map(({ key }) => key), next };
};

describe('a broadcast with a key', () => {
  it('is retained, for as long as its ttl says', async () => {
    await server.broadcast({ rooms: 'lobby', data: 1, key: 'lunch', ttl: '1.5h' });
    await server.broadcast({ data: 1, key: '-._9' });
    expect(server.hub.published).toMatchObject([{ key: 'lunch', ttlMs: 5_400_000 }, { key: '-._9' }]);
  });

  it.each([
    ['{"data":1,"key":""}', 'key', /"" is not a key: 1 to 64 of A-Z/],
    ['{"data":1,"key":"a b"}', 'key', /"a b" is not a key/],
    [`{"data":1,"key":"${'k'.repeat(65)}"}`, 'key', /is not a key/],
    ['{"data":1,"key":1}', 'key', /expected a string: 1 to 64/],
    ['{"data":1,"key":null}', 'key', /expected a string/],
    ['{"data":1,"key":"a","ttl":60}', 'ttl', /expected a string: a number and one of ms s m h d/],
    ['{"data":1,"key":"a","ttl":"60"}', 'ttl', /"60" is not a duration/],
    ['{"data":1,"key":"a","ttl":"-1s"}', 'ttl', /"-1s" is not a duration/],
    ['{"data":1,"key":"a","ttl":"367d"}', 'ttl', /"367d" is not a duration: .*at most 366d/],
    ['{"data":1,"key":"a","ttl":"0ms"}', 'ttl', /"0ms" is not a duration: .*and more than 0/],
  ])('is refused: %s', async (body, where, message) => {
    const { errors } = await problemOf(await server.broadcast(body), 400);
    expect(errors).toHaveLength(1);
    expect(errors?.[0]?.path).toBe(where);
    expect(errors?.[0]?.message).toMatch(message);
    expect(server.hub.published).toEqual([]);
  });
});

describe('the retained messages of a room', () => {
  it('are listed by key, as clients get them, in pages', async () => {
    const response = await server.call(`GET ${path}`);
    expect(response.headers.get('content-type')).toBe('application/json');
    const { items, next } = Page.parse(await response.json());
    expect(next).toBeNull();
    expect(items[0]).toEqual({
      id: 'k3f9-42',
      room: 'lobby',
      event: 'message',
      time: '2026-11-20T18:00:03.000Z',
      data: 'é',
      key: 'alarm',
    });
    const first = await keysOf('?limit=1');
    expect(first.keys).toEqual(['alarm']);
    expect(await keysOf(`?limit=1&cursor=${first.next}`)).toEqual({ keys: ['lunch'], next: null });
  });

  it.each([
    ['limit=0', 'limit'],
    ['limit=1001', 'limit'],
    ['cursor=x', 'cursor'],
    ['key=lunch', 'key'],
  ])('are not listed for ?%s', async (query, where) => {
    const { errors } = await problemOf(await server.call(`GET ${path}?${query}`), 400);
    expect(errors?.[0]?.path).toBe(where);
  });

  it('are withdrawn from one room, or from all', async () => {
    const one = await server.call(`DELETE ${path}/lunch`);
    expect(await one.json()).toMatchObject({ id: 'k3f9-43', rooms: ['lobby'], connections: 3 });
    await server.call('DELETE /admin/retained/alarm');
    expect(server.hub.withdrawn).toEqual([
      ['lunch', 'lobby'],
      ['alarm', undefined],
    ]);
  });

  it.each([
    [`DELETE ${path}/a%20b`, 400],
    ['DELETE /admin/rooms/-/retained/lunch', 400],
    [`DELETE ${path}/lunch?x=`, 400],
    [`DELETE ${path}/dinner`, 404],
    ['DELETE /admin/retained/dinner', 404],
    ['DELETE /admin/retained', 404],
    ['POST /admin/retained/lunch', 405],
    [`DELETE ${path}`, 405],
  ])('%s is refused with %i', async (call, status) => {
    await problemOf(await server.call(call), status);
    expect(server.hub.withdrawn).toEqual([]);
  });
});
