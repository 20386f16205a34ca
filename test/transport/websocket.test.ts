import { PassThrough } from 'node:stream';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Hub } from '../../src/hub/hub.ts';
import { CLOSE } from '../../src/protocol/close-reason.ts';
import { ActionTable, type ClientCall } from '../../src/transport/action-table.ts';
import type { Heartbeat } from '../../src/transport/client.ts';
import type { OwnedWebSocket, WebSocketOwner } from '../../src/transport/node-ws.ts';
import { closeText, WebSocketClient } from '../../src/transport/websocket.ts';
import { SocketGuest } from '../helpers/guest.ts';
import { ManualClock, settled } from '../helpers/manual-clock.ts';
import { startServer, type TestServer } from '../helpers/server.ts';

/** As much of a WebSocket as a client touches. */
class FakeWebSocket {
  owner: WebSocketOwner | undefined;
  ownedBy(owner: WebSocketOwner): void {
    this.owner = owner;
  }
  isPaused = false;
  pause(): void {
    this.isPaused = true;
  }
  resume(): void {
    this.isPaused = false;
  }
  pongs: string[] = [];
  pong(data: Buffer): void {
    this.pongs.push(data.toString());
  }
  line(object: object): void {
    this.owner?.onMessage(Buffer.from(JSON.stringify(object)), false);
  }
  emit(kind: string, data: Buffer): void {
    if (kind === 'ping') this.owner?.onPing(data);
    else this.owner?.onPong();
  }
}

function setUp({
  ready = () => undefined,
  onPong = () => true,
}: {
  ready?: () => Promise<void> | undefined;
  onPong?: () => boolean;
} = {}) {
  const websocket = new FakeWebSocket();
  const replies: string[] = [];
  const outbox = {
    isBehind: false,
    bytes: 0,
    waitForPeer(bytes: number) {
      outbox.bytes = bytes;
    },
  };
  const connection = {
    closed: false,
    outbox,
    send: (text: string) => replies.push(text),
  };
  const waiting: (() => void)[] = [];
  const codes: number[] = [];
  const clock = new ManualClock();
  const onFault = (what: string, error: unknown) => {
    throw new Error(what, { cause: error });
  };
  const wait = ({ sent }: ClientCall) => new Promise((resolve) => waiting.push(() => resolve(sent.n)));
  const actions = new ActionTable({ wait: { perform: wait } }, { clock, onRefused: () => {}, onFault });
  const socket = new PassThrough();
  let join = () => {};
  const joined = new Promise<void>((resolve) => {
    join = resolve;
  });
  const hub = {
    connect: () => connection,
    join: () => joined,
    disconnect: () => {},
    ready,
    close(closing: { closed: boolean }, { code }: { code: number }) {
      closing.closed = true;
      codes.push(code);
    },
  };
  const heartbeat = { newPulse: () => {}, add: () => {}, remove: () => {}, seen: () => {}, ponged: onPong };
  const limits = {
    messagesPerSecond: 1000,
    messageBurst: 1000,
    maxPayloadBytes: 16_384,
    maxBufferedBytes: 1_048_576,
  };
  const entry = {
    rooms: [],
    peer: { remoteAddress: '' },
    since: undefined,
    slot: { release() {} },
    reservation: { release() {} },
  };
  // Of which a client touches this much.
  new WebSocketClient(websocket as unknown as OwnedWebSocket, socket, entry, {
    hub: hub as unknown as Hub,
    heartbeat: heartbeat as unknown as Heartbeat,
    settings: { current: { limits } },
    clock,
    actions,
    onConnected: () => {},
    onFault,
  });
  return {
    websocket,
    socket,
    connection,
    outbox,
    waiting,
    replies,
    join,
    codes,
    clock,
  };
}

