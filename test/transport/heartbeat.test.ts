import { once } from 'node:events';
import { afterEach, describe, expect, it } from 'vitest';
import type { Connection } from '../../src/hub/connection.ts';
import type { CloseReason } from '../../src/protocol/close-reason.ts';
import { Heartbeat, type HeartbeatClient } from '../../src/transport/client.ts';
import { SocketGuest, StreamGuest } from '../helpers/guest.ts';
import { ManualClock, settled } from '../helpers/manual-clock.ts';
import { clientFrame, handshake, RawClient } from '../helpers/raw.ts';
import { startServer, type TestServer } from '../helpers/server.ts';

/** As much of a connection as a heartbeat touches. */
class FakeConnection {
  closed = false;
  lastSeenAtMs = 0;
  roundTripMs: number | null = null;
  readonly outbox = { sent: 0 };
  readonly texts: string[] = [];

  send(text: string): void {
    this.texts.push(text);
    this.outbox.sent++;
  }
}

function setUp({ heartbeatSeconds = 25, idleSeconds = 60 } = {}) {
  const clock = new ManualClock();
  const closed: [Connection, CloseReason][] = [];
  const hub = {
    close(connection: Connection, reason: CloseReason) {
      Object.assign(connection, { closed: true });
      closed.push([connection, reason]);
    },
  };
  const settings = { current: { server: { heartbeatSeconds, idleSeconds } } };
  const beats = new Heartbeat<HeartbeatClient>({ clock, hub, settings });
  const clients = new Map<Connection, HeartbeatClient>();
  const clientOf = (connection: Connection) => clients.get(connection) ?? expect.fail('not added');
  const heartbeat = {
    seen: (connection: Connection) => beats.seen(clientOf(connection)),
    ponged: (connection: Connection) => beats.ponged(clientOf(connection)),
    remove: (connection: Connection) => beats.remove(clientOf(connection)),
    stop: () => beats.stop(),
  };
  /** Adds a connection; one that answers does so after 12.34 ms. */
  const add = (how: 'answers' | 'is silent' | 'cannot be pinged') => {
    const fake = new FakeConnection();
    const connection = fake as unknown as Connection; // of which a heartbeat touches this much
    const pings: number[] = [];
    const link = {
      isPaused: false,
      writtenBytes: 0,
      /** Whether the peer's side still has place for what is written. */
      takes: true,
      ping() {
        pings.push(clock.monotonic());
        if (link.takes) link.writtenBytes += 2;
        if (how === 'answers' && !link.isPaused) clock.after(12.34, () => heartbeat.ponged(connection));
      },
    };
    const client: HeartbeatClient = {
      connection,
      pulse: beats.newPulse(),
      get isPaused() {
        return link.isPaused;
      },
      get writtenBytes() {
        return link.writtenBytes;
      },
      ...(how !== 'cannot be pinged' && { ping: () => link.ping() }),
    };
    clients.set(connection, client);
    beats.add(client);
    return { fake, connection, pings, link };
  };
  return { clock, heartbeat, add, closed };
}

