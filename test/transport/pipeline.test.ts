import { once } from 'node:events';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { Socket } from 'node:net';
import { afterEach, describe, expect, it, vi } from 'vitest';
import type { ListenerParts } from '../../src/transport/http-server.ts';
import { listenerOf } from '../helpers/listener.ts';
import { ManualClock } from '../helpers/manual-clock.ts';
import { handshake, RawClient, request } from '../helpers/raw.ts';

type Handler = (request: IncomingMessage, response: ServerResponse) => unknown;

const LARGE = Buffer.alloc(12 * 1_048_576, 'x');
const h2c = { Connection: 'Upgrade', Upgrade: 'h2c' };

/** A listener that answers `/now` at once, `/large` with more than the kernel takes, others when told. */
class Held {
  readonly started: string[] = [];
  readonly #held: [path: string, response: ServerResponse][] = [];
  readonly it;
  port = 0;

  constructor(parts: Partial<ListenerParts> = {}, handler?: Handler) {
    this.it = listenerOf({
      request: (incoming, response) => {
        this.started.push(incoming.url ?? '');
        if (handler) return handler(incoming, response);
        if (incoming.url === '/now') response.end('now');
        else if (incoming.url === '/large') response.end(LARGE);
        else this.#held.push([incoming.url ?? '', response]);
      },
      ...parts,
    });
  }

  async open(): Promise<this> {
    ({ port: this.port } = await this.it.listener.listen('127.0.0.1', 0));
    return this;
  }

  /** Answers the oldest request that waits for it. */
  release(): void {
    const [path, response] = this.#held.shift() ?? [];
    response?.end(`answer to ${path}`);
  }

  starts(count: number): Promise<unknown> {
    return vi.waitFor(() => expect(this.started).toHaveLength(count), 5000);
  }

  say(text: string): RawClient {
    return new RawClient(this.port).say(text);
  }
}

const open: Held[] = [];
async function held(...options: ConstructorParameters<typeof Held>): Promise<Held> {
  const server = await new Held(...options).open();
  open.push(server);
  return server;
}

afterEach(async () => {
  for (const { it } of open.splice(0)) {
    it.listener.cut();
    await it.listener.close();
    expect(it.faults).toEqual([]);
    expect(it.unread.size).toBe(0);
  }
});

const statuses = (heard: string) => heard.match(/(?<=HTTP\/1\.1 )\d+/g);

/**
 * Writes, and only then reads. Where the server has closed the socket the first write resets the connection,
 * and the second fails.
 */
function sendTwice({ socket }: RawClient, text: string): void {
  socket.write(text, () => socket.write(text, () => setImmediate(() => socket.resume())));
}

describe('the last answer of a connection', () => {
  it.each([
    ['that the server ends', {}],
    ['that the client asked to end', { Connection: 'close' }],
  ])('%s is read by a client that still sends its request', async (_, headers) => {
    let onAnswered = () => {};
    const answered = new Promise<void>((resolve) => {
      onAnswered = resolve;
    });
    const { port } = await held({}, (incoming, response) => {
      if (!('connection' in incoming.headers)) response.setHeader('Connection', 'close');
      response.end('the answer');
      response.once('close', () => setImmediate(onAnswered));
    });
    const client = new RawClient(port);
    client.socket.pause();
    client.say(request('/', { ...headers, 'Content-Length': '12' }, 'POST')).say('four');
    await answered;
    sendTwice(client, 'more');
    expect(await client.all()).toContain('the answer');
  });

  it('is read by a client that sends more requests than are taken', async () => {
    let started = 0;
    let onAnswered = () => {};
    const answered = new Promise<void>((resolve) => {
      onAnswered = resolve;
    });
    const { port } = await held({}, (_, response) => {
      if (++started === 17) response.once('close', () => setImmediate(onAnswered));
      response.end('now');
    });
    const client = new RawClient(port);
    client.socket.pause();
    client.say(request('/').repeat(100));
    await answered;
    sendTwice(client, request('/'));
    expect((await client.all()).match(/HTTP\/1.1 200/g)).toHaveLength(17);
  });

  it('is not waited for without end', async () => {
    const { port } = await held({}, (_, response) => response.setHeader('Connection', 'close').end('now'));
    const client = new RawClient(port).say(request('/', { 'Content-Length': '1000' }, 'POST')).say('four');
    await client.until('now');
    await client.closed;
    const trickle = setInterval(() => client.say('m'), 100);
    await new Promise((resolve) => client.socket.once('close', resolve));
    clearInterval(trickle);
  });
});

