import { describe, expect, it, test } from 'vitest';
import type { Message } from '../../src/client/messages.ts';
import { roomAddress } from '../../src/pages/wall/address.ts';
import { ageWords, spanWords } from '../../src/pages/wall/age.ts';
import { ClockText, zoneOf, zoneWords } from '../../src/pages/wall/clock-text.ts';
import { displayCommand } from '../../src/pages/wall/display.ts';
import { noticeOf } from '../../src/pages/wall/notice.ts';
import { shownValue } from '../../src/pages/wall/values.ts';
import { wallState } from '../../src/pages/wall/wall-state.ts';

const PAGE = new URL('https://wall.example.com/rooms/lobby');

describe('shownValue', () => {
  it.each([
    [42, { kind: 'number', number: 42, unit: '' }],
    ['21.5 °C', { kind: 'number', number: 21.5, unit: '°C' }],
    ['-3%', { kind: 'number', number: -3, unit: '%' }],
    [
      { value: 7, unit: 'kW', at: 'roof' },
      { kind: 'number', number: 7, unit: 'kW' },
    ],
    ['2 of 3 lifts', { kind: 'text', text: '2 of 3 lifts' }],
    [{ text: 'soup' }, { kind: 'text', text: 'soup' }],
    [null, { kind: 'text', text: '–' }],
    [true, { kind: 'text', text: 'true' }],
    [[], { kind: 'text', text: '–' }],
    [{}, { kind: 'text', text: '–' }],
    [
      { a: 1, b: [2] },
      {
        kind: 'table',
        columns: [],
        rows: [
          ['a', '1'],
          ['b', '[2]'],
        ],
        left: 0,
      },
    ],
    [
      [{ to: 'Wien' }, { at: 5 }],
      {
        kind: 'table',
        columns: ['to', 'at'],
        rows: [
          ['Wien', '–'],
          ['–', '5'],
        ],
        left: 0,
      },
    ],
    ['/plan.png', { kind: 'image', url: new URL('https://wall.example.com/plan.png') }],
    ['https://other.example/plan.png', { kind: 'link', url: new URL('https://other.example/plan.png') }],
    ['javascript:alert(1)', { kind: 'text', text: 'javascript:alert(1)' }],
    [{ url: 'javascript:alert(1)' }, { kind: 'text', text: 'javascript:alert(1)' }],
  ])('shows %j', (data, shown) => expect(shownValue(data, PAGE)).toEqual(shown));

  it('cuts what is long', () => {
    expect(shownValue([1, 2, 3, 4, 5, 6, 7, 8], PAGE)).toMatchObject({ left: 2 });
    expect(JSON.stringify(shownValue({ a: 'x'.repeat(1000) }, PAGE)).length).toBeLessThan(200);
  });
});

describe('noticeOf', () => {
  const read = (data: unknown) => {
    const { title, text, level, link, image } = noticeOf(data, PAGE);
    return [title, text, level, link?.href, image?.href];
  };
  it.each([
    ['hi', ['', 'hi', 'info', undefined, undefined]],
    [{ title: 'T', text: 't', level: 'critical' }, ['T', 't', 'critical', undefined, undefined]],
    [{ text: 't', level: 'loud', link: 'javascript:1' }, ['', 't', 'info', undefined, undefined]],
    [{ text: 't', link: 'http://a.example/x' }, ['', 't', 'info', 'http://a.example/x', undefined]],
    [{ text: 't', image: 'http://a.example/x.png' }, ['', 't', 'info', undefined, undefined]],
    [{ image: '/x.png' }, ['', '', 'info', undefined, 'https://wall.example.com/x.png']],
    [{ a: 1, b: 'two' }, ['', 'a: 1\nb: two', 'info', undefined, undefined]],
    [
      [1, 'two'],
      ['', '1\ntwo', 'info', undefined, undefined],
    ],
    [null, ['', '–', 'info', undefined, undefined]],
  ])('reads %j', (data, notice) => expect(read(data)).toEqual(notice));
});

