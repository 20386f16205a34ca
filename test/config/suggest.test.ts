import { expect, it } from 'vitest';
import { suggest } from '../../src/config/suggest.ts';

it.each([
  ['shedules', 'schedules'],
  ['prot', 'port'],
  ['Port', 'port'],
  ['hst', 'host'],
  ['colour', undefined],
  ['x', undefined],
  ['', undefined],
])('for %j suggests %j', (word, expected) => {
  expect(suggest(word, ['host', 'port', 'schedules', 'rooms'])).toBe(expected);
});

it.each([
  ['Europe/Berlni', 'Europe/Berlin'],
  ['Amercia/New_York', 'America/New_York'],
  ['Asia/Tokio', 'Asia/Tokyo'],
])('among all time zones suggests for %j %j', (word, expected) => {
  expect(suggest(word, Intl.supportedValuesOf('timeZone'))).toBe(expected);
});
