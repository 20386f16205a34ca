import { createHash } from 'node:crypto';
import { z } from 'zod';
import { ROLES, type Role, type TokenEntry } from '../access/tokens.ts';
import { isLoopback } from '../loopback.ts';
import { checkedString, DEFAULT_HOST, exactlyOneOf, hostFault, plainHost, roomPattern } from './fields.ts';
import { isObject, valueAt } from './json.ts';
import { suggest } from './suggest.ts';

export function sha256Of(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}

/** Why a string cannot be a token: it must fit in a header. The message never repeats it. */
function tokenFault(text: string): string | undefined {
  if (text === '') return 'is empty';
  if (/[\s\p{Cc}]/u.test(text))
    return 'holds a blank or a control character, which cannot be sent: leave it out';
  return undefined;
}

const TOKEN_KEYS = ['token', 'tokenEnv', 'sha256'] as const;

/** An entry of `admin.tokens`. */
export const adminToken = z
  .strictObject({
    name: z
      .string()
      .min(1, { error: 'is empty: write whose token it is' })
      .describe('Name of the token, for the log.'),
    role: z
      .enum(ROLES)
      .default('viewer')
      .describe(
        'What the token allows: a viewer reads, an operator also acts, a publisher only sends messages to its rooms.',
      ),
    rooms: z
      .array(roomPattern)
      .min(1, { error: 'is empty: name at least one room or pattern, such as ["ops-*"]' })
      .optional()
      .describe('Patterns of the rooms that a publisher may send to; for that role only.'),
    // Without the value, which the usual message about a wrong type repeats.
    token: checkedString(tokenFault, 'is not a string')
      .optional()
      .describe(
        'The token itself. Better not kept in this file: see tokenEnv and sha256. At least 16 characters where server.host is not a loopback address.',
      ),
    tokenEnv: z
      .string({ error: 'is not a string' })
      .optional()
      .describe('Environment variable that holds the token.'),
    sha256: z
      .string({ error: 'is not a string' })
      .regex(/^[0-9a-fA-F]{64}$/, { error: 'is not a SHA-256: write its 64 hexadecimal digits' })
      .optional()
      .describe('SHA-256 of the token, in hexadecimal.'),
  })
  .superRefine(
    (entry, context) => {
      const given = TOKEN_KEYS.filter((key) => entry[key] !== undefined);
      if (given.length === 1) return;
      const fault =
        given.length === 0 ? 'has no token' : `has ${given.map((key) => `"${key}"`).join(' and ')}`;
      context.addIssue(`${fault}: write exactly one of "token", "tokenEnv" and "sha256"`);
    },
    { when: ({ value }) => isObject(value) },
  )
  .superRefine(({ role, rooms }, context) => {
    const fault = roomsFault(role, rooms);
    if (fault !== undefined) context.addIssue({ code: 'custom', path: ['rooms'], message: fault });
  })
  .meta(exactlyOneOf(TOKEN_KEYS));

function roomsFault(role: Role, rooms: readonly string[] | undefined): string | undefined {
  if (role === 'publisher' && rooms === undefined)
    return 'is missing: write the rooms that the publisher may send to, such as ["lobby","ops-*"]';
  if (role !== 'publisher' && rooms !== undefined)
    return `is for the role "publisher" only, and the role here is "${role}": leave it out, or write that role`;
  return undefined;
}

/** Name of the token in BELFRY_ADMIN_TOKEN. */
const OWN_NAME = 'env';

/** The tokens in force: the entries of the file, and BELFRY_ADMIN_TOKEN. For entries without a fault. */
export function adminTokens(
  entries: readonly z.output<typeof adminToken>[],
  env: NodeJS.ProcessEnv,
): TokenEntry[] {
  const tokens = entries.map(({ name, role, rooms, token, tokenEnv, sha256 }) => ({
    name,
    role,
    ...(rooms && { rooms }),
    sha256: sha256?.toLowerCase() ?? sha256Of(token ?? variable(tokenEnv ?? '', env)),
  }));
  const own = env.BELFRY_ADMIN_TOKEN;
  return own ? [...tokens, { name: OWN_NAME, role: 'operator', sha256: sha256Of(own) }] : tokens;
}

