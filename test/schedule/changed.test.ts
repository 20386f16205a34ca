import { describe, expect, it } from 'vitest';
import type { Feed } from '../../src/feed/feed.ts';
import { settled } from '../helpers/manual-clock.ts';
import { at, FakeFeed, HOUR_MS, schedule, secondsOf, start } from './fixture.ts';

function startChanged() {
  const feed = new FakeFeed();
  const started = start(schedule({ feed, when: 'changed' }));
  /** Lets the next instant come and answers its read. */
  const next = async (text: string | Error) => {
    await started.clock.advanceSettled(3000);
    if (text instanceof Error) feed.last.reject(text);
    else feed.last.resolve(text);
    await settled();
  };
  const counters = async () => (await started.schedules.get('clock')).counters;
  return { feed, next, counters, ...started };
}

describe('when: "changed"', () => {
  it('sends a value only if it is another one, and chains what was sent', async () => {
    const { next, hub, counters } = startChanged();
    for (const text of ['1', '1', '1', '2', '2', '1']) await next(text);
    expect(hub.ticks).toEqual([
      [3, null, 6],
      [12, 3, 15],
      [18, 12, 21],
    ]);
    expect(hub.deliveries.map(({ event }) => event.tick?.seq)).toEqual([598399201, 598399204, 598399206]);
    expect(await counters()).toMatchObject({ runs: 6, sent: 3, unchanged: 3, failed: 0 });
  });

  it('has the runs that sent nothing in the log', async () => {
    const { next, schedules } = startChanged();
    for (const text of ['1', '1']) await next(text);
    expect(await schedules.runs('clock', { limit: 1 })).toEqual([
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
        outcome: 'unchanged',
        error: null,
      },
    ]);
    expect((await schedules.get('clock')).last?.due).toBe(at(3));
  });

  it('has the last tick for a client that joins without a read, with what is next now', async () => {
    const { next, schedules, feed, clock } = startChanged();
    for (const text of ['1', '1', '1']) await next(text);
    await clock.advanceSettled(2000);
    const current = schedules.request('lobby');
    expect(current).toMatchObject({
      coming: [],
      ticks: [{ time: at(3), data: '1', tick: { due: at(3), previous: null, next: at(12) }, replay: true }],
    });
    expect(feed.reads).toHaveLength(3);
  });

  it('sends the same value again where a client joined that could not be shown it', async () => {
    const { next, schedules, hub } = startChanged();
    await next('1');
    await next(new Error('no'));
    expect(schedules.request('lobby')).toMatchObject({ ticks: [], coming: [] });
    await next('1');
    await next('1');
    expect(hub.dues).toEqual([3, 9]);
  });

  it('sends the same value again where a client joined while it was read', async () => {
    const { next, schedules, hub, clock, feed } = startChanged();
    await next('1');
    await clock.advanceSettled(3000);
    const [coming] = schedules.request('lobby').coming;
    feed.last.resolve('1');
    expect(await coming).toBeUndefined();
    await next('1');
    expect(hub.dues).toEqual([3, 6]);
  });

  it('sends the same value again where the read for a client that joined has failed', async () => {
    const { next, schedules, hub, clock, feed } = startChanged();
    await next('1');
    hub.rooms = [];
    await clock.advanceSettled(4000);
    const [coming] = schedules.request('lobby').coming;
    hub.rooms = ['lobby'];
    feed.last.reject(new Error('no'));
    expect(await coming).toBeUndefined();
    await clock.advanceSettled(2000);
    feed.last.resolve('1');
    await settled();
    expect(hub.dues).toEqual([3, 9]);
  });

  it('reads once more for a client that joins after an instant for which nothing could be read', async () => {
    const { next, schedules, feed, clock, hub } = startChanged();
    await next('1');
    hub.rooms = [];
    await clock.advanceSettled(4000);
    const [coming] = schedules.request('lobby').coming;
    feed.last.resolve('1');
    expect((await coming)?.tick?.due).toBe(at(6));
    hub.rooms = ['lobby'];
    await clock.advanceSettled(2000);
    feed.last.resolve('1');
    await settled();
    expect(hub.dues).toEqual([3]);
    expect(schedules.request('lobby')).toMatchObject({
      coming: [],
      ticks: [{ tick: { due: at(6), next: at(12) } }],
    });
  });

  it('sends again what was sent last where a client was shown something else meanwhile', async () => {
    const { next, schedules, feed, clock, hub } = startChanged();
    await next('1');
    hub.rooms = [];
    await clock.advanceSettled(4000);
    const [coming] = schedules.request('lobby').coming;
    feed.last.resolve('2');
    expect((await coming)?.data).toBe('2');
    hub.rooms = ['lobby'];
    await clock.advanceSettled(2000);
    feed.last.resolve('1');
    await settled();
    expect(hub.ticks.at(-1)).toEqual([9, 3, 12]);
  });

  it('sends what only a client that joined was shown, although it is the same since', () => {
    let value = '1';
    const { clock, hub, schedules } = start(schedule({ feed: { compute: () => value }, when: 'changed' }));
    clock.advance(5500);
    value = '2';
    // It is past 6, but the timer has not fired yet.
    clock.step(600);
    expect(schedules.request('lobby').ticks).toMatchObject([{ data: '2', tick: { due: at(3) } }]);
    clock.advance(500);
    expect(hub.ticks).toEqual([
      [3, null, 6],
      [6, 3, 9],
    ]);
  });

  it('sends a value that had no listener when it came', async () => {
    const { next, feed, clock, hub, schedules } = startChanged();
    await next('1');
    await clock.advanceSettled(3000);
    hub.rooms = [];
    feed.last.resolve('2');
    await settled();
    hub.rooms = ['lobby'];
    await next('1');
    const runs = await schedules.runs('clock', { limit: 10 });
    expect(runs.map(({ outcome }) => outcome)).toEqual(['sent', 'unheard', 'sent']);
    expect(hub.ticks.at(-1)).toEqual([9, 3, 12]);
  });

  it('is of no account to a run by hand, which is sent', async () => {
    const { next, schedules, feed, clock, hub } = startChanged();
    for (const text of ['1', '1']) await next(text);
    await clock.advanceSettled(1000);
    const run = schedules.run('clock');
    await settled();
    feed.last.resolve('1');
    expect(await run).toMatchObject({ counters: { sent: 2, unchanged: 1 } });
    expect(hub.ticks.at(-1)).toEqual([6, 3, 9]);
    await next('1');
    expect(hub.dues).toEqual([3, 6]);
  });

  it('ends an error without sending the value again', async () => {
    const { next, hub } = startChanged();
    for (const text of ['1', new Error('no'), '1']) await next(text);
    expect(hub.story).toEqual(['tick 3', 'error', 'ok']);
    expect(hub.statuses().at(-1)).toMatchObject({ lastGood: at(9) });
  });

  it('goes on comparing after a pause', async () => {
    const { next, hub, schedules } = startChanged();
    await next('1');
    await schedules.pause('clock');
    await schedules.resume('clock');
    await next('1');
    expect(hub.story).toEqual(['tick 3', 'paused', 'ok']);
  });

  it('says that the clock was set back when it sends again', async () => {
    const { next, hub, clock } = startChanged();
    await next('1');
    clock.step(-HOUR_MS);
    await next('1');
    await next('2');
    const dues = hub.dues.map((due) => (due ?? 0) < 0);
    expect(dues).toEqual([false, true]);
    expect(hub.story.at(-2)).toBe('changed');
  });

  it('compares what is computed', () => {
    const feed: Feed = { compute: ({ due }) => ((secondsOf(due) ?? 0) > 6 ? '"late"' : '"early"') };
    const { clock, hub } = start(schedule({ feed, when: 'changed' }));
    clock.advance(15_000);
    expect(hub.dues).toEqual([3, 9]);
  });

  it('takes data that differs by room for changed, always', () => {
    const feed: Feed = { compute: () => (room) => JSON.stringify(room) };
    const { clock, hub } = start(schedule({ feed, when: 'changed' }));
    clock.advance(6000);
    expect(hub.dues).toEqual([3, 6]);
  });

  it('is not the default', () => {
    const { clock, hub } = start(schedule({ feed: { compute: () => '1' } }));
    clock.advance(6000);
    expect(hub.dues).toEqual([3, 6]);
  });
});
