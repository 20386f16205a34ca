import { generateKeyPairSync } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { SubscriberTokens } from '../../src/access/subscriber-tokens.ts';
import { tokenCheck } from '../../src/access/tokens.ts';
import { publicKey, secretKey, type VerificationKey } from '../../src/access/verification-keys.ts';
import { systemClock } from '../../src/clock.ts';
import { parseConfig } from '../../src/config/parse.ts';
import { feedKinds } from '../../src/feed/kinds.ts';
import { emptyFolder } from '../e2e/process.ts';
import { outcomeOf } from '../helpers/command.ts';

const token = (...args: string[]) => outcomeOf(['token', ...args]);

describe('belfry token admin', () => {
  /** The holder of what was made, in a configuration with its entry. */
  async function made(...args: string[]) {
    const { code, stdout, stderr } = await token('admin', ...args);
    expect([code, stdout.length, stderr.length]).toEqual([0, 1, 2]);
    const [text = ''] = stdout;
    expect(text).toMatch(/^[\w-]{43}$/);
    expect(stderr.join('\n')).not.toContain(text);
    const document = { server: { host: '0.0.0.0' }, admin: { tokens: [JSON.parse(stderr[1] ?? '')] } };
    return tokenCheck(parseConfig(document, { feedKinds, env: {} }).admin.tokens)(text);
  }

  test('makes one of an operator, and its entry', async () => {
    expect(await made()).toMatchObject({ name: 'operator', role: 'operator' });
    expect(await made('--name', 'ops')).toMatchObject({ name: 'ops', role: 'operator' });
  });

  test('makes one of another role', async () => {
    expect(await made('--role', 'viewer')).toMatchObject({ name: 'viewer', role: 'viewer' });
    const rooms = ['lobby', 'ops-*', 'hall'];
    const publisher = { name: 'kiosk', role: 'publisher', rooms };
    for (const written of [['lobby', 'ops-*', 'hall'], ['lobby,ops-*', 'hall'], ['lobby,ops-*,hall']])
      expect(await made('--role', 'publisher', '--name', 'kiosk', '--rooms', ...written)).toMatchObject(
        publisher,
      );
  });

  test('makes another one each time', async () => {
    const made = await Promise.all([1, 2, 3].map(() => token('admin')));
    expect(new Set(made.map(({ stdout }) => stdout[0])).size).toBe(3);
  });

  test.each([
    [['--role', 'king'], '--role: "king" is not one of "viewer", "operator", "publisher"'],
    [
      ['--role', 'operater'],
      '--role: "operater" is not one of "viewer", "operator", "publisher": did you mean "operator"?',
    ],
    [
      ['--role', 'publisher'],
      '--rooms: is missing: write the rooms that the publisher may send to, such as ["lobby","ops-*"]',
    ],
    [
      ['--role', 'publisher', '--rooms', 'lobby,,hall'],
      '--rooms: "" is not a room pattern: write a room name in which * stands for any run of characters',
    ],
    [
      ['--rooms', 'lobby'],
      '--rooms: is for the role "publisher" only, and the role here is "operator": leave it out, or write that role',
    ],
    [['--name', ''], '--name: is empty: write whose token it is'],
  ])('refuses %j', async (args, line) => {
    expect(await token('admin', ...args)).toEqual({ code: 1, stdout: [], stderr: [line] });
  });

  test('refuses words that it does not know', async () => {
    const { code, stdout, stderr } = await token('admin', 'ops');
    expect([code, stdout]).toEqual([1, []]);
    expect(stderr[0]).toContain('too many arguments');
  });
});

