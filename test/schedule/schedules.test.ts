import { describe, expect, it } from 'vitest';
import { type Feed, FeedError, type Reason } from '../../src/feed/feed.ts';
import { Refusal } from '../../src/hub/errors.ts';
import type { RoomEvent } from '../../src/hub/event.ts';
import { calendar, interval } from '../../src/schedule/cadence.ts';
import { explain } from '../../src/schedule/explain.ts';
import { settled } from '../helpers/manual-clock.ts';
import {
  at,
  EVENT_BYTES,
  FakeFeed,
  HOUR_MS,
  LOOKING_FOR_STEPS,
  START,
  schedule,
  secondsOf,
  start,
  startReporting,
} from './fixture.ts';

describe('a tick', () => {
  it('goes to the rooms of its schedule as the contract has it', () => {
    const { clock, hub } = start(schedule({ rooms: ['lob*', 'hall'], event: 'bell' }));
    clock.advance(6000);
    expect(hub.deliveries).toEqual([
      {
        rooms: ['lob*', 'hall'],
        event: {
          event: 'bell',
          time: at(3),
          tick: { schedule: 'clock', due: at(3), previous: null, next: at(6), seq: 598399201 },
        },
        data: `{"unixMs":${Date.parse(at(3))}}`,
      },
      {
        rooms: ['lob*', 'hall'],
        event: {
          event: 'bell',
          time: at(6),
          tick: { schedule: 'clock', due: at(6), previous: at(3), next: at(9), seq: 598399202 },
        },
        data: `{"unixMs":${Date.parse(at(6))}}`,
      },
    ]);
  });

  it('carries no seq with a calendar', () => {
    const { clock, hub } = start(schedule({ cadence: calendar('* * * * *', 'UTC') }));
    clock.advance(60_000);
    expect(hub.deliveries[0]?.event.tick).toEqual({
      schedule: 'clock',
      due: at(60),
      previous: null,
      next: at(120),
    });
  });

  it('is made only while a client listens, and the chain goes past what was not sent', () => {
    const made: number[] = [];
    const feed: Feed = { compute: (_, now) => String(made.push(now)) };
    const { clock, hub } = start(schedule({ rooms: ['lobby'], feed }));
    clock.advance(3000);
    hub.rooms = ['hall'];
    clock.advance(9000);
    expect(made).toHaveLength(1);
    hub.rooms = ['lobby'];
    clock.advance(6000);
    expect(hub.ticks).toEqual([
      [3, null, 6],
      [15, 3, 18],
      [18, 15, 21],
    ]);
  });

  it('is counted on time over 24 hours of every second', { timeout: 60_000 }, async () => {
    const { clock, hub, schedules } = start(schedule({ cadence: interval(1000) }));
    let previous: number | null = null;
    let count = 0;
    for (let hour = 0; hour < 24; hour++) {
      clock.advance(HOUR_MS);
      for (const tick of hub.ticks) {
        count++;
        if (tick[0] !== count || tick[1] !== previous) throw new Error(`${tick} after ${previous}`);
        previous = tick[0];
      }
      hub.deliveries.length = 0;
    }
    expect(count).toBe(86_400);
    const { counters, lateness } = await schedules.get('clock');
    expect(counters).toEqual({
      runs: 86_400,
      sent: 86_400,
      unchanged: 0,
      missed: 0,
      overlapped: 0,
      failed: 0,
    });
    expect(lateness).toEqual({ lastMs: 0, medianMs: 0, p99Ms: 0, maxMs: 0 });
  });

  it('says after a blocked loop how many instants were missed', async () => {
    const { clock, hub, schedules, reports } = start(schedule({ cadence: interval(1000) }));
    clock.advance(1700);
    clock.block(5000);
    clock.advance(300);
    expect(hub.ticks).toEqual([
      [1, null, 2],
      [6, 1, 7],
      [7, 6, 8],
    ]);
    const { counters, lateness } = await schedules.get('clock');
    expect(counters).toMatchObject({ runs: 3, sent: 3, missed: 4 });
    expect(lateness).toMatchObject({ lastMs: 0, maxMs: 700 });
    expect(reports).toContainEqual(['missed', 'clock', 4]);
    expect(hub.statuses()).toEqual([
      expect.objectContaining({
        schedule: 'clock',
        state: 'ok',
        reason: 'missed',
        missed: 4,
      }),
    ]);
  });
});

describe('instants that were missed', () => {
  it('are told of a schedule in error too, with the reason that it has', async () => {
    const feed = new FakeFeed();
    const { clock, hub } = start(schedule({ feed }));
    await clock.advanceSettled(3000);
    feed.last.reject(new FeedError('unreachable', 'no'));
    await settled();
    clock.block(10_000);
    await clock.advanceSettled(0);
    expect(hub.statuses()).toMatchObject([
      { state: 'error', reason: 'unreachable' },
      { state: 'error', reason: 'unreachable', missed: 2 },
    ]);
    expect(hub.statuses()[0]).not.toHaveProperty('missed');
  });
});

