import { describe, expect, test } from 'vitest';
import type { Hub } from '../../src/hub/hub.ts';
import type { Publication } from '../../src/hub/publication.ts';
import { type Accepted, WaitingBroadcasts } from '../../src/hub/waiting-broadcasts.ts';
import { ManualClock, settled } from '../helpers/manual-clock.ts';
import { dataOf, quiet, type Stage, stage } from './fixture.ts';

const MINUTE_MS = 60_000;
const DAY_MS = 24 * 60 * MINUTE_MS;
const NOW = Date.parse('2026-11-20T18:00:00.000Z');

const notice = (data: unknown, more: Partial<Publication> = {}): Publication => ({
  target: { rooms: ['a'] },
  event: 'message',
  data: JSON.stringify(data),
  ...more,
});

interface Standing extends Stage {
  readonly broadcasts: WaitingBroadcasts;
  readonly missed: (Accepted & { reason: string })[];
  /** Time passes, and what is due is sent. */
  passes(ms: number): Promise<void>;
  /** As after the end of the process: the same log, and time that passed in between. */
  restarted(downMs: number): Promise<Standing>;
  entries(): Promise<{ id: string; state: string; reason: string | null }[]>;
}

async function waitingOn(on: Stage, limits: { count?: number; bytes?: number } = {}): Promise<Standing> {
  const { count = Number.POSITIVE_INFINITY, bytes = Number.POSITIVE_INFINITY } = limits;
  const missed: Standing['missed'] = [];
  const broadcasts = new WaitingBroadcasts({
    clock: on.clock,
    log: on.log,
    hub: on.hub,
    settings: { current: { limits: { waitingBroadcasts: count, waitingBytes: bytes } } },
    onMissed: (each) => missed.push(each),
    onFault: (what) => on.faults.push(what),
  });
  await broadcasts.start();
  broadcasts.run();
  await quiet();
  return {
    ...on,
    broadcasts,
    missed,
    async passes(ms) {
      await on.clock.advanceSettled(ms);
      await quiet();
    },
    async restarted(downMs) {
      broadcasts.stop();
      on.clock.advance(downMs);
      const hub: Hub = await on.restart();
      on.clock.advance(0);
      const again = await waitingOn({ ...on, hub }, limits);
      await on.clock.advanceSettled(0);
      await quiet();
      return again;
    },
    async entries() {
      const list = await broadcasts.list({ limit: 1000 });
      return list.map(({ text }) => JSON.parse(text));
    },
  };
}

const begin = async (limits?: { count?: number; bytes?: number }) =>
  waitingOn(await stage({ clock: new ManualClock(NOW) }), limits);

const kept = async ({ hub }: Pick<Stage, 'hub'>, room = 'a') =>
  (await hub.history(room, undefined)).messages.map(({ event }) => JSON.parse(event.data ?? 'null'));

const recordsOf = async ({ log }: Stage) => [...(await log.records('waiting')).keys()];