describe('Heartbeat', () => {
  it('pings every connection every heartbeatSeconds, whatever else was sent, and does not drift', () => {
    const { clock, add, closed } = setUp();
    const { fake, pings } = add('answers');
    for (let second = 0; second < 3600; second++) {
      fake.outbox.sent++;
      clock.advance(1000);
    }
    expect(pings).toHaveLength(144);
    for (const [index, at] of pings.entries()) {
      expect(at).toBeGreaterThanOrEqual((index + 1) * 25_000);
      expect(at).toBeLessThanOrEqual((index + 1) * 25_000 + 1000);
    }
    expect(fake.texts).toEqual([]);
    expect(closed).toEqual([]);
  });

  it.each(['answers', 'cannot be pinged'] as const)(
    'sends a heartbeat event where nothing else was sent, to one that %s',
    (how) => {
      const { clock, add } = setUp();
      const { fake } = add(how);
      fake.outbox.sent = 3; // the welcome, noticed at the first look
      clock.advance(25_000);
      expect(fake.texts).toEqual([]);
      clock.advance(1000);
      expect(fake.texts).toEqual(['{"event":"heartbeat","time":"2026-11-20T18:00:26.000Z"}']);
      clock.advance(24_000);
      fake.outbox.sent++;
      clock.advance(25_000);
      expect(fake.texts).toHaveLength(1);
      clock.advance(1000);
      expect(fake.texts).toHaveLength(2);
    },
  );

  it('closes one that gives no sign of life with 4201, to come back at once, and lets go of it', () => {
    const { clock, add, closed } = setUp();
    const { connection } = add('is silent');
    clock.advance(59_000);
    expect(closed).toEqual([]);
    clock.advance(2000);
    expect(closed).toEqual([
      [connection, { code: 4201, reason: 'no sign of life', reconnect: true, retryAfterMs: 0 }],
    ]);
    clock.advance(2000);
    expect(clock.pending).toBe(0);
  });

  it('never closes one that talks, by whatever frame, and notes when', () => {
    const { clock, heartbeat, add, closed } = setUp();
    const { fake, connection } = add('is silent');
    for (let minute = 0; minute < 60; minute++) {
      clock.advance(59_000);
      heartbeat.seen(connection);
    }
    expect(closed).toEqual([]);
    expect(fake.lastSeenAtMs).toBe(clock.now());
  });

  it('never closes one that cannot be asked', () => {
    const { clock, add, closed } = setUp();
    add('cannot be pinged');
    clock.advance(3_600_000);
    expect(closed).toEqual([]);
  });

  it('does not expire one that the server has stopped reading from, while it takes what it is sent', () => {
    const { clock, add, closed } = setUp();
    const { link } = add('answers');
    clock.advance(50_000);
    link.isPaused = true;
    clock.advance(3_600_000);
    expect(closed).toEqual([]);
    link.isPaused = false;
    clock.advance(3_600_000);
    expect(closed).toEqual([]);
  });

  it('closes one as too slow that is not read from and takes nothing for idleSeconds either', () => {
    const { clock, add, closed } = setUp();
    const { link } = add('answers');
    clock.advance(50_000);
    link.isPaused = true;
    link.takes = false;
    clock.advance(59_000);
    expect(closed).toEqual([]);
    clock.advance(3000);
    expect(closed).toMatchObject([[{}, { code: 4101, reconnect: true }]]);
  });

  it('expires one that is read from again and says nothing', () => {
    const { clock, add, closed } = setUp();
    const { link } = add('is silent');
    link.isPaused = true;
    clock.advance(100_000);
    link.isPaused = false;
    clock.advance(30_000);
    expect(closed).toEqual([]);
    clock.advance(31_000);
    expect(closed).toMatchObject([[{}, { code: 4201 }]]);
  });

  it('is not fooled by a wall clock that is set', () => {
    const { clock, add, closed } = setUp();
    const { pings } = add('answers');
    clock.step(86_400_000);
    clock.advance(30_000);
    clock.step(-2 * 86_400_000);
    clock.advance(30_000);
    expect(closed).toEqual([]);
    expect(pings).toHaveLength(2);
  });

  it('goes on from now after a pause of the whole machine, without making up for beats', () => {
    const { clock, heartbeat, add } = setUp({ idleSeconds: 600 });
    const { connection, pings } = add('answers');
    clock.block(500_000);
    heartbeat.seen(connection);
    clock.advance(5000);
    expect(pings).toHaveLength(1);
  });

  it('knows a pong that answers a ping of ours from one that nobody asked for', () => {
    const { clock, heartbeat, add } = setUp();
    const { connection } = add('is silent');
    expect(heartbeat.ponged(connection)).toBe(false);
    clock.advance(26_000);
    expect(heartbeat.ponged(connection)).toBe(true);
    expect(heartbeat.ponged(connection)).toBe(false);
  });

  it('measures the round trip by the answer to its ping, not by one that was not asked for', () => {
    const { clock, heartbeat, add } = setUp();
    const { fake, connection } = add('answers');
    heartbeat.ponged(connection);
    expect(fake.roundTripMs).toBeNull();
    clock.advance(26_000);
    expect(fake.roundTripMs).toBe(12.3);
    heartbeat.ponged(connection);
    expect(fake.roundTripMs).toBe(12.3);
  });

  it('asks for no look more when it is stopped between two slices', async () => {
    const { clock, heartbeat, add } = setUp();
    const monotonic = clock.monotonic.bind(clock);
    let busyMs = 0;
    clock.monotonic = () => monotonic() + busyMs;
    const all = Array.from({ length: 1000 }, () => add('is silent'));
    for (const { link } of all) {
      const { ping } = link;
      link.ping = () => {
        busyMs += 0.1;
        ping();
      };
    }
    const pinged = () => all.filter(({ pings }) => pings.length > 0).length;
    clock.advance(25_000);
    const first = pinged();
    expect(first).toBeLessThan(1000);
    heartbeat.stop();
    while (pinged() < 1000) await settled();
    await settled();
    expect(clock.pending).toBe(0);
  });

  it('looks at very many in slices, at each of them once', async () => {
    const { clock, heartbeat, add } = setUp();
    const monotonic = clock.monotonic.bind(clock);
    let busyMs = 0;
    clock.monotonic = () => monotonic() + busyMs;
    const all = Array.from({ length: 1000 }, () => add('is silent'));
    for (const { link } of all) {
      const { ping } = link;
      link.ping = () => {
        busyMs += 0.1;
        ping();
      };
    }
    const pinged = () => all.filter(({ pings }) => pings.length > 0).length;
    clock.advance(25_000);
    const first = pinged();
    expect(first).toBeGreaterThan(0);
    expect(first).toBeLessThan(500);
    while (pinged() < 1000) await settled();
    await settled();
    expect(all.every(({ pings }) => pings.length === 1)).toBe(true);
    expect(clock.pending).toBe(1);
    heartbeat.stop();
  });

  it('leaves no timer behind, when everybody has gone or it is stopped', () => {
    const { clock, heartbeat, add } = setUp();
    const { connection } = add('answers');
    heartbeat.remove(connection);
    clock.advance(1000);
    expect(clock.pending).toBe(0);
    add('answers');
    heartbeat.stop();
    expect(clock.pending).toBe(0);
  });
});

