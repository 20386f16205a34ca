import { expect, it } from 'vitest';
import { describeSchedules, explainSchedule } from '../../src/config/schedule.ts';
import { parse, schedule } from './fixture.ts';

const NOW = Date.parse('2026-11-20T18:00:00.000Z');

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

it('prints each schedule with its cadence and its next runs', () => {
  expect(describeSchedules(config, NOW, 2)).toEqual([
    'clock: every 3 seconds (UTC), feed plain',
    '  Fri 2026-11-20 18:00:03+00:00  2026-11-20T18:00:03.000Z',
    '  Fri 2026-11-20 18:00:06+00:00  2026-11-20T18:00:06.000Z',
    'late: at 02:30 (Europe/Berlin), feed plain, starts paused',
    '  Sat 2026-11-21 02:30:00+01:00  2026-11-21T01:30:00.000Z',
    '  Sun 2026-11-22 02:30:00+01:00  2026-11-22T01:30:00.000Z',
  ]);
});

it('explains one of them', () => {
  expect(explainSchedule(config, 'late', NOW, 1)).toEqual([
    'late: at 02:30 (Europe/Berlin)',
    '  Sat 2026-11-21 02:30:00+01:00  2026-11-21T01:30:00.000Z',
  ]);
});

it('refuses to explain what is not there, naming what is', () => {
  expect(() => explainSchedule(config, 'clokc', NOW, 1)).toThrow(
    'there is no schedule "clokc"; known: clock, late',
  );
  expect(() => explainSchedule(parse({}), 'clock', NOW, 1)).toThrow('known: none');
});
