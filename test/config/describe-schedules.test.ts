import { expect, it } from 'vitest';
import { describeSchedules } from '../../src/config/describe-schedules.ts';
import { parse, schedule } from './fixture.ts';

it('prints each schedule with its cadence and its next runs', () => {
  const config = parse({
    schedules: [
      schedule({ name: 'clock' }),
      schedule({
        name: 'late',
        every: undefined,
        cron: '30 2 * * *',
        timezone: 'Europe/Berlin',
        paused: true,
      }),
    ],
  });
  expect(describeSchedules(config, Date.parse('2026-11-20T18:00:00.000Z'), 2)).toEqual([
    'clock: every 3s, feed plain',
    '  2026-11-20T18:00:03.000Z',
    '  2026-11-20T18:00:06.000Z',
    'late: cron "30 2 * * *" in Europe/Berlin, feed plain, starts paused',
    '  2026-11-21T01:30:00.000Z',
    '  2026-11-22T01:30:00.000Z',
  ]);
});
