import { once } from 'node:events';
import { createServer, type IncomingMessage, request, type ServerResponse } from 'node:http';
import { type AddressInfo, connect as connectTo, type Socket } from 'node:net';
import { describe, expect, onTestFinished, test } from 'vitest';
import { WebSocket } from 'ws';
import { type ConnectOptions, connect } from '../../src/client/index.ts';
import { type Clock, systemClock } from '../../src/clock.ts';
import { embedded } from '../e2e/embedded.ts';

const ROOMS = [{ match: '*', publish: 'members' }];

/** The time of this computer and its timers, and a monotonic clock that can be moved on. */
class MovedClock implements Clock {
  #movedMs = 0;
  now = () => Date.now();
  monotonic = () => performance.now() + this.#movedMs;
  after = systemClock.after;

  move(ms: number): void {
    this.#movedMs += ms;
  }
}

/** A proxy that lets HTTP through, and WebSockets only where `isOpen`. */
async function proxyFor(port: number): Promise<{ url: string; isOpen: boolean; upgrades: number }> {
  const proxy = { url: '', isOpen: false, upgrades: 0 };
  const sockets = new Set<Socket>();
  const server = createServer((incoming: IncomingMessage, response: ServerResponse) => {
    const { method, url, headers } = incoming;
    const forwarded = request({ host: '127.0.0.1', port, method, path: url, headers }, (answer) => {
      response.writeHead(answer.statusCode ?? 502, answer.headers);
      answer.pipe(response);
    });
    forwarded.on('error', () => response.destroy());
    response.on('close', () => forwarded.destroy());
    incoming.pipe(forwarded);
  });
  server.on('connection', (socket) => {
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
  });
  server.on('upgrade', ({ method, url, rawHeaders }: IncomingMessage, socket: Socket) => {
    proxy.upgrades++;
    if (!proxy.isOpen) {
      socket.end('HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n');
      return;
    }
    const lines = rawHeaders.map((text, index) => (index % 2 ? `${text}\r\n` : `${text}: `)).join('');
    const server = connectTo(port, '127.0.0.1', () =>
      server.write(`${method} ${url} HTTP/1.1\r\n${lines}\r\n`),
    );
    server.pipe(socket).pipe(server);
    for (const each of [server, socket]) each.on('error', () => {});
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  onTestFinished(() => {
    server.close();
    for (const socket of sockets) socket.destroy();
  });
  // It listens on TCP.
  proxy.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  return proxy;
}

function clientOf(url: string, options: Partial<ConnectOptions> = {}) {
  const client = connect(url, { rooms: ['lobby'], WebSocket, ...options });
  onTestFinished(() => client.close());
  return client;
}

const isOpen = (client: { readonly rooms: ReadonlySet<string> }) =>
  expect.poll(() => client.rooms.size, { timeout: 15_000 }).toBeGreaterThan(0);

describe('where no WebSocket gets through', () => {
  test('the client listens over server-sent events, and over WebSocket once that is possible', async () => {
    const { url, belfry } = await embedded({ rooms: ROOMS });
    const proxy = await proxyFor(Number(new URL(url).port));
    const clock = new MovedClock();
    const client = clientOf(proxy.url, { clock });
    const heard: unknown[] = [];
    client.on('message', ({ data }) => heard.push(data));
    await isOpen(client);
    expect([client.transport, proxy.upgrades]).toEqual(['sse', 2]);
    await belfry.publish({ target: { rooms: ['lobby'] }, data: 1 });
    await expect.poll(() => heard).toEqual([1]);
    // Five minutes later it tries beside the stream, which goes on.
    clock.move(300_000);
    await expect.poll(() => proxy.upgrades).toBe(3);
    expect([client.state.name, client.transport]).toEqual(['open', 'sse']);
    proxy.isOpen = true;
    clock.move(300_000);
    await expect.poll(() => client.transport).toBe('websocket');
    await isOpen(client);
    await belfry.publish({ target: { rooms: ['lobby'] }, data: 2 });
    await expect.poll(() => heard).toEqual([1, 2]);
  }, 40_000);

  test('the client stays with WebSocket where that was asked for', async () => {
    const { url } = await embedded({ rooms: ROOMS });
    const proxy = await proxyFor(Number(new URL(url).port));
    const client = clientOf(proxy.url, { transport: 'websocket' });
    await expect.poll(() => proxy.upgrades, { timeout: 15_000 }).toBeGreaterThan(2);
    expect(client.transport).toBe('websocket');
  }, 20_000);
});

describe('the client in Node', () => {
  test('listens over server-sent events without a WebSocket', async () => {
    const { url } = await embedded({ rooms: ROOMS });
    const client = clientOf(url, { WebSocket: undefined });
    await isOpen(client);
    expect(client.transport).toBe('sse');
  });

  test('gives everything to a `for await`, in order, until it is closed', async () => {
    const { url, belfry } = await embedded({
      rooms: ROOMS,
      schedules: [{ name: 'clock', every: '100ms', feed: { type: 'time' } }],
    });
    const client = clientOf(url);
    await isOpen(client);
    const taken: unknown[] = [];
    const over = (async () => {
      for await (const item of client) {
        taken.push('tick' in item ? 'tick' : item.event === 'message' ? item.data : item.event);
        if (taken.length === 1) await new Promise((resolve) => setTimeout(resolve, 50));
      }
    })();
    await expect.poll(() => taken).toContain('tick');
    for (const data of [1, 2, 3]) await belfry.publish({ target: { rooms: ['lobby'] }, data });
    await expect.poll(() => taken).toContain(3);
    await client.close();
    await over;
    expect(taken.filter((each) => typeof each === 'number')).toEqual([1, 2, 3]);
    // What was closed gives nothing more.
    for await (const item of client) expect(item).toBeUndefined();
  });

  test('hands an event to each listener, also where one before it throws', async () => {
    const { url } = await embedded({ rooms: ROOMS });
    const client = clientOf(url);
    const thrown = new Promise((resolve) => {
      const others = process.listeners('uncaughtException');
      process.removeAllListeners('uncaughtException');
      process.once('uncaughtException', resolve);
      onTestFinished(() => {
        for (const other of others) process.on('uncaughtException', other);
      });
    });
    const off = client.on('received', () => {
      off();
      throw new Error('of the listener');
    });
    const second = new Promise((resolve) => client.on('received', resolve));
    expect(await second).toMatchObject({ event: 'hello' });
    expect(await thrown).toMatchObject({ message: 'of the listener' });
  });

  test('fails what is not answered when it is closed', async () => {
    const { url } = await embedded({ rooms: ROOMS });
    const client = clientOf(url);
    await isOpen(client);
    const lost = expect(client.publish({ data: 'y' })).rejects.toMatchObject({ status: 503 });
    await client.close();
    await lost;
  });

  test.each(['nonsense', ''])('refuses the address %j', (address) =>
    expect(() => connect(address, { rooms: ['lobby'] })).toThrow(TypeError),
  );
});