describe('a WebSocket client', () => {
  it('acts on nothing before the join is settled, then on all of it in order', async () => {
    const { websocket, waiting, replies, join } = setUp();
    for (const n of [1, 2]) websocket.line({ action: 'wait', n });
    await settled();
    expect(waiting).toHaveLength(0);
    join();
    for (let round = 0; round < 2; round++) {
      await settled();
      expect(waiting).toHaveLength(1);
      waiting.pop()?.();
    }
    await settled();
    expect(replies.map((text) => JSON.parse(text).data)).toEqual([1, 2]);
  });

  it('does not read from a client that sends faster than it is answered, until it was answered', async () => {
    const { websocket, waiting, replies, join } = setUp();
    join();
    await settled();
    let sent = 0;
    while (!websocket.isPaused) websocket.line({ action: 'wait', n: sent++ });
    expect(sent).toBeLessThan(32);
    while (replies.length < sent) {
      await settled();
      waiting.pop()?.();
    }
    await settled();
    expect(websocket.isPaused).toBe(false);
    expect(replies.map((text) => JSON.parse(text).data)).toEqual([...Array(sent).keys()]);
  });

  it('counts the lines that wait as bytes of the connection, in UTF-8 and from the first one on', async () => {
    const { websocket, outbox, waiting, replies, join } = setUp();
    const line = { action: 'wait', n: '€'.repeat(100) };
    const bytes = Buffer.byteLength(JSON.stringify(line));
    websocket.line(line);
    expect(outbox.bytes).toBe(bytes);
    join();
    await settled();
    for (let lines = 2; lines <= 5; lines++) {
      websocket.line(line);
      expect(outbox.bytes).toBe(lines * bytes);
    }
    for (let left = 4; left >= 0; left--) {
      waiting.pop()?.();
      await settled();
      expect(outbox.bytes).toBe(left * bytes);
    }
    expect(replies).toHaveLength(5);
  });

  it('does not read from a client whose lines are as many bytes as one line may be', async () => {
    const { websocket, waiting, join } = setUp();
    join();
    await settled();
    const line = { action: 'wait', n: '€'.repeat(2000) };
    websocket.line(line);
    websocket.line(line);
    expect(websocket.isPaused).toBe(false);
    websocket.line(line);
    expect(websocket.isPaused).toBe(true);
    waiting.pop()?.();
    await settled();
    expect(websocket.isPaused).toBe(true);
    waiting.pop()?.();
    await settled();
    expect(websocket.isPaused).toBe(false);
  });

  it('acts on no line and reads none until the server is ready for it, and loses none', async () => {
    let makeReady: (() => void) | undefined;
    let isBusy = true;
    const ready = () => {
      if (!isBusy) return undefined;
      return new Promise<void>((resolve) => {
        makeReady = resolve;
      });
    };
    const { websocket, outbox, waiting, replies, join } = setUp({ ready });
    join();
    for (let n = 0; n < 20; n++) websocket.line({ action: 'wait', n });
    await settled();
    expect(waiting).toEqual([]);
    expect(websocket.isPaused).toBe(true);
    expect(outbox.bytes).toBeGreaterThan(20 * 20);
    // One line is let through, and no more.
    makeReady?.();
    await settled();
    expect(waiting).toHaveLength(1);
    waiting.pop()?.();
    await settled();
    expect(waiting).toEqual([]);
    isBusy = false;
    makeReady?.();
    while (replies.length < 20) {
      await settled();
      waiting.pop()?.();
    }
    await settled();
    expect(replies.map((text) => JSON.parse(text).data)).toEqual([...Array(20).keys()]);
    expect(websocket.isPaused).toBe(false);
    expect(outbox.bytes).toBe(0);
  });

  it('acts on nothing that waited for the server once the connection is closed', async () => {
    let makeReady = () => {};
    const { websocket, connection, waiting, replies, join } = setUp({
      ready: () =>
        new Promise<void>((resolve) => {
          makeReady = resolve;
        }),
    });
    join();
    websocket.line({ action: 'wait' });
    await settled();
    connection.closed = true;
    makeReady();
    await settled();
    expect([waiting, replies]).toEqual([[], []]);
    expect(websocket.isPaused).toBe(false);
  });

  it('acts on nothing more once the connection is closed, and reads on to see it end', async () => {
    const { websocket, connection, waiting, replies, join } = setUp();
    join();
    await settled();
    while (!websocket.isPaused) websocket.line({ action: 'wait' });
    connection.closed = true;
    waiting.pop()?.();
    await settled();
    expect(waiting).toHaveLength(0);
    expect(replies).toHaveLength(1);
    expect(websocket.isPaused).toBe(false);
  });
});