describe('requests that are pipelined', () => {
  it('are answered one at a time, in their order', async () => {
    const server = await held();
    const client = server.say(request('/a') + request('/b') + request('/c', { Connection: 'close' }));
    for (const [index, path] of ['/a', '/b', '/c'].entries()) {
      await server.starts(index + 1);
      expect(server.started.at(-1)).toBe(path);
      server.release();
      await client.until(`answer to ${path}`);
    }
    expect(statuses(await client.all())).toEqual(['200', '200', '200']);
  });

  it('are answered also where their sender has ended its side', async () => {
    const server = await held();
    const client = server.say(request('/a') + request('/now') + request('/now'));
    client.socket.end();
    await server.starts(1);
    server.release();
    expect(statuses(await client.all())).toEqual(['200', '200', '200']);
  });

  it('are 17 at most: the last of them ends the connection, and what is behind it is not read', async () => {
    const refused: string[] = [];
    const server = await held({ onRefused: (reason) => refused.push(reason) });
    const client = server.say(request('/held') + request('/now').repeat(5000));
    await server.starts(1);
    await vi.waitFor(() => expect(refused).toEqual(['rate']));
    server.release();
    const heard = await client.all();
    expect(statuses(heard)).toHaveLength(17);
    expect(heard.match(/Connection: close/g)).toHaveLength(1);
    expect(heard.slice(0, heard.indexOf('Connection: close')).match(/HTTP\/1\.1/g)).toHaveLength(17);
    expect(server.started).toHaveLength(17);
  });

  it.each([
    ['long', { 'X-Long': 'x'.repeat(15_000) }, 3],
    ['many short', Object.fromEntries(Array.from({ length: 90 }, (_, index) => [`a${index}`, 'b'])), 4],
  ])('are fewer where they have %s headers', async (_, headers, answered) => {
    const refused: string[] = [];
    const server = await held({ onRefused: (reason) => refused.push(reason) });
    const client = server.say(request('/held') + request('/now', headers).repeat(16));
    await server.starts(1);
    await vi.waitFor(() => expect(refused).toEqual(['rate']));
    server.release();
    expect(statuses(await client.all())).toHaveLength(answered);
    expect(server.started).toHaveLength(answered);
  });

  it('are counted only while they wait', async () => {
    const server = await held();
    const long = request('/now', { 'X-Long': 'x'.repeat(10_000) });
    const client = server.say(long + long);
    for (let answers = 2; answers < 20; answers += 2) {
      await vi.waitFor(() => expect(statuses(client.heard)).toHaveLength(answers));
      client.say(long + long);
    }
    await vi.waitFor(() => expect(statuses(client.heard)).toHaveLength(20));
    client.reset();
  });

  it('keep their headers while they wait', async () => {
    const server = await held({}, (incoming, response) => {
      response.end(`${incoming.headers['x-name']} ${incoming.headers.host}`);
    });
    const named = (name: string, more = {}) => request('/', { 'X-Name': name, ...more });
    const heard = await server.say(named('a') + named('b') + named('c', { Connection: 'close' })).all();
    expect(heard.match(/[abc] 127\.0\.0\.1/g)).toEqual(['a 127.0.0.1', 'b 127.0.0.1', 'c 127.0.0.1']);
  });

  it('keep their bodies while they wait', async () => {
    const body = 'b'.repeat(1_000_000);
    const server = await held({}, async (incoming, response) => {
      let bytes = 0;
      for await (const chunk of incoming) bytes += chunk.length;
      response.end(`${incoming.method} ${bytes}`);
    });
    const small = `${request('/', { 'Content-Length': '5' }, 'POST')}small`;
    const large = `${request('/', { 'Content-Length': String(body.length), Connection: 'close' }, 'POST')}${body}`;
    const heard = await server.say(small + request('/') + small + large).all();
    expect(heard.match(/(GET|POST) \d+/g)).toEqual(['POST 5', 'GET 0', 'POST 5', 'POST 1000000']);
  });

  it('do not have a body read that nobody has asked for yet', async () => {
    const server = await held();
    const length = 64 * 1_048_576;
    const client = server.say(
      request('/held') + request('/post', { 'Content-Length': String(length) }, 'POST'),
    );
    await server.starts(1);
    const body = Buffer.alloc(1_048_576, 'b');
    for (let sent = 0; sent < length; sent += body.length) client.say(body);
    // Time enough for the server to read all of it, did it read on.
    for (let turn = 0; turn < 100; turn++) await server.say(request('/now', { Connection: 'close' })).all();
    // What the kernel holds of it, and no more.
    expect(client.socket.writableLength).toBeGreaterThan(length / 2);
    client.reset();
  });

  it('hear 100 Continue when it is their turn', async () => {
    const server = await held();
    const expecting = { Expect: '100-continue', 'Content-Length': '2', Connection: 'close' };
    const client = server.say(request('/held') + request('/now', expecting, 'POST'));
    await server.starts(1);
    server.release();
    const heard = await client.until('100 Continue');
    expect(heard).toMatch(/answer to \/held.*HTTP\/1\.1 100 Continue/s);
    expect(await client.say('ok').all()).toMatch(/100 Continue\r\n\r\nHTTP\/1\.1 200 /);
  });

  it('have no body for HEAD', async () => {
    const server = await held();
    const heard = await server
      .say(request('/now', {}, 'HEAD') + request('/now', { Connection: 'close' }, 'HEAD'))
      .all();
    expect(heard.match(/HTTP\/1\.1 200 OK[\s\S]*?\r\n\r\n/g)?.join('')).toBe(heard);
  });

  it('are forgotten when their sender vanishes', async () => {
    const server = await held();
    const client = server.say(request('/a') + request('/b'));
    await server.starts(1);
    client.reset();
    await once(client.socket, 'close');
    await server.say(request('/now', { Connection: 'close' })).all();
    server.release();
    await server.say(request('/now', { Connection: 'close' })).all();
    expect(server.started).toEqual(['/a', '/now', '/now']);
  });
});

