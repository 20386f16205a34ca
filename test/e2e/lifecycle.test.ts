import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import { type AddressInfo, connect } from 'node:net';
import { getRequestListener, type HttpBindings } from '@hono/node-server';
import { describe, expect, onTestFinished, test } from 'vitest';
import { z } from 'zod';
import { type Belfry, type BelfryOptions, createBelfry } from '../../src/belfry.ts';
import { feedKind } from '../../src/feed/feed.ts';
import { exchange, handshake, RawClient, request } from '../helpers/raw.ts';
import { closingOf, stream, visit } from './listeners.ts';

const CLOCK = { name: 'clock', every: '100ms', feed: { type: 'time' } };

function create(config: object = {}, options: BelfryOptions = {}): Belfry {
  const belfry = createBelfry(
    { schedules: [], ...config, server: { port: 0, drainSeconds: 0, ...Object(config).server } },
    { env: {}, ...options },
  );
  onTestFinished(() => belfry.stop(AbortSignal.abort()));
  return belfry;
}

/** A server of another program, with this one in it. */
async function hosted(belfry: Belfry): Promise<{ host: Server; url: string; port: number }> {
  // It speaks HTTP/1 only.
  const fetch = (asked: Request, env: unknown) => belfry.fetch(asked, env as HttpBindings);
  const listener = getRequestListener(fetch, { overrideGlobalObjects: false });
  const host = createServer(listener).on('upgrade', belfry.upgrade);
  onTestFinished(() => void host.closeAllConnections());
  onTestFinished(() => void host.close());
  host.listen(0, '127.0.0.1');
  await once(host, 'listening');
  const { port } = host.address() as AddressInfo; // it listens on TCP
  return { host, port, url: `http://127.0.0.1:${port}` };
}

/** Whether anything listens there. */
async function isOpen(port: number): Promise<boolean> {
  const socket = connect(port, '127.0.0.1');
  const opened = await Promise.race([
    once(socket, 'connect').then(() => true),
    once(socket, 'error').then(() => false),
  ]).catch(() => false);
  socket.destroy();
  return opened;
}

/** A port that was free a moment ago. */
async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo; // it listens on TCP
  await new Promise((resolve) => server.close(resolve));
  return port;
}

async function expectNotServing(port: number): Promise<void> {
  const last = { Connection: 'close' };
  for (const target of ['/readyz', '/', '/time', '/openapi.yaml', '/metrics', '/admin/rooms', '/rooms/a']) {
    const { status, headers, body } = await exchange(port, request(target, last));
    expect([target, status]).toEqual([target, 503]);
    expect(headers.get('content-type')).toBe('application/problem+json');
    expect(Number(headers.get('retry-after'))).toBeGreaterThan(0);
    expect(JSON.parse(body)).toMatchObject({ status: 503 });
  }
  const page = await exchange(port, request('/rooms/a', { ...last, Accept: 'text/html' }));
  expect(page.status).toBe(503);
  const upgrade = await exchange(port, handshake('/rooms/a'));
  expect(upgrade.status).toBe(503);
  expect(Number(upgrade.headers.get('retry-after'))).toBeGreaterThan(0);
  // An EventSource would give up for good on a 503.
  const events = await exchange(port, request('/rooms/a', { ...last, Accept: 'text/event-stream' }));
  expect([events.status, events.body]).toEqual([200, expect.stringContaining('"event":"closing"')]);
  expect((await exchange(port, request('/livez', last))).status).toBe(200);
}

describe('before it runs', () => {
  test('fetch and upgrade answer 503, and it is alive', async () => {
    const belfry = create();
    const { port } = await hosted(belfry);
    await expectNotServing(port);
    await belfry.run();
    expect((await exchange(port, request('/readyz', { Connection: 'close' }))).status).toBe(200);
    expect((await exchange(port, request('/rooms/a', { Connection: 'close' }))).status).toBe(200);
  });

  test('nothing can be published', async () => {
    await expect(create().publish({ data: 1 })).rejects.toMatchObject({ status: 503 });
  });

  test('a reload is put in force, and starts no schedule', async () => {
    let port = await freePort();
    const read = () => ({ server: { port }, limits: { rooms: 7 }, schedules: [CLOCK] });
    const belfry = create({}, { source: { label: 'belfry.json', read } });
    expect(await belfry.reload()).toEqual({
      added: [],
      changed: [],
      removed: [],
      kept: [],
      needsRestart: [],
    });
    expect(belfry.config.limits.rooms).toBe(7);
    expect(belfry.nextDue()).toBeNull();
    expect((await belfry.start()).port).toBe(port);
    expect(belfry.nextDue()?.schedule).toBe('clock');
    port++;
    expect(await belfry.reload()).toMatchObject({ kept: ['clock'], needsRestart: ['server.port'] });
  });

  test('stop is all there is to do, and start is refused afterwards', async () => {
    const belfry = create();
    await belfry.stop();
    await expect(belfry.start()).rejects.toThrow('the server was stopped: make another one');
  });
});

