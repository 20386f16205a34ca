import { describe, expect, test } from 'vitest';
import { ManualClock } from '../helpers/manual-clock.ts';
import { quiet, type Seen, stage } from './fixture.ts';

const notice = (rooms: readonly string[], data: unknown, more: { key?: string; ttlMs?: number } = {}) => ({
  target: { rooms },
  event: 'message',
  data: JSON.stringify(data),
  key: 'notice',
  ...more,
});

const dataOf = (events: readonly Seen[]) =>
  events.filter(({ event }) => event === 'message').map(({ data }) => data);

describe('a retained message', () => {
  test('is sent to every client that joins its room, whatever the history says, with its own id', async () => {
    const { hub, visit } = await stage({ history: 0 });
    const { id } = await hub.publish(notice(['a'], 'lunch'));
    const { sink } = await visit('a', {}, 'nothing-1');
    expect(sink.seen.at(-1)).toMatchObject({ id, room: 'a', key: 'notice', data: 'lunch', replay: true });
    expect(dataOf((await visit('b', {}, 'nothing-1')).sink.seen)).toEqual([]);
  });

  test('sent to a pattern is also for rooms that come to exist later, each copy with an id of its own', async () => {
    const { hub, visit } = await stage({ history: 0 });
    const { id } = await hub.publish(notice(['ops-*'], 'lunch'));
    const { sink } = await visit(['ops-2', 'ops-1', 'lobby'], {}, 'nothing-1');
    const copies = sink.seen.filter(({ key }) => key === 'notice');
    expect(copies.map(({ room, id }) => [room, id])).toEqual([
      ['ops-1', `${id}.ops-1`],
      ['ops-2', `${id}.ops-2`],
    ]);
  });

  test('is sent once to a client that comes back with the last id that it saw, wherever it was cut off', async () => {
    const { hub, visit, say } = await stage({ joinHistory: 10 });
    await say('a', 1);
    await hub.publish(notice(['*'], 'lunch'));
    await say('b', 2);
    const rooms = ['a', 'b', 'c', 'd'];
    const all = (await visit(rooms, {}, 'nothing-1')).sink.seen.filter(({ event }) => event === 'message');
    expect(all.map(({ room, data }) => `${room}${data}`)).toEqual([
      'a1',
      'alunch',
      'blunch',
      'clunch',
      'dlunch',
      'b2',
    ]);
    for (const [index, { id }] of all.entries()) {
      const { sink } = await visit(rooms, {}, id);
      const again = sink.seen.filter(({ event }) => event === 'message');
      expect(again.map((event) => event.id)).toEqual(all.slice(index + 1).map((event) => event.id));
    }
  });

  test('is replaced by the newest with its key, in the rooms that one is for', async () => {
    const { hub, visit } = await stage({ history: 0 });
    await hub.publish(notice(['*'], 'everywhere'));
    await hub.publish(notice(['a'], 'only a'));
    expect(dataOf((await visit(['a', 'b'], {}, 'x-1')).sink.seen)).toEqual(['everywhere', 'only a']);
    await hub.publish(notice(['*'], 'everywhere again'));
    expect(dataOf((await visit('a', {}, 'x-1')).sink.seen)).toEqual(['everywhere again']);
    expect((await hub.retained('a')).map(({ data }) => data)).toEqual(['"everywhere again"']);
  });

  test('ends with its ttl, and does not bring back the one that it replaced', async () => {
    const clock = new ManualClock();
    const { hub, visit } = await stage({ clock, history: 0 });
    await hub.publish(notice(['*'], 'old'));
    await hub.publish(notice(['a'], 'short', { ttlMs: 60_000 }));
    const [event] = await hub.retained('a');
    expect(event).toMatchObject({ data: '"short"', until: '2026-11-20T18:01:00.000Z' });
    await clock.advance(60_000);
    expect(await hub.retained('a')).toEqual([]);
    expect(dataOf((await visit(['a', 'b'], {}, 'x-1')).sink.seen)).toEqual(['old']);
  });

  test('is withdrawn from one room or from all, which its members hear', async () => {
    const { hub, visit } = await stage({ history: 0 });
    await hub.publish(notice(['*'], 'lunch'));
    const { sink } = await visit(['a', 'b']);
    const { id } = await hub.withdraw('notice', 'a');
    await quiet();
    expect(sink.seen.at(-1)).toMatchObject({ id, event: 'withdrawn', room: 'a', data: { key: 'notice' } });
    expect(await hub.retained('a')).toEqual([]);
    expect(await hub.retained('b')).toHaveLength(1);
    await hub.withdraw('notice');
    await quiet();
    expect(sink.seen.at(-1)).toMatchObject({ event: 'withdrawn', room: 'b', data: { key: 'notice' } });
    expect(await hub.retained('z')).toEqual([]);
    await expect(hub.withdraw('notice')).rejects.toMatchObject({ status: 404 });
    await expect(hub.withdraw('notice', 'a')).rejects.toMatchObject({ status: 404 });
  });

  test('is there after a restart, with what was withdrawn gone', async () => {
    const { hub, log, restart } = await stage({ history: 0 });
    await hub.publish(notice(['*'], 'stays'));
    await hub.publish(notice(['a'], 'goes', { key: 'other' }));
    await hub.withdraw('other');
    await hub.withdraw('notice', 'b');
    const after = await restart();
    expect(await log.records('retained')).toHaveProperty('size', 3);
    expect((await after.retained('a')).map(({ data }) => data)).toEqual(['"stays"']);
    expect(await after.retained('b')).toEqual([]);
  });

  test('withdrawn while nobody was in the room is so for a client that comes back, and in the history', async () => {
    const clock = new ManualClock();
    const { hub, visit, connect } = await stage({ clock, joinHistory: 10 });
    const first = await visit('a');
    const { id = '' } = await hub.publish(notice(['*'], 'lunch'));
    hub.disconnect(first.connection);
    await clock.advance(11_000);
    expect(hub.roomCount).toBe(0);
    await hub.withdraw('notice');
    for (const since of [id ?? '', undefined]) {
      const { connection, sink } = connect();
      await hub.join(connection, ['a'], since);
      await quiet();
      expect(sink.seen.at(-1)).toMatchObject({ event: 'withdrawn', room: 'a', data: { key: 'notice' } });
    }
    expect((await visit('b', {}, 'x-1')).sink.seen.map(({ event }) => event)).toEqual(['hello']);
  });

  test.each(['join', 'subscribe'] as const)(
    'reaches a room that begins while it is published, once, by %s',
    async (how) => {
      const { hub, log, visit } = await stage({ history: 0 });
      const late = await visit('a');
      log.beforeAppend.shut();
      const published = hub.publish(notice(['*', 'a'], 'lunch'));
      await quiet();
      const joined =
        how === 'join'
          ? hub.join(late.connection, ['b'], 'x-1')
          : hub.subscribe(late.connection, 'b', undefined);
      log.beforeAppend.open();
      await Promise.all([published, joined]);
      await quiet();
      const inB = late.sink.seen.filter(({ room }) => room === 'b');
      expect(dataOf(inB)).toEqual(['lunch']);
    },
  );

  test('that is sent when it is stored, and cannot be stored, leaves what was retained before', async () => {
    const { hub, log, visit } = await stage({ history: 0 });
    await hub.publish(notice(['a'], 'breakfast'));
    const before = await log.records('retained');
    log.storedFailure = new Error('disk full');
    log.records = async () => before;
    await expect(hub.publish(notice(['a'], 'lunch'), { isStoredFirst: true })).rejects.toMatchObject({
      status: 503,
    });
    expect((await hub.retained('a')).map(({ data }) => data)).toEqual(['"breakfast"']);
    expect(dataOf((await visit('a', {}, 'x-1')).sink.seen)).toEqual(['breakfast']);
  });
});

