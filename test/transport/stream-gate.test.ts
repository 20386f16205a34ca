import { afterEach, describe, expect, it } from 'vitest';
import { type Answer, exchange, RawClient, request } from '../helpers/raw.ts';
import { type ConfigOf, startServer, type TestServer } from '../helpers/server.ts';

let server: TestServer;

afterEach(() => server.stop());

async function full(config: ConfigOf = {}): Promise<void> {
  server = await startServer({ limits: { connections: 1 }, ...config });
  const only = request('/rooms/lobby', { Accept: 'text/event-stream' });
  await new RawClient(server.port).say(only).until('"event":"hello"');
}

const stream = (headers: Record<string, string> = {}, target = '/rooms/lobby'): Promise<Answer> =>
  exchange(server.port, request(target, { Accept: 'text/event-stream', ...headers }));

describe('a stream of events that is refused before the routes', () => {
  it('is the same as one that is refused by them', async () => {
    await full();
    const early = await stream();
    // No EventSource sends this.
    const late = await stream({ Accept: 'text/event-stream;q=1' });
    const figures = /\d+/g;
    expect([early.status, late.status]).toEqual([200, 200]);
    expect(early.body).toMatch(/^retry: \d+\n\ndata: \{"event":"closing",/);
    expect(early.body.replaceAll(figures, 'n')).toBe(late.body.replaceAll(figures, 'n'));
    const kept = ({ headers }: Answer) =>
      Object.fromEntries(
        [...headers].filter(([name]) => !/^(date|content-length|transfer-encoding)$/.test(name)),
      );
    expect(kept(early)).toEqual(kept(late));
    const { refusals } = (await server.admin('/stats')) as { refusals?: Record<string, number> };
    expect(refusals).toMatchObject({ full: 2 });
  });

  it('may be read by pages of an allowed origin, and by no others', async () => {
    await full({ server: { allowedOrigins: ['https://a.example'] } });
    const allowed = await stream({ Origin: 'https://a.example' });
    expect(allowed.headers.get('access-control-allow-origin')).toBe('https://a.example');
    const other = await stream({ Origin: 'https://b.example' });
    expect([other.status, other.headers.get('access-control-allow-origin')]).toEqual([200, null]);
  });

  it('is told a later time than the one before', async () => {
    await full({ limits: { connections: 1, connectsPerSecond: 1 } });
    const times = [];
    for (let come = 0; come < 3; come++) times.push(Number(/^retry: (\d+)/.exec((await stream()).body)?.[1]));
    // Four fifths of one a second: 1,250 ms after each other, whenever they were told.
    expect((times[2] ?? 0) - (times[0] ?? 0)).toBeGreaterThan(1250);
  });

  it('is none of those for something else', async () => {
    await full();
    expect((await stream({ Accept: 'application/json', Connection: 'close' })).status).toBe(200);
    expect((await stream({ Connection: 'close' }, '/livez')).body).toBe('ok\n');
    const head = await exchange(
      server.port,
      request('/rooms/lobby', { Accept: 'text/event-stream', Connection: 'close' }, 'HEAD'),
    );
    expect([head.status, head.body]).toEqual([200, '']);
  });
});
