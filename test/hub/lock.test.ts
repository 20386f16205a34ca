import { describe, expect, test } from 'vitest';
import type { CloseRoom } from '../../src/hub/lock.ts';
import { quiet, type Stage, stage } from './fixture.ts';

const locked: CloseRoom = { reason: 'cleaning', lockMs: 30_000, reconnect: true };
const UNTIL = '2026-11-20T18:00:30.000Z';

/** The locks in the log, by room. */
async function recordsOf({ log }: Stage): Promise<Record<string, unknown>> {
  await quiet();
  const records = await log.records('lock');
  return Object.fromEntries([...records].map(([room, text]) => [room, JSON.parse(text)]));
}

describe('locking a room', () => {
  test('that nobody is in, or that does not exist, keeps clients out and shows it in the list', async () => {
    const { hub, clock } = await stage();
    expect(await hub.lockRoom('a', locked)).toEqual({ room: 'a', connections: 0, lockedUntil: UNTIL });
    expect(await hub.rooms({ limit: 10 })).toMatchObject([
      { name: 'a', locked: { until: UNTIL, reconnect: true, reason: 'cleaning' } },
    ]);
    expect(hub.refusalOf('a')).toMatchObject({ status: 423 });
    clock.advance(30_000);
    expect([hub.refusalOf('a'), hub.roomCount, clock.pending]).toEqual([undefined, 0, 0]);
  });

  test('closes its members', async () => {
    const { hub, visit } = await stage();
    const { sink } = await visit('a');
    expect(await hub.lockRoom('a', locked)).toMatchObject({ connections: 1 });
    expect(sink.closed).toMatchObject({ code: 4001, reason: 'cleaning', reconnect: true });
  });

  test('makes no room more than there may be, except one that a rule names', async () => {
    const { hub, settings } = await stage({ limits: { rooms: 1 } });
    settings.current = { ...settings.current, isNamed: (room) => room === 'lobby' };
    await hub.lockRoom('a', locked);
    await expect(hub.lockRoom('b', locked)).rejects.toMatchObject({
      status: 503,
      message: expect.stringContaining('there are 1 rooms, and there may be 1 (limits.rooms)'),
    });
    await hub.lockRoom('a', locked);
    await hub.lockRoom('lobby', locked);
    expect(hub.roomCount).toBe(2);
  });

  test('of all the rooms that a client asks for tells it the one that opens first', async () => {
    const { hub, connect } = await stage();
    await hub.lockRoom('a', { ...locked, reconnect: false, reason: 'over' });
    await hub.lockRoom('b', { ...locked, lockMs: 60_000 });
    await hub.lockRoom('c', { ...locked, lockMs: 10_000, reason: 'a moment' });
    const { connection, sink } = connect();
    await hub.join(connection, ['a', 'b', 'c'], undefined);
    expect(sink.closed).toMatchObject({ code: 4001, reason: 'a moment', reconnect: true });
    expect(sink.closed?.retryAfterMs).toBeLessThan(13_000);
  });
});

