import { describe, expect, it } from 'vitest';
import { messageFeed } from '../../src/feed/computed.ts';
import type { Tick } from '../../src/hub/event.ts';
import { computed, faults, tick } from './fixture.ts';

function sent(data: unknown, at: Tick = tick): unknown {
  const value = computed(messageFeed, { data }).compute(at, 0);
  return JSON.parse(typeof value === 'string' ? value : value('lobby'));
}

describe('the message feed', () => {
  it.each([[{ text: 'Good morning', list: [1, null, true, ['ä\n"']] }], ['words'], [null], [0], [[]]])(
    'sends %j as it stands',
    (data) => {
      expect(sent(data)).toEqual(data);
    },
  );

  it('fills in the tick and the room, wherever in a string they stand', () => {
    expect(
      sent({
        text: '{{schedule}} no. {{seq}} of {{due}}, next {{next}}',
        deep: ['to {{room}} and {{room}}'],
      }),
    ).toEqual({
      text: 'clock no. 598399201 of 2026-11-20T18:00:03.000Z, next 2026-11-20T18:00:06.000Z',
      deep: ['to lobby and lobby'],
    });
  });

  it('keeps a string that is one placeholder a string', () => {
    expect(sent(['{{seq}}', '{{next}}'])).toEqual(['598399201', '2026-11-20T18:00:06.000Z']);
  });

  it('leaves empty what the tick does not have', () => {
    const { seq: _, ...cron } = tick;
    expect(sent('[{{seq}}|{{next}}]', { ...cron, next: null })).toBe('[|]');
    expect(sent('{{seq}}', { ...tick, seq: 0 })).toBe('0');
  });

  it('is one text for all rooms without {{room}}, and a text for each with it', () => {
    expect(computed(messageFeed, { data: 'at {{due}}' }).compute(tick, 0)).toBe(
      '"at 2026-11-20T18:00:03.000Z"',
    );
    const value = computed(messageFeed, { data: { '{{room}}': '{{seq}}{{room}}{{seq}}' } }).compute(tick, 0);
    const text = typeof value === 'function' ? [value('a'), value('b')] : value;
    expect(text).toEqual(['{"a":"598399201a598399201"}', '{"b":"598399201b598399201"}']);
  });

  it('takes nothing in the name of a schedule for a placeholder or for JSON', () => {
    const odd = '"}\\ {{room}} {{due}} $& $1';
    expect(sent('{{schedule}} in {{room}}', { ...tick, schedule: odd })).toBe(`${odd} in lobby`);
    expect(sent('{{schedule}}', { ...tick, schedule: odd })).toBe(odd);
  });

  it('leaves single braces, empty objects and unfinished placeholders alone', () => {
    const data = { a: '{{', b: { c: {} }, d: '{due}', e: '}}', f: '{{due', g: '{{a"b}}' };
    expect(sent(data)).toEqual(data);
  });

  it('refuses placeholders that it does not know, each by its name', () => {
    const known = 'use {{due}}, {{seq}}, {{next}}, {{room}} or {{schedule}}';
    expect(faults(messageFeed, { data: ['{{now}} {{due}}', { a: '{{ room }}' }, '{{__proto__}}'] })).toEqual([
      `data: {{now}} is not known: ${known}`,
      `data: {{ room }} is not known: ${known}`,
      `data: {{__proto__}} is not known: ${known}`,
    ]);
  });

  it.each([{}, { data: undefined }, { data: () => 'x' }])(
    'refuses %j, which has nothing to send',
    (options) => {
      expect(faults(messageFeed, options)).toEqual([
        'data: must be JSON: write the words to send, such as {"text":"Good morning"}',
      ]);
    },
  );
});