/** What others can reach is found by those who try tokens. */
const MIN_CHARACTERS = 16;

interface TokenFault {
  readonly path: readonly PropertyKey[];
  readonly message: string;
}

/**
 * What is wrong with the tokens of a document because of the environment, or because others can reach the
 * server. A document with other faults is checked as well. `boundHost`: where the server listens already,
 * whatever the document says.
 */
export function tokenFaults(document: unknown, env: NodeJS.ProcessEnv, boundHost?: string): TokenFault[] {
  const tokens = ['admin', 'tokens'].reduce<unknown>(valueAt, document);
  const written = ['server', 'host'].reduce<unknown>(valueAt, document) ?? DEFAULT_HOST;
  const openHost = [boundHost, written].find(isOpen);
  const faults = (Array.isArray(tokens) ? tokens : []).flatMap((entry, index) =>
    entryFaults(entry, env, openHost).map(({ path, message }) => ({
      path: ['admin', 'tokens', index, ...path],
      message,
    })),
  );
  const own = env.BELFRY_ADMIN_TOKEN ?? '';
  const ownFault = own === '' ? undefined : (tokenFault(own) ?? lengthFault(own, openHost));
  if (ownFault !== undefined)
    faults.push({ path: [], message: `the environment variable BELFRY_ADMIN_TOKEN ${ownFault}` });

  // Where tokens of a wrong form stand, they have faults of their own.
  const isConfigured =
    own !== '' || (tokens !== undefined && !(Array.isArray(tokens) && tokens.length === 0));
  if (!isConfigured && openHost !== undefined)
    faults.push({
      path: ['admin', 'tokens'],
      message: `a token is needed when server.host is "${openHost}", which others can reach: add one here or set BELFRY_ADMIN_TOKEN`,
    });
  return faults;
}

function entryFaults(entry: unknown, env: NodeJS.ProcessEnv, openHost: string | undefined): TokenFault[] {
  if (!isObject(entry)) return [];
  const { name, token, tokenEnv } = entry;
  const faults: TokenFault[] = [];
  const add = (path: string, message: string | undefined, about = '') => {
    if (message !== undefined) faults.push({ path: [path], message: `${about}${message}` });
  };
  if (name === OWN_NAME && env.BELFRY_ADMIN_TOKEN)
    add('name', `"${OWN_NAME}" is the name of BELFRY_ADMIN_TOKEN, which is set: write another`);
  // One of a wrong form has a fault already.
  if (typeof token === 'string' && tokenFault(token) === undefined)
    add('token', lengthFault(token, openHost));
  if (typeof tokenEnv === 'string') {
    const value = variable(tokenEnv, env);
    const fault = value === '' ? 'is not set' : (tokenFault(value) ?? lengthFault(value, openHost));
    add('tokenEnv', fault, `the environment variable ${shownVariable(tokenEnv, env)} `);
  }
  return faults;
}

/** Without the number of characters that it has: messages end up in logs. */
function lengthFault(token: string, openHost: string | undefined): string | undefined {
  if (openHost === undefined || [...token].length >= MIN_CHARACTERS) return undefined;
  return `is too short for server.host "${openHost}", which others can reach: write at least ${MIN_CHARACTERS} characters`;
}

/** Whether others can reach a server there. */
function isOpen(host: unknown): host is string {
  return typeof host === 'string' && hostFault(plainHost(host)) === undefined && !isLoopback(plainHost(host));
}

/** Own properties only: every object has a `constructor`. */
export function variable(name: string, env: NodeJS.ProcessEnv): string {
  return (Object.hasOwn(env, name) && env[name]) || '';
}

/** A variable's name, with a suggestion if it is not set. Other text may be the token itself and is not repeated. */
export function shownVariable(name: string, env: NodeJS.ProcessEnv): string {
  if (Object.hasOwn(env, name)) return name;
  if (!/^[A-Z_][A-Z0-9_]{0,63}$/.test(name)) return 'that is named here (write its name, not the token)';
  const near = suggest(name, Object.keys(env));
  return near === undefined ? name : `${name} (did you mean "${near}"?)`;
}