describe('a broadcast that waits', () => {
  test('is sent at its time, once, and its record goes with it', async () => {
    const on = await begin();
    const { sink } = await on.visit('a');
    const { id, at } = await on.broadcasts.add(notice('later'), { atMs: NOW + MINUTE_MS });
    expect(at).toBe('2026-11-20T18:01:00.000Z');
    expect(await recordsOf(on)).toEqual([id]);
    await on.passes(MINUTE_MS - 1);
    expect(sink.news()).toEqual([]);
    await on.passes(1);
    expect(sink.news()).toMatchObject([{ data: 'later', time: '2026-11-20T18:01:00.000Z' }]);
    expect(await recordsOf(on)).toEqual([]);
    expect(on.broadcasts.count).toBe(0);
    await on.passes(DAY_MS);
    expect(sink.news()).toEqual([]);
    on.broadcasts.stop();
    expect(on.missed).toEqual([]);
  });

  test('may be given the time from now, and may be due at once', async () => {
    const on = await begin();
    expect((await on.broadcasts.add(notice(1), { inMs: 1500 })).at).toBe('2026-11-20T18:00:01.500Z');
    await on.broadcasts.add(notice(2), { inMs: 0 });
    await on.broadcasts.add(notice(3), { atMs: NOW - 1000 });
    await on.passes(0);
    expect((await kept(on)).sort()).toEqual([2, 3]);
    await on.passes(1500);
    expect(await kept(on)).toContain(1);
  });

  test('leaves in the order of the times, whatever the order of the calls', async () => {
    const on = await begin();
    for (const minute of [3, 1, 2]) await on.broadcasts.add(notice(minute), { inMs: minute * MINUTE_MS });
    const again = await on.restarted(0);
    await again.passes(5 * MINUTE_MS);
    expect(await kept(again)).toEqual([1, 2, 3]);
  });

  test.each([
    [
      { atMs: NOW - 1001 },
      'at',
      /^"2026-11-20T17:59:58.999Z" has passed: it is 2026-11-20T18:00:00.000Z here/,
    ],
    [{ atMs: NOW + 367 * DAY_MS }, 'at', /is too far: at most 366 days/],
    [{ atMs: NOW, inMs: 0 }, 'in', /^at and in exclude each other/],
  ])('is refused with 400 where its time is %j', async (when, path, message) => {
    const on = await begin();
    const refused = on.broadcasts.add(notice(1), when);
    await expect(refused).rejects.toMatchObject({ status: 400, details: { errors: [{ path }] } });
    await expect(refused).rejects.toThrow(message);
    expect(await recordsOf(on)).toEqual([]);
  });

  test('is refused at once where it could never be sent', async () => {
    const on = await begin();
    const add = (more: Partial<Publication>) => on.broadcasts.add(notice(1, more), { inMs: 1 });
    await expect(add({ event: 'hello' })).rejects.toMatchObject({ status: 400 });
    await expect(add({ target: { rooms: ['-'] } })).rejects.toMatchObject({ status: 400 });
    await expect(add({ data: `"${'x'.repeat(65_536)}"` })).rejects.toMatchObject({ status: 413 });
    expect(on.broadcasts.count).toBe(0);
  });

  test('is retained from its sending on, for its ttl', async () => {
    const on = await begin();
    await on.broadcasts.add(notice('soup', { key: 'lunch', ttlMs: MINUTE_MS }), { inMs: 10 * MINUTE_MS });
    await on.passes(10 * MINUTE_MS);
    expect(await on.hub.retained('a')).toMatchObject([{ until: '2026-11-20T18:11:00.000Z' }]);
  });

  test('is answered when it is stored, and is not sent before', async () => {
    const on = await begin();
    on.log.stored.shut();
    let answered = false;
    const accepted = on.broadcasts.add(notice(1), { inMs: 0 }).then(() => {
      answered = true;
    });
    await on.passes(MINUTE_MS);
    expect(answered).toBe(false);
    expect(await kept(on)).toEqual([]);
    on.log.stored.open();
    await accepted;
  });

  test('is refused with 503 and not sent where it cannot be stored', async () => {
    const on = await begin();
    on.log.storedFailure = new Error('disk full');
    await expect(on.broadcasts.add(notice(1), { inMs: 1 })).rejects.toMatchObject({ status: 503 });
    on.log.storedFailure = undefined;
    await on.passes(MINUTE_MS);
    expect(await kept(on)).toEqual([]);
  });
});

describe('a broadcast that waits while the server is down', () => {
  test('is sent after the start, at its time', async () => {
    const on = await begin();
    await on.broadcasts.add(notice('later'), { inMs: 10 * MINUTE_MS });
    const again = await on.restarted(MINUTE_MS);
    expect(again.broadcasts.count).toBe(1);
    expect(await kept(again)).toEqual([]);
    await again.passes(9 * MINUTE_MS);
    expect(await kept(again)).toEqual(['later']);
    const third = await again.restarted(0);
    await third.passes(MINUTE_MS);
    expect(await kept(third)).toEqual(['later']);
  });

  test('is sent at the start where it is late by less than missedWithin', async () => {
    const on = await begin();
    await on.broadcasts.add(notice('usual'), { inMs: 1000 });
    await on.broadcasts.add(notice('patient'), { inMs: 1000, missedWithinMs: DAY_MS });
    const again = await on.restarted(MINUTE_MS + 999);
    expect((await kept(again)).sort()).toEqual(['patient', 'usual']);
    expect(again.missed).toEqual([]);
  });

  test('is missed otherwise: reported, listed for a day, never sent', async () => {
    const on = await begin();
    const { id, at } = await on.broadcasts.add(notice('usual'), { inMs: 1000 });
    await on.broadcasts.add(notice('patient'), { inMs: 1000, missedWithinMs: DAY_MS });
    const again = await on.restarted(MINUTE_MS + 1000);
    expect(await kept(again)).toEqual(['patient']);
    const reason = 'it was 60000 ms late, with missedWithin of 60000 ms';
    expect(again.missed).toEqual([{ id, at, reason }]);
    expect(again.broadcasts.missed).toBe(1);
    expect(await again.entries()).toMatchObject([{ id, state: 'missed', reason }]);
    const third = await again.restarted(DAY_MS - 1);
    expect(third.missed).toEqual([]);
    expect(await third.entries()).toMatchObject([{ id, state: 'missed', data: 'usual' }]);
    await third.passes(1);
    expect(await third.entries()).toEqual([]);
    await quiet();
    expect(await recordsOf(third)).toEqual([]);
    expect(await kept(third)).toEqual([]);
  });

  test('is not sent after the stop, but after the next start', async () => {
    const on = await begin();
    await on.broadcasts.add(notice('due'), { inMs: 1000 });
    on.broadcasts.stop();
    await on.passes(5000);
    expect(await kept(on)).toEqual([]);
    expect(on.clock.pending).toBe(0);
    expect(await kept(await on.restarted(0))).toEqual(['due']);
  });
});

