import { describe, expect, test } from 'vitest';
import type { Refusal } from '../../src/hub/errors.ts';
import type { CloseRoom } from '../../src/hub/lock.ts';
import { ManualClock, settled } from '../helpers/manual-clock.ts';
import { dataOf, type Guest, quiet, type Stage, stage } from './fixture.ts';

const forGood: CloseRoom = { lockMs: 0, reconnect: false };
const locked: CloseRoom = { reason: 'cleaning', lockMs: 30_000, reconnect: true };

const events = ({ sink }: Guest) =>
  sink.seen.map(({ event, room, data }) => `${event} ${room} ${data?.code ?? data}`);

function refusal({ hub }: Stage, room: string): Refusal {
  const found = hub.refusalOf(room);
  if (!found) throw new Error(`${room} is open`);
  return found;
}

describe('closing a room', () => {
  test('closes members that are left with no room, tells those in others, and answers how many there were', async () => {
    const { hub, visit, say } = await stage();
    const only = await visit('a');
    const both = await visit(['a', 'b']);
    expect(await hub.closeRoom('a', forGood)).toEqual({ room: 'a', connections: 2, lockedUntil: null });
    await say('b', 1);
    await quiet();
    const told = { code: 4001, reason: 'room closed', reconnect: false };
    expect(only.sink.seen).toEqual([{ event: 'closing', room: 'a', data: { ...told, ends: 'connection' } }]);
    expect(both.sink.seen[0]).toEqual({ event: 'closing', room: 'a', data: { ...told, ends: 'room' } });
    expect(only.sink.closed).toEqual({ code: 4001, reason: 'room closed', reconnect: false });
    expect(events(both)).toEqual(['closing a 4001', 'message b 1']);
    expect(both.sink.closed).toBeUndefined();
    expect([hub.connectionCount, hub.roomCount]).toEqual([1, 1]);
  });

  test('is a 404 where there is none, and none is made', async () => {
    const { hub } = await stage();
    await expect(hub.closeRoom('a', locked)).rejects.toMatchObject({ status: 404 });
    await expect(hub.unlockRoom('a')).rejects.toMatchObject({ status: 404 });
    await expect(hub.room('a')).rejects.toMatchObject({ status: 404 });
    expect(hub.roomCount).toBe(0);
  });

  test('with a lock keeps it shut, listed, and says until when; then it is gone', async () => {
    const all = await stage();
    const { hub, clock, visit } = all;
    await visit('a');
    const until = '2026-11-20T18:00:30.000Z';
    expect(await hub.closeRoom('a', locked)).toEqual({ room: 'a', connections: 1, lockedUntil: until });
    expect(await hub.room('a')).toMatchObject({
      locked: { until, reconnect: true, reason: 'cleaning' },
      connections: { websocket: 0, sse: 0 },
    });
    clock.advance(29_999);
    expect(refusal(all, 'a')).toMatchObject({
      status: 423,
      message: `room "a" is closed until ${until}: cleaning`,
      details: { closing: { code: 4001, reason: 'cleaning', reconnect: true } },
    });
    clock.advance(1);
    expect(hub.refusalOf('a')).toBeUndefined();
    expect([hub.roomCount, clock.pending]).toEqual([0, 0]);
  });

  test('says when to come back: not before the lock ends, spread over as long as all of them take', async () => {
    const all = await stage();
    const { hub, clock, visit } = all;
    const guests: Guest[] = [];
    for (let n = 0; n < 2000; n++) guests.push(await quickVisit(all, 'a'));
    await hub.closeRoom('a', locked);
    await quiet();
    const after = guests.map(({ sink }) => sink.closed?.retryAfterMs ?? 0);
    expect(Math.min(...after)).toBeGreaterThanOrEqual(30_000);
    expect(Math.max(...after)).toBeLessThanOrEqual(34_000);
    expect(Math.max(...after) - Math.min(...after)).toBeGreaterThan(3000);
    clock.advance(10_000);
    const { retryAfterMs, closing } = refusal(all, 'a').details;
    expect(retryAfterMs).toBe(closing?.retryAfterMs);
    expect(retryAfterMs).toBeGreaterThanOrEqual(20_000);
    expect(retryAfterMs).toBeLessThanOrEqual(22_000);
    await hub.closeRoom('a', { ...locked, reconnect: false });
    expect(refusal(all, 'a').details).toEqual({
      closing: { code: 4001, reason: 'cleaning', reconnect: false },
    });
    await visit('b');
  });

  test('that is locked already locks it again, longer, shorter or not at all', async () => {
    const all = await stage();
    const { hub, clock, visit } = all;
    await visit('a');
    await hub.closeRoom('a', { ...locked, lockMs: 1000 });
    await hub.closeRoom('a', { ...locked, lockMs: 5000 });
    clock.advance(4999);
    expect(refusal(all, 'a').message).toContain('18:00:05.000Z');
    await hub.closeRoom('a', { ...locked, lockMs: 100 });
    clock.advance(100);
    expect(hub.roomCount).toBe(0);
    await visit('a');
    await hub.closeRoom('a', locked);
    expect(await hub.closeRoom('a', forGood)).toEqual({ room: 'a', connections: 0, lockedUntil: null });
    expect([hub.refusalOf('a'), hub.roomCount, clock.pending]).toEqual([undefined, 0, 0]);
  });

  test('is undone by unlocking, once', async () => {
    const { hub, clock, visit } = await stage();
    await visit('a');
    await hub.closeRoom('a', locked);
    await hub.unlockRoom('a');
    await expect(hub.unlockRoom('a')).rejects.toMatchObject({ status: 404 });
    expect(clock.pending).toBe(0);
    await visit('a');
    await expect(hub.unlockRoom('a')).rejects.toMatchObject({ status: 404 });
    clock.advance(60_000);
    expect(hub.memberCount('a')).toBe(1);
  });

  test('keeps the lock as long as it was asked for, however the wall clock is set', async () => {
    const { hub, clock, visit } = await stage();
    await visit('a');
    await hub.closeRoom('a', locked);
    clock.step(-3_600_000);
    expect((await hub.room('a')).locked?.until).toBe('2026-11-20T17:00:30.000Z');
    clock.step(7_200_000);
    clock.advance(29_999);
    expect(hub.refusalOf('a')?.message).toContain('until 2026-11-20T19:00:30.000Z');
    clock.step(-3_600_000);
    clock.advance(1);
    expect(hub.refusalOf('a')).toBeUndefined();
    expect([hub.roomCount, clock.pending]).toEqual([0, 0]);
  });

  test('of very many members is done in slices: other rooms have their ticks in between', async () => {
    const clock = new ManualClock();
    let busyMs = 0;
    const monotonic = clock.monotonic.bind(clock);
    clock.monotonic = () => monotonic() + busyMs;
    const all = await stage({ clock });
    const guests: Guest[] = [];
    for (let n = 0; n < 500; n++) guests.push(await quickVisit(all, 'a'));
    const other = await all.visit('b');
    // Each close takes a tenth of a millisecond.
    for (const { sink } of guests)
      sink.onClose = () => {
        busyMs += 0.1;
      };
    const closing = all.hub.closeRoom('a', { lockMs: 1000, reconnect: true });
    await Promise.resolve();
    all.tick('b', 1);
    await settled();
    await settled();
    const closedBefore = guests.filter(({ sink }) => sink.closed).length;
    expect(dataOf(other.sink.seen)).toEqual([1]);
    expect(closedBefore).toBeGreaterThan(0);
    expect(closedBefore).toBeLessThan(400);
    expect(all.hub.refusalOf('a')).toBeDefined();
    expect(await closing).toMatchObject({ connections: 500 });
    expect(guests.every(({ sink }) => sink.closed?.code === 4001)).toBe(true);
  });

  test('lets no client in that hears of it and comes back at once', async () => {
    const { hub, visit, connect } = await stage();
    await visit('a');
    await visit('a');
    const back = connect();
    hub.events.once('close', () => void hub.join(back.connection, ['a'], undefined));
    await hub.closeRoom('a', locked);
    await quiet();
    expect(hub.memberCount('a')).toBe(0);
    expect(back.sink.closed?.code).toBe(4001);
    expect(hub.connectionCount).toBe(0);
  });

  test('leaves out a locked room at joining, and refuses where all are locked', async () => {
    const { hub, visit, connect } = await stage();
    await visit('a');
    await hub.closeRoom('a', locked);
    const some = connect();
    await hub.join(some.connection, ['a', 'b'], undefined);
    await quiet();
    expect(some.sink.seen.map(({ event, room }) => [event, room])).toEqual([
      ['hello', undefined],
      ['closing', 'a'],
    ]);
    expect(some.sink.seen[0]?.data?.rooms).toEqual(['b']);
    const none = connect();
    await hub.join(none.connection, ['a'], undefined);
    expect(none.sink.seen).toMatchObject([
      { event: 'closing', room: 'a', data: { reason: 'cleaning', ends: 'connection' } },
    ]);
    expect(none.sink.closed?.code).toBe(4001);
  });
});