describe('belfry token subscriber', () => {
  const SECRET = 'a secret of at least thirty-two bytes';
  const env = { LISTENERS: SECRET };

  /** Runs it in a folder with a configuration, and perhaps more files. */
  function sign(args: readonly string[], access?: object, files: Readonly<Record<string, string>> = {}) {
    const cwd = emptyFolder();
    const all = { 'belfry.json': JSON.stringify(access ? { access } : {}), ...files };
    for (const [name, text] of Object.entries(all)) writeFileSync(join(cwd, name), text);
    return outcomeOf(['token', 'subscriber', ...args], { cwd, env });
  }

  const verified = (token: string | undefined, key: VerificationKey, rules = {}) =>
    new SubscriberTokens({ leewaySeconds: 0, ...rules }, key, systemClock).verify(token ?? '');

  test('signs with the secret of the configuration, for its issuer and audience', async () => {
    const rules = { issuer: 'https://login.example.com', audience: 'wall' };
    const args = ['--sub', 'wall-1', '--rooms', 'lobby', 'ops-*', '--publish', 'lobby', '--ttl', '2h'];
    const { code, stdout, stderr } = await sign(args, { secretEnv: 'LISTENERS', ...rules });
    expect([code, stdout.length, stderr.length]).toEqual([0, 1, 1]);
    expect(stderr[0]).toMatch(
      /^For the user "wall-1", until \S+Z\. Rooms: lobby, ops-\*\. May publish in: lobby\.$/,
    );
    const subscriber = await verified(stdout[0], secretKey(SECRET), rules);
    expect(subscriber.user).toBe('wall-1');
    expect(['lobby', 'ops-7', 'hall'].map(subscriber.mayJoin)).toEqual([true, true, false]);
    expect(['lobby', 'ops-7'].map(subscriber.mayPublish)).toEqual([true, false]);
    const leftMs = (subscriber.expiresAtMs ?? 0) - Date.now();
    expect(Math.abs(leftMs - 7_200_000)).toBeLessThan(60_000);
    expect(stdout.concat(stderr).join('\n')).not.toContain(SECRET);
  });

  test.each([
    ['RSA', () => generateKeyPairSync('rsa', { modulusLength: 2048 })],
    ['EC P-256', () => generateKeyPairSync('ec', { namedCurve: 'P-256' })],
    ['Ed25519', () => generateKeyPairSync('ed25519')],
  ])('signs with a private key of %s, PEM or JWK', async (_, pair) => {
    const keys = pair();
    const publicPem = keys.publicKey.export({ type: 'spki', format: 'pem' }).toString();
    const files = {
      'public.pem': publicPem,
      'a.pem': keys.privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
      'a.jwk': JSON.stringify(keys.privateKey.export({ format: 'jwk' })),
    };
    for (const file of ['a.pem', 'a.jwk']) {
      const args = ['--rooms', 'lobby', '--key', file, '--kid', 'k1'];
      const { code, stdout } = await sign(args, { publicKeyFile: 'public.pem' }, files);
      expect(code).toBe(0);
      expect((await verified(stdout[0], publicKey(publicPem))).mayJoin('lobby')).toBe(true);
      expect(JSON.parse(Buffer.from(stdout[0]?.split('.')[0] ?? '', 'base64url').toString()).kid).toBe('k1');
    }
    const { code, stderr } = await sign(['--key', 'a.pem'], undefined, files);
    expect([code, stderr[1]]).toEqual([
      0,
      'belfry.json has no "access": a server with it looks at no such token.',
    ]);
  });

  test('says what would work where nothing can sign', async () => {
    const keys = generateKeyPairSync('ed25519');
    const files = { 'public.pem': keys.publicKey.export({ type: 'spki', format: 'pem' }).toString() };
    const cases = [
      [undefined, 'belfry.json has no "access": '],
      [{ publicKeyFile: 'public.pem' }, 'belfry.json names a public key, which cannot sign: '],
      [
        { jwksUrl: 'https://login.example.com/jwks.json' },
        'belfry.json names a public key, which cannot sign: ',
      ],
    ] as const;
    for (const [access, start] of cases) {
      const { code, stdout, stderr } = await sign([], access, files);
      expect([code, stdout]).toEqual([1, []]);
      expect(stderr[0]).toBe(
        `${start}sign with its private key, belfry token subscriber --key private.pem …`,
      );
      expect(stderr.join('\n')).toContain('"access": {"secretEnv": "LISTENERS_SECRET"}');
    }
  });

  test.each([
    [['--ttl', '0s'], /^--ttl: "0s" is not a duration: /],
    [['--ttl', '400d'], /^--ttl: "400d" is not a duration: .* at most 366d/],
    [
      ['--rooms', 'a b'],
      /^a server would refuse this token: the claim "rooms" of the token must be a room pattern/,
    ],
    [['--publish', '-'], /^a server would refuse this token: the claim "publish"/],
    [['--sub', ''], /^a server would refuse this token: the claim "sub"/],
    [['--key', 'missing.pem'], /^--key: \S+missing\.pem cannot be read: there is no such file$/],
    [['--key', 'belfry.json'], /^--key: \S+belfry\.json is no private key: write one of RSA/],
    [
      ['--key', 'other.pem'],
      /^a server would refuse this token: the token is not signed as this server accepts it$/,
    ],
  ])('refuses %j', async (args, message) => {
    const other = generateKeyPairSync('ed25519').privateKey.export({ type: 'pkcs8', format: 'pem' });
    const { code, stdout, stderr } = await sign(
      args,
      { secretEnv: 'LISTENERS' },
      { 'other.pem': String(other) },
    );
    expect([code, stdout]).toEqual([1, []]);
    expect(stderr[0]).toMatch(message);
  });
});