describe('wallState', () => {
  const open = { name: 'open' } as const;
  const schedule = (name: string, freshness: 'live' | 'late' | 'stale' | 'error', state = 'ok') => ({
    name,
    freshness,
    state,
  });
  it.each([
    [[schedule('a', 'live')], 'live', ''],
    [[], 'live', ''],
    [[schedule('a', 'live'), schedule('b', 'late')], 'late', 'b late'],
    [[schedule('a', 'error', 'error')], 'late', 'a error'],
    [[schedule('a', 'stale', 'paused')], 'late', 'a paused'],
    [[schedule('a', 'stale'), schedule('b', 'stale')], 'lost', 'Nothing heard for 5 seconds'],
  ])('of %j is %s', (schedules, name, words) =>
    expect(wallState(open, schedules, 5000)).toEqual({ name, words }),
  );

  test('without a connection says why', () => {
    const closing = { code: 4001, reason: 'cleaning', reconnect: true };
    const ending = { how: 'closed', code: 4001, reason: '', closing } as const;
    expect(wallState({ name: 'waiting', ending, delayMs: 1 }, [], 61_000)).toEqual({
      name: 'lost',
      words: 'No connection for 1 minute: cleaning',
    });
    expect(wallState({ name: 'closed', ending }, [], 0)).toEqual({
      name: 'closed',
      words: 'Closed: cleaning',
    });
    expect(wallState({ name: 'connecting' }, [], Number.POSITIVE_INFINITY).words).toBe('Connecting');
  });
});

describe('displayCommand', () => {
  const message = (more: Partial<Message>): Message => ({
    event: 'display.reload',
    time: '',
    data: null,
    ...more,
  });
  it('reads what the server sends, once', () => {
    expect(displayCommand(message({}))).toEqual({ name: 'reload' });
    expect(displayCommand(message({ replay: true }))).toBeUndefined();
    expect(displayCommand(message({ from: { connection: 'a-1' } }))).toBeUndefined();
    expect(displayCommand(message({ event: 'notice' }))).toBeUndefined();
    expect(displayCommand(message({ event: 'display.identify', data: { seconds: -1 } }))).toMatchObject({
      seconds: 10,
    });
    expect(displayCommand(message({ event: 'display.message', data: { seconds: 1e9 } }))).toMatchObject({
      seconds: 3600,
    });
  });
});

test('ages are words', () => {
  expect([0, 999, 1000, 59_999, 60_000, 7_200_000, 86_400_000].map(spanWords)).toEqual([
    '0 seconds',
    '0 seconds',
    '1 second',
    '59 seconds',
    '1 minute',
    '2 hours',
    '1 day',
  ]);
  expect([Number.NaN, -5, 2999, 3000].map(ageWords)).toEqual([
    'just now',
    'just now',
    'just now',
    '3 seconds ago',
  ]);
});

test('the clock is in its zone, with twelve hours or 24, also in the night when clocks are set', () => {
  const face = (instant: string, timezone: string, style = {}) => {
    const { time, dayPeriod } = new ClockText(timezone, { locale: 'en-GB', ...style }).face(
      Date.parse(instant),
    );
    return [time, dayPeriod];
  };
  expect(face('2026-11-20T18:00:03Z', 'Europe/Berlin')).toEqual(['19:00:03', '']);
  expect(face('2026-11-20T18:00:03Z', 'Europe/Berlin', { hourCycle: 'h12' })).toEqual(['7:00:03', 'pm']);
  expect(face('2026-11-20T23:00:03Z', 'Europe/Berlin', { hourCycle: 'h23' })).toEqual(['00:00:03', '']);
  expect(face('2026-10-25T00:59:59Z', 'Europe/Berlin')).toEqual(['02:59:59', '']);
  expect(face('2026-10-25T01:00:00Z', 'Europe/Berlin')).toEqual(['02:00:00', '']);
  const data = { iso: '', unixMs: 1, local: '', timezone: 'America/New_York' };
  expect([zoneOf(data), zoneOf({ ...data, timezone: 'Mars/Base' }), zoneOf('x')]).toEqual([
    'America/New_York',
    undefined,
    undefined,
  ]);
  expect(zoneWords('America/New_York')).toBe('New York');
});

test.each([
  ['https://a.example/rooms/lobby?device=d', 'https://a.example/', ['lobby'], 'd', 'auto'],
  ['https://a.example/wall/rooms/a%20b?transport=sse', 'https://a.example/wall/', ['a b'], undefined, 'sse'],
  ['https://a.example/rooms?room=a&room=b&transport=x', 'https://a.example/', ['a', 'b'], undefined, 'auto'],
])('the address %s', (address, server, rooms, device, transport) => {
  const read = roomAddress(new URL(address));
  expect([read.server.href, read.rooms, read.device, read.transport]).toEqual([
    server,
    rooms,
    device,
    transport,
  ]);
});
