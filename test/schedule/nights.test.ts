import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type Cadence, calendar } from '../../src/schedule/cadence.ts';
import { CountBudget } from '../../src/schedule/count.ts';
import { bruteForce } from './oracle.ts';

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;

/** A change of the clocks, by the instant of it. */
const changes = [
  ['Europe/Berlin', 'forward', '2026-03-29T01:00:00Z'],
  ['Europe/Berlin', 'back', '2026-10-25T01:00:00Z'],
  ['America/New_York', 'forward', '2026-03-08T07:00:00Z'],
  ['America/New_York', 'back', '2026-11-01T06:00:00Z'],
  ['Australia/Lord_Howe', 'forward by half an hour', '2026-10-03T15:30:00Z'],
  ['Australia/Lord_Howe', 'back by half an hour', '2026-04-04T15:00:00Z'],
  ['America/Sao_Paulo', 'forward at midnight', '2018-11-04T03:00:00Z'],
  ['America/Sao_Paulo', 'back at midnight', '2018-02-18T02:00:00Z'],
  ['Africa/Cairo', 'forward at midnight', '2026-04-23T22:00:00Z'],
  ['Africa/Cairo', 'back at midnight', '2026-10-29T21:00:00Z'],
  ['Pacific/Apia', 'forward by a day', '2011-12-30T10:00:00Z'],
  ['Asia/Kathmandu', 'not at all', '2026-03-29T01:00:00Z'],
] as const;

/** These are looked at for a few hours. */
const dense = ['* * * * *', '*/7 * * * *', '*/15 2 * * *', '0-59 0 * * *', '* 2 * * *', '10-20 2 * * *'];

/** These for three days. */
const sparse = [
  '30 * * * *',
  '0,30 * * * *',
  '0 */2 * * *',
  '0 0-23/2 * * *',
  '15 1-3/2 * * *',
  '0 0-23 * * *',
  '0 */24 * * *',
  '0 0 * * *',
  '30 0 * * *',
  '30 1 * * *',
  '30 2 * * *',
  '0 3 * * *',
  '30 1-3 * * *',
  '30 1,2,3 * * *',
  '30 0-4 * * *',
  '0,3,6,9,12,15,18,21,24,27,30,33,36,39,42,45,48,51,54,57 2 * * *',
  '15,45 0,1,2,23 * * *',
  '0 2,14 * * *',
  '30 2 * * 0',
  '30 0,2 30,31 * *',
  '15 2 1-7 * 0',
  '5 0 * 1,4,10,12 *',
];

/** The instants of a cadence in (from, to]. */
function between(cadence: Cadence, from: number, to: number): number[] {
  const found: number[] = [];
  for (let due = cadence.next(from); due !== null && due <= to; due = cadence.next(due)) found.push(due);
  return found;
}

const instants = (found: readonly number[]) => found.map((at) => new Date(at).toISOString());

describe.each(changes)('%s, when the clocks go %s', (zone, _change, change) => {
  const window = (hours: number) =>
    [Date.parse(change) - hours * HOUR_MS, Date.parse(change) + hours * HOUR_MS] as const;
  const patterns = [
    ...dense.map((pattern) => [pattern, ...window(3)] as const),
    ...sparse.map((pattern) => [pattern, ...window(36)] as const),
  ];

  /** Finding the instants is most of the work, and two tests need the same ones. */
  const known = new Map<string, number[]>();
  function duesOf(pattern: string, from: number, to: number): number[] {
    const dues = known.get(pattern) ?? between(calendar(pattern, zone), from, to);
    known.set(pattern, dues);
    return dues;
  }

  it.each(patterns)('"%s" is due when a clock on the wall says so', (pattern, from, to) => {
    expect(instants(duesOf(pattern, from, to))).toEqual(instants(bruteForce(pattern, zone, from, to)));
  });

  it('a pattern with seconds is as well', () => {
    const [near, far] = window(1.5);
    for (const pattern of ['*/20 * * * * *', '15 30 2 * * *', '0,30 0-5 0-3 * * *'])
      expect(instants(between(calendar(pattern, zone), near, far))).toEqual(
        instants(bruteForce(pattern, zone, near, far)),
      );
  });

  it.each(patterns)(
    '"%s" is the same from both sides, and counted without finding each',
    (pattern, from, to) => {
      const cadence = calendar(pattern, zone);
      const dues = duesOf(pattern, from, to);
      for (const [index, due] of dues.entries()) {
        expect(cadence.previous(due)).toBe(due);
        if (index > 0) expect(cadence.previous(due - 1)).toBe(dues[index - 1]);
      }
      for (const [first, last] of [
        [0, -1],
        [1, -2],
        [Math.floor(dues.length / 3), -1],
      ] as const) {
        const [begin, end] = [dues.at(first), dues.at(last)];
        if (begin === undefined || end === undefined || begin >= end) continue;
        expect(cadence.count?.(begin, end, new CountBudget(1000))).toEqual({
          count: dues.indexOf(end) - dues.indexOf(begin),
          exact: true,
        });
      }
    },
  );
});

