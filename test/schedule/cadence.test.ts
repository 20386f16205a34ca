import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type Cadence, calendar, interval } from '../../src/schedule/cadence.ts';

const at = (text: string) => Date.parse(text);
const HOUR_MS = 3_600_000;

/** The instants in (from, to], as ISO text without milliseconds. */
function between(cadence: Cadence, from: string, to: string): string[] {
  const found: string[] = [];
  for (let due = cadence.next(at(from)); due !== null && due <= at(to); due = cadence.next(due)) {
    found.push(new Date(due).toISOString().replace('.000Z', 'Z'));
  }
  return found;
}

/** Every so many milliseconds in (from, to]. */
function everyMs(ms: number, from: string, to: string): string[] {
  const found: string[] = [];
  for (let due = at(from) + ms; due <= at(to); due += ms) {
    found.push(new Date(due).toISOString().replace('.000Z', 'Z'));
  }
  return found;
}

describe('interval', () => {
  it('is due at whole multiples since the epoch, whenever it was asked', () => {
    const cadence = interval(3000);
    expect(cadence.next(at('2026-11-20T18:00:01.234Z'))).toBe(at('2026-11-20T18:00:03Z'));
    expect(cadence.previous(at('2026-11-20T18:00:01.234Z'))).toBe(at('2026-11-20T18:00:00Z'));
  });

  it('answers strictly after with next, and at or before with previous', () => {
    const cadence = interval(3000);
    const due = at('2026-11-20T18:00:03Z');
    expect(cadence.next(due)).toBe(due + 3000);
    expect(cadence.previous(due)).toBe(due);
    expect(cadence.previous(due - 1)).toBe(due - 3000);
  });

  it('numbers its instants by how many intervals lie between them and the epoch', () => {
    expect(interval(3000).seq?.(at('2026-11-20T18:00:03Z'))).toBe(598399201);
  });

  it.each([0, -3000, 99, 100.5, Number.NaN, Number.POSITIVE_INFINITY, 2 ** 60])('refuses %d ms', (ms) => {
    expect(() => interval(ms)).toThrow(
      /is not an interval: write a whole number of milliseconds from 100ms up/,
    );
  });

  it('agrees with itself from both sides, for any interval and instant', () => {
    fc.assert(
      fc.property(fc.integer({ min: 100, max: 1e9 }), fc.integer({ min: 0, max: 4e12 }), (ms, now) => {
        const cadence = interval(ms);
        const next = cadence.next(now) ?? Number.NaN;
        expect(next).toBeGreaterThan(now);
        expect(next % ms).toBe(0);
        expect(cadence.previous(next)).toBe(next);
        expect(cadence.previous(next - 1)).toBe(next - ms);
      }),
    );
  });
});