describe('a clock that is set', () => {
  it('back is told as "changed" before the first instant that comes again', () => {
    const { clock, hub, reports } = start(schedule());
    clock.advance(7000);
    clock.step(-HOUR_MS);
    clock.advance(7000);
    expect(hub.story).toEqual(['tick 3', 'tick 6', 'changed', 'tick -3591', 'tick -3588']);
    expect(hub.ticks.slice(2)).toEqual([
      [-3591, 6, -3588],
      [-3588, -3591, -3585],
    ]);
    expect(hub.statuses()[0]).toEqual({
      time: at(-3592),
      schedule: 'clock',
      state: 'changed',
      since: at(-3592),
      lastGood: at(6),
      reason: 'clock',
    });
    expect(reports).toContainEqual(['stepped', -HOUR_MS]);
  });

  it('back is told again before the next tick where a client came meanwhile', () => {
    const { clock, hub, schedules } = start(schedule({ cadence: interval(60_000) }));
    clock.advance(60_000);
    clock.step(-HOUR_MS);
    clock.advance(2000);
    expect(hub.story).toEqual(['tick 60', 'changed']);
    expect(schedules.request('lobby').ticks).toMatchObject([{ tick: { due: at(-3540), previous: at(60) } }]);
    clock.advance(120_000);
    expect(hub.story).toEqual(['tick 60', 'changed', 'changed', 'tick -3480', 'tick -3420']);
  });

  it('back by a second after a tick is nothing: that stays the current one, and is not sent again', () => {
    const { clock, hub, schedules } = start(schedule());
    clock.advance(6300);
    clock.step(-1000);
    expect(schedules.request('lobby').ticks).toMatchObject([
      { time: at(6), tick: { due: at(6), next: at(9) } },
    ]);
    clock.advance(4000);
    expect(hub.ticks).toEqual([
      [3, null, 6],
      [6, 3, 9],
      [9, 6, 12],
    ]);
    expect(hub.statuses()).toEqual([]);
  });

  it('is seen by a client that asks in the same moment, in a room where nothing is sent', () => {
    const { clock, hub, schedules } = start(schedule());
    hub.rooms = [];
    const asked = () => {
      const { time, tick } = schedules.request('lobby').ticks[0] ?? {};
      return [time, tick?.due, tick?.next].map((text) => secondsOf(text ?? null));
    };
    clock.advance(7000);
    expect(asked()).toEqual([7, 6, 9]);
    clock.step(-HOUR_MS);
    expect(asked()).toEqual([-3593, -3594, -3591]);
    clock.advance(4000);
    expect(asked()).toEqual([-3589, -3591, -3588]);
    clock.step(2 * HOUR_MS);
    // What is due by the new time is called in a moment, and not before.
    expect(asked()).toEqual([3611, 3606, 3609]);
    clock.advance(0);
    expect(asked()).toEqual([3611, 3609, 3612]);
  });

  it('back leaves nothing current when the old time comes again', () => {
    const { clock, hub, schedules } = start(schedule());
    hub.rooms = [];
    clock.advance(7000);
    expect(schedules.request('lobby').ticks.map(({ time }) => time)).toEqual([at(7)]);
    clock.step(-60_000);
    clock.advance(60_500);
    expect(schedules.request('lobby').ticks.map(({ time }) => time)).toEqual([at(7.5)]);
  });

  it('back lets an instant be read again that had failed', () => {
    let fails = true;
    const failing: Feed = {
      compute: () => {
        if (fails) throw new Error('no');
        return '1';
      },
    };
    const { clock, hub, schedules } = start(schedule({ feed: failing }));
    clock.advance(6500);
    hub.rooms = [];
    clock.step(-60_000);
    clock.advance(60_000);
    fails = false;
    expect(schedules.request('lobby').ticks).toMatchObject([{ tick: { due: at(6) } }]);
  });

  it('counts how long a computed value took that then throws', () => {
    const feed: Feed = {
      compute() {
        clock.advance(50);
        throw new Error('no');
      },
    };
    const { clock, schedules } = start(schedule({ feed }));
    clock.advance(3000);
    const [[, history] = []] = schedules.histories();
    expect(history?.feedDuration.sum).toBeCloseTo(0.05);
  });

  it('keeps the totals of its runs when it is stopped', async () => {
    const { clock, schedules } = start(schedule({}));
    clock.advance(6000);
    const before = schedules.totals();
    expect(before.runs.sent).toBeGreaterThan(0);
    await schedules.stop();
    expect(schedules.totals()).toEqual(before);
  });

  it('while a feed is read changes nothing of how long that took', async () => {
    const slowly = new FakeFeed();
    const { clock, schedules } = start(schedule({ feed: slowly }));
    await clock.advanceSettled(3000);
    clock.step(HOUR_MS);
    await clock.advanceSettled(400);
    slowly.last.resolve('1');
    await settled();
    const [[, history] = []] = schedules.histories();
    expect(history?.feedDuration.sum).toBe(0.4);
    expect((await schedules.runs('clock', { limit: 1 }))[0]).not.toHaveProperty('tookMs');
  });

  it('forward is told to all, also where nothing was left out', () => {
    const { clock, hub } = start(schedule({ cadence: calendar('0 12 * * *', 'UTC') }));
    clock.advance(7000);
    clock.step(HOUR_MS);
    clock.advance(2000);
    expect(hub.statuses()).toMatchObject([{ state: 'changed', reason: 'clock' }]);
  });

  it('a day ahead for three seconds is told twice, and tomorrow has its noon', () => {
    const { clock, hub } = start(schedule({ cadence: calendar('0 12 * * *', 'UTC') }));
    const noon = 18 * 3600;
    clock.advance(1000);
    clock.step(24 * HOUR_MS);
    clock.advance(3000);
    clock.step(-24 * HOUR_MS);
    clock.advance(3000);
    expect(hub.story).toEqual(['changed', `tick ${noon}`, 'changed']);
    clock.advance(24 * HOUR_MS);
    expect(hub.story).toEqual(['changed', `tick ${noon}`, 'changed', `tick ${noon}`]);
    expect(hub.ticks.at(-1)).toEqual([noon, noon, noon + 24 * 3600]);
  });

  it('is counted while there are no schedules, and leaves no timer after the stop', async () => {
    const { clock, schedules, reports } = start();
    clock.advance(5000);
    clock.step(HOUR_MS);
    clock.advance(2000);
    expect(reports).toEqual([['stepped', HOUR_MS]]);
    await schedules.stop();
    expect(clock.pending).toBe(0);
  });

  it('forward leaves instants out and breaks no chain', async () => {
    const { clock, hub, schedules } = start(schedule());
    clock.advance(7000);
    clock.step(HOUR_MS);
    clock.advance(5000);
    expect(hub.ticks.slice(2)).toEqual([
      [3606, 6, 3609],
      [3609, 3606, 3612],
      [3612, 3609, 3615],
    ]);
    expect((await schedules.get('clock')).counters).toMatchObject({ missed: 1199 });
    expect((await schedules.get('clock')).counters).not.toHaveProperty('missedAtLeast');
    // Told before the first tick by the new time.
    expect(hub.story.slice(2)).toEqual(['changed', 'ok', 'tick 3606', 'tick 3609', 'tick 3612']);
  });

  it('forward says where more were left out than can be counted', async () => {
    const second = interval(1000);
    const found = { next: second.next, previous: second.previous };
    const { clock, hub, schedules, reports } = start(schedule({ cadence: found }));
    clock.step(HOUR_MS);
    clock.advance(2000);
    const { counters } = await schedules.get('clock');
    expect(counters.missedAtLeast).toBe(true);
    expect(counters.missed).toBeGreaterThan(50);
    expect(hub.statuses().at(-1)).toMatchObject({
      reason: 'missed',
      missed: counters.missed,
      missedAtLeast: true,
    });
    expect(reports).toContainEqual(['missed', 'clock', `more than ${counters.missed}`]);
  });
});

