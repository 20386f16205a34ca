import { EventEmitter } from 'node:events';
import { PassThrough } from 'node:stream';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { messageLimits } from '../../src/access/message-rate.ts';
import type { Connection } from '../../src/hub/connection.ts';
import { ActionTable } from '../../src/transport/action-table.ts';
import { listen } from '../../src/transport/session.ts';
import type { ToldWebSocket } from '../../src/transport/websocket.ts';
import { SocketGuest } from '../helpers/guest.ts';
import { ManualClock, settled } from '../helpers/manual-clock.ts';
import { startServer, type TestServer } from '../helpers/server.ts';

/** As much of a WebSocket as a session touches. */
class FakeWebSocket extends EventEmitter {
  isPaused = false;
  pause(): void {
    this.isPaused = true;
  }
  resume(): void {
    this.isPaused = false;
  }
  line(object: object): void {
    this.emit('message', Buffer.from(JSON.stringify(object)), false);
  }
}

function setUp() {
  const websocket = new FakeWebSocket();
  const replies: string[] = [];
  const connection = {
    closed: false,
    outbox: { isBehind: false, waitForPeer: () => {} },
    send: (text: string) => replies.push(text),
  };
  const waiting: (() => void)[] = [];
  const clock = new ManualClock();
  const actions = new ActionTable({
    onRefused: () => {},
    clock,
    actions: new Map([['wait', ({ sent }) => new Promise((resolve) => waiting.push(() => resolve(sent.n)))]]),
    onFault: (what, error) => {
      throw new Error(what, { cause: error });
    },
  });
  let join = () => {};
  const joined = new Promise<void>((resolve) => {
    join = resolve;
  });
  listen(
    websocket as unknown as ToldWebSocket, // of which a session touches this much
    new PassThrough(),
    connection as unknown as Connection,
    joined,
    {
      actions,
      limits: messageLimits({ messagesPerSecond: 1000, messageBurst: 1000 }, clock),
      now: () => 0,
      onSeen: () => {},
      onPong: () => {},
      onGone: () => {},
      close: () => {},
    },
  );
  return { websocket, connection, waiting, replies, join };
}

describe('a session', () => {
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
