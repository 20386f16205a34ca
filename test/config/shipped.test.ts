import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { defaultDocument } from '../../src/config/load.ts';
import { parseConfig } from '../../src/config/parse.ts';
import { configJsonSchema, configJsonSchemaText } from '../../src/config/schema.ts';
import { feedKinds } from '../../src/feed/kinds.ts';
import { isEventName, isRoomName, isRoomPattern } from '../../src/hub/event.ts';
import { kinds } from './fixture.ts';

const read = (name: string) => readFileSync(new URL(`../../${name}`, import.meta.url), 'utf8');

describe('belfry.json', () => {
  const document = JSON.parse(read('belfry.json'));

  it('is the built-in default', () => {
    expect(document).toEqual(defaultDocument);
  });

  it('is without fault', () => {
    expect(parseConfig(document, { feedKinds, env: {} }).schedules).toHaveLength(1);
  });

  it('is valid by the schema for editors', () => {
    expect(
      z.fromJSONSchema(JSON.parse(read('belfry.schema.json'))).safeParse(document).error,
    ).toBeUndefined();
  });
});

describe('belfry.schema.json', () => {
  it('is current: npm run build && npm run schema', () => {
    expect(read('belfry.schema.json')).toBe(configJsonSchemaText(feedKinds));
  });

  it('describes every key', () => {
    expect(undescribed(configJsonSchema(kinds), '')).toEqual([]);
  });

  it('accepts what the parser accepts', () => {
    const document = {
      admin: { tokens: [{ name: 'a', tokenEnv: 'y' }] },
      schedules: [{ name: 'a', cron: '* * * * *', feed: { type: 'plain' } }],
    };
    const schema: z.core.JSONSchema.JSONSchema = JSON.parse(configJsonSchemaText(kinds));
    expect(z.fromJSONSchema(schema).safeParse(document).error).toBeUndefined();
  });

  it.each([
    ['two cadences', { schedules: [{ name: 'a', every: '3s', cron: '* * * * *', feed: { type: 'plain' } }] }],
    ['no cadence', { schedules: [{ name: 'a', feed: { type: 'plain' } }] }],
    ['a duration without a unit', { schedules: [{ name: 'a', every: '3', feed: { type: 'plain' } }] }],
    ['an unknown feed', { schedules: [{ name: 'a', every: '3s', feed: { type: 'other' } }] }],
    ['an unknown key', { shedules: [] }],
    ['a token given twice', { admin: { tokens: [{ name: 'a', token: 'x', tokenEnv: 'y' }] } }],
  ])('refuses %s', (_what, document) => {
    const schema: z.core.JSONSchema.JSONSchema = JSON.parse(configJsonSchemaText(kinds));
    expect(z.fromJSONSchema(schema).safeParse(document).success).toBe(false);
  });

  it('has the same names as the hub', () => {
    const { schedules, rooms } = properties(configJsonSchema(kinds));
    const schedule = properties(Object(schedules).items);
    const rule = properties(Object(rooms).items);
    for (const text of [
      'a',
      '5',
      'a b',
      '*',
      'a-*',
      '-a',
      'a.b_c:d-e',
      '',
      'a'.repeat(64),
      'a'.repeat(128),
      'a'.repeat(129),
    ]) {
      const matches = (key: unknown) => new RegExp(Object(key).pattern).test(text);
      expect([text, matches(schedule.name), matches(schedule.event), matches(rule.match)]).toEqual([
        text,
        isRoomName(text),
        isEventName(text),
        isRoomPattern(text),
      ]);
    }
  });
});

function properties(schema: unknown): Record<string, unknown> {
  return Object(schema).properties ?? {};
}

/** The paths of the keys that have no description. */
function undescribed(schema: unknown, path: string): string[] {
  // Of the alternatives only those that are whole objects, as the kinds of feed are.
  const kinds = [...(Object(schema).oneOf ?? [])].filter(
    (part) => Object(part).additionalProperties === false,
  );
  const items = Object(schema).items;
  return [
    ...kinds.flatMap((part) => undescribed(part, path)),
    ...(items === undefined ? [] : undescribed(items, `${path}[]`)),
    ...Object.entries(properties(schema)).flatMap(([key, value]) => [
      ...(Object(value).description ? [] : [`${path}.${key}`]),
      ...undescribed(value, `${path}.${key}`),
    ]),
  ];
}