describe('calendar', () => {
  it('takes 5 fields, and 6 with the seconds first', () => {
    expect(between(calendar('30 9 * * *', 'UTC'), '2026-11-20T00:00:00Z', '2026-11-21T00:00:00Z')).toEqual([
      '2026-11-20T09:30:00Z',
    ]);
    expect(between(calendar('15 30 9 * * *', 'UTC'), '2026-11-20T00:00:00Z', '2026-11-21T00:00:00Z')).toEqual(
      ['2026-11-20T09:30:15Z'],
    );
  });

  it('reads the pattern in its zone', () => {
    const opening = calendar('0 9 * * 1-5', 'America/New_York');
    expect(between(opening, '2026-11-20T00:00:00Z', '2026-11-24T00:00:00Z')).toEqual([
      '2026-11-20T14:00:00Z',
      '2026-11-23T14:00:00Z',
    ]);
  });

  it('answers strictly after with next, and at or before with previous, to the millisecond', () => {
    const cadence = calendar('* * * * *', 'UTC');
    const due = at('2026-11-20T18:00:00Z');
    expect(cadence.next(due - 1)).toBe(due);
    expect(cadence.next(due)).toBe(due + 60_000);
    expect(cadence.previous(due)).toBe(due);
    expect(cadence.previous(due + 1)).toBe(due);
    expect(cadence.previous(due + 59_999)).toBe(due);
    expect(cadence.previous(due - 1)).toBe(due - 60_000);
  });

  it('has no numbers', () => {
    expect(calendar('* * * * *', 'UTC').seq).toBeUndefined();
  });

  it('is one object for one pattern and zone', () => {
    expect(calendar('*/7 * * * *', 'Europe/Berlin')).toBe(calendar('*/7 * * * *', 'Europe/Berlin'));
    expect(calendar('*/7 * * * *', 'Europe/Berlin')).not.toBe(calendar('*/7 * * * *', 'Europe/Paris'));
  });

  it.each(['', '*', '* * * *', '* * * * * * *', '@daily', '2026-11-20T18:00:00Z'])(
    'refuses "%s": it has not 5 or 6 fields',
    (pattern) => {
      expect(() => calendar(pattern, 'UTC')).toThrow(
        `"${pattern}" is not a calendar pattern: write 5 fields (minute hour day month weekday) or 6 (second first)`,
      );
    },
  );

  it.each(['a b c d e', '0 0 * * 5#6', '5/2 * * * *', '1,,2 * * * *'])(
    'refuses "%s", saying why',
    (pattern) => {
      expect(() => calendar(pattern, 'UTC')).toThrow(
        new RegExp(`^"${pattern.replaceAll('*', '\\*')}" is not a calendar pattern \\(.+\\): write 5`),
      );
    },
  );

  it.each([
    ['99 * * * *', 'there is no minute 99: write 0 to 59'],
    ['60 * * * * *', 'there is no second 60: write 0 to 59'],
    ['* 24 * * *', 'there is no hour 24: write 0 to 23'],
    ['0 0 0 * *', 'there is no day 0: write 1 to 31'],
    ['0 0 32 * *', 'there is no day 32: write 1 to 31'],
    ['0 0 1,0-5 * *', 'there is no day 0: write 1 to 31'],
    ['0 0 32W * *', 'there is no day 32: write 1 to 31'],
    ['0 0 * 0 *', 'there is no month 0: write 1 to 12 or JAN to DEC'],
    ['0 0 * 13 *', 'there is no month 13: write 1 to 12 or JAN to DEC'],
    ['0 0 * * 8', 'there is no weekday 8: write 0 to 7 or SUN to SAT'],
    ['0 0 * * 8#1', 'there is no weekday 8: write 0 to 7 or SUN to SAT'],
    ['5-1 * * * *', 'the minutes 5-1 run backwards: write 5-59,0-1'],
    ['0 22-2 * * *', 'the hours 22-2 run backwards: write 22-23,0-2'],
    ['0 22-2/2 * * *', 'the hours 22-2 run backwards: write 0 to 23'],
    ['0 0 28-3 * *', 'the days 28-3 run backwards: write 28-31,1-3'],
    ['0 0 * 11-2 *', 'the months 11-2 run backwards: write 11-12,1-2'],
    ['0 0 * * 5-1', 'the weekdays 5-1 run backwards: write 5-7,0-1'],
    ['*/0 * * * *', 'a step of 0 is none for minutes: write 1 to 60'],
    ['0 0-12/25 * * *', 'a step of 25 is none for hours: write 1 to 24'],
  ])('refuses "%s", naming the value as it is written: %s', (pattern, fault) => {
    expect(() => calendar(pattern, 'UTC')).toThrow(`"${pattern}" is not a calendar pattern: ${fault}`);
  });

  it.each(['5-1 * * * *', '0 22-2 * * *', '0 0 28-3 * *', '0 0 * 11-2 *', '0 0 * * 5-1'])(
    'accepts what it offers instead of "%s"',
    (pattern) => {
      let told = '';
      try {
        calendar(pattern, 'UTC');
      } catch (error) {
        told = String(error);
      }
      const [, backwards = '', offer = ''] = /(\S+) run backwards: write (\S+)$/.exec(told) ?? [];
      expect(offer).not.toBe('');
      expect(calendar(pattern.replace(backwards, offer), 'UTC').next(0)).not.toBeNull();
    },
  );

  it.each([
    '0 0 * * 7',
    '0 0 * * 5-7',
    '0 0 LW * *',
    '0 0 15W * *',
    '0 0 * FEB FRI#2',
    '0 0 * * SUN-MON',
    '? 0 * * +1',
  ])('takes "%s"', (pattern) => {
    expect(calendar(pattern, 'UTC').next(0)).not.toBeNull();
  });

  it('takes or refuses any pattern, and names what it refuses', () => {
    const field = fc.oneof(
      fc.constantFrom(
        '*',
        '?',
        'L',
        'LW',
        '15W',
        '*/5',
        '1-5',
        '1,2',
        '0',
        '7#2',
        'MON-FRI',
        '+1',
        '5L',
        '#',
        '/',
        '-',
      ),
      fc.string({ unit: fc.constantFrom(...'0123456789*/,-#LW?+'), minLength: 1, maxLength: 8 }),
    );
    fc.assert(
      fc.property(fc.array(field, { minLength: 5, maxLength: 6 }), (fields) => {
        const pattern = fields.join(' ');
        try {
          expect(calendar(pattern, 'Europe/Berlin').next(0)).not.toBeNull();
        } catch (error) {
          expect(String(error)).toMatch(/^Error: ".+" (is not a calendar pattern|never comes)/);
        }
      }),
      { numRuns: 2000 },
    );
  });

  it('refuses a pattern that never comes', () => {
    expect(() => calendar('0 0 30 2 *', 'UTC')).toThrow('"0 0 30 2 *" never comes');
  });

  it('takes a pattern that comes rarely', () => {
    expect(between(calendar('0 0 29 2 *', 'UTC'), '2026-01-01T00:00:00Z', '2033-01-01T00:00:00Z')).toEqual([
      '2028-02-29T00:00:00Z',
      '2032-02-29T00:00:00Z',
    ]);
  });

  it.each(['Mars/Base', '', 'Europe/Berlin '])('refuses the zone "%s"', (zone) => {
    expect(() => calendar('* * * * *', zone)).toThrow(
      `"${zone}" is not a time zone: write an IANA name such as "Europe/Berlin"`,
    );
  });
});

