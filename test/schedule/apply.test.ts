import { describe, expect, it } from 'vitest';
import type { Feed } from '../../src/feed/feed.ts';
import { calendar, interval } from '../../src/schedule/cadence.ts';
import { settled } from '../helpers/manual-clock.ts';
import { at, FakeFeed, LOOKING_FOR_STEPS, schedule, start } from './fixture.ts';

/** A feed that tells whether it was closed. */
class ClosableFeed extends FakeFeed {
  closed = 0;

  close(): void {
    this.closed++;
  }
}

const everySecond = { cadence: interval(1000), describedCadence: { every: '1s' } };

describe('Schedules.apply', () => {
  it('answers what was added, changed, removed and kept', () => {
    const { schedules } = start(schedule({ name: 'd' }), schedule({ name: 'b' }), schedule({ name: 'a' }));
    const applied = schedules.apply([
      schedule({ name: 'c' }),
      schedule({ name: 'b', event: 'bell' }),
      schedule({ name: 'd' }),
    ]);
    expect(applied).toEqual({ added: ['c'], changed: ['b'], removed: ['a'], kept: ['d'] });
  });

  it('takes schedules for the same whose configuration is deeply equal', () => {
    const config = () => ({ name: 'clock', feed: { options: { headers: { a: '1' } } } });
    const { schedules } = start(schedule({ config: config() }));
    expect(schedules.apply([schedule({ config: config() })]).kept).toEqual(['clock']);
    const other = config();
    other.feed.options.headers.a = '2';
    expect(schedules.apply([schedule({ config: other })]).changed).toEqual(['clock']);
  });
});

describe('a schedule that is kept', () => {
  it('has no tick lost or doubled over a hundred times, at whatever moment', () => {
    const { clock, hub, schedules } = start(schedule());
    for (let count = 0; count < 100; count++) {
      clock.advance(count * 7);
      schedules.apply([{ ...schedule(), makeFeed: () => expect.fail('its feed was made again') }]);
    }
    expect(hub.dues).toEqual(Array.from({ length: 11 }, (_, index) => 3 * (index + 1)));
  });

  it('goes on with its read, its timer and its place', async () => {
    const feed = new ClosableFeed();
    const { clock, hub, schedules } = start(schedule({ feed }));
    await clock.advanceSettled(4000);
    schedules.apply([schedule({ feed }), schedule({ name: 'another', paused: true })]);
    feed.last.resolve('1');
    await settled();
    expect(hub.ticks).toEqual([[3, null, 6]]);
    expect(feed.reads).toHaveLength(1);
    expect(feed.closed).toBe(0);
    await clock.advanceSettled(2000);
    expect(feed.reads).toHaveLength(2);
  });
});

