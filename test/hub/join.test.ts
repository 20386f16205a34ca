import { describe, expect, test } from 'vitest';
import { Refusal } from '../../src/hub/errors.ts';
import type { RoomEvent } from '../../src/hub/event.ts';
import { ManualClock, settled } from '../helpers/manual-clock.ts';
import { dataOf, KIB, lines, otherLines, quiet, stage, tickEvent } from './fixture.ts';

const replayed = (event: RoomEvent): RoomEvent => ({ ...event, replay: true });
const status = (room: string): RoomEvent => ({
  room,
  event: 'status',
  time: '2026-11-20T18:00:00.000Z',
  data: '{"schedule":"clock","state":"error"}',
});

describe('joining', () => {
  test('begins with hello, the place in the log and what the server says of itself', async () => {
    const { say, connect, hub } = await stage();
    const id = await say('lobby');
    const { connection, sink } = connect();
    await hub.join(connection, ['lobby', 'attic'], undefined);
    await quiet();
    expect(sink.seen).toEqual([
      {
        event: 'hello',
        id,
        time: '2026-11-20T18:00:00.000Z',
        data: {
          connection: connection.id,
          rooms: ['lobby', 'attic'],
          server: 'belfry test',
          heartbeatSeconds: 25,
          resumed: { lobby: null, attic: null },
        },
      },
    ]);
  });

  test('is told statuses, then current ticks, then what was missed, then what is live, in one write', async () => {
    const { say, hub, connect, ticks, tick } = await stage();
    const since = await say('a', 1);
    await say('b', 2);
    await say('a', 3);
    for (const room of ['a', 'b'])
      ticks.rooms.set(room, { statuses: [status(room)], ticks: [replayed(tickEvent(room, 7))] });
    const { connection, sink } = connect();
    const joined = hub.join(connection, ['a', 'b'], since);
    tick('a', 8);
    await joined;
    await quiet();
    expect(sink.seen.map(({ event, room, data, replay }) => [event, room, data, replay]).slice(1)).toEqual([
      ['status', 'a', expect.anything(), undefined],
      ['status', 'b', expect.anything(), undefined],
      ['time', 'a', 7, true],
      ['time', 'b', 7, true],
      ['message', 'b', 2, true],
      ['message', 'a', 3, true],
      ['time', 'a', 8, undefined],
    ]);
    expect(sink.seen[0]).toMatchObject({ id: since, data: { resumed: { a: true, b: true } } });
    expect(sink.writes).toHaveLength(1);
  });

  test('makes a member at once, with one join for each room', async () => {
    const { hub, connect } = await stage();
    const joins: string[] = [];
    hub.events.on('join', ({ room }) => joins.push(room));
    const { connection } = connect();
    void hub.join(connection, ['a', 'b', 'a'], undefined);
    expect(hub.memberCount('a')).toBe(1);
    expect(joins).toEqual(['a', 'b']);
    await quiet();
  });

  test('while the log is slow: what arrives waits behind the history, nothing twice, nothing lost', async () => {
    const { hub, log, connect, say, tick } = await stage();
    const since = await say('a', 0);
    await say('a', 1);
    const { connection, sink } = connect();
    log.beforeSince.shut();
    const joined = hub.join(connection, ['a'], since);
    await say('a', 2);
    tick('a', 9);
    await say('a', 3);
    expect(sink.seen).toEqual([]);
    log.beforeSince.open();
    await joined;
    await quiet();
    expect(dataOf(sink.seen).slice(1)).toEqual([1, 2, 9, 3]);
    expect(sink.seen.map(({ replay }) => replay === true)).toEqual([false, true, false, false, false]);
  });

  test('between numbering and delivery gets the message live and not from the history', async () => {
    const { hub, log, connect, say } = await stage();
    const since = await say('a', 0);
    log.afterAppend.shut();
    const saying = say('a', 1);
    await quiet();
    const { connection, sink } = connect();
    await hub.join(connection, ['a'], since);
    await quiet();
    expect(sink.news().map(({ event }) => event)).toEqual(['hello']);
    log.afterAppend.open();
    await saying;
    expect(sink.seen).toMatchObject([{ data: 1 }]);
    expect(sink.seen[0]?.replay).toBeUndefined();
  });

  test('while the log is slow and messages are evicted meanwhile is told of the gap', async () => {
    const { hub, log, connect, say } = await stage({ history: 2 });
    const since = await say('a', 0);
    await say('a', 1);
    const { connection, sink } = connect();
    log.beforeSince.shut();
    const joined = hub.join(connection, ['a'], since);
    for (const n of [2, 3, 4]) await say('a', n);
    log.beforeSince.open();
    await joined;
    await quiet();
    expect(sink.seen[0]?.data?.resumed).toEqual({ a: false });
    expect(dataOf(sink.seen).slice(1)).toEqual([2, 3, 4]);
  });

  test('with an unknown id gets what the history still holds, from just below it on', async () => {
    const { visit, say } = await stage({ history: 2 });
    const first = await say('a', 1);
    for (const n of [2, 3]) await say('a', n);
    const { sink } = await visit('a', {}, 'zz-1');
    expect(sink.seen[0]).toMatchObject({ id: first, data: { resumed: { a: false } } });
    expect(dataOf(sink.seen).slice(1)).toEqual([2, 3]);
  });

  test('where one room goes on and another has a gap keeps the id that it came with', async () => {
    const { visit, say } = await stage({ history: 2 });
    const since = await say('a', 0);
    for (const n of [1, 2, 3]) await say('b', n);
    await say('a', 4);
    const { sink } = await visit(['a', 'b'], {}, since);
    expect(sink.seen[0]).toMatchObject({ id: since, data: { resumed: { a: true, b: false } } });
    expect(dataOf(sink.seen).slice(1)).toEqual([2, 3, 4]);
  });

  test('gets no more of the history than half an outbox, the newest, and is told of the gap', async () => {
    const { visit, say } = await stage({
      limits: { conflateAboveBytes: 1000, maxBufferedBytes: 2000, totalBufferedBytes: 1_000_000 },
    });
    const since = await say('b', 'x');
    await say('b', 'short');
    for (const n of [1, 2, 3]) await say('a', String(n).repeat(500));
    await say('b', 'newest');
    const { sink } = await visit(['a', 'b', 'c'], {}, since);
    expect(sink.seen[0]?.data?.resumed).toEqual({ a: false, b: false, c: true });
    expect(dataOf(sink.seen).slice(1)).toEqual(['3'.repeat(500), 'newest']);
  });

  test('goes on from now where the log cannot be read: the fault is reported, the gap told', async () => {
    const { hub, log, connect, say, faults } = await stage();
    const since = await say('a', 1);
    log.sinceFailure = new Error('no disk');
    const { connection, sink } = connect();
    await hub.join(connection, ['a'], since);
    await say('a', 2);
    expect(sink.seen[0]?.data?.resumed).toEqual({ a: false });
    expect(dataOf(sink.seen).slice(1)).toEqual([2]);
    expect(faults).toHaveLength(1);
  });

  test('is closed, not held for ever, where the current ticks cannot be had', async () => {
    const { hub, connect, ticks } = await stage();
    ticks.failure = new Error('broken schedule');
    const { connection, sink } = connect();
    await expect(hub.join(connection, ['a'], undefined)).rejects.toThrow('broken schedule');
    expect(sink.closed?.code).toBe(1011);
    expect(hub.memberCount('a')).toBe(0);
    expect(hub.connectionCount).toBe(0);
  });

  test('gets a tick that had to be read when it is there, unless it left the room meanwhile', async () => {
    const { hub, connect, ticks } = await stage();
    const answers: ((event: RoomEvent | undefined) => void)[] = [];
    const coming = () => [new Promise<RoomEvent | undefined>((resolve) => answers.push(resolve))];
    ticks.rooms.set('a', { coming: coming() });
    ticks.rooms.set('b', { coming: coming() });
    ticks.rooms.set('c', { coming: coming() });
    const { connection, sink } = connect();
    await hub.join(connection, ['a', 'b', 'c'], undefined);
    await quiet();
    expect(sink.news().map(({ event }) => event)).toEqual(['hello']);
    hub.leave(connection, 'b');
    answers[0]?.(replayed(tickEvent('a', 1)));
    answers[1]?.(replayed(tickEvent('b', 1)));
    answers[2]?.(undefined);
    await quiet();
    expect(sink.seen).toMatchObject([{ room: 'a', event: 'time', replay: true }]);
  });

  test('that is over before the log answered leaves nothing behind', async () => {
    const { hub, log, clock, connect, say, tick } = await stage();
    log.beforeSince.shut();
    const lost = connect();
    const kicked = connect();
    const joins = [lost, kicked].map(({ connection }) => hub.join(connection, ['a'], undefined));
    await say('a', 1);
    tick('a', 1);
    hub.disconnect(lost.connection);
    await hub.closeConnection(kicked.connection.id);
    log.beforeSince.open();
    await Promise.all(joins);
    await quiet();
    expect(lost.sink.seen).toEqual([]);
    expect(kicked.sink.seen.map(({ event }) => event)).toEqual(['closing']);
    clock.advance(10_000);
    expect([hub.connectionCount, hub.roomCount, clock.pending]).toEqual([0, 0, 0]);
  });

  test('cut short by a close shows no message that lies behind missed ones', async () => {
    const { hub, log, connect, say } = await stage();
    const since = await say('a', 0);
    await say('a', 'missed');
    log.beforeSince.shut();
    const { connection, sink } = connect();
    const joined = hub.join(connection, ['a'], since);
    await say('a', 'live');
    hub.close(connection, { code: 1012, reason: 'restart', reconnect: true });
    log.beforeSince.open();
    await joined;
    await quiet();
    expect(sink.seen.map(({ event }) => event)).toEqual(['closing']);
  });

  test('with the log slow for long is closed like any other connection with too much unsent', async () => {
    const { hub, log, clock, connect, say } = await stage();
    log.beforeSince.shut();
    const { connection, sink } = connect();
    const joined = hub.join(connection, ['a'], undefined);
    for (let n = 0; n < 30; n++) await say('a', 'x'.repeat(50_000));
    expect(connection.outbox.unsentBytes).toBeGreaterThan(1_500_000);
    expect(sink.closed).toBeUndefined();
    clock.advance(6000);
    expect(sink.closed?.code).toBe(4101);
    log.beforeSince.open();
    await joined;
    expect(hub.memberCount('a')).toBe(0);
  });

  test('with many large current ticks is written to piece by piece, and a live tick replaces the one that waits', async () => {
    const { hub, connect, ticks } = await stage();
    const names = Array.from({ length: 50 }, (_, n) => `room-${n}`);
    const data = JSON.stringify('x'.repeat(50 * KIB));
    for (const room of names) ticks.rooms.set(room, { ticks: [replayed({ ...tickEvent(room, 7), data })] });
    const { connection, sink } = connect();
    sink.stalled = true;
    await hub.join(connection, names, undefined);
    await quiet();
    expect(sink.bufferedBytes).toBeLessThan(130 * KIB);
    expect(connection.outbox.unsentBytes).toBeLessThan(200 * KIB);
    const { room: _, data: live = 'null', ...event } = tickEvent('room-49', 8);
    hub.deliver({ rooms: ['room-49'], event, data: live });
    await quiet();
    await sink.wakeForLong();
    const seen = sink.seen.filter(({ event: name }) => name === 'time');
    expect(seen).toHaveLength(50);
    expect(seen.at(-1)).toMatchObject({ room: 'room-49', data: 8, conflated: 1 });
    expect(seen.at(-1)?.replay).toBeUndefined();
  });

  test('in a storm encodes what is replayed once for each wire format', async () => {
    const { hub, connect, say, ticks } = await stage();
    const since = await say('a', 0);
    for (const n of [1, 2, 3]) await say('a', n);
    ticks.rooms.set('a', { ticks: [replayed(tickEvent('a', 7))] });
    const formats = [lines, otherLines].map((plain) => {
      const counted = { encoded: 0, format: plain };
      const encode = (text: string) => {
        counted.encoded++;
        return plain.encode(text);
      };
      counted.format = { ...plain, encode };
      return counted;
    });
    for (const { format } of formats) {
      for (let n = 0; n < 100; n++) await hub.join(connect({}, format).connection, ['a'], since);
    }
    await quiet();
    // A hello each, and four frames that all of them share.
    for (const { encoded } of formats) expect(encoded).toBe(104);
  });

  test.each(['join', 'subscribe'] as const)(
    '%s with much to replay takes more than one turn for many clients',
    async (how) => {
      const clock = new ManualClock();
      const monotonic = clock.monotonic.bind(clock);
      let busyMs = 0;
      clock.monotonic = () => monotonic() + busyMs;
      const { hub, connect, visit, say, ticks } = await stage({ clock, history: 100 });
      const since = await say('a', 0);
      for (let n = 0; n < 50; n++) await say('a', n);
      const clients = [];
      for (let n = 0; n < 100; n++) clients.push(how === 'join' ? connect() : await visit('elsewhere'));
      const request = ticks.request.bind(ticks);
      ticks.request = (room) => {
        busyMs += 5;
        return request(room);
      };
      const answered: number[] = [];
      let turn = 0;
      for (const [index, { connection }] of clients.entries()) {
        const done =
          how === 'join' ? hub.join(connection, ['a'], since) : hub.subscribe(connection, 'a', since);
        void done.then(() => {
          answered[index] = turn;
        });
      }
      for (; turn < 200 && answered.filter((each) => each !== undefined).length < 100; turn++)
        await settled();
      expect(answered).toHaveLength(100);
      expect(Math.max(...answered)).toBeGreaterThan(5);
    },
  );

  test.each([
    { what: 'that comes back to many rooms with nothing to miss', isNew: false, retained: 1000, history: 10 },
    { what: 'that is new in many rooms with much retained', isNew: true, retained: 1000, history: 10 },
    { what: 'that comes back to many rooms with long histories', isNew: false, retained: 0, history: 1000 },
  ])('of a client $what holds no turn for longer than its slices', async ({ isNew, retained, history }) => {
    const clock = new ManualClock();
    const { now, monotonic } = clock;
    let busyMs = 0;
    clock.monotonic = () => monotonic.call(clock) + busyMs;
    const { hub, connect, say } = await stage({ clock, history, limits: { fanoutSliceMs: 10 } });
    const first = await say('elsewhere');
    const rooms = Array.from({ length: 100 }, (_, n) => `room-${n}`);
    const message = { event: 'message', data: '"x"' };
    for (let n = 0; n < retained; n++)
      await hub.publish({ ...message, target: { rooms: ['*'] }, key: `k${n}` });
    if (history > 10) for (let n = 0; n < history; n++) await hub.publish({ ...message, target: { rooms } });
    const since = retained > 0 ? hub.newestId : first;
    // A look at whether a retained message has ended, and a frame, take about so long.
    clock.now = () => {
      busyMs += 0.001;
      return now.call(clock);
    };
    const length = (bytes: number) => {
      busyMs += 0.01;
      return lines.length(bytes);
    };
    const { connection, sink } = connect({}, { ...lines, length });
    let isJoined = false;
    const joined = hub.join(connection, rooms, isNew ? undefined : since).then(() => {
      isJoined = true;
    });
    const holdsMs: number[] = [];
    for (let before = busyMs; !isJoined; before = busyMs) {
      await settled();
      holdsMs.push(busyMs - before);
    }
    await joined;
    await sink.wakeForLong();
    expect(sink.seen[0]?.event).toBe('hello');
    expect(holdsMs.length).toBeGreaterThan(3);
    // In one iteration of the event loop it goes on twice, 5 ms each; the last step may take 1 ms.
    expect(Math.max(...holdsMs)).toBeLessThan(12);
  });

  test('of many rooms that is over before its turn comes is given up', async () => {
    const { hub, connect, say, clock } = await stage({ limits: { fanoutSliceMs: 0 } });
    let busyMs = 0;
    clock.monotonic = () => busyMs++;
    const since = await say('a', 0);
    for (let n = 1; n < 9; n++) await say('a', n);
    const { connection, sink } = connect();
    const joined = hub.join(connection, ['a'], since);
    await settled();
    hub.disconnect(connection);
    await joined;
    expect(sink.seen).toEqual([]);
    expect(hub.memberCount('a')).toBe(0);
  });

  test('stops where a listener closes the connection in the midst of it', async () => {
    const { hub, connect } = await stage();
    const { connection, sink } = connect();
    hub.events.on('join', ({ connection }) =>
      hub.close(connection, { code: 4003, reason: 'no', reconnect: false }),
    );
    await hub.join(connection, ['a', 'b'], undefined);
    await quiet();
    expect([hub.memberCount('a'), hub.memberCount('b'), connection.rooms.size]).toEqual([0, 0, 0]);
    expect(sink.seen.map(({ event }) => event)).toEqual(['closing']);
  });
});