interface Night {
  readonly zone: string;
  readonly change: string;
  readonly from: string;
  readonly to: string;
  /** When `30 2 * * *` runs on the day before, the night itself, the day after. */
  readonly halfPastTwo: readonly string[];
}

const nights: Night[] = [
  {
    zone: 'Europe/Berlin',
    change: 'forward: 2:00 is 3:00',
    from: '2026-03-28T23:00:00Z',
    to: '2026-03-29T03:00:00Z',
    halfPastTwo: ['2026-03-28T01:30:00Z', '2026-03-29T01:00:00Z', '2026-03-30T00:30:00Z'],
  },
  {
    zone: 'Europe/Berlin',
    change: 'back: 3:00 is 2:00',
    from: '2026-10-24T23:00:00Z',
    to: '2026-10-25T03:00:00Z',
    halfPastTwo: ['2026-10-24T00:30:00Z', '2026-10-25T00:30:00Z', '2026-10-26T01:30:00Z'],
  },
  {
    zone: 'America/New_York',
    change: 'forward: 2:00 is 3:00',
    from: '2026-03-08T05:00:00Z',
    to: '2026-03-08T09:00:00Z',
    halfPastTwo: ['2026-03-07T07:30:00Z', '2026-03-08T07:00:00Z', '2026-03-09T06:30:00Z'],
  },
  {
    // Half past two is not repeated here: 1:00 to 2:00 is.
    zone: 'America/New_York',
    change: 'back: 2:00 is 1:00',
    from: '2026-11-01T04:00:00Z',
    to: '2026-11-01T08:00:00Z',
    halfPastTwo: ['2026-10-31T06:30:00Z', '2026-11-01T07:30:00Z', '2026-11-02T07:30:00Z'],
  },
  {
    zone: 'Australia/Lord_Howe',
    change: 'forward by half an hour: 2:00 is 2:30',
    from: '2026-10-03T13:30:00Z',
    to: '2026-10-03T17:30:00Z',
    halfPastTwo: ['2026-10-02T16:00:00Z', '2026-10-03T15:30:00Z', '2026-10-04T15:30:00Z'],
  },
  {
    // 1:30 to 2:00 is repeated.
    zone: 'Australia/Lord_Howe',
    change: 'back by half an hour: 2:00 is 1:30',
    from: '2026-04-04T13:00:00Z',
    to: '2026-04-04T17:00:00Z',
    halfPastTwo: ['2026-04-03T15:30:00Z', '2026-04-04T16:00:00Z', '2026-04-05T16:00:00Z'],
  },
];