describe('a clock that is set', () => {
  test('forward makes due what is late by less than missedWithin, and misses the rest', async () => {
    const on = await begin();
    await on.broadcasts.add(notice('near'), { inMs: 10 * MINUTE_MS });
    await on.broadcasts.add(notice('far'), { inMs: 5 * MINUTE_MS });
    on.clock.step(10 * MINUTE_MS);
    await on.passes(2000);
    expect(await kept(on)).toEqual(['near']);
    expect(on.missed).toMatchObject([{ at: '2026-11-20T18:05:00.000Z' }]);
  });

  test('back makes it wait for its time by the new clock', async () => {
    const on = await begin();
    await on.broadcasts.add(notice('later'), { inMs: MINUTE_MS });
    on.clock.step(-10 * MINUTE_MS);
    await on.passes(10 * MINUTE_MS);
    expect(await kept(on)).toEqual([]);
    await on.passes(MINUTE_MS);
    expect(await kept(on)).toEqual(['later']);
  });
});

describe('a broadcast that cannot be sent at its time', () => {
  test('is tried again while the log fails, and sent once', async () => {
    const on = await begin();
    await on.broadcasts.add(notice('later'), { inMs: 1000 });
    on.log.appendFailure = new Error('disk full');
    await on.passes(10_000);
    expect(await kept(on)).toEqual([]);
    expect(on.faults.filter((what) => what.includes('is tried again'))).toHaveLength(1);
    on.log.appendFailure = undefined;
    await on.passes(2000);
    expect(await kept(on)).toEqual(['later']);
    await on.passes(DAY_MS);
    expect(await kept(on)).toEqual([]);
    expect(on.missed).toEqual([]);
  });

  test('is missed where the log fails for longer than missedWithin', async () => {
    const on = await begin();
    await on.broadcasts.add(notice('later'), { inMs: 1000 });
    on.log.appendFailure = new Error('disk full');
    await on.passes(2 * MINUTE_MS);
    on.log.appendFailure = undefined;
    await on.passes(2 * MINUTE_MS);
    expect(await kept(on)).toEqual([]);
    expect(on.missed).toHaveLength(1);
  });

  test('is sent once, and not before it is stored', async () => {
    const on = await begin();
    const { sink } = await on.visit('a');
    await on.broadcasts.add(notice('later'), { inMs: 1000 });
    on.log.storedFailure = new Error('disk full');
    await on.passes(1000);
    on.log.storedFailure = undefined;
    await on.passes(MINUTE_MS);
    expect(dataOf(sink.news())).toEqual(['later']);
    expect(on.broadcasts.count).toBe(0);
  });

  test('is missed, with the reason, where the server refuses it by then', async () => {
    const on = await begin();
    await on.broadcasts.add(notice('later'), { inMs: 1000 });
    on.settings.current = {
      ...on.settings.current,
      limits: { ...on.settings.current.limits, eventBytes: 3 },
    };
    await on.passes(1000);
    expect(on.missed).toMatchObject([{ reason: 'data is 7 bytes of JSON: limits.eventBytes allows 3' }]);
  });
});