describe('a feed that is read', () => {
  it('is read once for all rooms and sent when it is there', async () => {
    const feed = new FakeFeed();
    const { clock, hub, schedules } = start(schedule({ feed }));
    hub.rooms = ['a', 'b'];
    await clock.advanceSettled(3000);
    expect(feed.reads.map(({ tick }) => tick)).toEqual([
      { schedule: 'clock', due: at(3), previous: null, next: at(6), seq: 598399201 },
    ]);
    await clock.advanceSettled(200);
    expect(hub.ticks).toEqual([]);
    feed.last.resolve('42');
    await settled();
    expect(hub.ticks).toEqual([[3, null, 6]]);
    expect(hub.deliveries[0]).toMatchObject({ event: { time: at(3.2) }, data: '42' });
    expect((await schedules.get('clock')).lateness?.lastMs).toBe(200);
  });

  it('is never read twice at a time: what is due meanwhile is counted and left out', async () => {
    const feed = new FakeFeed();
    const { clock, hub, schedules, reports } = start(schedule({ feed }));
    await clock.advanceSettled(9500);
    expect(feed.reads).toHaveLength(1);
    feed.last.resolve('1');
    await settled();
    // The instants 6 and 9 have passed: 12 is next.
    expect(hub.ticks).toEqual([[3, null, 12]]);
    await clock.advanceSettled(2500);
    feed.last.resolve('2');
    await settled();
    expect(hub.ticks.at(-1)).toEqual([12, 3, 15]);
    expect((await schedules.get('clock')).counters).toMatchObject({ runs: 2, sent: 2, overlapped: 2 });
    expect(reports).toContainEqual(['overlapped', 'clock']);
    expect(feed.mostOpen).toBe(1);
  });

  it('has a time limit, after which it is aborted and tried again at the next instant', async () => {
    const feed = new FakeFeed();
    const { clock, hub, schedules } = start(schedule({ feed, timeoutMs: 2000 }));
    await clock.advanceSettled(5000);
    expect(feed.last.signal.aborted).toBe(true);
    expect(await schedules.get('clock')).toMatchObject({
      state: 'error',
      since: at(5),
      reason: 'timeout',
      detail: 'no answer within 2 s',
      counters: { runs: 1, failed: 1 },
    });
    await clock.advanceSettled(1000);
    feed.last.resolve('1');
    await settled();
    expect(hub.story).toEqual(['error', 'ok', 'tick 6']);
  });

  it('that ignores the abort fails all the same, and is never read beside itself', async () => {
    let reads = 0;
    let release = (_text: string) => {};
    const feed: Feed = {
      read: () => {
        reads++;
        return new Promise((resolve) => {
          release = resolve;
        });
      },
    };
    const { clock, hub, schedules } = start(schedule({ feed, timeoutMs: 1000 }));
    await clock.advanceSettled(9000);
    expect(reads).toBe(1);
    expect((await schedules.get('clock')).counters).toMatchObject({ failed: 2, overlapped: 1 });
    expect(schedules.request('lobby').coming).toEqual([]);
    expect(await schedules.run('clock')).toMatchObject({
      reason: 'timeout',
      detail: 'the read before does not end, although aborted',
      counters: { failed: 3 },
    });
    release('"too late"');
    await clock.advanceSettled(3000);
    expect(reads).toBe(2);
    release('"in time"');
    await settled();
    expect(hub.ticks).toEqual([[12, null, 15]]);
  });

  it('that takes its time to end after an abort is read again when it has ended', async () => {
    const ends: (() => void)[] = [];
    const feed: Feed = {
      read: (_tick, signal) =>
        new Promise((resolve, reject) => {
          if (ends.length > 0) resolve('1');
          ends.push(() => reject(signal.reason));
        }),
    };
    const { clock, hub, schedules } = start(schedule({ feed, timeoutMs: 1000 }));
    await clock.advanceSettled(3500);
    const run = schedules.run('clock');
    await clock.advanceSettled(500);
    expect((await schedules.get('clock')).counters).toMatchObject({ failed: 1 });
    expect(ends).toHaveLength(1);
    ends[0]?.();
    expect(await run).toMatchObject({ state: 'ok', counters: { failed: 1, sent: 1 } });
    expect(hub.ticks).toEqual([[3, null, 6]]);
  });

  it.each([
    [
      'rejects with an error',
      () => Promise.reject(new Error('upstream says 500')),
      'upstream says 500',
      'failed',
    ],
    ['rejects with something else', () => Promise.reject('odd'), 'odd', 'failed'],
    [
      'rejects with a reason',
      () => Promise.reject(new FeedError('http-status', 'answered 502')),
      'answered 502',
      'http-status',
    ],
    [
      'rejects with a reason that there is not',
      () => Promise.reject(new FeedError('http://10.0.0.1/' as Reason, 'odd')),
      'odd',
      'failed',
    ],
    [
      'throws at once',
      () => {
        throw new Error('thrown');
      },
      'thrown',
      'failed',
    ],
    [
      'answers with too much',
      () => Promise.resolve(JSON.stringify('x'.repeat(EVENT_BYTES))),
      '1002 bytes of data are too many: limits.eventBytes is 1000',
      'too-large',
    ],
    [
      'answers with too many bytes in few characters',
      () => Promise.resolve(JSON.stringify('€'.repeat(400))),
      '1202 bytes of data are too many: limits.eventBytes is 1000',
      'too-large',
    ],
  ])('that %s has failed, which is told once', async (_, read, detail, reason) => {
    const { clock, hub, schedules, reports } = start(schedule({ feed: { read } }));
    await clock.advanceSettled(9000);
    expect(hub.story).toEqual(['error']);
    expect(hub.statuses()).toEqual([
      { time: at(3), schedule: 'clock', state: 'error', since: at(3), lastGood: null, reason },
    ]);
    expect(await schedules.get('clock')).toMatchObject({
      reason,
      detail,
      counters: { runs: 3, sent: 0, failed: 3 },
    });
    expect(reports.filter(([what]) => what === 'turned')).toEqual([['turned', 'clock', 'error', detail]]);
  });

  it.each([
    ['letters', 'x'.repeat(12_000), `${'x'.repeat(500)}…`],
    ['pairs of surrogates', `x${'🔔'.repeat(6000)}`, `x${'🔔'.repeat(249)}…`],
    ['as many characters as are kept', 'x'.repeat(500), 'x'.repeat(500)],
  ])('that fails with a long message keeps its beginning: %s', async (_, message, detail) => {
    const read = () => Promise.reject(new FeedError('refused', message));
    const { clock, schedules, reports } = start(schedule({ feed: { read } }));
    await clock.advanceSettled(3000);
    expect(await schedules.get('clock')).toMatchObject({ reason: 'refused', detail });
    expect((await schedules.runs('clock', { limit: 1 }))[0]).toMatchObject({ error: detail });
    expect(reports).toContainEqual(['turned', 'clock', 'error', detail]);
  });

  it('that fails breaks no chain: the next tick names the last one sent', async () => {
    const feed = new FakeFeed();
    const { clock, hub } = start(schedule({ feed }));
    for (const outcome of ['1', null, null, '2']) {
      await clock.advanceSettled(3000);
      if (outcome) feed.last.resolve(outcome);
      else feed.last.reject(new Error('no'));
      await settled();
    }
    expect(hub.story).toEqual(['tick 3', 'error', 'ok', 'tick 12']);
    expect(hub.ticks.at(-1)).toEqual([12, 3, 15]);
    expect(hub.statuses()).toMatchObject([
      { state: 'error', since: at(6), lastGood: at(3), reason: 'failed' },
      { state: 'ok', since: at(12), lastGood: at(12), reason: null },
    ]);
  });

  it('whose listeners left meanwhile sends nothing and moves no chain', async () => {
    const feed = new FakeFeed();
    const { clock, hub, schedules } = start(schedule({ feed }));
    await clock.advanceSettled(3000);
    hub.rooms = [];
    feed.last.resolve('1');
    await settled();
    hub.rooms = ['lobby'];
    await clock.advanceSettled(3000);
    feed.last.resolve('2');
    await settled();
    expect(hub.ticks.at(-1)).toEqual([6, null, 9]);
    expect(await schedules.runs('clock', { limit: 10 })).toMatchObject([
      { outcome: 'sent' },
      { outcome: 'unheard', sent: null, lateMs: null },
    ]);
  });
});

