import { createHash } from 'node:crypto';
import { z } from 'zod';
import { isObject } from './document.ts';
import { exactlyOneOf } from './fields.ts';
import { suggest } from './suggest.ts';

/** A token of the admin API as it is kept: never itself. */
export interface AdminToken {
  readonly name: string;
  readonly role: 'viewer' | 'operator';
  /** SHA-256 of the token's UTF-8 bytes, 64 hexadecimal digits. */
  readonly sha256: string;
}

const KEYS = ['token', 'tokenEnv', 'sha256'] as const;

/** The token itself must not be repeated by a message. */
const token = z.string({ error: 'is not a string' }).superRefine((text, context) => {
  const message = tokenFault(text);
  if (message !== undefined) context.addIssue({ code: 'custom', message });
});

/** What is wrong with a token: any one will do that can be sent in a header. */
export function tokenFault(text: string): string | undefined {
  if (text === '') return 'is empty';
  if (/[\s\p{Cc}]/u.test(text))
    return 'holds a blank or a control character, which cannot be sent: leave it out';
  return undefined;
}

export function sha256Of(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}

/** An entry of `admin.tokens`; what `tokenEnv` names is taken from `env`. */
export function adminToken(env: NodeJS.ProcessEnv) {
  return z
    .strictObject({
      name: z
        .string()
        .min(1, { error: 'is empty: write whose token it is' })
        .describe('Whose token it is, for the log.'),
      role: z
        .enum(['viewer', 'operator'])
        .default('viewer')
        .describe('What it may do: a viewer reads, an operator also acts.'),
      token: token.optional().describe('The token itself. Better kept elsewhere: see tokenEnv and sha256.'),
      tokenEnv: z
        .string({ error: 'is not a string' })
        .transform((name, context) => {
          const value = (Object.hasOwn(env, name) && env[name]) || '';
          const fault = value === '' ? 'is not set' : tokenFault(value);
          if (fault !== undefined) context.addIssue(`the environment variable ${named(name, env)} ${fault}`);
          return value;
        })
        .optional()
        .describe('The environment variable that holds the token.'),
      sha256: z
        .string({ error: 'is not a string' })
        .regex(/^[0-9a-fA-F]{64}$/, { error: 'is not a SHA-256: write its 64 hexadecimal digits' })
        .optional()
        .describe('The SHA-256 of the token, in hexadecimal.'),
    })
    .superRefine(
      (entry, context) => {
        const given = KEYS.filter((key) => entry[key] !== undefined);
        if (given.length === 1) return;
        const fault =
          given.length === 0 ? 'has no token' : `has ${given.map((key) => `"${key}"`).join(' and ')}`;
        context.addIssue(`${fault}: write exactly one of "token", "tokenEnv" and "sha256"`);
      },
      { when: ({ value }) => isObject(value) },
    )
    .meta(exactlyOneOf(KEYS))
    .transform(
      ({ name, role, token, tokenEnv, sha256 }): AdminToken => ({
        name,
        role,
        sha256: sha256?.toLowerCase() ?? sha256Of(token ?? tokenEnv ?? ''),
      }),
    );
}

/**
 * A misspelt name is the usual reason; an exact one has nothing to suggest. What does not look like one
 * may be the token itself.
 */
function named(name: string, env: NodeJS.ProcessEnv): string {
  if (Object.hasOwn(env, name)) return name;
  if (!/^[A-Z_][A-Z0-9_]{0,63}$/.test(name)) return 'that is named here (write its name, not the token)';
  const meant = suggest(name, Object.keys(env));
  return meant === undefined ? name : `${name} (did you mean "${meant}"?)`;
}
