import { z } from 'zod';
import { isObject } from './document.ts';
import { EXAMPLES, unkeyed } from './examples.ts';
import { address, isSecret, valueAt } from './secrets.ts';
import { didYouMean } from './suggest.ts';

/** One thing wrong with the configuration. */
export interface Fault {
  /** Such as `schedules[1].cron`; empty for the whole file. */
  readonly path: string;
  readonly message: string;
  /** What holds the fault where it is not the file that was read: `--port`, `BELFRY_PORT`. */
  readonly source?: string;
}

/**
 * The configuration cannot be used. Carries every fault there is, not the first one; of very many the
 * first, and their number.
 */
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
    .map((step) => (typeof step === 'number' ? `[${step}]` : `.${cut(String(step))}`))
    .join('')
    .replace(/^\./, '');
}

/** The most characters of a value or a key that a message repeats. */
const LONGEST_SHOWN = 60;
/** Far more than are told: a file may have a hundred thousand faults. */
const MOST_MESSAGES = 1000;
/** The most unknown keys of one object that are named. */
const MOST_KEYS = 20;

function cut(text: string): string {
  return text.length > LONGEST_SHOWN ? `${text.slice(0, LONGEST_SHOWN)}…` : text;
}

/** A value as it stands in the file; of lists and objects, which may hold secrets, that it is one. */
export function shown(value: unknown): string {
  if (typeof value === 'string') return JSON.stringify(cut(value));
  if (Array.isArray(value)) return value.length === 0 ? '[]' : '[ … ]';
  if (isObject(value)) return Object.keys(value).length === 0 ? '{}' : '{ … }';
  return JSON.stringify(value) ?? 'nothing';
}

/** A value that should have been an origin or a host, which a whole address with its secrets is not. */
export function shownHost(text: string): string {
  return shown(/[@?#]/.test(text) ? address(text) : text);
}

/** What a value is, and no more of it. */
function kindOf(value: unknown): string {
  return typeof value === 'string' || typeof value === 'number' ? `a ${typeof value}` : shown(value);
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
 * Says what is wrong with a value of `document` and what would be accepted, where a schema brings no
 * words of its own. Several unknown keys of one object come as lines, one for each. Secrets are not
 * repeated, nor what stands in the environment: `document` is as it was written.
 */
export function faultMessages(document: unknown): (issue: z.core.$ZodRawIssue) => string | undefined {
  let left = MOST_MESSAGES;
  return (issue) => {
    if (left-- <= 0) return '';
    switch (issue.code) {
      case 'invalid_type':
        return wrongType(issue, document);
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
  };
}

/** How the size of a value is spoken of. */
function sizes(origin: string): { small: string; big: string; unit: string } {
  if (origin === 'string') return { small: 'short', big: 'long', unit: ' characters' };
  if (origin === 'array') return { small: 'short', big: 'long', unit: ' of them' };
  return { small: 'small', big: 'large', unit: '' };
}

function wrongType(issue: z.core.$ZodRawIssue<z.core.$ZodIssueInvalidType>, document: unknown): string {
  const { path = [], expected, inst } = issue;
  const accepted = EXPECTED[expected] ?? expected;
  const example = EXAMPLES[path.map((step) => (typeof step === 'number' ? '[]' : String(step))).join('.')];
  if (issue.input === undefined)
    return `is missing: write ${accepted}${example === undefined ? '' : ` such as ${example}`}`;
  const input = path.reduce(valueAt, document);
  const secret = isSecret(document, path);
  const fault = `${secret ? kindOf(input) : shown(input)} is not ${accepted}`;
  const mended = secret ? undefined : mendedValue(input, inst, expected);
  if (mended !== undefined) return `${fault}: write ${mended}`;
  return example === undefined ? fault : `${fault}: write one such as ${example}`;
}

/** The value as it should have been written, if the schema then takes it. */
function mendedValue(input: unknown, schema: unknown, expected: string): string | undefined {
  if (!(schema instanceof z.core.$ZodType)) return undefined;
  const takes = (value: unknown) => z.safeParse(schema, value).success;
  const written = (value: unknown) => {
    const text = JSON.stringify(value) ?? '';
    return text !== '' && text.length <= 2 * LONGEST_SHOWN && takes(value) ? text : undefined;
  };
  if (expected === 'array') return written([input]) ?? written(unkeyed(input));
  if (typeof input === 'string' && /^(-?\d{1,15}|true|false)$/.test(input)) return written(JSON.parse(input));
  return undefined;
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
  const lines = keys
    .slice(0, MOST_KEYS)
    .map((key) => `unknown key ${JSON.stringify(cut(key))}${didYouMean(key, known)}`);
  const more = keys.length - lines.length;
  return [...lines, ...(more > 0 ? [`and ${more} more unknown keys`] : [])].join('\n');
}
