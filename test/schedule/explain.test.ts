import { describe, expect, it } from 'vitest';
import { calendar, interval } from '../../src/schedule/cadence.ts';
import { cadenceWords, explain, explanationLines } from '../../src/schedule/explain.ts';
import type { CadenceEntry } from '../../src/schedule/options.ts';
import { schedule, start } from './fixture.ts';

const cron = (pattern: string, timezone: string, from: string, count: number) =>
  explain(
    {
      name: 'bell',
      cadence: calendar(pattern, timezone),
      describedCadence: { cron: pattern, timezone },
    },
    Date.parse(from),
    count,
  );

/** The local time of each run, without the date, and what is noted. */
const night = (...args: Parameters<typeof cron>) =>
  cron(...args).runs.map(({ local, note }) => [local.slice(11).replace(':00.000', ''), note]);

describe('the words for a cadence', () => {
  it.each<[CadenceEntry, string]>([
    [{ every: '3s' }, 'every 3 seconds'],
    [{ every: '1s' }, 'every second'],
    [{ every: '1.5s' }, 'every 1.5 seconds'],
    [{ every: '250ms' }, 'every 250 milliseconds'],
    [{ every: '90m' }, 'every 90 minutes'],
    [{ every: '1h' }, 'every hour'],
    [{ every: '2d' }, 'every 2 days'],
    [
      { cron: '*/5 9-17 * * 1-5', timezone: 'America/New_York' },
      'every 5 minutes, between 09:00 and 17:59, Monday through Friday',
    ],
    [{ cron: '15 30 9 * * *', timezone: 'UTC' }, 'at 09:30:15'],
    [{ cron: '0 0 L * *', timezone: 'UTC' }, 'at 00:00, on the last day of the month'],
    [{ cron: '0 0 1-7 * +1', timezone: 'UTC' }, 'cron "0 0 1-7 * +1"'],
  ])('%j are "%s"', (cadence, words) => {
    expect(cadenceWords(cadence)).toBe(words);
  });
});

describe('explain', () => {
  it('lists the next runs of an interval, in UTC', () => {
    const from = Date.parse('2026-11-20T18:00:00Z');
    const clock = { name: 'clock', cadence: interval(3000), describedCadence: { every: '3s' } };
    expect(explain(clock, from, 2)).toEqual({
      schedule: 'clock',
      cadence: { every: '3s' },
      words: 'every 3 seconds',
      timezone: 'UTC',
      runs: [
        { due: '2026-11-20T18:00:03.000Z', local: '2026-11-20T18:00:03.000+00:00', note: null },
        { due: '2026-11-20T18:00:06.000Z', local: '2026-11-20T18:00:06.000+00:00', note: null },
      ],
    });
  });

  it('lists those of a calendar in its zone', () => {
    expect(cron('0 9 * * 1-5', 'America/New_York', '2026-11-20T18:00:00Z', 1).runs).toEqual([
      { due: '2026-11-23T14:00:00.000Z', local: '2026-11-23T09:00:00.000-05:00', note: null },
    ]);
  });

  it('ends where the cadence ends', () => {
    const once = { next: (after: number) => (after < 5000 ? 5000 : null), previous: () => null };
    const { runs } = explain({ name: 'once', cadence: once, describedCadence: { every: '5s' } }, 0, 3);
    expect(runs.map(({ due }) => due)).toEqual(['1970-01-01T00:00:05.000Z']);
  });

  it('is answered by name, from now on, also while paused', async () => {
    const { schedules } = start(schedule({ paused: true }));
    expect((await schedules.explain('clock', { fromMs: undefined, count: 1 })).runs).toMatchObject([
      { due: '2026-11-20T18:00:03.000Z' },
    ]);
    expect((await schedules.explain('clock', { fromMs: 0, count: 1 })).runs).toMatchObject([
      { due: '1970-01-01T00:00:03.000Z' },
    ]);
    await expect(schedules.explain('clokc', { fromMs: 0, count: 1 })).rejects.toMatchObject({ status: 404 });
  });
});

