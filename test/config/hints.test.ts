import { describe, expect, it } from 'vitest';
import { EXAMPLES } from '../../src/config/errors.ts';
import { parseConfig } from '../../src/config/parse.ts';
import { feedKinds } from '../../src/feed/kinds.ts';
import { faultsOf } from './fixture.ts';

const parse = (document: unknown) => parseConfig(document, { feedKinds, env: { OPS_TOKEN: 'x' } });
const feed = { type: 'time' };
const entry = { name: 'clock', every: '3s', feed };
const scheduled = (more: object) => ({ schedules: [{ ...entry, ...more }] });
const fed = (more: object) => scheduled({ feed: more });
const http = (more: object) => fed({ type: 'http', url: 'https://x.example', ...more });

/** The keys and positions on the way to what a path names, such as `schedules[0].every`. */
function stepsOf(path: string): (string | number)[] {
  return path
    .split(/[.[\]]+/)
    .filter((step) => step !== '')
    .map((step) => (/^\d+$/.test(step) ? Number(step) : step));
}

/** A document with another value in one place. */
function withValue(
  document: unknown,
  [step, ...rest]: readonly (string | number)[],
  value: unknown,
): unknown {
  if (step === undefined) return value;
  const copy: Record<string | number, unknown> = Array.isArray(document)
    ? [...document]
    : { ...Object(document) };
  copy[step] = withValue(copy[step], rest, value);
  return copy;
}

/** What stands in the file, and what the only fault offers in the place of it. */
const BROKEN: readonly [unknown, string][] = [
  [{ server: 5 }, '{"port":8080}'],
  [{ server: { port: '8080' } }, '8080'],
  [{ server: { openMetrics: 'true' } }, 'true'],
  [{ server: { host: 'http://0.0.0.0' } }, '"127.0.0.1"'],
  [{ server: { publicUrl: 'wall.example.com' } }, '"https://wall.example.com"'],
  [{ server: { publicUrl: 'https://x.example/a' } }, '"https://x.example"'],
  [{ server: { publicUrl: 5 } }, '"https://wall.example.com"'],
  [{ server: { allowedOrigins: 'https://x' } }, '["https://x"]'],
  [{ server: { allowedOrigins: 'x.example' } }, '["https://wall.example.com"]'],
  [{ server: { allowedOrigins: { a: 1 } } }, '["https://wall.example.com"]'],
  [{ server: { allowedOrigins: ['x.example/a'] } }, '"https://x.example"'],
  [{ server: { allowedOrigins: ['wss://x.example'] } }, '"https://x.example"'],
  [{ server: { allowedOrigins: ['*.example'] } }, '"*"'],
  [{ server: { allowedOrigins: [5] } }, '"https://wall.example.com"'],
  [{ server: { trustProxy: '10.0.0.1' } }, '["10.0.0.1"]'],
  [{ server: { trustProxy: 'proxy' } }, '["127.0.0.1"]'],
  [{ admin: [] }, '{"tokens":[]}'],
  [{ admin: { tokens: [{ token: 'x' }] } }, '"ops"'],
  [{ rooms: { lobby: {} } }, '[{"match":"lobby"}]'],
  [
    { rooms: { lobby: { publish: 'members' }, 'ops-*': { history: 5 } } },
    '[{"match":"lobby","publish":"members"},{"match":"ops-*","history":5}]',
  ],
  [{ rooms: { match: 'ops' } }, '[{"match":"ops"}]'],
  [{ rooms: { lobby: true } }, '[{"match":"lobby"}]'],
  [{ rooms: { 'no room': {} } }, '[{"match":"lobby"}]'],
  [{ rooms: 'lobby' }, '[{"match":"lobby"}]'],
  [{ rooms: ['lobby'] }, '{"match":"lobby"}'],
  [{ rooms: [{}] }, '"lobby"'],
  [{ rooms: [{ match: 'a', history: '5' }] }, '5'],
  [{ schedules: { clock: { every: '3s', feed } } }, `[${JSON.stringify(entry)}]`],
  [{ schedules: entry }, `[${JSON.stringify(entry)}]`],
  [{ schedules: ['clock'] }, JSON.stringify(entry)],
  [{ schedules: [{ every: '3s', feed }] }, '"clock"'],
  [{ schedules: [{ name: 'a', every: '3s' }] }, '{"type":"time"}'],
  [scheduled({ feed: 'time' }), '{"type":"time"}'],
  [scheduled({ feed: ['uptime'] }), '{"type":"time"}'],
  [scheduled({ every: 3 }), '"3s"'],
  [scheduled({ every: '3' }), '"3s"'],
  [scheduled({ every: 0.05 }), '"3s"'],
  [scheduled({ every: -1 }), '"3s"'],
  [scheduled({ every: '3 seconds' }), '"3s"'],
  [scheduled({ timeout: 3_000_000 }), '"3s"'],
  [{ schedules: [{ name: 'a', cron: 5, feed }] }, '"*/5 * * * *"'],
  [scheduled({ timezone: 'Europe/Berlni' }), '"Europe/Berlin"'],
  [scheduled({ timezone: 'here' }), '"Europe/Berlin"'],
  [scheduled({ timezone: 1 }), '"Europe/Berlin"'],
  [scheduled({ rooms: 'ops-*' }), '["ops-*"]'],
  [scheduled({ rooms: 'no room' }), '["lobby"]'],
  [scheduled({ rooms: [1] }), '"lobby"'],
  [scheduled({ event: 1 }), '"news"'],
  [scheduled({ paused: 'true' }), 'true'],
  [scheduled({ when: 'change' }), '"changed"'],
  [fed({ type: 'tmie' }), '"time"'],
  [fed({ type: 'command', argv: 'uptime -p' }), '["uptime","-p"]'],
  [fed({ type: 'command' }), '["uptime","-p"]'],
  [fed({ type: 'command', argv: ['uptime'], maxBytes: '100' }), '100'],
  [fed({ type: 'http' }), '"https://prices.example.com/now.json"'],
  [http({ headers: 'accept: text/plain' }), '{"accept":"application/json"}'],
  [fed({ type: 'file' }), '"prices.json"'],
  [{ limits: [] }, '{"connections":1000}'],
  [{ limits: { rooms: '5' } }, '5'],
];

