import { describe, expect, test } from 'vitest';
import { parseConfig } from '../../src/config/parse.ts';
import { feedKinds } from '../../src/feed/kinds.ts';

const parse = (page: unknown) => parseConfig({ rooms: [{ match: 'lobby', page }] }, { feedKinds, env: {} });

describe('page of a rule', () => {
  test('may be left out, and each key of it', () => {
    expect(parse(undefined).rooms[0]?.page).toEqual({ theme: 'auto' });
    expect(parse({}).rooms[0]?.page).toEqual({ theme: 'auto' });
  });

  test.each([
    [{ title: '' }, 'rooms[0].page.title', 'is empty'],
    [{ title: 'x'.repeat(101) }, 'rooms[0].page.title', ''],
    [{ theme: 'pink' }, 'rooms[0].page.theme', '"dark"'],
    [{ schedules: ['a b'] }, 'rooms[0].page.schedules[0]', 'is not a schedule name'],
    [{ schedules: 'clock' }, 'rooms[0].page.schedules', ''],
    [{ hourCycle: 12 }, 'rooms[0].page.hourCycle', '"h23"'],
    [{ locale: 'no locale' }, 'rooms[0].page.locale', 'write one such as "en-GB"'],
    [{ timezone: 'Europe/Berln' }, 'rooms[0].page.timezone', 'Europe/Berlin'],
    [{ titel: 'x' }, 'rooms[0].page', 'did you mean "title"'],
  ])('with %j is a fault', (page, path, words) => {
    let thrown: unknown;
    try {
      parse(page);
    } catch (error) {
      thrown = error;
    }
    expect(String(thrown)).toContain(path);
    expect(String(thrown)).toContain(words);
  });
});