describe.each(nights)('the night in $zone when the clocks go $change', ({ zone, from, to, halfPastTwo }) => {
  it('every ten seconds are due once in real time', () => {
    const found = between(calendar('*/10 * * * * *', zone), from, to);
    expect(found).toHaveLength(4 * 360);
    expect(found).toEqual(everyMs(10_000, from, to));
  });

  it('every five minutes keep their rhythm in real time', () => {
    const found = between(calendar('*/5 * * * *', zone), from, to);
    expect(found).toHaveLength(4 * 12);
    expect(found).toEqual(everyMs(300_000, from, to));
  });

  it('half past two runs once', () => {
    const start = new Date(at(halfPastTwo[0] ?? '') - HOUR_MS).toISOString();
    const end = new Date(at(halfPastTwo[2] ?? '') + HOUR_MS).toISOString();
    expect(between(calendar('30 2 * * *', zone), start, end)).toEqual(halfPastTwo);
  });

  it.each(['*/5 * * * *', '30 2 * * *', '30 1 * * *', '45 1 * * *', '59 59 * * * *', '15,45 1,2 * * *'])(
    'previous says of %s what next says',
    (pattern) => {
      const cadence = calendar(pattern, zone);
      let last = at(from) - 40 * HOUR_MS;
      for (
        let due = cadence.next(last);
        due !== null && due < at(to) + 40 * HOUR_MS;
        due = cadence.next(due)
      ) {
        expect(cadence.previous(due)).toBe(due);
        if (last > at(from) - 40 * HOUR_MS) expect(cadence.previous(due - 1)).toBe(last);
        last = due;
      }
    },
  );
});

describe('fixed times in the repeated part of a night', () => {
  it.each([
    ['30 1 * * *', 'America/New_York', '2026-11-01T04:00:00Z', '2026-11-01T05:30:00Z'],
    ['45 1 * * *', 'Australia/Lord_Howe', '2026-04-04T12:00:00Z', '2026-04-04T14:45:00Z'],
  ])('%s in %s runs the first time only', (pattern, zone, from, once) => {
    const end = new Date(at(from) + 12 * HOUR_MS).toISOString();
    expect(between(calendar(pattern, zone), from, end)).toEqual([once]);
  });
});

describe('several fixed times of day', () => {
  it.each([
    ['0 2,14 * * *', '2026-03-28T14:00:00Z', ['2026-03-29T01:00:00Z', '2026-03-29T12:00:00Z']],
    // Both do not exist: one run for the two of them.
    ['15,45 2 * * *', '2026-03-28T14:00:00Z', ['2026-03-29T01:00:00Z', '2026-03-30T00:15:00Z']],
    ['0 2,14 * * *', '2026-10-24T14:00:00Z', ['2026-10-25T00:00:00Z', '2026-10-25T13:00:00Z']],
    [
      '30 15,45 2 * * *',
      '2026-10-24T14:00:00Z',
      ['2026-10-25T00:15:30Z', '2026-10-25T00:45:30Z', '2026-10-26T01:15:30Z'],
    ],
  ])('%s runs each of them once in the nights of Europe/Berlin', (pattern, from, expected) => {
    expect(between(calendar(pattern, 'Europe/Berlin'), from, expected.at(-1) ?? '')).toEqual(expected);
  });

  it('keep the days of the pattern', () => {
    expect(between(calendar('0 9,17 * * 1', 'UTC'), '2026-11-20T00:00:00Z', '2026-11-30T12:00:00Z')).toEqual([
      '2026-11-23T09:00:00Z',
      '2026-11-23T17:00:00Z',
      '2026-11-30T09:00:00Z',
    ]);
  });
});