describe('what is malformed', () => {
  it('is refused behind the answers before it, not among them', async () => {
    const server = await held();
    const client = server.say(`${request('/a')}${request('/b')}nonsense\r\n\r\n`);
    await server.starts(1);
    server.release();
    await server.starts(2);
    server.release();
    const heard = await client.all();
    expect(heard).toMatch(/200 OK.*answer to \/a.*200 OK.*answer to \/b.*400 Bad Request.*not HTTP/s);
  });

  it('is refused in place of a request whose body it is', async () => {
    const server = await held();
    const chunked = request('/post', { 'Transfer-Encoding': 'chunked' }, 'POST');
    const waits = server.say(`${request('/a')}${chunked}zz\r\n`);
    await server.starts(1);
    server.release();
    expect(statuses(await waits.all())).toEqual(['200', '400']);
    expect(server.started).toEqual(['/a']);
    const isCurrent = server.say(`${chunked}zz\r\n`);
    expect(statuses(await isCurrent.all())).toEqual(['400']);
  });

  it('is refused and counted once, though Node tells of it again for each later read', async () => {
    const refused: string[] = [];
    let socket = new Socket();
    const server = await held({ onRefused: (reason) => refused.push(reason) }, (incoming) => {
      socket = incoming.socket;
    });
    const client = server.say(request('/unfinished'));
    await server.starts(1);
    const nonsense = 'nonsense\r\n\r\n';
    let bytes = request('/unfinished').length + nonsense.length;
    client.say(nonsense);
    await vi.waitFor(() => expect(refused).toHaveLength(1));
    const listeners = socket.listenerCount('close');
    for (let reads = 0; reads < 20; reads++) {
      client.say('more\r\n');
      bytes += 'more\r\n'.length;
      await vi.waitFor(() => expect(socket.bytesRead).toBe(bytes), { interval: 1 });
    }
    expect(refused).toHaveLength(1);
    expect(socket.listenerCount('close')).toBe(listeners);
    client.reset();
  });
});

describe('an upgrade behind an answer that is not finished', () => {
  it.each([
    ['of a WebSocket', handshake('/rooms/a')],
    ['to h2c', handshake('/now', h2c)],
    ['of CONNECT', 'CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\n\r\n'],
  ])('%s is refused, and the socket closed', async (_, upgrade) => {
    const server = await held();
    const client = server.say(request('/a') + request('/b') + upgrade + request('/now'));
    await server.starts(1);
    server.release();
    await server.starts(2);
    server.release();
    const heard = await client.all();
    expect(statuses(heard)).toEqual(['200', '200', '400']);
    expect(heard).toContain('cannot be pipelined behind another request');
    expect(server.started).toEqual(['/a', '/b']);
  });

  it('is cut where that takes too long', async () => {
    const timers: [ms: number, act: () => void][] = [];
    const clock = {
      now: () => 0,
      monotonic: () => 0,
      after: (ms: number, act: () => void) => {
        timers.push([ms, act]);
        return () => {};
      },
    };
    const server = await held({ clock });
    const client = server.say(request('/a') + handshake('/now', h2c));
    await vi.waitFor(() => expect(timers).toHaveLength(1));
    expect(timers[0]?.[0]).toBe(5000);
    timers[0]?.[1]();
    expect(await client.all()).toBe('');
  });

  it('still lets a large answer through', async () => {
    // No time passes: a busy machine may take more than 5 s to read it.
    const server = await held({ clock: new ManualClock() });
    const client = server.say(request('/large') + handshake('/now', h2c));
    expect((await client.all()).length).toBeGreaterThan(LARGE.length);
    expect(client.heard.slice(-2000)).toContain('400 Bad Request');
  });
});