describe('a client that joins after a message for a pattern', () => {
  test('resumes without a gap and without a repeat, though no history has the copy of its room', async () => {
    const { hub, visit } = await stage({ history: 0 });
    const early = await visit('a');
    await hub.publish(notice(['*'], 'lunch'));
    await quiet();
    expect(dataOf(early.sink.seen)).toEqual(['lunch']);
    const late = await visit('a', {}, 'x-1');
    for (const { sink } of [early, late]) {
      const again = await visit('a', {}, sink.seen.findLast(({ id }) => id !== undefined)?.id);
      expect(again.sink.seen).toMatchObject([{ event: 'hello', data: { resumed: { a: true } } }]);
    }
  });

  test('gets it before the history where that is more than it may be sent at once', async () => {
    const limits = { conflateAboveBytes: 1000, maxBufferedBytes: 4000, totalBufferedBytes: 1_000_000 };
    const { hub, say, visit } = await stage({ limits });
    await hub.publish(notice(['a'], 'lunch'));
    for (const n of [1, 2, 3]) await say('a', String(n).repeat(900));
    const seen = dataOf((await visit('a', {}, 'x-1')).sink.seen).map(String);
    expect(seen[0]).toBe('lunch');
    expect(seen.at(-1)).toMatch(/^3/);
  });

  test('gets no more of them than it may be sent at once, and is told of the gap', async () => {
    const limits = { conflateAboveBytes: 1000, maxBufferedBytes: 4000, totalBufferedBytes: 1_000_000 };
    const { hub, visit } = await stage({ history: 0, limits });
    await hub.publish(notice(['*'], 'x'.repeat(1200)));
    const { sink } = await visit(['a', 'b', 'c'], {}, 'x-1');
    expect(dataOf(sink.seen)).toHaveLength(1);
    expect(sink.closed).toBeUndefined();
  });
});