describe('heartbeats of a real server', () => {
  let server: TestServer;
  afterEach(() => server.stop());

  it('ping and tell a quiet client that it is still there, over WebSocket and SSE', async () => {
    server = await startServer({ server: { heartbeatSeconds: 0.1, idleSeconds: 0.5 } });
    const guest = new SocketGuest(`${server.url}/rooms/lobby`);
    const stream = new StreamGuest(`${server.url}/rooms/lobby`);
    for (let beat = 0; beat < 8; beat++)
      await Promise.all([guest.event('heartbeat'), stream.event('heartbeat')]);
    expect(guest.pings).toBeGreaterThanOrEqual(8);
    const { items } = await server.admin('/connections?transport=websocket');
    expect(items).toMatchObject([{ roundTripMs: expect.any(Number) }]);
    stream.leave();
    await guest.leave();
  });

  it('expire a client that does not answer, close its socket and forget it', async () => {
    server = await startServer({ server: { heartbeatSeconds: 0.1, idleSeconds: 0.4 } });
    const silent = new RawClient(server.port).say(handshake());
    const talking = new RawClient(server.port).say(handshake('/rooms/other'));
    await silent.until('"hello"');
    const timer = setInterval(() => talking.say(clientFrame('{"action":"ping"}')), 50);
    const heard = await silent.all();
    clearInterval(timer);
    const closing = JSON.parse(/\{"event":"closing".*?\}\}/.exec(heard)?.[0] ?? '{}');
    expect(closing.data).toEqual({
      ...{ code: 4201, reason: 'no sign of life', reconnect: true },
      ...{ retryAfterMs: 0, ends: 'connection' },
    });
    // The close frame: its length, then the code.
    expect(
      silent.bytes.indexOf(Buffer.from([0x88, 2 + 'no sign of life'.length, 4201 >> 8, 4201 & 0xff])),
    ).toBeGreaterThan(0);
    const { items } = await server.admin('/connections');
    expect(items).toMatchObject([{ rooms: ['other'] }]);
    talking.reset();
  });

  it('do not expire a client whose lines wait for the one before, though its pongs are not read', async () => {
    server = await startServer({ server: { heartbeatSeconds: 0.1, idleSeconds: 0.4 } });
    let finish = () => {};
    const finished = new Promise<void>((resolve) => {
      finish = resolve;
    });
    server.belfry.action('wait', () => finished);
    const guest = new SocketGuest(`${server.url}/rooms/lobby`);
    await guest.event('hello');
    for (let ref = 0; ref < 40; ref++) guest.say({ action: 'wait', ref });
    while (guest.pings < 12) await once(guest.socket, 'ping');
    finish();
    for (let ref = 0; ref < 40; ref++) await guest.next((received) => received.ref === ref);
    await guest.leave();
  });

  it('close one that never reads its replies with 4101, not for its silence', async () => {
    server = await startServer({
      server: { heartbeatSeconds: 0.1, idleSeconds: 0.4 },
      limits: { messagesPerSecond: 0, messageBurst: 0 },
    });
    const client = new RawClient(server.port).say(handshake());
    await client.until('"hello"');
    client.socket.pause();
    const line = clientFrame(JSON.stringify({ action: 'echo', data: 'x'.repeat(16_000) }));
    // As many as fit in buffers of the system, and some.
    for (let lines = 0; lines < 2000; lines++) client.say(line);
    await expect
      .poll(async () => (await server.admin('/connections')).items, { timeout: 10_000 })
      .toEqual([]);
    expect((await server.admin('/stats')).closes).toEqual({ 4101: 1 });
    client.reset();
  });
});