describe('an empty room', () => {
  test('is forgotten after a while, counted from the last leaving', async () => {
    const { hub, clock, visit, say } = await stage();
    const { connection } = await visit('a');
    await say('a', 1);
    hub.disconnect(connection);
    clock.advance(9000);
    const { connection: second } = await visit('a');
    clock.advance(60_000);
    expect(hub.roomCount).toBe(1);
    hub.disconnect(second);
    hub.disconnect(second);
    clock.advance(9999);
    expect(hub.roomCount).toBe(1);
    clock.advance(1);
    expect([hub.roomCount, clock.pending]).toEqual([0, 0]);
    expect((await hub.history('a', undefined)).messages).toHaveLength(1);
  });

  test('that was left a moment ago can be closed and locked', async () => {
    const { hub, clock, visit } = await stage();
    const { connection } = await visit('a');
    hub.disconnect(connection);
    expect(await hub.closeRoom('a', locked)).toMatchObject({ connections: 0 });
    clock.advance(20_000);
    expect(hub.refusalOf('a')).toBeDefined();
  });

  test('leaves no timer behind when the hub stops', async () => {
    const { hub, clock, visit } = await stage();
    const { connection } = await visit('a');
    await visit('b');
    hub.disconnect(connection);
    await hub.closeRoom('b', locked);
    hub.stop();
    expect(clock.pending).toBe(0);
  });
});