describe('a schedule that has changed', () => {
  it('keeps its chain, counters and runs, and sends a status for its new cadence before the next tick', async () => {
    const { clock, hub, schedules } = start(schedule());
    clock.advance(7500);
    schedules.apply([schedule(everySecond)]);
    clock.advance(2000);
    expect(hub.story).toEqual(['tick 3', 'tick 6', 'changed', 'tick 8', 'tick 9']);
    expect(hub.ticks.slice(2)).toEqual([
      [8, 6, 9],
      [9, 8, 10],
    ]);
    expect(hub.statuses()).toEqual([
      {
        time: at(7.5),
        schedule: 'clock',
        state: 'changed',
        since: at(7.5),
        lastGood: at(6),
        reason: 'changed',
      },
    ]);
    const entry = await schedules.get('clock');
    expect(entry).toMatchObject({ cadence: { every: '1s' }, state: 'ok', counters: { runs: 4, sent: 4 } });
    expect(await schedules.runs('clock', { limit: 10 })).toHaveLength(4);
  });

  it('sends no status for a new feed, and has no tick lost or doubled', () => {
    const { clock, hub, schedules } = start(schedule());
    for (let count = 0; count < 100; count++) {
      clock.advance(300);
      schedules.apply([schedule({ feed: { compute: () => String(count) } })]);
    }
    expect(hub.story).toEqual(Array.from({ length: 10 }, (_, index) => `tick ${3 * (index + 1)}`));
  });

  it.each([
    ['a calendar', calendar('3 0 18 * * *', 'UTC')],
    ['an interval', interval(3000)],
  ])('sends nothing twice after a small correction of the clock: %s', async (_name, cadence) => {
    for (const how of ['changed', 'paused', 'changed while paused', 'set before the change']) {
      const { clock, hub, schedules } = start(schedule({ cadence }));
      clock.advance(4000);
      const sent = hub.ticks;
      expect(hub.dues, how).toEqual([3]);
      if (how.includes('paused')) await schedules.pause('clock');
      if (how === 'set before the change') clock.step(-3000);
      if (how.includes('change')) schedules.apply([schedule({ cadence, timeoutMs: 9000 })]);
      if (how.includes('paused')) await schedules.resume('clock');
      if (how !== 'set before the change') clock.step(-3000);
      schedules.request('lobby');
      clock.advance(4000);
      expect(hub.ticks, how).toEqual(sent);
      expect(hub.statuses().map(({ reason }) => reason)).not.toContain('clock');
      await schedules.stop();
    }
  });

  it('has the instant that was due while the loop was blocked', () => {
    const { clock, hub, schedules } = start(schedule());
    clock.advance(2500);
    // The clock has moved on, the timer has not fired yet.
    clock.step(600);
    schedules.apply([schedule({ event: 'bell' })]);
    clock.advance(0);
    expect(hub.dues).toEqual([3]);
    expect(hub.deliveries.at(-1)?.event.event).toBe('bell');
  });

  it('sends a status for other rooms, so that viewers there compare from then on', () => {
    const { clock, hub, schedules } = start(schedule({ rooms: ['hall'] }));
    clock.advance(3000);
    schedules.apply([schedule({ rooms: ['lobby'] })]);
    expect(hub.statuses()).toMatchObject([{ state: 'changed', reason: 'changed' }]);
    expect(hub.deliveries.at(-1)?.rooms).toEqual(['lobby']);
  });

  it('aborts what was read and closes the feed; the new one is read at the next instant', async () => {
    const [old, young] = [new ClosableFeed(), new ClosableFeed()];
    const { clock, hub, schedules } = start(schedule({ feed: old }));
    await clock.advanceSettled(3500);
    schedules.apply([schedule({ feed: young })]);
    await settled();
    expect([old.open, old.closed, young.closed]).toEqual([0, 1, 0]);
    await clock.advanceSettled(2500);
    young.last.resolve('1');
    await settled();
    expect(hub.story).toEqual(['tick 6']);
    expect((await schedules.get('clock')).counters).toMatchObject({ runs: 1, failed: 0 });
  });

  it('shows a client that joins the value of its new feed, not the one before', () => {
    const { clock, schedules } = start(schedule({ feed: { compute: () => '"old"' } }));
    clock.advance(4000);
    schedules.apply([schedule({ feed: { compute: () => '"new"' } })]);
    expect(schedules.request('lobby').ticks).toMatchObject([{ data: '"new"', tick: { due: at(3) } }]);
  });

  it('shows a client that joins the newest instant there was, also where its new cadence had none then', () => {
    const { clock, hub, schedules } = start(
      schedule({ cadence: interval(1000), describedCadence: { every: '1s' } }),
    );
    clock.advance(1000);
    schedules.apply([schedule()]);
    expect(schedules.request('lobby').ticks).toMatchObject([
      { tick: { due: at(1), previous: at(1), next: at(3) } },
    ]);
    clock.advance(2000);
    expect(hub.ticks.at(-1)).toEqual([3, 1, 6]);
  });

  it('may be read for a client that joins although the old feed failed at this instant', async () => {
    const young = new FakeFeed();
    const { clock, schedules } = start(schedule({ feed: { read: () => Promise.reject(new Error('no')) } }));
    await clock.advanceSettled(4000);
    schedules.apply([schedule({ feed: young })]);
    const [coming] = schedules.request('lobby').coming;
    young.last.resolve('1');
    expect((await coming)?.data).toBe('1');
  });

  it('stays in error until a value comes', async () => {
    const { clock, hub, schedules } = start(
      schedule({ feed: { read: () => Promise.reject(new Error('no')) } }),
    );
    await clock.advanceSettled(4000);
    schedules.apply([schedule()]);
    expect(await schedules.get('clock')).toMatchObject({ state: 'error', since: at(3), detail: 'no' });
    await clock.advanceSettled(2000);
    expect(hub.story).toEqual(['error', 'ok', 'tick 6']);
  });

  it('sends its value although the one before was the same: others may listen now', () => {
    const feed: Feed = { compute: () => '1' };
    const { clock, hub, schedules } = start(schedule({ feed, when: 'changed', rooms: ['hall'] }));
    hub.rooms = ['hall', 'lobby'];
    clock.advance(3000);
    schedules.apply([schedule({ feed, when: 'changed', rooms: ['lobby'] })]);
    clock.advance(6000);
    expect(hub.dues).toEqual([3, 6]);
  });

  it('stays paused, with its last tick for a client that joins, where the file says nothing about it', async () => {
    const { clock, hub, schedules } = start(schedule());
    clock.advance(3000);
    await schedules.pause('clock');
    schedules.apply([schedule({ event: 'bell' })]);
    clock.advance(9000);
    expect(hub.story).toEqual(['tick 3', 'paused']);
    expect(schedules.request('lobby').ticks).toMatchObject([{ tick: { due: at(3), next: null } }]);
    await schedules.resume('clock');
    clock.advance(3000);
    expect(hub.ticks.at(-1)).toEqual([15, 3, 18]);
  });

  it('is paused and resumed where the file says so', async () => {
    const { clock, hub, schedules } = start(schedule());
    schedules.apply([schedule({ paused: true })]);
    expect(clock.pending).toBe(LOOKING_FOR_STEPS);
    clock.advance(9000);
    schedules.apply([schedule()]);
    clock.advance(3000);
    expect(hub.story).toEqual(['paused', 'ok', 'tick 12']);
  });

  it('has a new age from which its value is stale', async () => {
    const feed = new FakeFeed();
    const { clock, hub, schedules } = start(schedule({ feed, staleAfterMs: 100_000 }));
    await clock.advanceSettled(3000);
    feed.last.resolve('1');
    await settled();
    await clock.advanceSettled(6000);
    schedules.apply([schedule({ feed, staleAfterMs: 5000 })]);
    expect(hub.statuses()).toMatchObject([{ state: 'stale', since: at(9) }]);
    schedules.apply([schedule({ feed })]);
    expect(hub.statuses().at(-1)).toMatchObject({ state: 'ok' });
    expect((await schedules.get('clock')).lastGood).toBe(at(3));
  });

  it('lets a run by hand end that waits for it', async () => {
    const old = new FakeFeed();
    const { clock, schedules } = start(schedule({ feed: old }));
    await clock.advanceSettled(4000);
    const run = schedules.run('clock');
    schedules.apply([schedule({ ...everySecond })]);
    expect(await run).toMatchObject({ name: 'clock', counters: { runs: 0 } });
    expect(old.reads).toHaveLength(1);
  });
});

