import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server } from 'node:http';
import { type AddressInfo, createServer as createTcpServer } from 'node:net';
import { PassThrough, Writable } from 'node:stream';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type WebSocket, WebSocketServer } from 'ws';
import { type WatchOptions, watch } from '../../src/cli/watch.ts';
import { systemClock } from '../../src/clock.ts';
import { ManualClock, settled } from '../helpers/manual-clock.ts';

/** Keeps what was written. */
class Written extends Writable {
  text = '';
  override _write(chunk: Buffer, _encoding: string, done: () => void): void {
    this.text += chunk.toString();
    done();
  }
}

describe('watch', () => {
  let server: Server;
  let sockets: WebSocketServer;
  let host: string;
  let stop: AbortController;
  let input: PassThrough;
  let output: Written;
  let errors: Written;
  let ended: Promise<number> | undefined;
  let visits: { socket: WebSocket; request: IncomingMessage; received: string[] }[];
  let awaiting: (() => void) | undefined;

  beforeEach(async () => {
    server = createServer();
    sockets = new WebSocketServer({ server });
    visits = [];
    awaiting = undefined;
    ended = undefined;
    sockets.on('connection', (socket, request) => {
      const received: string[] = [];
      socket.on('message', (data) => received.push(data.toString()));
      visits.push({ socket, request, received });
      awaiting?.();
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    // It listens on TCP.
    host = `127.0.0.1:${(server.address() as AddressInfo).port}`;
    stop = new AbortController();
    input = new PassThrough();
    output = new Written();
    errors = new Written();
  });

  afterEach(async () => {
    stop.abort();
    for (const socket of sockets.clients) socket.terminate();
    server.close();
    server.closeAllConnections();
    await ended;
  });

  function start(more: Partial<WatchOptions> = {}): Promise<number> {
    const url = `http://${host}/rooms/lobby`;
    ended = watch({ url, input, output, errors, signal: stop.signal, clock: systemClock, ...more });
    return ended;
  }

  async function visit() {
    if (visits.length === 0) await new Promise<void>((resolve) => (awaiting = resolve));
    const first = visits.shift();
    if (!first) throw new Error('no connection came');
    return { ...first, tell: (object: unknown) => first.socket.send(JSON.stringify(object)) };
  }

  const prints = (text: string | RegExp) => expect.poll(() => output.text).toMatch(text);
  const notes = (text: string | RegExp) => expect.poll(() => errors.text).toMatch(text);
  const tick = (due: number, previous: number) => ({
    room: 'lobby',
    event: 'time',
    tick: {
      schedule: 'clock',
      due: `2026-11-20T18:00:0${due}.000Z`,
      previous: `2026-11-20T18:00:0${previous}.000Z`,
    },
  });

  it('prints a line for each event, and marks a missed tick', async () => {
    start({ clock: new ManualClock('2026-11-20T18:00:09.005Z') });
    const { tell } = await visit();
    tell(tick(3, 0));
    tell(tick(9, 6));
    tell({ room: 'lobby', event: 'message', data: { text: '\u001b[2J' } });
    await prints(
      /due 2026-11-20T18:00:03.000Z {2}late 6005 ms\n.*late 5 ms {2}MISSED what was due .*06.000Z\n/,
    );
    await prints(/message {2}\{"text":"\\u001b\[2J"\}\n$/);
  });

  it('starts the comparison again after a schedule has changed', async () => {
    start();
    const { tell } = await visit();
    tell(tick(3, 0));
    tell({ room: 'lobby', event: 'status', data: { schedule: 'clock', state: 'changed' } });
    tell(tick(9, 6));
    await prints(/due 2026-11-20T18:00:09/);
    expect(output.text).not.toContain('MISSED');
  });

  it('publishes what is typed: JSON as it stands, anything else as text', async () => {
    start();
    const { received } = await visit();
    await notes('connected to');
    input.write('hello\r\n{"level":2}\n\n42\nhal');
    input.end('f');
    await expect
      .poll(() => received.map((text) => JSON.parse(text).data))
      .toEqual([{ text: 'hello' }, { level: 2 }, 42, { text: 'half' }]);
    expect(JSON.parse(received[0] ?? '').action).toBe('publish');
  });

  it('goes on after the end of its input', async () => {
    start();
    const { tell } = await visit();
    input.end();
    await once(input, 'end');
    tell({ room: 'lobby', event: 'message', data: 'still here' });
    await prints('still here');
  });

  it('goes on where its input breaks', async () => {
    start();
    const { tell } = await visit();
    const closed = new Promise((resolve) => input.once('close', resolve));
    input.destroy(new Error('the terminal is gone'));
    await closed;
    tell({ room: 'lobby', event: 'message', data: 'still here' });
    await prints('still here');
  });

  it('says that a line was not sent, and why one was not taken', async () => {
    input.write('too early\n');
    start();
    const { tell } = await visit();
    await notes('not connected, so this was not sent: too early');
    tell({ reply: 'publish', error: { status: 403, title: 'Forbidden', detail: 'set rooms[0].publish' } });
    await notes('publish: 403 Forbidden: set rooms[0].publish');
  });

  it('prints each object as it came with --json, notices apart', async () => {
    start({ json: true });
    const { socket } = await visit();
    socket.send('{"event":"hello",\n"n":1.0}');
    socket.send('{"reply":"publish","error":{"status":403,"title":"Forbidden"}}');
    await expect
      .poll(() => output.text)
      .toBe('{"event":"hello", "n":1.0}\n{"reply":"publish","error":{"status":403,"title":"Forbidden"}}\n');
  });

  it.each(['nonsense', '[1', 'null', '"text"'])('names what is no JSON object: %s', async (text) => {
    start();
    (await visit()).socket.send(text);
    await notes('received what is no JSON object');
  });

  it('shows its token in the header only', async () => {
    start({ token: 's3cret' });
    const { request } = await visit();
    expect(request.headers.authorization).toBe('Bearer s3cret');
    expect(request.url).toBe('/rooms/lobby');
    await notes('connected');
    expect(errors.text + output.text).not.toContain('s3cret');
  });

  it('closes with 1000 and ends with 0 when told to', async () => {
    const code = start();
    const { socket } = await visit();
    await notes('connected');
    const closed = once(socket, 'close');
    stop.abort();
    expect((await closed)[0]).toBe(1000);
    expect(await code).toBe(0);
    expect(input.isPaused()).toBe(true);
  });

  it('ends within a second though the server does not answer the close', async () => {
    const clock = new ManualClock();
    const code = start({ clock });
    const { socket } = await visit();
    await notes('connected');
    socket.pause();
    stop.abort();
    clock.advance(700);
    expect(await code).toBe(0);
    expect(clock.pending).toBe(0);
  });

  it('ends with 0 when told to before the server has answered at all', async () => {
    const mute = createTcpServer();
    mute.listen(0, '127.0.0.1');
    await once(mute, 'listening');
    const came = once(mute, 'connection');
    const code = start({ url: `ws://127.0.0.1:${(mute.address() as AddressInfo).port}/rooms/lobby` });
    const [peer] = await came;
    stop.abort();
    expect(await code).toBe(0);
    peer.destroy();
    mute.close();
  });

  it('ends with 0 when the server closes normally', async () => {
    const code = start();
    (await visit()).socket.close(1000);
    expect(await code).toBe(0);
  });

  it('says why the room was closed, and ends with 1', async () => {
    const code = start();
    const { socket, tell } = await visit();
    tell({ event: 'closing', data: { code: 4001, reason: 'over for today', reconnect: false } });
    socket.close(4001, 'over for today');
    expect(await code).toBe(1);
    expect(errors.text).toContain('the server is closing: over for today (4001); do not come back\n');
    expect(errors.text).toContain('closed: over for today (4001)\n');
  });

  it('comes back after as long as `closing` says, from the last id that it has seen', async () => {
    const clock = new ManualClock();
    start({ clock });
    const { socket, tell } = await visit();
    tell({ id: 'k3f9-42', room: 'lobby', event: 'message', data: 'hello' });
    tell({ event: 'closing', data: { code: 1012, reason: 'restart', reconnect: true, retryAfterMs: 2500 } });
    socket.close(1012);
    await notes('coming back in 2.5 s');
    clock.advance(2499);
    await settled();
    expect(visits).toEqual([]);
    clock.advance(1);
    expect((await visit()).request.url).toBe('/rooms/lobby?since=k3f9-42');
  });

  it('comes back to the room that is left when one of several was closed', async () => {
    const clock = new ManualClock();
    start({ clock });
    const { socket, tell } = await visit();
    tell({
      event: 'closing',
      room: 'a',
      data: { code: 4001, reason: 'over', reconnect: false, ends: 'room' },
    });
    await notes('a: the room is closing: over');
    socket.terminate();
    await notes('coming back in');
    clock.advance(1000);
    await visit();
  });

  it('keeps trying while the server is away, and ends at once when told to', async () => {
    const clock = new ManualClock();
    const code = start({ clock });
    const { socket } = await visit();
    server.close();
    socket.terminate();
    await notes('coming back in');
    clock.advance(1000);
    await notes('no connection: nobody listens at 127.0.0.1');
    await expect.poll(() => errors.text.match(/coming back in/g)).toHaveLength(2);
    stop.abort();
    expect(await code).toBe(0);
    expect(clock.pending).toBe(0);
  });

  it('leaves a server that has gone silent, and comes back', async () => {
    const clock = new ManualClock();
    start({ clock });
    const { tell } = await visit();
    tell({ event: 'hello', data: { heartbeatSeconds: 2 } });
    await prints('hello');
    clock.advance(5000);
    await notes(/nothing heard for 5 s\nclosed: .*\(1006\)\ncoming back in/);
    clock.advance(1000);
    await visit();
  });

  it('ends with 1 and one clear line where no server listens', async () => {
    server.close();
    await once(server, 'close');
    expect(await start()).toBe(1);
    expect(errors.text).toBe(`no connection: nobody listens at ${host}\n`);
  });

  it('ends with 1 and one clear line for what is no address', async () => {
    expect(await start({ url: 'rooms/lobby' })).toBe(1);
    expect(errors.text).toMatch(/^"rooms\/lobby" is no address: .*\n$/);
  });

  it.each([
    ['{"title":"Forbidden","detail":"origin is not \\u001b[2J allowed"}', 'origin is not \\u001b[2J allowed'],
    ['<html>', '403 Forbidden'],
    ['{"detail":{"deep":1}}', '403 Forbidden'],
  ])('ends with 1 and says why it was refused: %s', async (body, words) => {
    server.removeAllListeners('upgrade');
    server.on('upgrade', (_request, socket) => {
      socket.end(`HTTP/1.1 403 Forbidden\r\nContent-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`);
    });
    expect(await start()).toBe(1);
    expect(errors.text).toContain('refused: 403 Forbidden');
    expect(errors.text).toContain(words);
    expect(errors.text).not.toContain('\u001b');
  });

  it('waits as long as a refusal says once it has been connected', async () => {
    const clock = new ManualClock();
    start({ clock });
    const { socket } = await visit();
    const accept = server.listeners('upgrade');
    server.removeAllListeners('upgrade');
    server.once('upgrade', (_request, peer) => {
      for (const listener of accept) server.on('upgrade', listener as (...all: unknown[]) => void);
      peer.end('HTTP/1.1 503 Service Unavailable\r\nRetry-After: 5\r\nContent-Length: 0\r\n\r\n');
    });
    socket.close(1012);
    await notes('coming back in');
    clock.advance(1000);
    // What it was told, and up to two seconds more.
    await notes(/refused: 503 Service Unavailable\ncoming back in [567]\.\d s/);
    clock.advance(7000);
    await visit();
  });

  it('waits for a room that is locked when it starts', async () => {
    const clock = new ManualClock();
    start({ clock });
    const accept = server.listeners('upgrade');
    server.removeAllListeners('upgrade');
    server.once('upgrade', (_request, peer) => {
      for (const listener of accept) server.on('upgrade', listener as (...all: unknown[]) => void);
      peer.end('HTTP/1.1 423 Locked\r\nRetry-After: 6\r\nContent-Length: 0\r\n\r\n');
    });
    await notes(/refused: 423 Locked\ncoming back in [67]\.\d s/);
    clock.advance(7000);
    await visit();
  });

  it('ends with 0 when the reader of its output has gone', async () => {
    const code = start();
    const { socket } = await visit();
    output.destroy(Object.assign(new Error('write EPIPE'), { code: 'EPIPE' }));
    await once(socket, 'close');
    expect(await code).toBe(0);
  });

  it('holds the socket back while its output is not read', async () => {
    const slow = new PassThrough({ highWaterMark: 1 });
    start({ output: slow });
    const { socket } = await visit();
    const block = JSON.stringify({ event: 'message', data: 'x'.repeat(100_000) });
    for (let sent = 0; sent < 300; sent++) socket.send(block);
    await once(slow, 'readable');
    await expect.poll(() => socket.bufferedAmount).toBeGreaterThan(10_000_000);
    expect(slow.writableLength + slow.readableLength).toBeLessThan(5_000_000);
    let bytes = 0;
    slow.on('data', (chunk: Buffer) => (bytes += chunk.length));
    await expect.poll(() => bytes, { timeout: 10_000 }).toBeGreaterThan(300 * 100_000);
  });
});
