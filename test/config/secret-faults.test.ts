// biome-ignore-all lint/suspicious/noTemplateCurlyInString: what feeds write for a variable.
import { describe, expect, it } from 'vitest';
import { parseConfig } from '../../src/config/parse.ts';
import { feedKinds } from '../../src/feed/kinds.ts';
import { faultsOf, kinds, schedule } from './fixture.ts';

const SECRET = 'hunter2-hunter2';
const env = { SECRET, PORT: '8443' };
const options = { feedKinds: [...feedKinds, ...kinds], env };

const ofFeed = (feed: unknown) => ({ schedules: [schedule({ feed })] });
const http = (more: object) => ofFeed({ type: 'http', url: 'https://x.example', ...more });
const command = (argv: unknown, more = {}) => ofFeed({ type: 'command', argv, ...more });
const tokens = (...list: unknown[]) => ({ admin: { tokens: list } });

/** Documents with the secret in them and a fault beside it, above it or in it. */
const LEAKY: readonly [string, unknown][] = [
  ['a command on one line', command(`mysql -p${SECRET}`)],
  ['an argument that is a list', command(['mysql', [SECRET]])],
  ['an argument that is an object', command(['mysql', { password: SECRET }])],
  ['a command as an object', command({ mysql: `-p${SECRET}` })],
  ['an argument with a NUL', command(['mysql', `-p${SECRET}\0`])],
  ['a command from the environment', command('mysql -p${SECRET}')],
  ['a command in the place of the feed', ofFeed(['mysql', SECRET])],
  ['an address in the place of the feed', ofFeed(`https://ann:${SECRET}@x`)],
  ['a number in the place of a header', http({ headers: { authorization: [SECRET] } })],
  ['headers as a list', http({ headers: [`authorization: ${SECRET}`] })],
  ['headers as a string', http({ headers: `authorization: ${SECRET}` })],
  ['a header in its name', http({ headers: { [`authorization: Bearer ${SECRET}`]: '' } })],
  ['a header in its name, with a variable', http({ headers: { [`authorization: ${SECRET}`]: '${UNSET}' } })],
  ['a header in a name, with an object', http({ headers: { [`a: ${SECRET}`]: { b: '${UNSET}' } } })],
  ['headers as a list of objects', http({ headers: [{ [SECRET]: '${UNSET}' }] })],
  ['a variable in its name', command(['mysql'], { env: { [`PASSWORD=${SECRET}`]: '${UNSET}' } })],
  ['a command as an object, with a variable', command({ [SECRET]: '${UNSET}' })],
  ['an argument as an object, with a variable', command(['mysql', { [SECRET]: '${UNSET}' }])],
  ['an address as an object, with a variable', http({ url: { [SECRET]: '${UNSET}' } })],
  ['an object in a foreign option', ofFeed({ type: 'own', login: { [SECRET]: '${UNSET}' } })],
  ['a name of a variable that is none', http({ url: `https://x/\${${SECRET}}` })],
  ['a name of a variable with a blank', http({ pick: `\${${SECRET} x}` })],
  ['a header with a line break', http({ headers: { authorization: `${SECRET}\n` } })],
  ['a header that is not for a feed to set', http({ headers: { te: SECRET } })],
  ['an address that is none', http({ url: `ann:${SECRET}@x.example/` })],
  ['an address in a list', http({ url: [`https://ann:${SECRET}@x`] })],
  ['an address in an object', http({ url: { href: `https://ann:${SECRET}@x` } })],
  ['a variable in an option', http({ maxBytes: '${SECRET}', pick: '${SECRET}', method: '${SECRET}' })],
  ['a variable in a zone', ofFeed({ type: 'time', timezone: '${SECRET}' })],
  ['a variable in a message', ofFeed({ type: 'message', data: '{{x${SECRET}}}' })],
  ['an option of a foreign kind', ofFeed({ type: 'address', url: 'https://x', headers: { a: [SECRET] } })],
  ['a string for a foreign object', ofFeed({ type: 'address', url: 'https://x', headers: SECRET })],
  ['a token in the place of its entry', tokens(SECRET)],
  ['a token in the place of all', { admin: { tokens: SECRET } }],
  ['a token in the place of the section', { admin: SECRET }],
  ['a token in a list', tokens({ name: 'a', token: [SECRET] })],
  ['a token with a blank', tokens({ name: 'a', token: `${SECRET} ` })],
  ['a token for a hash', tokens({ name: 'a', sha256: SECRET })],
  ['a token for the name of its variable', tokens({ name: 'a', tokenEnv: SECRET })],
  ['schedules by name', { schedules: { a: schedule({ feed: { type: 'http', url: SECRET } }) } }],
  ['a schedule that is an address', { schedules: [`https://ann:${SECRET}@x`] }],
  ['a public address with a login', { server: { publicUrl: `https://ann:${SECRET}@x` } }],
  ['a public address with a query', { server: { publicUrl: `https://x/?key=${SECRET}` } }],
  [
    'an origin with a login',
    { server: { allowedOrigins: [`https://ann:${SECRET}@x`, `ann:${SECRET}@x y`] } },
  ],
  ['a host with a login', { server: { host: `ann:${SECRET}@x` } }],
  ['a proxy with a login', { server: { trustProxy: [`http://ann:${SECRET}@x`] } }],
];