describe('on the night when the clocks go forward', () => {
  it('a fixed time that does not exist runs at the first moment after it', () => {
    expect(night('30 2 * * *', 'Europe/Berlin', '2026-03-27T12:00:00Z', 3)).toEqual([
      ['02:30+01:00', null],
      ['03:00+02:00', 'the clocks go forward: 02:30 does not exist, runs at 03:00'],
      ['02:30+02:00', null],
    ]);
    expect(night('15 2 * * *', 'Australia/Lord_Howe', '2026-10-03T12:00:00Z', 1)).toEqual([
      ['02:30+11:00', 'the clocks go forward: 02:15 does not exist, runs at 02:30'],
    ]);
  });

  it('several of them run once together', () => {
    expect(night('15,45 2 * * *', 'Europe/Berlin', '2026-03-28T12:00:00Z', 2)).toEqual([
      ['03:00+02:00', 'the clocks go forward: 02:15 does not exist, runs at 03:00'],
      ['02:15+02:00', null],
    ]);
  });

  it('a rhythm goes on, and its first run afterwards says what was left out', () => {
    expect(night('*/30 * * * *', 'Europe/Berlin', '2026-03-29T00:00:00Z', 3)).toEqual([
      ['01:30+01:00', null],
      ['03:00+02:00', 'the clocks went forward on 2026-03-29: 02:00 did not exist'],
      ['03:30+02:00', null],
    ]);
    expect(night('15 0-4/2 * * *', 'Europe/Berlin', '2026-03-29T00:20:00Z', 2)).toEqual([
      ['04:15+02:00', 'the clocks went forward on 2026-03-29: 02:15 did not exist'],
      ['00:15+02:00', null],
    ]);
    expect(night('15 2-3 * * *', 'Europe/Berlin', '2026-03-28T12:00:00Z', 3)).toEqual([
      ['03:00+02:00', 'the clocks go forward: 02:15 does not exist, runs at 03:00'],
      ['03:15+02:00', null],
      ['02:15+02:00', null],
    ]);
  });

  it('what is due at other times has nothing to tell', () => {
    expect(night('0 9 * * *', 'Europe/Berlin', '2026-03-28T12:00:00Z', 1)).toEqual([['09:00+02:00', null]]);
    expect(night('30 2 * * *', 'Asia/Tokyo', '2026-03-28T12:00:00Z', 1)).toEqual([['02:30+09:00', null]]);
  });
});

describe('on the night when the clocks go back', () => {
  it('a fixed time that comes twice runs the first time only', () => {
    expect(night('30 2 * * *', 'Europe/Berlin', '2026-10-24T12:00:00Z', 2)).toEqual([
      ['02:30+02:00', 'the clocks go back: 02:30 comes twice, runs the first time only'],
      ['02:30+01:00', null],
    ]);
    expect(night('45 1 * * *', 'Australia/Lord_Howe', '2026-04-04T12:00:00Z', 1)).toEqual([
      ['01:45+11:00', 'the clocks go back: 01:45 comes twice, runs the first time only'],
    ]);
  });

  it('a rhythm goes on in both hours', () => {
    expect(night('*/30 * * * *', 'Europe/Berlin', '2026-10-24T23:40:00Z', 5)).toEqual([
      ['02:00+02:00', 'the clocks go back: 02:00 comes twice'],
      ['02:30+02:00', 'the clocks go back: 02:30 comes twice'],
      ['02:00+01:00', 'the clocks went back: 02:00 for the second time'],
      ['02:30+01:00', 'the clocks went back: 02:30 for the second time'],
      ['03:00+01:00', null],
    ]);
  });
});

describe('explanationLines', () => {
  it('has the words, then a line for each run', () => {
    expect(explanationLines(cron('30 2 * * *', 'Europe/Berlin', '2026-03-28T12:00:00Z', 2))).toEqual([
      'bell: at 02:30 (Europe/Berlin)',
      '  Sun 2026-03-29 03:00:00+02:00  2026-03-29T01:00:00.000Z  the clocks go forward: 02:30 does not exist, runs at 03:00',
      '  Mon 2026-03-30 02:30:00+02:00  2026-03-30T00:30:00.000Z',
    ]);
  });
});