describe('a broadcast, a close and a join in one iteration', () => {
  const orders = [
    ['say', 'close', 'join'],
    ['say', 'join', 'close'],
    ['close', 'say', 'join'],
    ['close', 'join', 'say'],
    ['join', 'say', 'close'],
    ['join', 'close', 'say'],
  ];

  for (const slow of ['', 'beforeAppend', 'afterAppend', 'beforeSince'] as const) {
    test.each(orders)(
      `come one cleanly after the other: %s, %s, %s ${slow && `(${slow} slow)`}`,
      async (...order) => {
        const all = await stage();
        const { hub, log, visit, connect } = all;
        const member = await visit('a');
        const witness = await visit(['a', 'b']);
        const guest = connect();
        if (slow) log[slow].shut();
        const under = new Map<string, Promise<unknown>>();
        for (const what of order) {
          if (what === 'say')
            under.set(what, hub.publish({ target: { rooms: ['a'] }, event: 'message', data: '1' }));
          if (what === 'close') under.set(what, hub.closeRoom('a', locked));
          if (what === 'join') under.set(what, hub.join(guest.connection, ['a'], undefined));
        }
        await quiet();
        if (slow) log[slow].open();
        await Promise.all(under.values());
        await quiet();
        const saidFirst = order.indexOf('say') < order.indexOf('close');
        const expected = saidFirst ? ['message a 1', 'closing a 4001'] : ['closing a 4001'];
        expect(events(member)).toEqual(expected);
        expect(events(witness)).toEqual(expected);
        expect(await under.get('say')).toMatchObject(
          saidFirst ? { rooms: ['a'] } : { rooms: [], connections: 0 },
        );
        // Who joined in the turn of the close was in before it, whatever else it heard.
        expect(guest.sink.closed?.code).toBe(4001);
        expect(guest.sink.seen.at(-1)?.event).toBe('closing');
        expect(guest.sink.seen.filter(({ event }) => event === 'message').length).toBeLessThanOrEqual(1);
        expect(hub.memberCount('a')).toBe(0);
        expect(hub.refusalOf('a')).toBeDefined();
        // What was published is kept either way.
        expect((await hub.history('a', undefined)).messages).toHaveLength(1);
      },
    );
  }
});

/** Many of them, without waiting for each. */
async function quickVisit({ hub, connect }: Stage, room: string): Promise<Guest> {
  const guest = connect();
  await hub.join(guest.connection, [room], undefined);
  return guest;
}
