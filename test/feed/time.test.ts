import { describe, expect, it } from 'vitest';
import { timeFeed } from '../../src/feed/computed.ts';
import { computed, faults, tick } from './fixture.ts';

function local(timezone: string, at: string): string {
  return JSON.parse(String(computed(timeFeed, { timezone }).compute(tick, Date.parse(at)))).local;
}

describe('the time feed', () => {
  it('gives the data of the contract, to the letter', () => {
    const feed = computed(timeFeed, { timezone: 'Europe/Berlin' });
    expect(feed.compute(tick, 1795197603001)).toBe(
      '{"iso":"2026-11-20T18:00:03.001Z","unixMs":1795197603001,"timezone":"Europe/Berlin","local":"2026-11-20T19:00:03.001+01:00"}',
    );
  });

  it('is UTC unless told otherwise, with +00:00 and with milliseconds also on a whole second', () => {
    const feed = computed(timeFeed, {});
    expect(feed.compute(tick, Date.parse('2026-11-20T18:00:03Z'))).toBe(
      '{"iso":"2026-11-20T18:00:03.000Z","unixMs":1795197603000,"timezone":"UTC","local":"2026-11-20T18:00:03.000+00:00"}',
    );
  });

  it('stamps the instant of sending, not the due one', () => {
    const { iso } = JSON.parse(String(computed(timeFeed, {}).compute(tick, Date.parse(tick.due) + 7)));
    expect(iso).toBe('2026-11-20T18:00:03.007Z');
  });

  it.each([
    ['Asia/Kolkata', '2026-11-20T20:00:00Z', '2026-11-21T01:30:00.000+05:30'],
    ['Asia/Kathmandu', '2026-11-20T20:00:00Z', '2026-11-21T01:45:00.000+05:45'],
    ['America/St_Johns', '2026-11-20T02:00:00Z', '2026-11-19T22:30:00.000-03:30'],
    ['America/New_York', '2026-01-01T03:00:00Z', '2025-12-31T22:00:00.000-05:00'],
    ['Pacific/Kiritimati', '2026-12-31T12:00:00Z', '2027-01-01T02:00:00.000+14:00'],
    ['Pacific/Pago_Pago', '2027-01-01T10:59:59.999Z', '2026-12-31T23:59:59.999-11:00'],
    ['Etc/GMT+5', '2026-11-20T20:00:00Z', '2026-11-20T15:00:00.000-05:00'],
    ['Europe/London', '2026-11-20T20:00:00Z', '2026-11-20T20:00:00.000+00:00'],
  ])('writes %s with its offset', (timezone, at, expected) => {
    expect(local(timezone, at)).toBe(expected);
  });

  it.each([
    ['Europe/Berlin', '2026-03-29T01:00:00Z', '01:59:59.999+01:00', '03:00:00.000+02:00'],
    ['Europe/Berlin', '2026-10-25T01:00:00Z', '02:59:59.999+02:00', '02:00:00.000+01:00'],
    ['America/New_York', '2026-11-01T06:00:00Z', '01:59:59.999-04:00', '01:00:00.000-05:00'],
    ['America/St_Johns', '2026-03-08T05:30:00Z', '01:59:59.999-03:30', '03:00:00.000-02:30'],
    ['Australia/Lord_Howe', '2026-10-03T15:30:00Z', '01:59:59.999+10:30', '02:30:00.000+11:00'],
  ])('changes the offset of %s at %s to the millisecond', (timezone, change, before, after) => {
    const feed = computed(timeFeed, { timezone });
    const at = Date.parse(change);
    const clock = (ms: number) => JSON.parse(String(feed.compute(tick, ms))).local.slice(11);
    expect(clock(at - 1)).toBe(before);
    expect(clock(at)).toBe(after);
    // A wall clock that steps back gets the old offset back.
    expect(clock(at - 1)).toBe(before);
  });

  it('names the same instant in every quarter of an hour of a year', () => {
    for (const timezone of ['Europe/Berlin', 'Australia/Lord_Howe', 'America/St_Johns']) {
      const feed = computed(timeFeed, { timezone });
      const start = Date.parse('2026-01-01T00:00:00Z');
      for (let at = start; at < start + 366 * 86_400_000; at += 15 * 60_000) {
        const data = JSON.parse(String(feed.compute(tick, at)));
        if (Date.parse(data.local) !== at) expect(data.local).toBe(data.iso);
      }
    }
  });

  it.each(['Mars/Olympus', '', 'CEST+1', 'Europe/Berlin\n', '+99:00'])(
    'refuses the time zone %j and says what would do',
    (timezone) => {
      expect(faults(timeFeed, { timezone })).toEqual([
        `timezone: ${JSON.stringify(timezone)} is not a time zone: write a name like "Europe/Berlin"`,
      ]);
    },
  );

  it.each([7, null, ['UTC']])('refuses the time zone %j, which is no string', (timezone) => {
    expect(faults(timeFeed, { timezone })).toHaveLength(1);
  });
});