describe('what is over', () => {
  test('takes no live message of its key with it when it is dropped', async () => {
    const clock = new ManualClock();
    const { hub } = await stage({ clock, history: 0 });
    await hub.publish(notice(['lobby'], 'stays'));
    await hub.publish(notice(['ops-*'], 'ends', { ttlMs: 1000 }));
    await hub.publish(notice(['*'], 'everywhere', { key: 'other' }));
    await hub.withdraw('other', 'b');
    await clock.advance(2000);
    for (let n = 0; n < 1100; n++) {
      await hub.publish(notice(['a'], n, { key: `k${n}` }));
      await hub.withdraw(`k${n}`);
    }
    expect((await hub.retained('lobby')).map(({ data }) => data)).toEqual(['"stays"', '"everywhere"']);
    expect(await hub.retained('b')).toEqual([]);
  });
});

describe('refused is', () => {
  test('one too many of the same key in another room', async () => {
    const { hub } = await stage({ limits: { retained: 2 } });
    await hub.publish(notice(['a', 'b'], 1));
    await expect(hub.publish(notice(['c'], 2))).rejects.toThrow('limits.retained');
    await expect(hub.publish(notice(['a', 'b', 'c'], 2))).rejects.toThrow('limits.retained');
    await hub.publish(notice(['b'], 3));
  });

  test('one retained message too many, or too large', async () => {
    const { hub } = await stage({ limits: { retained: 2, retainedBytes: 3000 } });
    await hub.publish(notice(['a'], 1, { key: 'a' }));
    await hub.publish(notice(['a'], 2, { key: 'b' }));
    await expect(hub.publish(notice(['a'], 3, { key: 'c' }))).rejects.toThrow('limits.retained');
    await expect(hub.publish(notice(['a'], 'x'.repeat(2500), { key: 'b' }))).rejects.toThrow(
      'limits.retainedBytes',
    );
    await hub.publish(notice(['a'], 4, { key: 'b' }));
    expect((await hub.retained('a')).map(({ data }) => data)).toEqual(['1', '4']);
  });

  test('one too many, also of two in the same turn', async () => {
    const { hub } = await stage({ limits: { retained: 1 } });
    const sent = ['a', 'b'].map((key) => hub.publish(notice(['a'], 1, { key })));
    const [first, second] = await Promise.allSettled(sent);
    expect([first?.status, second?.status]).toEqual(['fulfilled', 'rejected']);
  });

  test('a key that is none, a key without a room, and a ttl without a key', async () => {
    const { hub } = await stage();
    await expect(hub.publish(notice(['a'], 1, { key: 'a b' }))).rejects.toThrow('"a b" is not a key');
    const device = { target: { devices: ['wall'] }, event: 'message', data: '1', key: 'k' };
    await expect(hub.publish(device)).rejects.toThrow('only rooms retain messages');
    const keyless = { target: {}, event: 'message', data: '1', ttlMs: 1000 };
    await expect(hub.publish(keyless)).rejects.toThrow('ttl');
  });
});
