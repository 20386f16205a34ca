import { resolve } from 'node:path';
import { z } from 'zod';
import { KeyError, publicKey, secretKey, type VerificationKey } from '../access/verification-keys.ts';
import { shownVariable, variable } from './admin-tokens.ts';
import { checkedString, exactlyOneOf } from './fields.ts';
import { isObject, valueAt } from './json.ts';
import { FileError, readPlainFile } from './load.ts';
import { address } from './redact.ts';

const KEY_SOURCES = ['jwksUrl', 'publicKeyFile', 'secretEnv'] as const;

/** A longer one would let tokens in long after they have expired. */
const MAX_LEEWAY_SECONDS = 300;

const word = checkedString((text) => (text === '' ? 'is empty: leave it out, or write a value' : undefined));

/** The section `access`. */
export const access = z
  .strictObject({
    jwksUrl: checkedString(urlFault, 'is not a string')
      .optional()
      .describe('Address of a JSON Web Key Set with the public keys. It is read again every 10 minutes.'),
    publicKeyFile: z
      .string({ error: 'is not a string' })
      .optional()
      .describe('File with the public key, PEM or JWK, relative to the folder of this file.'),
    secretEnv: z
      .string({ error: 'is not a string' })
      .optional()
      .describe('Environment variable that holds the secret for HS256, at least 32 bytes.'),
    issuer: word
      .optional()
      .describe('What the claim `iss` of a token must be. Default: it is not looked at.'),
    audience: word
      .optional()
      .describe('What the claim `aud` of a token must be or hold. Default: it is not looked at.'),
    leewaySeconds: z
      .number()
      .min(0)
      .max(MAX_LEEWAY_SECONDS)
      .default(5)
      .describe('By how much the clock of the issuer may differ, in seconds.'),
  })
  .superRefine(
    (section, context) => {
      const given = KEY_SOURCES.filter((key) => section[key] !== undefined);
      if (given.length === 1) return;
      const fault = given.length === 0 ? 'has no key' : `has ${given.map((key) => `"${key}"`).join(' and ')}`;
      context.addIssue(`${fault}: write exactly one of "jwksUrl", "publicKeyFile" and "secretEnv"`);
    },
    { when: ({ value }) => isObject(value) },
  )
  .meta(exactlyOneOf(KEY_SOURCES));

/** Who signs the tokens of listeners, and what must be in them. */
export interface Access extends Pick<z.output<typeof access>, 'issuer' | 'audience' | 'leewaySeconds'> {
  /** Where keys are fetched; absent: `key` is the only one. */
  readonly jwksUrl?: string | undefined;
  readonly key?: VerificationKey | undefined;
}

export interface KeyRead {
  readonly key?: VerificationKey;
  readonly fault?: { readonly path: readonly PropertyKey[]; readonly message: string };
}

/**
 * Reads the key that `access` names from the environment or a file. A document with other faults is checked
 * as well.
 */
export function accessKey(document: unknown, env: NodeJS.ProcessEnv, baseDirectory: string): KeyRead {
  const section = valueAt(document, 'access');
  const secretEnv = valueAt(section, 'secretEnv');
  if (typeof secretEnv === 'string') return readSecret(secretEnv, env);
  const file = valueAt(section, 'publicKeyFile');
  return typeof file === 'string' ? readKeyFile(file, baseDirectory) : {};
}

function readSecret(name: string, env: NodeJS.ProcessEnv): KeyRead {
  const secret = variable(name, env);
  const fault = (why: string) => ({
    fault: {
      path: ['access', 'secretEnv'],
      message: `the environment variable ${shownVariable(name, env)} ${why}`,
    },
  });
  if (secret === '') return fault('is not set');
  return orFault(() => secretKey(secret), fault);
}

function readKeyFile(file: string, baseDirectory: string): KeyRead {
  const fault = (why: string) => ({
    fault: { path: ['access', 'publicKeyFile'], message: `${JSON.stringify(file)} ${why}` },
  });
  return orFault(() => publicKey(readPlainFile(resolve(baseDirectory, file)).toString()), fault);
}

function orFault(read: () => VerificationKey, fault: (why: string) => KeyRead): KeyRead {
  try {
    return { key: read() };
  } catch (error) {
    if (error instanceof KeyError) return fault(error.message);
    if (error instanceof FileError) return fault(`cannot be read: ${error.message}`);
    throw error;
  }
}

function urlFault(text: string): string | undefined {
  if (/^https?:\/\/[^/\\\s][^\\\s]*$/i.test(text) && URL.canParse(text)) return undefined;
  return `"${address(text)}" is not an address: write one such as "https://login.example.com/jwks.json"`;
}
