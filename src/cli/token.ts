import { createPrivateKey, createPublicKey, type KeyObject, randomBytes } from 'node:crypto';
import { resolve } from 'node:path';
import { SignJWT } from 'jose';
import { SubscriberTokens } from '../access/subscriber-tokens.ts';
import { jwkKey, KeyError, type VerificationKey } from '../access/verification-keys.ts';
import { instant, systemClock } from '../clock.ts';
import { sha256Of } from '../config/admin-tokens.ts';
import { ConfigError } from '../config/errors.ts';
import { FileError, readPlainFile } from '../config/load.ts';
import { parseConfig } from '../config/parse.ts';
import { SOME_TIME_ACCEPTS, someCallDurationMs } from '../duration.ts';
import { feedKinds } from '../feed/kinds.ts';
import { Refusal } from '../hub/errors.ts';
import { CommandError, EXIT_FAILED, type Terminal } from './command.ts';
import { checkedConfig } from './configuration.ts';

// The token alone goes to standard output, for scripts; all else to standard error.

/** As many as a SHA-256 has: more would not be harder to find. */
const TOKEN_BYTES = 32;

export interface AdminTokenFlags {
  readonly name?: string;
  readonly role: string;
  readonly rooms?: readonly string[];
}

/** `belfry token admin`: makes a token of the admin API, and its entry for the configuration. */
export function adminToken({ name, role, rooms }: AdminTokenFlags, { stdout, stderr }: Terminal): void {
  const token = randomBytes(TOKEN_BYTES).toString('base64url');
  const entry = { name: name ?? role, role, ...(rooms && { rooms: listed(rooms) }), sha256: sha256Of(token) };
  checkEntry(entry);
  stdout.write(`${token}\n`);
  stderr.write(
    `Keep the token above: it is stored nowhere. Add its entry to admin.tokens of the configuration:\n${JSON.stringify(entry)}\n`,
  );
}

/** Throws a `CommandError` that names the options in the place of the keys of the file. */
function checkEntry(entry: object): void {
  try {
    parseConfig({ admin: { tokens: [entry] } }, { feedKinds, env: {} });
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    const lines = error.faults.map(
      ({ path, message }) => `${path.replace(/^admin\.tokens\[0\]\.(\w+).*/, '--$1')}: ${message}`,
    );
    throw failed(...lines);
  }
}

export interface SubscriberTokenFlags {
  readonly config?: string;
  readonly sub?: string;
  readonly rooms?: readonly string[];
  readonly publish?: readonly string[];
  readonly ttl: string;
  readonly key?: string;
  readonly kid?: string;
}

/**
 * `belfry token subscriber`: signs a token of a listener with the secret of the configuration, or with a
 * private key, and checks it as the server does.
 */
export async function subscriberToken(flags: SubscriberTokenFlags, terminal: Terminal): Promise<void> {
  const ttlMs = someCallDurationMs(flags.ttl);
  if (ttlMs === undefined)
    throw failed(`--ttl: ${JSON.stringify(flags.ttl)} is not a duration: ${SOME_TIME_ACCEPTS}`);
  const { label, config } = checkedConfig(flags.config, terminal);
  const { access } = config;
  const signing =
    flags.key === undefined ? secretOf(access?.key) : keyFile(resolve(terminal.cwd(), flags.key));
  if (!signing) throw failed(...noKey(label, access !== undefined));
  const rooms = listed(flags.rooms ?? []);
  const publish = listed(flags.publish ?? []);
  const nowMs = systemClock.now();
  const endsAtMs = nowMs + ttlMs;
  const claims = {
    sub: flags.sub,
    rooms,
    publish,
    iss: access?.issuer,
    aud: access?.audience,
    iat: Math.floor(nowMs / 1000),
    exp: Math.ceil(endsAtMs / 1000),
  };
  const token = await new SignJWT(claims)
    .setProtectedHeader({
      alg: signing.verifying.algorithm,
      typ: 'JWT',
      ...(flags.kid && { kid: flags.kid }),
    })
    .sign(signing.key);
  await checkToken(token, access?.key ?? signing.verifying, access);
  terminal.stdout.write(`${token}\n`);
  const whose = flags.sub === undefined ? 'nobody by name' : `the user ${JSON.stringify(flags.sub)}`;
  terminal.stderr.write(
    `For ${whose}, until ${instant(endsAtMs)}. Rooms: ${said(rooms)}. May publish in: ${said(publish)}.\n`,
  );
  if (!access) terminal.stderr.write(`${label} has no "access": a server with it looks at no such token.\n`);
}

/** A key that signs, and the one that verifies what it has signed. */
interface SigningKey {
  readonly key: KeyObject;
  readonly verifying: VerificationKey;
}

/** The key of `access` where it can sign as well. */
function secretOf(key: VerificationKey | undefined): SigningKey | undefined {
  return key?.algorithm === 'HS256' ? { key: key.key, verifying: key } : undefined;
}

function keyFile(path: string): SigningKey {
  try {
    const key = privateKey(readPlainFile(path).toString());
    return { key, verifying: jwkKey(createPublicKey(key).export({ format: 'jwk' })) };
  } catch (error) {
    if (error instanceof FileError) throw failed(`--key: ${path} cannot be read: ${error.message}`);
    if (error instanceof KeyError) throw failed(`--key: ${path} ${error.message}`);
    throw error;
  }
}

/** Of PEM or a JWK. The error of Node may repeat a part of the key. */
function privateKey(text: string): KeyObject {
  try {
    const isJwk = text.trimStart().startsWith('{');
    return createPrivateKey(isJwk ? { key: JSON.parse(text), format: 'jwk' } : text);
  } catch {
    throw new KeyError('is no private key: write one of RSA, EC P-256 or Ed25519, as PEM or as a JWK');
  }
}

/** Throws a `CommandError` where the server would not take the token. */
async function checkToken(
  token: string,
  key: VerificationKey,
  rules: { issuer?: string | undefined; audience?: string | undefined } = {},
): Promise<void> {
  const { issuer, audience } = rules;
  try {
    await new SubscriberTokens({ issuer, audience, leewaySeconds: 0 }, key, systemClock).verify(token);
  } catch (error) {
    if (error instanceof Refusal) throw failed(`a server would refuse this token: ${error.message}`);
    throw error;
  }
}

function noKey(label: string, hasAccess: boolean): string[] {
  const why = hasAccess ? 'names a public key, which cannot sign' : 'has no "access"';
  return [
    `${label} ${why}: sign with its private key, belfry token subscriber --key private.pem …`,
    'or have a secret in the configuration, "access": {"secretEnv": "LISTENERS_SECRET"}, set here and for the server:',
    '  export LISTENERS_SECRET=$(openssl rand -base64 32)',
  ];
}

function failed(...lines: string[]): CommandError {
  return new CommandError(EXIT_FAILED, lines);
}

const said = (patterns: readonly string[]) => (patterns.length === 0 ? 'none' : patterns.join(', '));

/** Patterns, which may be separated by blanks or commas. */
function listed(patterns: readonly string[]): string[] {
  return patterns.flatMap((pattern) => pattern.split(','));
}
