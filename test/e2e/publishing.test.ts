import { beforeAll, describe, expect, test } from 'vitest';
import { exchange, request } from '../helpers/raw.ts';
import { startServer, type TestServer } from '../helpers/server.ts';

const FRIEND = 'https://friend.example';

let server: TestServer;
beforeAll(async () => {
  server = await startServer({ server: { allowedOrigins: [FRIEND] }, limits: { eventBytes: 100 } });
  return () => server.stop();
});

const publish = (target: string, body: string, headers: Record<string, string> = {}) =>
  fetch(server.url + target, {
    method: 'POST',
    body,
    headers: { authorization: `Bearer ${server.belfry.madeToken}`, ...headers },
  });
// biome-ignore lint/suspicious/noExplicitAny: tests look into whatever came.
const newest = async (room: string): Promise<any> =>
  ((await (await fetch(`${server.url}/rooms/${room}`)).json()) as { events: object[] }).events.at(-1);

describe('POST /rooms/{room}', () => {
  test('keeps what it is sent, with or without members', async () => {
    const answer = await publish('/rooms/lobby?event=notice', 'Lunch is ready');
    expect(answer.status).toBe(200);
    expect(answer.headers.get('content-type')).toBe('application/json');
    expect(answer.headers.get('cache-control')).toBe('no-store');
    expect(answer.headers.get('vary')).toBe('Accept, Origin');
    const published = (await answer.json()) as { id: string };
    expect(published).toEqual({
      id: expect.any(String),
      rooms: [],
      connections: 0,
      unreached: [],
      unknown: ['lobby'],
      kept: true,
    });
    expect(await newest('lobby')).toMatchObject({
      id: published.id,
      event: 'notice',
      data: 'Lunch is ready',
    });
    await publish('/rooms/l%6Fbby', '{"n": 1}');
    expect(await newest('lobby')).toMatchObject({ data: { n: 1 } });
  });

  test.each([
    ['/rooms/-', 400],
    ['/rooms/%zz', 400],
    ['/rooms/', 400],
    ['/rooms/a/b', 404],
    ['/rooms', 405],
    ['/rooms?room=a', 405],
  ])('%s is refused with %i', async (target, status) => {
    const refused = await publish(target, 'x', { origin: FRIEND });
    expect([refused.status, refused.headers.get('content-type')]).toEqual([
      status,
      'application/problem+json',
    ]);
    expect(refused.headers.get('access-control-allow-origin')).toBe(FRIEND);
    if (status === 405) expect(refused.headers.get('allow')).toBe('GET, HEAD, OPTIONS');
  });

  test('checks name, host and origin before the token, and tells a stranger what is needed', async () => {
    const unknown = { authorization: '' };
    expect((await publish('/rooms/-', 'x', unknown)).status).toBe(400);
    expect((await publish('/rooms/a', 'x', { ...unknown, origin: 'https://x' })).status).toBe(403);
    const strange = request('/rooms/a', { Host: 'x', Connection: 'close', 'Content-Length': '0' }, 'POST');
    expect((await exchange(server.port, strange)).status).toBe(421);
    const stranger = await fetch(`${server.url}/rooms/a`, {
      method: 'POST',
      body: 'x',
      headers: { origin: FRIEND },
    });
    expect([stranger.status, stranger.headers.get('www-authenticate')]).toEqual([401, 'Bearer']);
    expect(stranger.headers.get('access-control-allow-origin')).toBe(FRIEND);
    const tooLarge = await publish('/rooms/a', 'x'.repeat(99));
    expect([tooLarge.status, await tooLarge.text()]).toEqual([
      413,
      expect.stringContaining('limits.eventBytes'),
    ]);
  });

  test('may be called by a page of an allowed origin', async () => {
    const asked = await fetch(`${server.url}/rooms/lobby`, {
      method: 'OPTIONS',
      headers: { origin: FRIEND },
    });
    expect(asked.headers.get('access-control-allow-methods')).toBe('GET, HEAD, POST, OPTIONS');
    expect(asked.headers.get('access-control-allow-headers')).toContain('Idempotency-Key');
    const answer = await publish('/rooms/lobby', 'x', { origin: FRIEND });
    expect([answer.status, answer.headers.get('access-control-allow-origin')]).toEqual([200, FRIEND]);
  });
});