describe('starting', () => {
  test('is done once, by start or by run', async () => {
    const belfry = create();
    const started = belfry.start();
    await expect(belfry.start()).rejects.toThrow('the server is starting already');
    await started;
    await expect(belfry.start()).rejects.toThrow('the server runs already');
    await expect(belfry.run()).rejects.toThrow('the server runs already');
  });

  test('a second run is refused and changes nothing', async () => {
    const belfry = create({ schedules: [CLOCK] });
    await belfry.run();
    await expect(belfry.run()).rejects.toThrow('the server runs already');
    await expect(belfry.start()).rejects.toThrow('the server runs already');
    expect(belfry.nextDue()?.schedule).toBe('clock');
  });

  test('works at the second attempt where the port was in use at the first', async () => {
    const other = createServer().listen(0, '127.0.0.1');
    await once(other, 'listening');
    const { port } = other.address() as AddressInfo; // it listens on TCP
    const belfry = create({ server: { port }, schedules: [CLOCK] });
    await expect(belfry.start()).rejects.toMatchObject({ code: 'EADDRINUSE' });
    expect(belfry.nextDue()).toBeNull();
    await new Promise((resolve) => other.close(resolve));
    await belfry.start();
    expect((await fetch(`http://127.0.0.1:${port}/readyz`)).status).toBe(200);
  });

  test('leaves no port open where a feed cannot be made', async () => {
    let isBroken = true;
    const dial = feedKind({
      type: 'dial',
      description: 'A dial.',
      options: z.object({}),
      create() {
        if (isBroken) throw new Error('no such device');
        return { compute: () => '1' };
      },
    });
    const port = await freePort();
    const schedules = [{ name: 'dial', every: '1s', feed: { type: 'dial' } }];
    const belfry = create({ server: { port }, schedules }, { feeds: [dial] });
    await expect(belfry.start()).rejects.toThrow('no such device');
    expect(await isOpen(port)).toBe(false);
    isBroken = false;
    await belfry.start();
    expect(await isOpen(port)).toBe(true);
  });
});

describe('stopping while it starts', () => {
  test('leaves no port open, and start says so', async () => {
    const port = await freePort();
    const belfry = create({ server: { port }, schedules: [CLOCK] });
    const started = belfry.start();
    const refused = expect(started).rejects.toMatchObject({ name: 'AbortError' });
    await belfry.stop();
    await refused;
    expect(await isOpen(port)).toBe(false);
    expect(belfry.nextDue()).toBeNull();
  });

  test('leaves nothing running of run either', async () => {
    const belfry = create({ schedules: [CLOCK] });
    const refused = expect(belfry.run()).rejects.toMatchObject({ name: 'AbortError' });
    await belfry.stop();
    await refused;
    expect(belfry.nextDue()).toBeNull();
  });
});

describe('stopping', () => {
  test('twice is once: both resolve when all is over', async () => {
    const belfry = create({ server: { drainSeconds: 1 } });
    const { port } = await belfry.start();
    const visitors = await Promise.all([1, 2, 3].map(() => visit(`http://127.0.0.1:${port}/rooms/a`)));
    const first = belfry.stop();
    expect(belfry.stop()).toBe(first);
    await belfry.stop();
    expect(await isOpen(port)).toBe(false);
    expect(await Promise.all(visitors.map(({ over }) => over))).toEqual([1012, 1012, 1012]);
  });

  test('is hastened by the signal of whichever call', async () => {
    const belfry = create({ server: { drainSeconds: 3600 } });
    const { port } = await belfry.start();
    const url = `http://127.0.0.1:${port}/rooms/a`;
    const visitors = await Promise.all([visit(url), visit(url), stream(url)]);
    const first = belfry.stop();
    await closingOf(visitors[0]);
    const hurry = new AbortController();
    void belfry.stop(hurry.signal);
    hurry.abort();
    await first;
    await Promise.all(visitors.map(({ over }) => over));
  });

  test('refuses what would begin something', async () => {
    const read = () => ({ schedules: [CLOCK] });
    const belfry = create({ schedules: [CLOCK] }, { source: { label: 'belfry.json', read } });
    await belfry.start();
    await belfry.stop();
    await expect(belfry.reload()).rejects.toMatchObject({ status: 409 });
    await expect(belfry.publish({ data: 1 })).rejects.toMatchObject({ status: 503 });
    await expect(belfry.start()).rejects.toThrow('the server was stopped: make another one');
    expect(belfry.nextDue()).toBeNull();
  });
});

describe('stopping in a server of another program', () => {
  test('answers 503 afterwards, and it is alive', async () => {
    const belfry = create();
    const { port } = await hosted(belfry);
    await belfry.run();
    await belfry.stop();
    await expectNotServing(port);
  });

  test('ends at once what came through it where the signal is aborted', async () => {
    const belfry = create({ server: { drainSeconds: 3600 } });
    const { host, url } = await hosted(belfry);
    await belfry.run();
    const visitors = await Promise.all([
      visit(`${url}/rooms/a`),
      visit(`${url}/rooms/a`),
      stream(`${url}/rooms/a`),
      stream(`${url}/rooms/a`),
    ]);
    await belfry.stop(AbortSignal.abort());
    await Promise.all(visitors.map(({ over }) => over));
    host.closeIdleConnections();
    await new Promise((resolve) => host.close(resolve));
  });

  test('does not wait for a client that neither reads nor closes', async () => {
    const belfry = create();
    const { host, url, port } = await hosted(belfry);
    await belfry.run();
    const { socket } = await visit(`${url}/rooms/a`);
    socket.pause();
    const silent = new RawClient(port).say(request('/rooms/a', { Accept: 'text/event-stream' }));
    await silent.until('hello');
    silent.socket.pause();
    await belfry.stop();
    host.closeIdleConnections();
    await new Promise((resolve) => host.close(resolve));
    silent.socket.destroy();
  });
});