describe('a computed feed', () => {
  it('that throws has failed and stops nothing', async () => {
    let calls = 0;
    const feed: Feed = {
      compute: () => {
        if (calls++ === 0) throw new Error('broken');
        return '1';
      },
    };
    const { clock, hub } = start(schedule({ feed }));
    clock.advance(6000);
    expect(hub.story).toEqual(['error', 'ok', 'tick 6']);
  });

  it('is measured with the longest room name where its data differs by room', async () => {
    const feed: Feed = { compute: () => (room) => JSON.stringify(room.repeat(8)) };
    const { clock, schedules } = start(schedule({ feed }));
    clock.advance(3000);
    expect(await schedules.get('clock')).toMatchObject({
      state: 'error',
      detail: expect.stringContaining('1026 bytes'),
    });
  });
});

describe('schedules beside each other', () => {
  it('are not delayed by one that hangs, one that throws, and a report that throws', async () => {
    const broken = () => {
      throw new Error('the log is full');
    };
    const { clock, hub, schedules } = startReporting(
      {
        stateChanged: broken,
        missed: broken,
        overlapped: broken,
        stepped: broken,
        faulted: broken,
        notStored: broken,
      },
      schedule({ name: 'hangs', feed: new FakeFeed() }),
      schedule({
        name: 'throws',
        feed: {
          compute() {
            throw new Error('no');
          },
        },
      }),
      schedule({ name: 'good' }),
    );
    await clock.advanceSettled(60_000);
    const good = hub.deliveries.flatMap(({ event }) =>
      event.tick?.schedule === 'good' ? secondsOf(event.tick.due) : [],
    );
    expect(good).toEqual(Array.from({ length: 20 }, (_, index) => 3 * (index + 1)));
    expect((await schedules.get('good')).lateness?.maxMs).toBe(0);
  });

  it('cost one timer and run in the order of the file', () => {
    const { clock, hub } = start(...['c', 'a', 'b'].map((name) => schedule({ name })));
    expect(clock.pending).toBe(1);
    clock.advance(3000);
    expect(hub.deliveries.map(({ event }) => event.tick?.schedule)).toEqual(['c', 'a', 'b']);
  });
});