describe('the value that a fault offers', () => {
  it.each(BROKEN)('for %j is accepted when it is written', (document, offered) => {
    const [fault, ...others] = faultsOf(() => parse(document));
    expect(others).toEqual([]);
    expect(fault?.message).toContain(offered);
    expect(() => parse(withValue(document, stepsOf(fault?.path ?? ''), JSON.parse(offered)))).not.toThrow();
  });

  it.each([
    [{ server: { port: '80800' } }, 'server.port: "80800" is not a number'],
    [{ limits: { rooms: '1e3' } }, 'limits.rooms: "1e3" is not a number'],
  ])('for %j is none, where what was meant is none either', (document, line) => {
    expect(faultsOf(() => parse(document)).map(({ path, message }) => `${path}: ${message}`)).toEqual([line]);
  });
});

describe('an example', () => {
  /** A file in which all places exist that the feed's kind has. */
  const whole = (feed: object) => ({
    server: { allowedOrigins: ['null'], trustProxy: ['::1'] },
    admin: { tokens: [{ name: 'a', token: 'x', role: 'publisher', rooms: ['a'] }] },
    rooms: [{ match: 'a' }],
    schedules: [{ ...entry, rooms: ['a'], feed }],
  });
  const feeds: Readonly<Record<string, object>> = {
    argv: { type: 'command' },
    headers: { type: 'http', url: 'https://x.example' },
    url: { type: 'http' },
    path: { type: 'file' },
  };

  it.each(Object.entries(EXAMPLES))('for %s, %s, is accepted there', (place, example) => {
    const steps = place.split('.').map((step) => (step === '[]' ? 0 : step));
    const own = place.includes('.feed.') ? feeds[String(steps.at(-1))] : undefined;
    const document = withValue(whole(own ?? feed), steps, JSON.parse(example));
    const cron = withValue(document, ['schedules', 0, 'every'], undefined);
    expect(() => parse(place.endsWith('.cron') ? cron : document)).not.toThrow();
  });
});
