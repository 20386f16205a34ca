import { get } from 'node:http';
import { describe, expect, test } from 'vitest';
import { WebSocket } from 'ws';
import { type Closing, closingOf, stream, visit } from './listeners.ts';
import { lives, type Server, serve } from './process.ts';

const DRAIN_MS = 2000;
const slow = { server: { drainSeconds: DRAIN_MS / 1000 } };

describe('stopping', () => {
  test.each(['SIGTERM', 'SIGINT'] as const)(
    '%s ends it at once with exit code 0 if no client is connected',
    async (signal) => {
      const { child, ended, pid } = await serve();
      const askedAt = performance.now();
      child.kill(signal);
      expect(await ended).toBe(0);
      expect(performance.now() - askedAt).toBeLessThan(2000);
      expect(lives(pid)).toBe(false);
    },
  );

  test('closes everybody with 1012 over the time of the drain, each with a time of its own to return', async () => {
    const server = await serve({ config: slow });
    const address = `${server.url}/rooms/lobby`;
    const sockets = await Promise.all(Array.from({ length: 10 }, () => visit(address)));
    const streams = await Promise.all(Array.from({ length: 10 }, () => stream(address)));
    for (const { received } of streams) await received.find(({ event }) => event === 'hello');

    const askedAt = performance.now();
    server.child.kill('SIGTERM');
    const told = await Promise.all(
      [...sockets, ...streams].map(async (visitor) => {
        const closing = await closingOf(visitor);
        return { closing, atMs: performance.now() - askedAt };
      }),
    );
    for (const { closing, atMs } of told) {
      expect(closing).toMatchObject({ code: 1012, reconnect: true });
      // A client that reconnects when told comes after the drain. The tenth allows for the time until here.
      expect(atMs + (closing.retryAfterMs ?? 0)).toBeGreaterThan(DRAIN_MS * 0.9);
      expect(closing.retryAfterMs).toBeLessThanOrEqual(DRAIN_MS + 2000);
    }
    const times = told.map(({ atMs }) => atMs).sort((a, b) => a - b);
    expect(times[0]).toBeLessThan(DRAIN_MS / 4);
    expect(times[10]).toBeGreaterThan(DRAIN_MS / 4);
    expect(times.at(-1)).toBeGreaterThan(DRAIN_MS / 2);
    expect(new Set(told.map(({ closing }) => closing.retryAfterMs)).size).toBeGreaterThan(15);
    expect(await Promise.all(sockets.map(({ over }) => over))).toEqual(Array(10).fill(1012));
    await Promise.all(streams.map(({ over }) => over));
    for (const visitor of streams)
      expect(visitor.retries.at(-1)).toBe((await closingOf(visitor)).retryAfterMs);
    expect(await server.ended).toBe(0);
    expect(performance.now() - askedAt).toBeLessThan(DRAIN_MS + 1500);
  });

  test('keeps the door open meanwhile, to say that it is not ready and when to come back', async () => {
    const server = await serve({ config: { server: { drainSeconds: 4 } } });
    expect((await fetch(`${server.url}/readyz`)).status).toBe(200);
    const { first, last } = await draining(server);
    expect((await closingOf(first)).code).toBe(1012);
    const address = `${server.url}/rooms/lobby`;

    expect((await fetch(`${server.url}/readyz`)).status).toBe(503);
    expect((await fetch(`${server.url}/livez`)).status).toBe(200);

    const json = await fetch(address, { headers: { accept: 'application/json' } });
    expect(json.status).toBe(503);
    expect(json.headers.get('content-type')).toBe('application/problem+json');
    expect(Number(json.headers.get('retry-after'))).toBeGreaterThanOrEqual(1);

    const upgrade = await refusedUpgrade(address);
    expect(upgrade.status).toBe(503);
    expect(upgrade.retryAfterSeconds).toBeGreaterThanOrEqual(1);

    const events = await stream(address);
    expect(events.status).toBe(200);
    expect(await events.over).toBe(0);
    const closing = events.received.all.at(-1)?.data as Closing; // its form is looked at below
    expect(closing).toMatchObject({ code: 1012, reconnect: true });
    expect(events.retries).toEqual([closing.retryAfterMs]);

    expect(last.socket.readyState).toBe(WebSocket.OPEN);
    expect(await last.over).toBe(1012);
    expect(await server.ended).toBe(0);
  });

  test('goes on with ticks for those who are still there', async () => {
    const schedules = [{ name: 'clock', every: '100ms', feed: { type: 'time' } }];
    const server = await serve({ config: { ...slow, schedules } });
    const { last } = await draining(server);
    const before = last.received.all.length;
    await last.received.several(before + 3);
    expect(await last.over).toBe(1012);
  });

  test('takes two signals at once for one, as a Ctrl-C under npm is', async () => {
    const server = await serve({ config: slow });
    const { last } = await draining(server, ['SIGINT', 'SIGINT']);
    expect((await closingOf(last)).code).toBe(1012);
    expect(await last.over).toBe(1012);
    expect(await server.ended).toBe(0);
  });

  test('ends now at a second signal more than a second after the first', async () => {
    const server = await serve({ config: { server: { drainSeconds: 60 } } });
    const { last, askedAt } = await draining(server);
    await passed(askedAt + 1100);
    const againAt = performance.now();
    server.child.kill('SIGTERM');
    expect(await server.ended).toBe(0);
    expect(performance.now() - againAt).toBeLessThan(2000);
    await last.over;
  });

  test('is not held up by a client that neither reads nor closes, nor by an idle keep-alive socket', async () => {
    const server = await serve({ config: { server: { drainSeconds: 0 } } });
    const { socket } = await visit(`${server.url}/rooms/lobby`);
    socket.pause();
    await fetch(`${server.url}/livez`);
    const askedAt = performance.now();
    server.child.kill('SIGTERM');
    expect(await server.ended).toBe(0);
    expect(performance.now() - askedAt).toBeLessThan(4000);
  });
});

/** A server that was told to stop while three were in: one is closed at once, the last one late. */
async function draining(server: Server, signals: NodeJS.Signals[] = ['SIGTERM']) {
  const address = `${server.url}/rooms/lobby`;
  const first = await visit(address);
  await visit(address);
  const last = await visit(address);
  const askedAt = performance.now();
  for (const signal of signals) server.child.kill(signal);
  await closingOf(first);
  return { first, last, askedAt };
}

function refusedUpgrade(address: string): Promise<{ status: number; retryAfterSeconds: number }> {
  return new Promise((resolve, reject) => {
    const headers = {
      Connection: 'Upgrade',
      Upgrade: 'websocket',
      'Sec-WebSocket-Version': '13',
      'Sec-WebSocket-Key': 'AAAAAAAAAAAAAAAAAAAAAA==',
    };
    const request = get(address, { headers }, (response) => {
      response.resume();
      resolve({
        status: response.statusCode ?? 0,
        retryAfterSeconds: Number(response.headers['retry-after']),
      });
    });
    request.on('error', reject);
    request.on('upgrade', () => reject(new Error('it was let in')));
  });
}

/** Only time can tell one Ctrl-C from two. */
function passed(untilMs: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, untilMs - performance.now()));
}