describe('a lock', () => {
  test('survives a restart until it ends, and is forgotten then', async () => {
    const all = await stage();
    await all.hub.lockRoom('a', locked);
    await all.hub.lockRoom('b', { lockMs: 60_000, reconnect: false });
    all.hub.stop();
    all.clock.advance(10_000);
    const hub = await all.restart();
    expect((await hub.room('a')).locked).toEqual({ until: UNTIL, reconnect: true, reason: 'cleaning' });
    expect((await hub.room('b')).locked).toMatchObject({ reconnect: false, reason: 'room closed' });
    all.clock.advance(19_999);
    expect(hub.refusalOf('a')).toMatchObject({ status: 423 });
    all.clock.advance(1);
    expect([hub.refusalOf('a'), hub.roomCount]).toEqual([undefined, 1]);
    expect(Object.keys(await recordsOf(all))).toEqual(['b']);
    all.clock.advance(30_000);
    expect([hub.roomCount, all.clock.pending, await recordsOf(all)]).toEqual([0, 0, {}]);
    expect(all.faults).toEqual([]);
  });

  test('that ended while the server was down is gone after the start', async () => {
    const all = await stage();
    await all.hub.lockRoom('a', locked);
    all.hub.stop();
    all.clock.advance(30_000);
    const hub = await all.restart();
    expect([hub.refusalOf('a'), hub.roomCount, await recordsOf(all)]).toEqual([undefined, 0, {}]);
  });

  test('that was ended or replaced before a restart does not come back', async () => {
    const all = await stage();
    const { hub } = all;
    for (const room of ['opened', 'closed', 'shorter']) await hub.lockRoom(room, locked);
    await hub.unlockRoom('opened');
    await hub.closeRoom('closed', { lockMs: 0, reconnect: true });
    await hub.lockRoom('shorter', { lockMs: 1000, reconnect: false });
    expect(await recordsOf(all)).toEqual({
      shorter: { until: '2026-11-20T18:00:01.000Z', leftMs: 1000, reconnect: false, reason: 'room closed' },
    });
  });

  test('that is replaced in the moment when it ends stays in the log', async () => {
    const all = await stage();
    const { hub, log, clock } = all;
    await hub.lockRoom('a', locked);
    log.afterAppend.shut();
    const again = hub.lockRoom('a', { ...locked, lockMs: 60_000 });
    await quiet();
    clock.advance(30_000);
    log.afterAppend.open();
    await again;
    expect(await recordsOf(all)).toMatchObject({ a: { until: '2026-11-20T18:01:00.000Z' } });
    expect(hub.refusalOf('a')?.message).toContain('18:01:00.000Z');
  });

  test('that has ended is forgotten also where a client joins before its timer fires', async () => {
    const all = await stage();
    const { hub, clock } = all;
    await hub.lockRoom('a', locked);
    const monotonic = clock.monotonic.bind(clock);
    clock.monotonic = () => monotonic() + 30_000;
    await all.visit('a');
    expect((await hub.room('a')).locked).toBeNull();
    expect(await recordsOf(all)).toEqual({});
  });

  test('ends by the wall clock after a restart', async () => {
    const all = await stage();
    await all.hub.lockRoom('a', locked);
    all.hub.stop();
    all.clock.step(20_000);
    const hub = await all.restart();
    all.clock.advance(10_000);
    expect(hub.refusalOf('a')).toBeUndefined();
  });

  test('lasts no longer than it was set for, where the computer starts with its clock years behind', async () => {
    const all = await stage();
    await all.hub.lockRoom('a', locked);
    all.hub.stop();
    all.clock.step(-10 * 366 * 86_400_000);
    const hub = await all.restart();
    all.clock.step(10 * 366 * 86_400_000);
    all.clock.advance(29_999);
    expect(hub.refusalOf('a')).toMatchObject({ status: 423 });
    all.clock.advance(1);
    expect([hub.refusalOf('a'), await recordsOf(all)]).toEqual([undefined, {}]);
  });
});

describe('a log that does not store a lock', () => {
  test('leaves the room as it is where it takes nothing', async () => {
    const all = await stage();
    const { hub, log } = all;
    await hub.lockRoom('shut', locked);
    const { sink } = await all.visit('a');
    log.appendFailure = new Error('disk full');
    await expect(hub.lockRoom('a', locked)).rejects.toMatchObject({
      status: 503,
      message: 'the lock of room "a" could not be stored, so the room was not closed: try again',
    });
    await expect(hub.unlockRoom('shut')).rejects.toMatchObject({ status: 503 });
    expect([sink.closed, hub.refusalOf('a'), hub.memberCount('a')]).toEqual([undefined, undefined, 1]);
    expect(hub.refusalOf('shut')).toBeDefined();
    expect(all.faults).toHaveLength(2);
    // A room is closed without a lock also then: nothing has to be stored.
    await hub.closeRoom('a', { lockMs: 0, reconnect: true });
    expect(sink.closed?.code).toBe(4001);
  });

  test('is told of where it loses it afterwards; the room is closed all the same', async () => {
    const { hub, log, visit, faults } = await stage();
    const { sink } = await visit('a');
    log.storedFailure = new Error('disk full');
    await expect(hub.closeRoom('a', locked)).rejects.toMatchObject({
      status: 503,
      message: expect.stringContaining('room "a" is closed, but its lock is not stored'),
    });
    expect(sink.closed?.code).toBe(4001);
    await expect(hub.unlockRoom('a')).rejects.toMatchObject({
      status: 503,
      message: expect.stringContaining('room "a" is open, but that is not stored'),
    });
    expect(hub.refusalOf('a')).toBeUndefined();
    expect(faults).toHaveLength(2);
  });

  test('holds up the answer, but neither the close nor the messages behind it', async () => {
    const { hub, log, visit } = await stage();
    const { sink } = await visit('a');
    const other = await visit('b');
    log.stored.shut();
    let isAnswered = false;
    const closed = hub.closeRoom('a', locked).then(() => {
      isAnswered = true;
    });
    const said = hub.publish({ target: { rooms: ['b'] }, event: 'message', data: '1' });
    await quiet();
    expect([sink.closed?.code, isAnswered, other.sink.news().length]).toEqual([4001, false, 1]);
    log.stored.open();
    await Promise.all([closed, said]);
  });
});
