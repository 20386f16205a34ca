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