describe('pausing', () => {
  it('sends no ticks, says so, and keeps the chain for afterwards', async () => {
    const { clock, hub, schedules } = start(schedule());
    clock.advance(3000);
    const paused = await schedules.pause('clock');
    expect(paused).toMatchObject({ state: 'paused', since: at(3), next: [] });
    clock.advance(9000);
    expect(await schedules.resume('clock')).toMatchObject({
      state: 'ok',
      since: at(12),
      next: [at(15), at(18), at(21)],
    });
    clock.advance(3000);
    expect(hub.story).toEqual(['tick 3', 'paused', 'ok', 'tick 15']);
    expect(hub.ticks.at(-1)).toEqual([15, 3, 18]);
    expect((await schedules.get('clock')).counters.missed).toBe(0);
  });

  it('twice, and resuming what runs, is fine and told once', async () => {
    const { hub, schedules } = start(schedule());
    await schedules.resume('clock');
    await schedules.pause('clock');
    await schedules.pause('clock');
    await schedules.resume('clock');
    await schedules.resume('clock');
    expect(hub.story).toEqual(['paused', 'ok']);
  });

  it('drops what is being read', async () => {
    const feed = new FakeFeed();
    const { clock, hub, schedules } = start(schedule({ feed }));
    await clock.advanceSettled(3000);
    await schedules.pause('clock');
    await settled();
    expect(feed.open).toBe(0);
    expect(hub.story).toEqual(['paused']);
    expect((await schedules.get('clock')).counters).toMatchObject({ runs: 0, failed: 0 });
  });

  it('and running by hand in the same turn reads once the dropped read has ended', async () => {
    const feed = new FakeFeed();
    const { clock, hub, schedules } = start(schedule({ feed }));
    await clock.advanceSettled(3000);
    void schedules.pause('clock');
    const run = schedules.run('clock');
    await settled();
    feed.last.resolve('1');
    expect(await run).toMatchObject({ state: 'paused', counters: { failed: 0, sent: 1 } });
    expect(hub.story).toEqual(['paused', 'tick 3']);
    expect(feed.mostOpen).toBe(1);
  });

  it('drops what had come but was not yet sent', async () => {
    const feed = new FakeFeed();
    const { clock, hub, schedules } = start(schedule({ feed }));
    await clock.advanceSettled(3000);
    feed.last.resolve('1');
    await schedules.pause('clock');
    await settled();
    expect(hub.story).toEqual(['paused']);
  });

  it('from the start leaves no timer of its own', async () => {
    const { clock, hub, schedules } = start(schedule({ paused: true }));
    expect(clock.pending).toBe(LOOKING_FOR_STEPS);
    clock.advance(9000);
    expect(hub.deliveries).toEqual([]);
    expect(await schedules.get('clock')).toMatchObject({ state: 'paused', since: START });
    await schedules.resume('clock');
    clock.advance(3000);
    expect(hub.story).toEqual(['ok', 'tick 12']);
  });
});

describe('a run by hand', () => {
  it('sends the newest due instant at once, marked, within the chain', async () => {
    const { clock, hub, schedules } = start(schedule());
    clock.advance(4000);
    const entry = await schedules.run('clock');
    expect(entry.last).toEqual({ due: at(3), sent: at(4), rooms: 1, connections: 1 });
    expect(hub.deliveries.at(-1)?.event).toEqual({
      event: 'time',
      time: at(4),
      tick: { schedule: 'clock', due: at(3), previous: at(3), next: at(6), seq: 598399201, manual: true },
    });
    clock.advance(2000);
    expect(hub.ticks.at(-1)).toEqual([6, 3, 9]);
    expect(hub.story).not.toContain('changed');
    expect(entry.counters).toMatchObject({ runs: 2, sent: 2 });
    expect(entry.lateness).toMatchObject({ lastMs: 0 });
  });

  it('before the first instant stands for the one before the start', async () => {
    const { clock, hub, schedules } = start(schedule());
    clock.advance(1000);
    await schedules.run('clock');
    clock.advance(2000);
    expect(hub.ticks).toEqual([
      [0, null, 3],
      [3, 0, 6],
    ]);
  });

  it('while paused is sent, with nothing next', async () => {
    const { clock, hub, schedules } = start(schedule({ paused: true }));
    clock.advance(4000);
    expect(await schedules.run('clock')).toMatchObject({ state: 'paused', counters: { sent: 1 } });
    expect(hub.ticks).toEqual([[3, null, null]]);
  });

  it('reads although nobody listens, which moves no chain', async () => {
    const feed = new FakeFeed();
    const { clock, hub, schedules } = start(schedule({ feed }));
    hub.rooms = [];
    await clock.advanceSettled(4000);
    const run = schedules.run('clock');
    await settled();
    feed.last.resolve('1');
    expect(await run).toMatchObject({ last: null, counters: { runs: 1, sent: 0 } });
    hub.rooms = ['lobby'];
    await clock.advanceSettled(2000);
    feed.last.resolve('2');
    await settled();
    expect(hub.ticks.at(-1)).toEqual([6, null, 9]);
  });

  it('waits for the read that is under way and then reads again, once for all who ask', async () => {
    const feed = new FakeFeed();
    const { clock, hub, schedules } = start(schedule({ feed }));
    await clock.advanceSettled(3000);
    const runs = [schedules.run('clock'), schedules.run('clock')];
    await settled();
    expect(feed.reads).toHaveLength(1);
    feed.last.resolve('1');
    await settled();
    expect(feed.reads).toHaveLength(2);
    feed.last.resolve('2');
    await Promise.all(runs);
    expect(hub.deliveries.map(({ event, data }) => [event.tick?.manual, data])).toEqual([
      [undefined, '1'],
      [true, '2'],
    ]);
    expect(feed.mostOpen).toBe(1);
  });

  it('that fails answers with the error', async () => {
    const { clock, schedules } = start(schedule({ feed: { read: () => Promise.reject(new Error('no')) } }));
    clock.advance(1000);
    expect(await schedules.run('clock')).toMatchObject({
      state: 'error',
      detail: 'no',
      counters: { failed: 1 },
    });
    expect(await schedules.runs('clock', { limit: 1 })).toMatchObject([
      { manual: true, outcome: 'failed', error: 'no', sent: null },
    ]);
  });

  it('that waits when all is stopped reads nothing', async () => {
    const feed = new FakeFeed();
    const { clock, schedules } = start(schedule({ feed }));
    await clock.advanceSettled(3000);
    const run = schedules.run('clock');
    await schedules.stop();
    await run;
    await settled();
    expect(feed.reads).toHaveLength(1);
    expect(feed.open).toBe(0);
  });
});