describe('behind a stream', () => {
  const endless: Handler = (_, response) => {
    response.shouldKeepAlive = false;
    response.writeHead(200);
    response.write('event');
  };

  it.each([
    ['a request', request('/now')],
    ['an upgrade', handshake('/now', h2c)],
    ['nonsense', 'nonsense\r\n\r\n'],
    ['4,000 requests', request('/now').repeat(4000)],
  ])('%s ends it, whether it comes with it or later', async (_, behind) => {
    const server = await held({}, endless);
    const later = server.say(request('/stream'));
    await later.until('event');
    await later.say(behind).all();
    expect(statuses(later.heard)).toEqual(['200']);
    const atOnce = server.say(request('/stream') + behind);
    await atOnce.all();
    expect((statuses(atOnce.heard) ?? []).length).toBeLessThan(2);
    expect(server.started).toEqual(['/stream', '/stream']);
  });
});

describe('answers that are not read', () => {
  /** Reads nothing, so that the kernel's buffers fill and the rest waits in the server. */
  function deaf(port: number, text: string): RawClient {
    const client = new RawClient(port);
    client.socket.pause();
    return client.say(text);
  }

  it('are told of until they are read', async () => {
    const server = await held();
    const client = deaf(server.port, request('/large', { Connection: 'close' }));
    await vi.waitFor(() => expect(server.it.unread.size).toBe(1));
    const [answer] = server.it.unread;
    expect(answer?.unsentBytes).toBeGreaterThan(LARGE.length / 2);
    client.socket.resume();
    expect((await client.all()).length).toBeGreaterThan(LARGE.length);
    expect(server.it.unread.size).toBe(0);
  });

  it('hold one answer for each socket, however many were asked for', async () => {
    const server = await held();
    const client = deaf(server.port, request('/large').repeat(10));
    await vi.waitFor(() => expect(server.it.unread.size).toBe(1));
    expect(server.started).toEqual(['/large']);
    client.reset();
    await vi.waitFor(() => expect(server.it.unread.size).toBe(0));
    expect(server.started).toEqual(['/large']);
  });

  it('are cut where the peer takes nothing of them for a while', async () => {
    const server = await held({ unreadMs: 300 });
    const client = deaf(server.port, request('/large'));
    await vi.waitFor(() => expect(server.it.unread.size).toBe(1));
    await vi.waitFor(() => expect(server.it.unread.size).toBe(0), 5000);
    client.reset();
  });

  it('are left alone where the answer is what takes its time', async () => {
    const server = await held({ unreadMs: 100 });
    const client = server.say(request('/slow', { Connection: 'close' }));
    await server.starts(1);
    const other = server.say(request('/large', { Connection: 'close' }));
    other.socket.pause();
    // Cut by then: the first has waited as long.
    await vi.waitFor(() => expect(server.it.unread.size).toBe(1));
    await vi.waitFor(() => expect(server.it.unread.size).toBe(0), 5000);
    server.release();
    expect(await client.all()).toContain('answer to /slow');
  });
});

describe('the last line of defence', () => {
  it.each([
    ['a request', request('/a'), { request: () => fail() }],
    ['a request, later', request('/a'), { request: async () => fail() }],
    ['an upgrade', handshake(), { upgrade: () => fail() }],
  ])('reports a fault of %s and cuts its socket', async (_, text, parts: Partial<ListenerParts>) => {
    const { listener, faults } = listenerOf(parts);
    const { port } = await listener.listen('127.0.0.1', 0);
    expect(await new RawClient(port).say(text).all()).toBe('');
    expect(faults).toEqual([new Error('a fault')]);
    await listener.close();
  });

  it('lets no raw problem keep a socket whose peer reads nothing', async () => {
    const { writeProblem } = await import('../../src/transport/problem.ts');
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    try {
      const socket = new Socket();
      socket.write = () => false;
      socket._final = () => {};
      Object.defineProperty(socket, 'writable', { get: () => true });
      writeProblem(socket, new Error());
      vi.advanceTimersByTime(2999);
      expect(socket.destroyed).toBe(false);
      vi.advanceTimersByTime(1);
      expect(socket.destroyed).toBe(true);
    } finally {
      vi.useRealTimers();
    }
  });
});

function fail(): never {
  throw new Error('a fault');
}