describe('a schedule that is removed', () => {
  it('sends nothing more, is known no more, and leaves nothing running', async () => {
    const feed = new ClosableFeed();
    const { clock, hub, schedules } = start(
      schedule({ feed, staleAfterMs: 60_000 }),
      schedule({ name: 'b' }),
    );
    await clock.advanceSettled(3000);
    const [coming] = schedules.request('lobby').coming;
    schedules.apply([schedule({ name: 'b' })]);
    feed.last.resolve('1');
    await settled();
    expect(await coming).toBeUndefined();
    expect([feed.open, feed.closed]).toEqual([0, 1]);
    await clock.advanceSettled(9000);
    expect(hub.deliveries.map(({ event }) => event.tick?.schedule)).toEqual(['b', 'b', 'b', 'b']);
    await expect(schedules.get('clock')).rejects.toMatchObject({ status: 404 });
    schedules.apply([]);
    expect(clock.pending).toBe(LOOKING_FOR_STEPS);
  });

  it('starts a new chain when it is added again', () => {
    const { clock, hub, schedules } = start(schedule());
    clock.advance(3000);
    schedules.apply([]);
    schedules.apply([schedule()]);
    clock.advance(3000);
    expect(hub.ticks.at(-1)).toEqual([6, null, 9]);
  });
});

describe('a feed', () => {
  it('that cannot be made leaves all as it was, and closes those that were made', async () => {
    const [old, young] = [new ClosableFeed(), new ClosableFeed()];
    const { clock, hub, schedules } = start(schedule({ name: 'a', feed: old }), schedule({ name: 'c' }));
    const broken = () => {
      throw new Error('no such thing');
    };
    await clock.advanceSettled(3000);
    old.last.resolve('1');
    await settled();
    expect(() =>
      schedules.apply([
        schedule({ name: 'a', feed: young }),
        schedule({ name: 'b', makeFeed: broken, config: 'b' }),
      ]),
    ).toThrow('no such thing');
    expect([old.closed, young.closed]).toEqual([0, 1]);
    expect((await schedules.list()).map(({ name }) => name)).toEqual(['a', 'c']);
    expect(schedules.request('lobby').ticks).toHaveLength(2);
    await clock.advanceSettled(3000);
    expect(hub.dues).toEqual([3, 3, 6]);
  });

  it('is closed by a stop, and one that throws then keeps no other from it', async () => {
    const feed = new ClosableFeed();
    const throws = {
      compute: () => '1',
      close() {
        throw new Error('no');
      },
    };
    const { schedules } = start(schedule({ name: 'a', feed: throws }), schedule({ name: 'b', feed }));
    await schedules.stop();
    expect(feed.closed).toBe(1);
  });
});

it('does nothing once all is stopped', async () => {
  const { clock, schedules } = start();
  await schedules.stop();
  expect(schedules.apply([schedule()])).toEqual({ added: [], changed: [], removed: [], kept: [] });
  expect(clock.pending).toBe(0);
  expect(await schedules.list()).toEqual([]);
});

it.each([
  ['removed', []],
  ['changed', [schedule({ event: 'other' })]],
] as const)('waits at a stop for the feed of a schedule that was %s', async (_what, list) => {
  let end = () => {};
  const feed: Feed = {
    read: () =>
      new Promise((_, reject) => {
        end = () => reject(new Error('ended'));
      }),
  };
  const { clock, schedules } = start(schedule({ feed }));
  await clock.advanceSettled(3000);
  schedules.apply(list);
  let isOver = false;
  const stopped = schedules.stop().then(() => {
    isOver = true;
  });
  await settled();
  expect(isOver).toBe(false);
  end();
  await stopped;
});