describe('subscribing', () => {
  test('brings what is current and missed in that room, behind what was sent before', async () => {
    const { hub, log, visit, say, ticks, tick } = await stage();
    const since = await say('b', 0);
    await say('b', 1);
    const { connection, sink } = await visit('a');
    ticks.rooms.set('b', { ticks: [replayed(tickEvent('b', 5))] });
    tick('a', 1);
    log.beforeSince.shut();
    const subscribed = hub.subscribe(connection, 'b', since);
    await say('a', 'meanwhile');
    await say('b', 2);
    tick('b', 6);
    log.beforeSince.open();
    expect(await subscribed).toEqual({ b: true });
    await quiet();
    expect(dataOf(sink.seen)).toEqual([1, 5, 1, 'meanwhile', 2, 6]);
  });

  test('to a room that is locked is refused, and the connection stays as it is', async () => {
    const { hub, visit, say } = await stage();
    const { connection, sink } = await visit('a');
    await visit('b');
    await hub.closeRoom('b', { lockMs: 1000, reconnect: true });
    await expect(hub.subscribe(connection, 'b', undefined)).rejects.toThrow(Refusal);
    await say('a', 1);
    expect(dataOf(sink.seen)).toEqual([1]);
    expect([...connection.rooms]).toEqual(['a']);
  });

  test('that comes after the connection was closed makes no member', async () => {
    const { hub, visit } = await stage();
    const { connection } = await visit('a');
    hub.disconnect(connection);
    await hub.subscribe(connection, 'b', undefined);
    expect([hub.memberCount('b'), connection.rooms.size]).toEqual([0, 0]);
  });

  test('ends with leaving: nothing of that room arrives any more, and it is forgotten after a while', async () => {
    const { hub, clock, visit, say, tick } = await stage();
    const { connection, sink } = await visit(['a', 'b']);
    const left: string[] = [];
    hub.events.on('leave', ({ room }) => left.push(room));
    hub.leave(connection, 'b');
    hub.leave(connection, 'b');
    tick('b', 1);
    await say('b', 2);
    await say('a', 3);
    expect(dataOf(sink.seen)).toEqual([3]);
    expect(left).toEqual(['b']);
    expect(hub.roomCount).toBe(2);
    clock.advance(10_000);
    expect(hub.roomCount).toBe(1);
  });
});