describe('the current tick', () => {
  it('is the same object for all that join a room, so that it is encoded once; another one after the next tick', () => {
    const { clock, schedules } = start(schedule());
    clock.advance(3000);
    const [first] = schedules.request('lobby').ticks;
    expect(first?.room).toBe('lobby');
    expect(schedules.request('lobby').ticks[0]).toBe(first);
    expect(schedules.request('attic').ticks[0]).toMatchObject({ room: 'attic', data: first?.data });
    expect(schedules.request('lobby').ticks[0]).toBe(first);
    clock.advance(3000);
    expect(schedules.request('lobby').ticks[0]).not.toBe(first);
  });

  const tickOf = (event: RoomEvent | undefined) =>
    event?.tick && [secondsOf(event.tick.due), secondsOf(event.tick.previous), secondsOf(event.tick.next)];

  it('is the last one sent, as it was sent, marked as sent again', () => {
    const { clock, schedules } = start(schedule());
    clock.advance(4000);
    expect(schedules.request('hall')).toEqual({
      statuses: [],
      coming: [],
      ticks: [
        {
          room: 'hall',
          event: 'time',
          time: at(3),
          data: `{"unixMs":${Date.parse(at(3))}}`,
          tick: { schedule: 'clock', due: at(3), previous: null, next: at(6), seq: 598399201 },
          replay: true,
        },
      ],
    });
  });

  it('is computed for the newest instant where none is at hand, without a trace in the chain', () => {
    const { clock, hub, schedules } = start(schedule());
    hub.rooms = [];
    clock.advance(7000);
    const first = schedules.request('lobby').ticks[0];
    expect(tickOf(first)).toEqual([6, null, 9]);
    expect(first?.time).toBe(at(7));
    clock.advance(1000);
    expect(schedules.request('lobby').ticks[0]).toEqual(first);
    hub.rooms = ['lobby'];
    clock.advance(1000);
    expect(hub.ticks).toEqual([[9, null, 12]]);
  });

  it('holds the data of the room', () => {
    const feed: Feed = { compute: () => (room) => JSON.stringify(room) };
    const { clock, schedules } = start(schedule({ feed }));
    clock.advance(3000);
    expect(schedules.request('hall').ticks[0]?.data).toBe('"hall"');
  });

  it('is told of the schedules that reach the room only', () => {
    const { clock, schedules } = start(
      schedule({ name: 'a', rooms: ['lobby', 'ops-*'] }),
      schedule({ name: 'b', rooms: ['hall'], paused: true }),
    );
    clock.advance(3000);
    expect(schedules.request('ops-1').ticks.map(({ tick }) => tick?.schedule)).toEqual(['a']);
    expect(schedules.request('ops-1').statuses).toEqual([]);
    expect(schedules.request('hall').ticks).toEqual([]);
    expect(schedules.request('hall').statuses).toHaveLength(1);
  });

  it('is read once for all who ask in that moment, and again only when an instant has come', async () => {
    const feed = new FakeFeed();
    const { clock, hub, schedules } = start(schedule({ feed }));
    hub.rooms = [];
    await clock.advanceSettled(4000);
    const [a] = schedules.request('a').coming;
    const [b] = schedules.request('b').coming;
    await settled();
    expect(feed.reads.map(({ tick }) => tick.due)).toEqual([at(3)]);
    feed.last.resolve('42');
    expect(await a).toEqual({
      room: 'a',
      event: 'time',
      time: at(4),
      data: '42',
      tick: { schedule: 'clock', due: at(3), previous: null, next: at(6), seq: 598399201 },
      replay: true,
    });
    expect((await b)?.room).toBe('b');
    expect(schedules.request('c')).toMatchObject({ ticks: [{ data: '42' }], coming: [] });
    expect(feed.reads).toHaveLength(1);
    expect(hub.deliveries).toEqual([]);
    await clock.advanceSettled(3000);
    expect(schedules.request('c')).toMatchObject({ ticks: [], coming: [expect.any(Promise)] });
  });

  it('that is being read gives way to a live one', async () => {
    const feed = new FakeFeed();
    const { clock, hub, schedules } = start(schedule({ feed }));
    await clock.advanceSettled(2000);
    const [coming] = schedules.request('lobby').coming;
    await clock.advanceSettled(1000);
    expect(feed.reads.map(({ tick, signal }) => [secondsOf(tick.due), signal.aborted])).toEqual([
      [0, true],
      [3, false],
    ]);
    let answered = false;
    void coming?.then(() => {
      answered = true;
    });
    await settled();
    expect(answered).toBe(false);
    feed.last.resolve('1');
    expect(await coming).toBeUndefined();
    expect(hub.ticks).toEqual([[3, null, 6]]);
    expect(schedules.request('lobby').ticks[0]?.data).toBe('1');
    expect(feed.mostOpen).toBe(1);
    expect((await schedules.get('clock')).counters).toMatchObject({ overlapped: 0, failed: 0 });
  });

  it('of a client that joins during a live read comes live', async () => {
    const feed = new FakeFeed();
    const { clock, schedules } = start(schedule({ feed }));
    await clock.advanceSettled(3000);
    const [coming] = schedules.request('lobby').coming;
    feed.last.resolve('1');
    expect(await coming).toBeUndefined();
    expect(feed.reads).toHaveLength(1);
  });

  it('that could not be read is not tried again before the next instant, and its status says why', async () => {
    const feed = new FakeFeed();
    const { clock, hub, schedules } = start(schedule({ feed }));
    hub.rooms = [];
    await clock.advanceSettled(4000);
    const [coming] = schedules.request('lobby').coming;
    feed.last.reject(new Error('no'));
    expect(await coming).toBeUndefined();
    expect(schedules.request('lobby')).toMatchObject({
      statuses: [
        { room: 'lobby', event: 'status', time: at(4), data: expect.stringContaining('"state":"error"') },
      ],
      ticks: [],
      coming: [],
    });
    await clock.advanceSettled(2000);
    expect(schedules.request('lobby').coming).toHaveLength(1);
  });

  it('that failed live is not tried by those who join', async () => {
    const { clock, schedules } = start(schedule({ feed: { read: () => Promise.reject(new Error('no')) } }));
    await clock.advanceSettled(4000);
    expect(schedules.request('lobby')).toMatchObject({
      ticks: [],
      coming: [],
      statuses: [{ event: 'status' }],
    });
  });

  it('of a paused schedule stays the last one, with nothing next; nothing is read', async () => {
    const feed = new FakeFeed();
    const { clock, schedules } = start(schedule({ feed }));
    await clock.advanceSettled(3000);
    feed.last.resolve('1');
    await settled();
    await schedules.pause('clock');
    await clock.advanceSettled(60_000);
    const current = schedules.request('lobby');
    expect(current.ticks.map(tickOf)).toEqual([[3, null, null]]);
    expect(current.coming).toEqual([]);
    expect(JSON.parse(current.statuses[0]?.data ?? '')).toEqual({
      schedule: 'clock',
      state: 'paused',
      since: at(3),
      lastGood: at(3),
      reason: 'paused',
    });
    expect(feed.reads).toHaveLength(1);
  });

  it('of a run by hand during a pause is not served for ever afterwards', async () => {
    const { clock, schedules } = start(schedule({ paused: true }));
    clock.advance(4000);
    await schedules.run('clock');
    expect(schedules.request('lobby').ticks.map(tickOf)).toEqual([[3, null, null]]);
    await schedules.resume('clock');
    expect(schedules.request('lobby').ticks.map(tickOf)).toEqual([[3, null, 6]]);
  });

  it('of a schedule that starts paused is none', () => {
    const { schedules } = start(schedule({ paused: true }));
    expect(schedules.request('lobby')).toMatchObject({
      ticks: [],
      coming: [],
      statuses: [{ event: 'status' }],
    });
  });

  it('from before the clock was set back is none', () => {
    const { clock, schedules } = start(schedule());
    clock.advance(7000);
    clock.step(-HOUR_MS);
    expect(schedules.request('lobby').ticks.map(tickOf)).toEqual([[-3594, 6, -3591]]);
  });
});

