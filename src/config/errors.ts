import { z } from 'zod';
import { cut, isObject, quoted, valueAt } from './json.ts';
import { address, type Secrets } from './redact.ts';
import { suggest } from './suggest.ts';

/** One thing wrong with the configuration. */
export interface Fault {
  /** Such as `schedules[1].cron`; empty for the whole file. */
  readonly path: string;
  readonly message: string;
  /** Where the value comes from if it is not the file: `--port`, `BELFRY_PORT`. */
  readonly source?: string;
}

/**
 * The configuration cannot be used. `faults` has all of them, not only the first; of more than a
 * hundred the first hundred and how many follow.
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

/** Messages that are written, far more than are listed: a file may have a hundred thousand faults. */
const MAX_MESSAGES = 1000;
/** Of a corrected value that a message offers. */
const MAX_OFFERED_CHARACTERS = 120;
/** Unknown keys of one object that are named. */
const MAX_UNKNOWN_KEYS = 20;

/** A value in the place of an origin or a host, where someone may have written a URL with a password. */
export function quotedHost(text: string): string {
  return quoted(/[@?#]/.test(text) ? address(text) : text);
}

/** Marks the issue of a string that is no time zone. */
export const NO_TIMEZONE = { expected: 'timezone' };
/** Wrong zones of one file that get a suggestion: each is compared with 400 names. */
const MAX_ZONE_SUGGESTIONS = 20;

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
 * JSON that messages offer in place of a missing value or one of a wrong type, by path; `[]` is any
 * position in a list. A test holds that each is accepted as it is.
 */
export const EXAMPLES: Readonly<Record<string, string>> = {
  server: '{"port":8080}',
  'server.publicUrl': '"https://wall.example.com"',
  'server.allowedOrigins': '["https://wall.example.com"]',
  'server.allowedOrigins.[]': '"https://wall.example.com"',
  'server.trustProxy': '["127.0.0.1"]',
  'server.trustProxy.[]': '"127.0.0.1"',
  admin: '{"tokens":[]}',
  'admin.tokens.[].name': '"ops"',
  access: '{"jwksUrl":"https://login.example.com/jwks.json"}',
  'admin.tokens.[].rooms': '["lobby"]',
  'admin.tokens.[].rooms.[]': '"lobby"',
  rooms: '[{"match":"lobby"}]',
  'rooms.[]': '{"match":"lobby"}',
  'rooms.[].match': '"lobby"',
  schedules: '[{"name":"clock","every":"3s","feed":{"type":"time"}}]',
  'schedules.[]': '{"name":"clock","every":"3s","feed":{"type":"time"}}',
  'schedules.[].name': '"clock"',
  'schedules.[].cron': '"*/5 * * * *"',
  'schedules.[].timezone': '"Europe/Berlin"',
  'schedules.[].rooms': '["lobby"]',
  'schedules.[].rooms.[]': '"lobby"',
  'schedules.[].event': '"news"',
  'schedules.[].feed': '{"type":"time"}',
  'schedules.[].feed.argv': '["uptime","-p"]',
  'schedules.[].feed.headers': '{"accept":"application/json"}',
  'schedules.[].feed.url': '"https://prices.example.com/now.json"',
  'schedules.[].feed.path': '"prices.json"',
  store: '{"path":"belfry-data"}',
  'store.path': '"belfry-data"',
  limits: '{"connections":1000}',
};

/**
 * The error map for zod: says what is wrong with a value and what would be accepted, where a field has
 * no message of its own. Several unknown keys of one object are one message with a line for each.
 * `document` is the file as it is written, so that no value from the environment is repeated; nor is what
 * `secrets` hides.
 */
export function errorMessages(
  document: unknown,
  secrets: Secrets,
): (issue: z.core.$ZodRawIssue) => string | undefined {
  let count = 0;
  let zones = 0;
  return (issue) => {
    if (++count > MAX_MESSAGES) return '';
    switch (issue.code) {
      case 'invalid_type':
        return wrongType(issue, document, secrets);
      case 'invalid_value':
        return notOneOf(issue.input, issue.values.map(String));
      case 'invalid_union':
        return unknownFeedType(issue);
      case 'too_small':
        return `${quoted(issue.input)} is too ${sizeWords(issue).small}: write at least ${issue.minimum}${sizeWords(issue).unit}`;
      case 'too_big':
        return `${quoted(issue.input)} is too ${sizeWords(issue).large}: write at most ${issue.maximum}${sizeWords(issue).unit}`;
      case 'unrecognized_keys':
        return unknownKeys(issue.keys, issue.inst);
      case 'custom':
        return issue.params === NO_TIMEZONE
          ? notATimezone(issue.input, ++zones <= MAX_ZONE_SUGGESTIONS)
          : undefined;
      default:
        return undefined;
    }
  };
}

function notATimezone(input: unknown, isSuggesting: boolean): string {
  const near = isSuggesting ? suggest(String(input), Intl.supportedValuesOf('timeZone')) : undefined;
  const hint = near === undefined ? 'write an IANA name such as "Europe/Berlin"' : `did you mean "${near}"?`;
  return `${quoted(input)} is not a time zone: ${hint}`;
}

function sizeWords({ origin }: { origin: string }): { small: string; large: string; unit: string } {
  if (origin === 'string') return { small: 'short', large: 'long', unit: ' characters' };
  if (origin === 'array') return { small: 'short', large: 'long', unit: ' of them' };
  return { small: 'small', large: 'large', unit: '' };
}

function wrongType(
  issue: z.core.$ZodRawIssue<z.core.$ZodIssueInvalidType>,
  document: unknown,
  secrets: Secrets,
): string {
  const { path = [], expected, inst } = issue;
  const accepted = EXPECTED[expected] ?? expected;
  const example = EXAMPLES[path.map((step) => (typeof step === 'number' ? '[]' : String(step))).join('.')];
  if (issue.input === undefined)
    return `is missing: write ${accepted}${example === undefined ? '' : ` such as ${example}`}`;
  const input = path.reduce(valueAt, document);
  const isHidden = secrets.hides(document, path);
  const isPlain = typeof input === 'string' || typeof input === 'number';
  const fault = `${isHidden && isPlain ? `a ${typeof input}` : quoted(input)} is not ${accepted}`;
  const corrected = isHidden ? undefined : correctedValue(input, inst, expected);
  if (corrected !== undefined) return `${fault}: write ${corrected}`;
  return example === undefined ? fault : `${fault}: write one such as ${example}`;
}

/** The JSON that was probably meant: `8080` for `"8080"`, `["x"]` for `"x"`; only if the schema accepts it. */
function correctedValue(input: unknown, schema: unknown, expected: string): string | undefined {
  if (!(schema instanceof z.core.$ZodType)) return undefined;
  const ifAccepted = (value: unknown) => {
    const text = JSON.stringify(value) ?? '';
    const isShort = text !== '' && text.length <= MAX_OFFERED_CHARACTERS;
    return isShort && z.safeParse(schema, value).success ? text : undefined;
  };
  if (expected === 'array') return ifAccepted([input]) ?? ifAccepted(roomRules(input));
  if (typeof input === 'string' && /^(-?\d{1,15}|true|false)$/.test(input))
    return ifAccepted(JSON.parse(input));
  return undefined;
}

/** Room rules that were written by name, `{"lobby":{}}`, as the list `[{"match":"lobby"}]`. */
function roomRules(input: unknown): unknown {
  if (!isObject(input)) return undefined;
  return Object.entries(input).map(([match, rule]) => ({ match, ...Object(rule) }));
}

function notOneOf(input: unknown, values: readonly string[]): string {
  const list = values.map((value) => `"${value}"`).join(', ');
  if (input === undefined) return `is missing: write one of ${list}`;
  return `${quoted(input)} is not one of ${list}${typeof input === 'string' ? didYouMean(input, values) : ''}`;
}

/** Feeds are the only union of the file; their `type` tells them apart. */
function unknownFeedType(issue: z.core.$ZodRawIssue<z.core.$ZodIssueInvalidUnion>): string {
  const { input, options } = issue as typeof issue & { options?: unknown }; // not in zod's type
  return notOneOf(valueAt(input, 'type'), Array.isArray(options) ? options.map(String) : []);
}

function unknownKeys(keys: readonly string[], schema: unknown): string {
  const known = schema instanceof z.ZodObject ? Object.keys(schema.shape) : [];
  const lines = keys
    .slice(0, MAX_UNKNOWN_KEYS)
    .map((key) => `unknown key ${JSON.stringify(cut(key))}${didYouMean(key, known)}`);
  const more = keys.length - lines.length;
  return [...lines, ...(more > 0 ? [`and ${more} more unknown keys`] : [])].join('\n');
}

function didYouMean(word: string, candidates: Iterable<string>): string {
  const meant = suggest(word, candidates);
  return meant === undefined ? '' : `: did you mean "${meant}"?`;
}
