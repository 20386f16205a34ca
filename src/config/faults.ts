import type { z } from 'zod';
import { didYouMean } from './suggest.ts';

/** One thing wrong with the configuration. */
export interface Fault {
  /** Such as `schedules[1].cron`; empty for the whole file. */
  readonly path: string;
  readonly message: string;
  /** What holds the fault where it is not the file that was read: `--port`, `BELFRY_PORT`. */
  readonly source?: string;
}

/** The configuration cannot be used. Carries every fault there is, not the first one. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError';
  readonly faults: readonly Fault[];

  constructor(faults: readonly Fault[], options?: ErrorOptions) {
    super(faults.map(({ path, message }) => (path ? `${path}: ${message}` : message)).join('\n'), options);
    this.faults = faults;
  }
}

/** One line for each fault: `belfry.json: schedules[1].cron: …`. `label` names the file. */
export function formatFaults(label: string, error: ConfigError): string[] {
  return error.faults.map(({ path, message, source }) =>
    [source ?? label, path, message].filter((part) => part !== '').join(': '),
  );
}

/** Writes a place in the document as a reader would: `schedules[1].feed.url`. */
export function pathText(path: readonly PropertyKey[]): string {
  return path
    .map((step) => (typeof step === 'number' ? `[${step}]` : `.${String(step)}`))
    .join('')
    .replace(/^\./, '');
}

/** The most characters of an object or a list that a message repeats. */
const LONGEST_SHOWN = 60;

/** A value as it stands in the file. Never a part of one: half a secret could not be told as such. */
export function shown(value: unknown): string {
  const text = JSON.stringify(value) ?? 'nothing';
  if (typeof value !== 'object' || text.length <= LONGEST_SHOWN) return text;
  return Array.isArray(value) ? '[ … ]' : '{ … }';
}

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
  return `${shown(input)} is not one of ${list}${typeof input === 'string' ? didYouMean(input, values) : ''}`;
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
