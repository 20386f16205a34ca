import { describe, expect, it } from 'vitest';
import { calendar } from '../../src/schedule/cadence.ts';
import { settled } from '../helpers/manual-clock.ts';
import { at, FakeFeed, HOUR_MS, LOOKING_FOR_STEPS, schedule, start } from './fixture.ts';

/** Every three seconds; a value is stale when it is 7 s old. */
function startStale() {
  const feed = new FakeFeed();
  const started = start(schedule({ feed, staleAfterMs: 7000 }));
  const next = async (text: string | Error) => {
    await started.clock.advanceSettled(3000);
    if (text instanceof Error) feed.last.reject(text);
    else feed.last.resolve(text);
    await settled();
  };
  return { feed, next, ...started };
}

describe('staleAfter', () => {
  it('tells of a value that is too old while the upstream fails, and when a new one has come', async () => {
    const { next, clock, hub, reports } = startStale();
    for (const text of ['1', new Error('no'), new Error('still no')]) await next(text);
    await clock.advanceSettled(999);
    expect(hub.story).toEqual(['tick 3', 'error']);
    await clock.advanceSettled(1);
    expect(hub.story.at(-1)).toBe('stale');
    await clock.advanceSettled(1999);
    await next('2');
    expect(hub.story).toEqual(['tick 3', 'error', 'stale', 'ok', 'tick 12']);
    expect(hub.statuses().slice(1)).toEqual([
      {
        time: at(10),
        schedule: 'clock',
        state: 'stale',
        since: at(10),
        lastGood: at(3),
        reason: 'failed',
      },
      {
        time: at(14.999),
        schedule: 'clock',
        state: 'ok',
        since: at(14.999),
        lastGood: at(14.999),
        reason: null,
      },
    ]);
    expect(reports).toContainEqual(['turned', 'clock', 'stale', 'no value for 7 s: still no']);
  });

  it('stays so while further reads fail, with the newest reason', async () => {
    const { next, clock, hub, schedules } = startStale();
    for (const text of ['1', new Error('a'), new Error('b')]) await next(text);
    await clock.advanceSettled(1000);
    await clock.advanceSettled(2000);
    await settled();
    await next(new Error('c'));
    expect(hub.story).toEqual(['tick 3', 'error', 'stale']);
    expect(await schedules.get('clock')).toMatchObject({
      state: 'stale',
      since: at(10),
      detail: 'no value for 7 s: c',
    });
  });

  it('tells of a read that does not end', async () => {
    const { next, clock, hub } = startStale();
    await next('1');
    await clock.advanceSettled(7000);
    expect(hub.story).toEqual(['tick 3', 'stale']);
    expect(hub.statuses()[0]).toMatchObject({ reason: 'stale' });
  });

  it('is never reached while values come, also if they are the same', () => {
    const { clock, hub } = start(
      schedule({ feed: { compute: () => '1' }, when: 'changed', staleAfterMs: 7000 }),
    );
    clock.advance(HOUR_MS);
    expect(hub.story).toEqual(['tick 3']);
  });

  it('is nothing to a schedule that never had a value: it is in error', async () => {
    const { next, clock, hub } = startStale();
    await next(new Error('no'));
    await clock.advanceSettled(60_000);
    expect(hub.story).toEqual(['error']);
  });

  it('sends no status while nobody listens, and one to a client that joins then', async () => {
    const { clock, hub, schedules } = start(
      schedule({ cadence: calendar('0 * * * *', 'UTC'), staleAfterMs: 60_000 }),
    );
    clock.advance(HOUR_MS);
    hub.rooms = [];
    clock.advance(120_000);
    expect(hub.story).toEqual(['tick 3600']);
    const { statuses, ticks } = schedules.request('lobby');
    expect(ticks).toHaveLength(1);
    expect(JSON.parse(statuses[0]?.data ?? '')).toEqual({
      schedule: 'clock',
      state: 'stale',
      since: at(3720),
      lastGood: at(3600),
      reason: 'stale',
    });
  });

  it('gives way to a pause, and comes back with it where the value is too old by then', async () => {
    const { next, clock, hub, schedules } = startStale();
    await next('1');
    await schedules.pause('clock');
    expect(clock.pending).toBe(LOOKING_FOR_STEPS);
    await clock.advanceSettled(60_000);
    expect(hub.story).toEqual(['tick 3', 'paused']);
    expect(await schedules.resume('clock')).toMatchObject({ state: 'stale', since: at(63) });
    await next('2');
    expect(hub.story).toEqual(['tick 3', 'paused', 'stale', 'ok', 'tick 66']);
  });

  it('goes on counting after a short pause', async () => {
    const { next, clock, hub, schedules } = startStale();
    await next('1');
    await schedules.pause('clock');
    await clock.advanceSettled(1000);
    await schedules.resume('clock');
    await clock.advanceSettled(6000);
    expect(hub.story).toEqual(['tick 3', 'paused', 'ok', 'stale']);
  });

  it('takes no step of the clock for age', async () => {
    const { next, clock, hub } = startStale();
    await next('1');
    clock.step(HOUR_MS);
    await next('2');
    expect(hub.story.filter((what) => what === 'stale')).toEqual([]);
  });

  it('leaves no timer after a stop', async () => {
    const { next, clock, schedules } = startStale();
    await next('1');
    await schedules.stop();
    expect(clock.pending).toBe(0);
  });
});
