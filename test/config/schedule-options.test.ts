import { expect, it } from 'vitest';
import { z } from 'zod';
import { scheduleOptions } from '../../src/config/schedule.ts';
import { feedKind } from '../../src/feed/feed.ts';
import { ManualClock } from '../helpers/manual-clock.ts';
import { kinds, parse, schedule } from './fixture.ts';

const context = { clock: new ManualClock(), env: {}, baseDirectory: '/srv', stats: () => ({}) };

const optionsOf = (more: object) =>
  scheduleOptions(parse({ schedules: [schedule(more)] }).schedules, kinds, context)[0];

it('makes the parts of a schedule', () => {
  const made = optionsOf({ when: 'changed', missed: 'skip', staleAfter: '5m', timeout: '2s' });
  expect(made).toMatchObject({
    name: 'a',
    describedCadence: { every: '3s' },
    when: 'changed',
    missed: 'skip',
    staleAfterMs: 300_000,
    timeoutMs: 2000,
    rooms: ['*'],
    event: 'plain',
    feedType: 'plain',
  });
  expect(made?.cadence.next(0)).toBe(3000);
});

it('reads a calendar in its zone', () => {
  const made = optionsOf({ every: undefined, cron: '0 9 * * *', timezone: 'Asia/Tokyo' });
  expect(made?.cadence.next(0)).toBe(Date.parse('1970-01-02T00:00:00Z'));
  expect(made?.describedCadence).toEqual({ cron: '0 9 * * *', timezone: 'Asia/Tokyo' });
});

it('makes a feed when it is asked for, of its options and of what feeds may use', () => {
  const made: unknown[][] = [];
  const kind = feedKind({
    type: 'seen',
    description: 'Keeps what it was made of.',
    options: z.object({ size: z.int().default(3).describe('How large.') }),
    create: (...args) => {
      made.push(args);
      return { compute: () => 'null' };
    },
  });
  const entries = [
    { ...parse({ schedules: [schedule({})] }).schedules[0], feed: { type: 'seen', options: { size: 5 } } },
  ];
  const [options] = scheduleOptions(entries as Parameters<typeof scheduleOptions>[0], [kind], context);
  expect(made).toEqual([]);
  options?.makeFeed();
  expect(made).toEqual([[{ size: 5 }, context]]);
});

it('has the same config where the file says the same in another way', () => {
  expect(optionsOf({})?.config).toEqual(optionsOf({ paused: false, timeout: '10s', rooms: ['*'] })?.config);
  expect(optionsOf({})?.config).not.toEqual(optionsOf({ rooms: ['a'] })?.config);
});
