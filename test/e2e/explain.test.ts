import { expect, test } from 'vitest';
import { outcomeOf } from '../helpers/command.ts';
import { fileWith } from './process.ts';

const CONFIG = {
  schedules: [
    { name: 'night', cron: '30 2 * * *', timezone: 'Europe/Berlin', feed: { type: 'time' } },
    { name: 'clock', every: '3s', feed: { type: 'time' } },
  ],
};

const explain = (...args: string[]) => outcomeOf(['explain', '--config', fileWith(CONFIG), ...args]);

test('explain tells the next runs with zone and offset, and what the night of the change does', async () => {
  const { code, stdout } = await explain('night', '--from', '2027-03-27T00:00:00Z', '--count', '3');
  expect(code).toBe(0);
  expect(stdout).toEqual([
    'night: at 02:30 (Europe/Berlin)',
    '  Sat 2027-03-27 02:30:00+01:00  2027-03-27T01:30:00.000Z',
    '  Sun 2027-03-28 03:00:00+02:00  2027-03-28T01:00:00.000Z  the clocks go forward: 02:30 does not exist, runs at 03:00',
    '  Mon 2027-03-29 02:30:00+02:00  2027-03-29T00:30:00.000Z',
  ]);
});

test('explain tells ten runs from now on where nothing else is asked', async () => {
  const { code, stdout } = await explain('clock');
  expect(code).toBe(0);
  expect(stdout[0]).toBe('clock: every 3 seconds (UTC)');
  expect(stdout).toHaveLength(11);
});

test.each([
  [['belfry'], 'there is no schedule "belfry"; known: night, clock'],
  [['clock', '--from', 'tomorrow'], '--from: "tomorrow" is not an instant'],
  [['clock', '--count', '0'], '--count: "0" is not a whole number from 1 to 1000'],
])('explain %j is refused in one line', async (args, said) => {
  const { code, stderr, stdout } = await explain(...args);
  expect(code).toBe(1);
  expect(stderr).toHaveLength(1);
  expect(stderr[0]).toContain(said);
  expect(stdout).toEqual([]);
});