describe('many broadcasts that are due at once', () => {
  test('are one append, so that a message behind them waits for one commit', async () => {
    const on = await begin();
    for (let n = 0; n < 50; n++) await on.broadcasts.add(notice(n), { inMs: 1000 });
    on.log.appends.length = 0;
    on.clock.advance(1000);
    await on.hub.publish(notice('live'));
    expect(on.log.appends.map(({ length }) => length)).toEqual([50, 1]);
    expect((await kept(on)).at(-1)).toBe('live');
  });

  test('hold the event loop no longer than a slice', async () => {
    const on = await begin();
    let busyMs = 0;
    const { monotonic } = on.clock;
    on.clock.monotonic = () => monotonic.call(on.clock) + busyMs;
    const rooms = Array.from({ length: 1000 }, (_, n) => `room-${n}`);
    for (const room of rooms)
      await on.broadcasts.add(notice(room, { target: { rooms: [room] } }), { inMs: 1000 });
    // A delivery takes about so long.
    on.hub.events.on('message', () => {
      busyMs += 0.1;
    });
    on.clock.advance(1000);
    const holdsMs: number[] = [];
    for (let before = busyMs; on.broadcasts.count > 0; before = busyMs) {
      await settled();
      holdsMs.push(busyMs - before);
    }
    expect(busyMs).toBeCloseTo(100);
    expect(Math.max(...holdsMs)).toBeLessThan(12);
  });
});

describe('broadcasts that wait', () => {
  test('are listed in the order of their times, in pages', async () => {
    const on = await begin();
    for (const second of [3, 1, 2]) await on.broadcasts.add(notice(second), { inMs: second * 1000 });
    const first = await on.broadcasts.list({ limit: 2 });
    expect(first.map(({ text }) => JSON.parse(text))).toMatchObject([{ data: 1 }, { data: 2 }]);
    const rest = await on.broadcasts.list({ after: first[1]?.id ?? '', limit: 2 });
    expect(rest.map(({ text }) => JSON.parse(text))).toMatchObject([
      { data: 3, state: 'waiting', reason: null, rooms: ['a'], event: 'message', missedWithinMs: MINUTE_MS },
    ]);
  });

  test('can be cancelled until they are sent', async () => {
    const on = await begin();
    const accepted = await on.broadcasts.add(notice(1), { inMs: 1000 });
    expect(await on.broadcasts.cancel(accepted.id)).toEqual(accepted);
    await expect(on.broadcasts.cancel(accepted.id)).rejects.toMatchObject({ status: 404 });
    const sent = await on.broadcasts.add(notice(2), { inMs: 1000 });
    await on.passes(1000);
    await expect(on.broadcasts.cancel(sent.id)).rejects.toMatchObject({ status: 404 });
    expect(await kept(on)).toEqual([2]);
    expect(await recordsOf(on)).toEqual([]);
  });

  test('stay where a cancel cannot be stored', async () => {
    const on = await begin();
    const { id } = await on.broadcasts.add(notice(1), { inMs: 1000 });
    on.log.appendFailure = new Error('disk full');
    await expect(on.broadcasts.cancel(id)).rejects.toMatchObject({ status: 503 });
    on.log.appendFailure = undefined;
    await on.passes(1000);
    expect(await kept(on)).toEqual([1]);
  });

  test('are bounded in number, and one that was sent or missed makes room', async () => {
    const on = await begin({ count: 2 });
    const add = () => on.broadcasts.add(notice(1), { inMs: 1000 });
    await add();
    await add();
    await expect(add()).rejects.toMatchObject({ status: 409 });
    await expect(add()).rejects.toThrow('2 broadcasts wait (limits.waitingBroadcasts): cancel one with');
    const again = await on.restarted(2 * MINUTE_MS);
    expect(again.missed).toHaveLength(2);
    await again.broadcasts.add(notice(1), { inMs: 1000 });
    expect(await again.entries()).toHaveLength(2);
    expect(await recordsOf(again)).toHaveLength(2);
  });

  test('are bounded in bytes', async () => {
    const on = await begin({ bytes: 3000 });
    await on.broadcasts.add(notice('x'.repeat(1000)), { inMs: 1000 });
    const refused = on.broadcasts.add(notice('x'.repeat(1000)), { inMs: 1000 });
    await expect(refused).rejects.toThrow('and limits.waitingBytes is 3000');
  });
});
