import { describe, expect, test } from 'vitest';
import { ManualClock } from '../helpers/manual-clock.ts';
import { dataOf, KIB, quiet, stage } from './fixture.ts';

describe('a socket that', () => {
  test('throws on write is closed and reported; the others in its room and the next rooms get theirs', async () => {
    const { hub, visit, tick, say, faults } = await stage();
    const guests = [await visit('a'), await visit('a'), await visit('a'), await visit('b')];
    const [, bad] = guests;
    if (!bad) throw new Error('nobody');
    bad.sink.onWrite = () => {
      throw new Error('EPIPE');
    };
    tick('a', 1);
    tick('b', 1);
    await say('a', 2);
    await quiet();
    expect(guests.map(({ sink }) => dataOf(sink.seen))).toEqual([[1, 2], [], [1, 2], [1]]);
    expect(bad.sink.closed?.code).toBe(1011);
    expect([hub.connectionCount, hub.memberCount('a')]).toEqual([3, 2]);
    expect(faults).toContain(`the socket of ${bad.connection.id} threw`);
  });

  test('throws on close keeps no other member in a room that closes', async () => {
    const { hub, visit, faults } = await stage();
    const guests = [await visit('a'), await visit('a'), await visit('a')];
    for (const { sink } of guests.slice(0, 2))
      sink.onClose = () => {
        throw new Error('gone');
      };
    expect(await hub.closeRoom('a', { lockMs: 1000, reconnect: false })).toMatchObject({ connections: 3 });
    expect(guests.map(({ sink }) => sink.closed?.code)).toEqual([4001, 4001, 4001]);
    expect([hub.memberCount('a'), hub.connectionCount, faults.length]).toEqual([0, 0, 2]);
  });

  test('calls back in the midst of a write or a close is gone once, with one leave and one close', async () => {
    const { hub, visit, tick } = await stage();
    const told: string[] = [];
    hub.events.on('leave', ({ connection }) => told.push(`leave ${connection.id}`));
    hub.events.on('close', ({ connection }) => told.push(`close ${connection.id}`));
    const lost = await visit('a');
    const closed = await visit('a');
    const other = await visit('a');
    lost.sink.onWrite = () => hub.disconnect(lost.connection);
    closed.sink.onClose = () => hub.disconnect(closed.connection);
    tick('a', 1);
    await quiet();
    await hub.closeConnection(closed.connection.id);
    await quiet();
    const [a, b] = [lost, closed].map(({ connection }) => connection.id);
    expect(told).toEqual([`leave ${a}`, `leave ${b}`, `close ${b}`]);
    expect(dataOf(other.sink.seen)).toEqual([1]);
    expect(hub.memberCount('a')).toBe(1);
  });
});

describe('a peer that does not keep up', () => {
  test('is listed as slow, has the newest tick when it wakes, and is counted', async () => {
    const { hub, visit, tick, say } = await stage();
    const { connection, sink } = await visit('a');
    await visit('a');
    sink.stalled = true;
    await say('a', 'x'.repeat(60 * KIB));
    await say('a', 'x'.repeat(60 * KIB));
    for (let n = 1; n <= 20; n++) {
      tick('a', n);
      await quiet();
    }
    expect((await hub.connections({ slow: true, limit: 10 })).map(({ id }) => id)).toEqual([connection.id]);
    sink.news();
    sink.wake();
    expect(sink.seen).toMatchObject([{ data: 20, conflated: 19 }]);
    expect(await hub.connection(connection.id)).toMatchObject({ conflated: 19, bufferedBytes: 0 });
    expect([hub.totals.conflated, (await hub.connections({ slow: true, limit: 10 })).length]).toEqual([
      19, 0,
    ]);
  });

  test('is closed with 4101 and leaves its rooms, while the others go on', async () => {
    const { hub, clock, visit, say } = await stage();
    const slow = await visit('a');
    const good = await visit('a');
    slow.sink.stalled = true;
    for (let n = 0; n < 20; n++) await say('a', `${n}`.padEnd(60 * KIB));
    slow.sink.news();
    clock.advance(6000);
    expect(slow.sink.seen).toMatchObject([
      {
        event: 'closing',
        data: { code: 4101, reason: 'too slow', reconnect: true, retryAfterMs: expect.any(Number) },
      },
    ]);
    expect(slow.sink.closed?.code).toBe(4101);
    expect(good.sink.seen).toHaveLength(20);
    expect(hub.memberCount('a')).toBe(1);
    expect(clock.pending).toBe(0);
  });

  test('in a room that wants no conflation gets every tick, or is closed', async () => {
    const { clock, visit, tick, say } = await stage();
    const { sink } = await visit('strict');
    sink.stalled = true;
    for (const n of [1, 2]) await say('strict', `${n}`.padEnd(60 * KIB));
    for (let n = 1; n <= 50; n++) tick('strict', n);
    await quiet();
    sink.wake();
    expect(dataOf(sink.seen).slice(2)).toEqual(Array.from({ length: 50 }, (_, n) => n + 1));
    sink.stalled = true;
    for (let n = 0; n < 20; n++) await say('strict', `${n}`.padEnd(60 * KIB));
    clock.advance(6000);
    expect(sink.closed?.code).toBe(4101);
  });
});

/** On which every write takes a tenth of a millisecond. */
class BusyClock extends ManualClock {
  busyMs = 0;
  override monotonic(): number {
    return super.monotonic() + this.busyMs;
  }
}

test('a small room does not wait for a large one, and each keeps its order', async () => {
  const clock = new BusyClock();
  const { hub, connect, tick } = await stage({ clock });
  const written: string[] = [];
  const join = async (room: string) => {
    const guest = connect();
    await hub.join(guest.connection, [room], undefined);
    await quiet();
    guest.sink.news();
    guest.sink.onWrite = () => {
      clock.busyMs += 0.1;
      written.push(room);
    };
    return guest;
  };
  const large = [];
  for (let n = 0; n < 1000; n++) large.push(await join('large'));
  const small = await join('small');
  tick('large', 1);
  tick('small', 1);
  await new Promise(setImmediate);
  const soon = written.length;
  tick('large', 2);
  tick('small', 2);
  for (let turns = 0; turns < 10; turns++) await quiet();
  expect(written[0]).toBe('small');
  expect(soon).toBeLessThan(200);
  expect(written.indexOf('small', soon)).toBeLessThan(soon + 200);
  expect(dataOf(small.sink.seen)).toEqual([1, 2]);
  expect(large.filter(({ sink }) => dataOf(sink.seen).join() === '1,2')).toHaveLength(1000);
});