describe('control frames of a client', () => {
  it('are answered: each ping by a pong with the same data', () => {
    const { websocket } = setUp();
    for (const data of ['a', '', 'ü']) websocket.emit('ping', Buffer.from(data));
    expect(websocket.pongs).toEqual(['a', '', 'ü']);
  });

  it.each(['ping', 'pong'])('have a rate of their own, beyond which they close with 4129: %s', (kind) => {
    const { websocket, codes } = setUp({ onPong: () => false });
    // The burst, and twice as many that are only ignored.
    for (let sent = 0; sent < 300; sent++) websocket.emit(kind, Buffer.from('a'));
    expect(codes).toEqual([]);
    if (kind === 'ping') expect(websocket.pongs).toHaveLength(100);
    for (let sent = 0; sent < 15; sent++) websocket.emit(kind, Buffer.from('a'));
    expect(codes).toEqual([4129]);
  });

  it('that keep to it are answered for ever', () => {
    const { websocket, clock, codes } = setUp({ onPong: () => false });
    for (let sent = 0; sent < 1000; sent++) {
      websocket.emit(sent % 2 === 0 ? 'ping' : 'pong', Buffer.from('a'));
      clock.advance(100);
    }
    expect(codes).toEqual([]);
    expect(websocket.pongs).toHaveLength(500);
  });

  it('that answer a ping of the server are in no rate', () => {
    const { websocket, codes } = setUp({ onPong: () => true });
    for (let sent = 0; sent < 1000; sent++) websocket.emit('pong', Buffer.from(''));
    expect(codes).toEqual([]);
  });

  it('are not answered while the peer does not read, so that nothing piles up', () => {
    const { websocket, socket } = setUp();
    socket.write(Buffer.alloc(1024 * 1024));
    websocket.emit('ping', Buffer.from('a'));
    expect(websocket.pongs).toEqual([]);
  });
});

describe('a client that floods', () => {
  let server: TestServer;
  beforeAll(async () => {
    server = await startServer({ limits: { messagesPerSecond: 0, messageBurst: 0 } });
  });
  afterAll(() => server.stop());

  it('and does not read is not read from: nothing piles up, and nothing is lost', async () => {
    const guest = new SocketGuest(`${server.url}/rooms/lobby`);
    await guest.event('hello');
    guest.socket.pause();
    const data = 'x'.repeat(8000);
    const lines = 4000;
    for (let ref = 0; ref < lines; ref++) guest.say({ action: 'echo', ref, data });
    // Its own side holds what the server does not take.
    let before = -1;
    await expect
      .poll(() => {
        const stands = guest.socket.bufferedAmount === before;
        before = guest.socket.bufferedAmount;
        return stands && before > 0;
      })
      .toBe(true);
    const { items } = await server.admin('/connections');
    const [{ bufferedBytes }] = items as [{ bufferedBytes: number }];
    expect(bufferedBytes).toBeLessThan(512 * 1024);
    guest.socket.resume();
    for (let ref = 0; ref < lines; ref++) expect((await guest.next()).ref).toBe(ref);
    await guest.leave();
  });
});

describe('closeText', () => {
  it.each([
    ['', ''],
    ['closed', 'closed'],
    ['x'.repeat(123), 'x'.repeat(123)],
    ['x'.repeat(124), 'x'.repeat(123)],
    ['é'.repeat(100), 'é'.repeat(61)],
    [`${'x'.repeat(121)}€`, 'x'.repeat(121)],
    [`${'x'.repeat(120)}🔔`, 'x'.repeat(120)],
    [`${'x'.repeat(119)}🔔!`, `${'x'.repeat(119)}🔔`],
  ])('of %j is %j: at most 123 bytes, cut between characters', (reason, text) => {
    expect(closeText({ ...CLOSE.normal, reason })).toBe(text);
  });
});
