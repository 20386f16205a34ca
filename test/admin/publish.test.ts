import { beforeEach, describe, expect, it } from 'vitest';
import { FakeServer, problemOf } from './fakes.ts';

let server: FakeServer;
beforeEach(() => {
  server = new FakeServer();
});

/** As `curl -d`. */
const publish = (body: string | Uint8Array<ArrayBuffer>, query = '', room = 'lobby') =>
  server.call(`POST /rooms/${room}${query}`, {
    body,
    headers: { 'Content-Type': 'application/x-www-form-urlencoded' },
  });

describe('POST /rooms/{room}', () => {
  it('publishes to that room, and answers as a broadcast does', async () => {
    const response = await publish('Lunch is ready');
    expect(response.status).toBe(200);
    expect(await response.json()).toMatchObject({ id: 'k3f9-42', rooms: ['lobby'], unknown: [], kept: true });
    expect(server.hub.published).toEqual([
      { target: { rooms: ['lobby'] }, event: 'message', data: '"Lunch is ready"' },
    ]);
    expect(server.called).toEqual(['publish 200']);
  });

  it('takes event, key and ttl from the query', async () => {
    await publish('1', '?event=display.blank&key=lunch&ttl=90s');
    expect(server.hub.published).toMatchObject([{ event: 'display.blank', key: 'lunch', ttlMs: 90_000 }]);
  });

  it.each([
    ['{"text": "hi",\n "n": 1}', '{"text":"hi","n":1}'],
    [' "hi"\n', '"hi"'],
    ['42', '42'],
    ['null', 'null'],
    ['[]', '[]'],
    ['', '""'],
    ['Lunch is ready\n', '"Lunch is ready\\n"'],
    ['{"text":', '"{\\"text\\":"'],
    ['{} {}', '"{} {}"'],
    ['NaN', '"NaN"'],
    ['é\u2028', '"é\u2028"'],
    ['['.repeat(200), JSON.stringify('['.repeat(200))],
  ])('takes %j as %s', async (body, data) => {
    expect((await publish(body)).status).toBe(200);
    expect(server.hub.published[0]?.data).toBe(data);
  });

  it.each(['application/json', 'text/plain', 'multipart/form-data', 'image/png', ';;;'])(
    'does not look at the content type: %s',
    async (type) => {
      const headers = { 'Content-Type': type };
      await server.call('POST /rooms/lobby', { body: '{"a":1}', headers });
      await server.call('POST /rooms/lobby', { body: 'plain', headers });
      expect(server.hub.published.map(({ data }) => data)).toEqual(['{"a":1}', '"plain"']);
    },
  );

  it.each([
    ['?event=hello', 'event', '"hello" is an event that only the server sends'],
    ['?event=withdrawn', 'event', '"withdrawn" is an event that only the server sends'],
    ['?event=', 'event', /"" is not an event name/],
    ['?event=a&event=b', 'event', 'given more than once'],
    ['?key=', 'key', /"" is not a key: 1 to 64 of/],
    ['?key=a%20b', 'key', /"a b" is not a key/],
    ['?key=a&ttl=60', 'ttl', /"60" is not a duration: a number and one of/],
    ['?key=a&ttl=400d', 'ttl', /at most 366d/],
    ['?key=a&ttl=0s', 'ttl', /"0s" is not a duration: .*and more than 0/],
    ['?at=2026-11-20T18:00:00Z', 'at', 'unknown query parameter "at"'],
    ['?access_token=operator-token', 'access_token', 'unknown query parameter "access_token"'],
  ])('refuses %s', async (query, path, message) => {
    const { errors } = await problemOf(await publish('1', query), 400);
    expect(errors).toHaveLength(1);
    expect(errors?.[0]?.path).toBe(path);
    expect(errors?.[0]?.message).toMatch(message);
    expect(server.hub.published).toEqual([]);
  });

  it('refuses a name that is no room', async () => {
    await problemOf(await publish('1', '', 'a%20b'), 400);
    await problemOf(await publish('1', '', '*'), 400);
  });

  it('refuses a body that is not UTF-8, nested too deep or too large', async () => {
    const { detail } = await problemOf(await publish(Uint8Array.from([0xc3, 0x28])), 400);
    expect(detail).toBe('the body is not UTF-8');
    const nested = `${'['.repeat(101)}${']'.repeat(101)}`;
    expect((await problemOf(await publish(nested), 400)).detail).toContain('nested deeper than 100 levels');
    server.settings.limits.maxBodyBytes = 4;
    expect((await publish('four')).status).toBe(200);
    expect((await problemOf(await publish('fives'), 413)).detail).toContain('larger than 4 bytes');
    server.settings.limits.maxBodyBytes = 1_048_576;
    await problemOf(await publish(`[${'0,'.repeat(80_000)}0]`), 413);
    expect(server.hub.published).toHaveLength(1);
  });

  it('needs an operator, and counts wrong tokens as the other calls do', async () => {
    const as = (token: string | null) => server.call('POST /rooms/lobby', { body: '1', token });
    const { headers } = await as(null);
    expect(headers.get('www-authenticate')).toBe('Bearer');
    await problemOf(await as('viewer-token'), 403);
    for (let attempt = 0; attempt < 10; attempt++) {
      const call = attempt % 2 === 0 ? 'POST /rooms/lobby' : 'GET /admin/rooms';
      await problemOf(await server.call(call, { token: 'wrong' }), 401);
    }
    await problemOf(await as('wrong'), 429);
    await problemOf(await server.call('GET /admin/rooms', { token: 'wrong' }), 429);
    expect((await as('operator-token')).status).toBe(200);
  });
});
