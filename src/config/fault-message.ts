import type { z } from 'zod';
import { shown } from './faults.ts';
import { didYouMean } from './suggest.ts';

/** What zod expects, in words. */
const EXPECTED: Readonly<Record<string, string>> = {
  string: 'a string',
  number: 'a number',
  int: 'a whole number',
  boolean: 'true or false',
  object: 'an object { … }',
  record: 'an object { … }',
  array: 'a list [ … ]',
};

/**
 * Says what is wrong with a value and what would be accepted. Used where a schema brings no words of
 * its own. Several unknown keys of one object come as lines, one for each.
 */
export function faultMessage(issue: z.core.$ZodRawIssue): string | undefined {
  switch (issue.code) {
    case 'invalid_type':
      return wrongType(issue.input, issue.expected, issue.path?.[0] === 'admin');
    case 'invalid_value':
      return oneOf(issue.input, issue.values.map(String));
    case 'invalid_union':
      // Only feeds are unions: told apart by their type.
      return unknownType(issue);
    case 'too_small':
      return `${shown(issue.input)} is too ${sizes(issue.origin).small}: write at least ${issue.minimum}${sizes(issue.origin).unit}`;
    case 'too_big':
      return `${shown(issue.input)} is too ${sizes(issue.origin).big}: write at most ${issue.maximum}${sizes(issue.origin).unit}`;
    case 'unrecognized_keys':
      return unknownKeys(issue.keys, issue.inst);
    default:
      return undefined;
  }
}

/** How the size of a value is spoken of. */
function sizes(origin: string): { small: string; big: string; unit: string } {
  if (origin === 'string') return { small: 'short', big: 'long', unit: ' characters' };
  if (origin === 'array') return { small: 'short', big: 'long', unit: ' of them' };
  return { small: 'small', big: 'large', unit: '' };
}

/** What stands below `admin` may be a token in the wrong place, and is not repeated. */
function wrongType(input: unknown, expected: string, secret: boolean): string {
  const accepted = EXPECTED[expected] ?? expected;
  if (input === undefined) return `is missing: write ${accepted}`;
  const fault = `${secret ? 'what stands here' : shown(input)} is not ${accepted}`;
  if (secret) return fault;
  if (expected === 'array') return `${fault}: write [${shown(input)}]`;
  const unquoted = typeof input === 'string' && ['number', 'int', 'boolean'].includes(expected);
  return unquoted && /^(\d{1,15}|true|false)$/.test(input) ? `${fault}: write ${input}` : fault;
}

function oneOf(input: unknown, values: readonly string[]): string {
  const list = values.map((value) => `"${value}"`).join(', ');
  if (input === undefined) return `is missing: write one of ${list}`;
  return `${shown(input)} is not one of ${list}${didYouMean(String(input), values)}`;
}

function unknownType(issue: z.core.$ZodRawIssue<z.core.$ZodIssueInvalidUnion>): string {
  const { input, discriminator = 'type', options } = issue as typeof issue & { options?: unknown };
  const value: unknown = Object(input)[discriminator];
  return oneOf(value, Array.isArray(options) ? options.map(String) : []);
}

function unknownKeys(keys: readonly string[], schema: unknown): string {
  const known = Object.keys(Object(schema)._zod?.def?.shape ?? {});
  return keys.map((key) => `unknown key "${key}"${didYouMean(key, known)}`).join('\n');
}