describe('faults', () => {
  it.each(LEAKY)('never repeat %s', (_what, document) => {
    const faults = faultsOf(() => parseConfig(document, options));
    expect(faults.length).toBeGreaterThan(0);
    expect(JSON.stringify(faults)).not.toContain(SECRET);
  });

  it('say what kind of thing it is that they do not repeat', () => {
    const [fault] = faultsOf(() => parseConfig(command(`mysql -p${SECRET}`), options));
    expect(fault).toEqual({
      path: 'schedules[0].feed.argv',
      message: 'a string is not a list [ … ]: write one such as ["uptime","-p"]',
    });
  });

  it('repeat a reference as the file has it, and do not take it for a number', () => {
    const [fault] = faultsOf(() => parseConfig(http({ maxBytes: '${PORT}' }), options));
    expect(fault?.message).toBe('"${PORT}" is not a number');
  });

  it('name a variable that is not set, and its place', () => {
    const headers = { 'x-key': '${UNSET}', 'x-other': '${not a name}' };
    expect(faultsOf(() => parseConfig(http({ headers }), options))).toEqual([
      {
        path: 'schedules[0].feed.headers.x-key',
        message: 'the environment variable UNSET is not set (a plain "${" is written "$${")',
      },
      {
        path: 'schedules[0].feed.headers.x-other',
        message:
          'what stands between "${" and "}" is not the name of a variable: write letters, digits and _, not starting with a digit (a plain "${" is written "$${")',
      },
    ]);
  });

  it('repeat the beginning of what is long', () => {
    const long = 'x'.repeat(100_000);
    const document = {
      [long]: 1,
      server: { host: `!${long}`, publicUrl: long },
      schedules: [{ name: long }],
    };
    for (const { path, message } of faultsOf(() => parseConfig(document, options))) {
      expect(path.length + message.length).toBeLessThan(300);
    }
  });
});

describe('a file with very many faults', () => {
  const many = (count: number, make: (n: number) => unknown) =>
    Array.from({ length: count }, (_, n) => make(n));

  it.each<[string, unknown]>([
    ['entries', { rooms: many(100_000, () => 5) }],
    [
      'variables',
      { schedules: many(3000, (n) => schedule({ feed: { type: 'message', data: `\${V${n}}` } })) },
    ],
    ['zones', { schedules: many(300, (n) => schedule({ timezone: `Europe/Berlni${n}` })) }],
  ])('is told the first hundred of its %s, and how many more there are', (_what, document) => {
    const faults = faultsOf(() => parseConfig(document, options));
    expect(faults).toHaveLength(101);
    expect(faults.at(-1)).toEqual({ path: '', message: expect.stringMatching(/^and \d+ more faults$/) });
  });

  it('is told twenty of the unknown keys of one object', () => {
    const document = Object.fromEntries(many(100_000, (n) => [`k${n}`, n]) as [string, unknown][]);
    const faults = faultsOf(() => parseConfig(document, options));
    expect(faults).toHaveLength(21);
    expect(faults.at(-1)?.message).toBe('and 99980 more unknown keys');
  });

  it('takes time that is linear in the length of a feed', () => {
    for (const data of ['${'.repeat(500_000), '$${'.repeat(300_000), '${A'.repeat(300_000)]) {
      expect(parseConfig(ofFeed({ type: 'message', data }), options).schedules).toHaveLength(1);
    }
  }, 5000);
});