describe('how a set of times is written', () => {
  it.each([
    ['30 1-3 * * *', '30 1,2,3 * * *', '30 1-3/1 * * *'],
    ['0-59 2 * * *', '* 2 * * *', '*/1 2 * * *'],
    ['0 0-23 * * *', '0 * * * *', '0 0-11,12-23 * * *'],
    ['0 0 * * *', '0 */24 * * *', '0 0-0 * * *'],
    ['0 */2 * * *', '0 0-23/2 * * *', '0 0-22/2 * * *'],
    ['0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20 2 * * *', '0-20 2 * * *', '0-9,10-20 2 * * *'],
  ])('makes no difference: %s', (pattern, ...others) => {
    for (const [zone, , change] of changes) {
      const [from, to] = [Date.parse(change) - DAY_MS, Date.parse(change) + DAY_MS];
      const dues = between(calendar(pattern, zone), from, to);
      for (const other of others) expect(between(calendar(other, zone), from, to)).toEqual(dues);
    }
  });
});

it('a step says "every" where the list of its values does not', () => {
  const night = (pattern: string) =>
    instants(
      between(
        calendar(pattern, 'Europe/Berlin'),
        Date.parse('2026-03-28T23:00:00Z'),
        Date.parse('2026-03-29T10:00:00Z'),
      ),
    );
  expect(night('0,30 2 * * *')).toEqual(['2026-03-29T01:00:00.000Z']);
  expect(night('*/30 2 * * *')).toEqual([]);
});

const list = (min: number, max: number) =>
  fc.oneof(
    fc
      .uniqueArray(fc.integer({ min, max }), { minLength: 1, maxLength: 15 })
      .map((values) => values.join(',')),
    fc
      .tuple(fc.integer({ min, max }), fc.integer({ min, max }), fc.constantFrom('', '/1', '/2', '/5'))
      .map(([a, b, step]) => `${Math.min(a, b)}-${Math.max(a, b)}${step}`),
    fc.constantFrom('*', '*', '*/2', '*/10'),
  );

it('any pattern is due when a clock on the wall says so, on any of these nights', () => {
  fc.assert(
    fc.property(
      fc.tuple(
        list(0, 59),
        list(0, 4),
        fc.constantFrom('*', '1-15', '4,25,29,30,31'),
        fc.constantFrom('*', '0'),
      ),
      fc.constantFrom(...changes),
      ([minute, hour, day, weekday], [zone, , change]) => {
        const pattern = `${minute} ${hour} ${day} * ${weekday}`;
        const [from, to] = [Date.parse(change) - 9 * HOUR_MS, Date.parse(change) + 9 * HOUR_MS];
        const expected = instants(bruteForce(pattern, zone, from, to));
        expect(instants(between(calendar(pattern, zone), from, to)), pattern).toEqual(expected);
      },
    ),
    { numRuns: 100 },
  );
});

it('counts years of a calendar, at the cost of a hundredth of its instants and less', () => {
  const count = (pattern: string, zone: string, from: string, to: string) =>
    calendar(pattern, zone).count?.(Date.parse(from), Date.parse(to), new CountBudget(100));
  const year = ['2026-01-01T12:00:00Z', '2027-01-01T12:00:00Z'] as const;
  expect(count('* * * * *', 'UTC', ...year)).toEqual({ count: 525_600, exact: true });
  expect(count('* * * * * *', 'Europe/Berlin', ...year)).toEqual({ count: 31_536_000, exact: true });
  expect(count('0 13 * * 1-5', 'Europe/Berlin', ...year)).toEqual({ count: 261, exact: true });
});

it('says of what costs too much to count that there are more, and how many are certain', () => {
  const counted = calendar('0 * * * *', 'Asia/Kathmandu').count?.(
    0,
    100 * 365 * DAY_MS,
    new CountBudget(100),
  );
  expect(counted).toMatchObject({ exact: false });
  expect(counted?.count).toBeGreaterThan(50_000);
  expect(counted?.count).toBeLessThan(876_000);
  expect(calendar('0 0 L * *', 'UTC').count).toBeUndefined();
});