describe('listing', () => {
  const thirty = Array.from({ length: 30 }, (_, index) => `s${String(index).padStart(2, '0')}`);

  it('is given in pages', async () => {
    const { schedules } = start(...thirty.map((name) => schedule({ name })));
    const names = async (query: { after?: string; limit: number }) =>
      (await schedules.list(query)).map(({ name }) => name);
    expect(await names({ limit: 3 })).toEqual(['s00', 's01', 's02']);
    expect(await names({ after: 's02', limit: 2 })).toEqual(['s03', 's04']);
    expect(await names({ after: 's28', limit: 2 })).toEqual(['s29']);
    expect(await names({ after: 's29', limit: 2 })).toEqual([]);
  });

  it('is done in slices: others have their turns meanwhile', async () => {
    const { clock, schedules } = start(...thirty.map((name) => schedule({ name })));
    let ms = 0;
    clock.monotonic = () => ms++;
    let turns = 0;
    const turn = () => {
      turns++;
      next = setImmediate(turn);
    };
    let next = setImmediate(turn);
    expect(await schedules.list()).toHaveLength(30);
    clearImmediate(next);
    expect(turns).toBeGreaterThan(3);
  });

  it('tells the same runs of a calendar in slices as in one go', async () => {
    const cadence = calendar('30 1-3 * * *', 'Europe/Berlin');
    const describedCadence = { cron: '30 1-3 * * *', timezone: 'Europe/Berlin' };
    const { schedules } = start(schedule({ name: 'night', cadence, describedCadence }));
    const fromMs = Date.parse('2026-03-25T00:00:00Z');
    const whole = explain({ name: 'night', cadence, describedCadence }, fromMs, 25);
    expect(await schedules.explain('night', { fromMs, count: 25 })).toEqual(whole);
    expect(whole.runs).toHaveLength(25);
  });

  it('is ordered by name, complete and plain', async () => {
    const { clock, schedules } = start(
      schedule({
        name: 'market',
        cadence: calendar('*/5 9-17 * * 1-5', 'America/New_York'),
        describedCadence: { cron: '*/5 9-17 * * 1-5', timezone: 'America/New_York' },
        rooms: ['market-*'],
        event: 'prices',
        feed: new FakeFeed(),
        feedType: 'http',
      }),
      schedule(),
    );
    clock.advance(3000);
    expect(structuredClone(await schedules.list())).toEqual([
      {
        name: 'clock',
        cadence: { every: '3s' },
        feed: { type: 'time' },
        event: 'time',
        rooms: ['*'],
        state: 'ok',
        since: START,
        reason: null,
        detail: null,
        lastGood: at(3),
        next: [at(6), at(9), at(12)],
        last: { due: at(3), sent: at(3), rooms: 1, connections: 1 },
        counters: { runs: 1, sent: 1, unchanged: 0, missed: 0, overlapped: 0, failed: 0 },
        lateness: { lastMs: 0, medianMs: 0, p99Ms: 0, maxMs: 0 },
      },
      {
        name: 'market',
        cadence: { cron: '*/5 9-17 * * 1-5', timezone: 'America/New_York' },
        feed: { type: 'http' },
        event: 'prices',
        rooms: ['market-*'],
        state: 'ok',
        since: START,
        reason: null,
        detail: null,
        lastGood: null,
        next: [at(300), at(600), at(900)],
        last: null,
        counters: { runs: 0, sent: 0, unchanged: 0, missed: 0, overlapped: 0, failed: 0 },
        lateness: null,
      },
    ]);
  });

  it.each(['get', 'run', 'pause', 'resume'] as const)(
    'refuses to %s what is not there, naming what is',
    async (call) => {
      const { schedules } = start(schedule({ name: 'b' }), schedule({ name: 'a' }));
      const refused = schedules[call]('clokc');
      await expect(refused).rejects.toBeInstanceOf(Refusal);
      await expect(refused).rejects.toMatchObject({
        status: 404,
        message: 'there is no schedule "clokc"; known: a, b',
      });
    },
  );

  it('refuses the runs of what is not there', async () => {
    const { schedules } = start();
    await expect(schedules.runs('x', { limit: 1 })).rejects.toMatchObject({
      status: 404,
      message: 'there is no schedule "x"; known: none',
    });
  });

  it('tells the first to be due', () => {
    const { clock, schedules } = start(
      schedule({ name: 'slow', cadence: interval(5000) }),
      schedule({ name: 'off', paused: true, cadence: interval(100) }),
      schedule(),
    );
    expect(schedules.nextDue()).toEqual({ schedule: 'clock', due: Date.parse(at(3)) });
    clock.advance(3000);
    expect(schedules.nextDue()).toEqual({ schedule: 'slow', due: Date.parse(at(5)) });
  });

  it('has nothing due where there are no schedules', () => {
    expect(start().schedules.nextDue()).toBeNull();
  });
});

