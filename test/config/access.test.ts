import { generateKeyPairSync, type KeyObject } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { ConfigError } from '../../src/config/errors.ts';
import { parseConfig } from '../../src/config/parse.ts';
import { feedKinds } from '../../src/feed/kinds.ts';

const SECRET = 'a-secret-of-thirty-two-bytes-or-more';
const env = { WALL_SECRET: SECRET, SHORT_SECRET: 'too short' };

const folder = mkdtempSync(join(tmpdir(), 'belfry-'));
afterAll(() => rmSync(folder, { recursive: true }));

const parse = (access: unknown) => parseConfig({ access }, { feedKinds, env, baseDirectory: folder });

function faultsOf(access: unknown): string[] {
  try {
    parse(access);
    return [];
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    return error.faults.map(({ path, message }) => `${path}: ${message}`);
  }
}

/** The name of a file with this in it. */
function file(content: string): string {
  const name = `key-${Math.random()}`;
  writeFileSync(join(folder, name), content);
  return name;
}

const pem = (key: KeyObject) => key.export({ type: 'spki', format: 'pem' }).toString();
const jwk = (key: KeyObject) => JSON.stringify(key.export({ format: 'jwk' }));
const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 });
const ec = generateKeyPairSync('ec', { namedCurve: 'P-256' });
const ed = generateKeyPairSync('ed25519');

describe('access', () => {
  it('is absent where it is not written', () => {
    expect(parseConfig({}, { feedKinds, env }).access).toBeUndefined();
  });

  it('has the key that the environment holds, for HS256', () => {
    const { access } = parse({ secretEnv: 'WALL_SECRET', issuer: 'me', audience: 'wall' });
    expect(access).toMatchObject({ issuer: 'me', audience: 'wall', leewaySeconds: 5 });
    expect(access?.key?.algorithm).toBe('HS256');
    expect(access?.key?.key.export().toString()).toBe(SECRET);
    expect(JSON.stringify(access)).not.toContain(SECRET);
  });

  it.each([
    ['RS256', pem(rsa.publicKey)],
    ['RS256', jwk(rsa.publicKey)],
    ['ES256', pem(ec.publicKey)],
    ['ES256', jwk(ec.publicKey)],
    ['EdDSA', pem(ed.publicKey)],
    ['EdDSA', jwk(ed.publicKey)],
  ])('has the key of a file, for %s', (algorithm, content) => {
    expect(parse({ publicKeyFile: file(content) }).access?.key?.algorithm).toBe(algorithm);
  });

  it.each([
    ['no key', {}, 'access: has no key: write exactly one of "jwksUrl", "publicKeyFile" and "secretEnv"'],
    [
      'two keys',
      { jwksUrl: 'https://login.example.com/', secretEnv: 'WALL_SECRET' },
      'access: has "jwksUrl" and "secretEnv": write exactly one of "jwksUrl", "publicKeyFile" and "secretEnv"',
    ],
    [
      'an unknown key',
      { jwskUrl: 'https://a.example/' },
      'access: unknown key "jwskUrl": did you mean "jwksUrl"?',
    ],
    ['a number for a name', { secretEnv: 7 }, 'access.secretEnv: is not a string'],
    [
      'a variable that is not set',
      { secretEnv: 'WALL_SECRETS' },
      'access.secretEnv: the environment variable WALL_SECRETS (did you mean "WALL_SECRET"?) is not set',
    ],
    [
      'the secret in place of its name',
      { secretEnv: SECRET },
      'access.secretEnv: the environment variable that is named here (write its name, not the token) is not set',
    ],
    [
      'a short secret',
      { secretEnv: 'SHORT_SECRET' },
      'access.secretEnv: the environment variable SHORT_SECRET holds 9 bytes: a secret has at least 32',
    ],
    [
      'a word for an address',
      { jwksUrl: 'login.example.com' },
      'access.jwksUrl: "***" is not an address: write one such as "https://login.example.com/jwks.json"',
    ],
    [
      'an address with a password that is no address',
      { jwksUrl: 'ftp://user:secret@login.example.com/jwks' },
      'access.jwksUrl: "ftp://***@login.example.com/jwks" is not an address: write one such as "https://login.example.com/jwks.json"',
    ],
    [
      'too much leeway',
      { secretEnv: 'WALL_SECRET', leewaySeconds: 301 },
      'access.leewaySeconds: 301 is too large: write at most 300',
    ],
    [
      'an empty issuer',
      { secretEnv: 'WALL_SECRET', issuer: '' },
      'access.issuer: is empty: leave it out, or write a value',
    ],
    [
      'a file that is not there',
      { publicKeyFile: 'nowhere.pem' },
      'access.publicKeyFile: "nowhere.pem" cannot be read: there is no such file',
    ],
  ])('has a fault with %s', (_what, access, fault) => {
    expect(faultsOf(access)).toContain(fault);
  });

  const small = generateKeyPairSync('rsa', { modulusLength: 1024 });
  const otherCurve = generateKeyPairSync('ec', { namedCurve: 'P-384' });
  const pkcs8 = ec.privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();
  it.each([
    ['nothing', '', 'is no key'],
    ['other words', 'hello', 'is no key'],
    ['a list of keys', '{"keys":[]}', 'is no key'],
    ['JSON that is cut off', '{"kty":', 'is no key'],
    ['a private key', pkcs8, 'is a secret or private key'],
    ['a private key as JWK', jwk(ec.privateKey), 'is a secret or private key'],
    ['a secret as JWK', '{"kty":"oct","k":"c2VjcmV0"}', 'is a secret or private key'],
    ['a small key', pem(small.publicKey), 'is a key of RSA with 1024 bits'],
    ['a key of another curve', pem(otherCurve.publicKey), 'is a key of EC secp384r1'],
    ['a key of another kind', pem(generateKeyPairSync('x25519').publicKey), 'is a key of the type x25519'],
  ])('has a fault with a file that holds %s, and repeats none of it', (_what, content, words) => {
    const publicKeyFile = file(content);
    const [fault, ...others] = faultsOf({ publicKeyFile });
    expect(others).toEqual([]);
    expect(fault).toContain(`access.publicKeyFile: "${publicKeyFile}" ${words}`);
    if (content.length > 40) expect(fault).not.toContain(content.slice(30, 60).trim());
  });
});