describe('the run log', () => {
  it('says of each run what became of it, newest first', async () => {
    const feed = new FakeFeed();
    const { clock, schedules } = start(schedule({ feed }));
    await clock.advanceSettled(3500);
    feed.last.resolve('1');
    await clock.advanceSettled(2500);
    feed.last.reject(new Error('no'));
    await settled();
    expect(await schedules.runs('clock', { limit: 10 })).toEqual([
      {
        id: '1',
        due: at(6),
        started: at(6),
        sent: null,
        lateMs: null,
        manual: false,
        rooms: 0,
        connections: 0,
        bytes: 0,
        outcome: 'failed',
        error: 'no',
      },
      {
        id: '0',
        due: at(3),
        started: at(3),
        sent: at(3.5),
        lateMs: 500,
        manual: false,
        rooms: 1,
        connections: 1,
        bytes: 100,
        outcome: 'sent',
        error: null,
      },
    ]);
  });

  it('is paged by the last id seen, also while more is added', async () => {
    const { clock, schedules } = start(schedule());
    clock.advance(15_000);
    const first = await schedules.runs('clock', { limit: 2 });
    expect(first.map(({ id }) => id)).toEqual(['4', '3']);
    clock.advance(3000);
    const rest = await schedules.runs('clock', { limit: 10, after: first.at(-1)?.id ?? '' });
    expect(rest.map(({ id }) => id)).toEqual(['2', '1', '0']);
    expect(await schedules.runs('clock', { limit: 10, after: '0' })).toEqual([]);
  });

  it('keeps the newest hundred', async () => {
    const { clock, schedules } = start(schedule());
    clock.advance(250 * 3000);
    const runs = await schedules.runs('clock', { limit: 1000 });
    expect(runs).toHaveLength(100);
    expect([runs[0]?.due, runs[99]?.due]).toEqual([at(750), at(453)]);
  });

  it.each(['x', '', '-1', '1.5', '99999999999999999999'])('refuses the cursor "%s"', async (after) => {
    const { schedules } = start(schedule());
    await expect(schedules.runs('clock', { limit: 1, after })).rejects.toMatchObject({
      status: 400,
      message: expect.stringContaining(`"${after}"`),
    });
  });
});

describe('stopping', () => {
  it('aborts what is read, leaves no timer and sends nothing more', async () => {
    const live = new FakeFeed();
    const asked = new FakeFeed();
    const { clock, hub, schedules } = start(
      schedule({ name: 'live', feed: live }),
      schedule({ name: 'asked', feed: asked, rooms: ['empty'] }),
      schedule(),
    );
    await clock.advanceSettled(4000);
    const [coming] = schedules.request('empty').coming;
    await settled();
    expect([live.open, asked.open]).toEqual([1, 1]);
    const before = hub.deliveries.length;
    await schedules.stop();
    expect(clock.pending).toBe(0);
    expect([live.open, asked.open]).toEqual([0, 0]);
    expect(await coming).toBeUndefined();
    await clock.advanceSettled(60_000);
    expect(hub.deliveries).toHaveLength(before);
    expect(await schedules.list()).toEqual([]);
    expect(schedules.request('lobby')).toEqual({ statuses: [], ticks: [], coming: [] });
  });

  it.each([
    [1500, 1500],
    [60_000, 2000],
  ])('waits for a feed that takes %i ms to end for %i ms', async (endsAfterMs, waitedMs) => {
    const feed: Feed = {
      read: (_tick, signal) =>
        new Promise((_, reject) => {
          signal.addEventListener('abort', () => clock.after(endsAfterMs, () => reject(signal.reason)));
        }),
    };
    const { clock, schedules } = start(schedule({ feed }));
    await clock.advanceSettled(3000);
    const stoppedAtMs = clock.monotonic();
    let tookMs = Number.NaN;
    const stopped = schedules.stop().then(() => {
      tookMs = clock.monotonic() - stoppedAtMs;
    });
    await clock.advanceSettled(60_000);
    await stopped;
    expect(tookMs).toBe(waitedMs);
  });
});
