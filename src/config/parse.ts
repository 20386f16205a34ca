import type { FeedKind } from '../feed/feed.ts';
import { accessKey } from './access.ts';
import { adminTokens, tokenFaults } from './admin-tokens.ts';
import { ConfigError, errorMessages, type Fault } from './errors.ts';
import { isObject, pathText } from './json.ts';
import { Secrets } from './redact.ts';
import { type Config, configSchema } from './schema.ts';

/** Faults that are listed; further ones are counted. */
const MAX_FAULTS = 100;
const MAX_MESSAGE_CHARACTERS = 500;

type Path = readonly PropertyKey[];

/** `${NAME}`, or `$${` for a plain `${`. */
const REFERENCE = /\$\$\{|\$\{([^}]*)\}/g;

export interface ParseOptions {
  /** The kinds of feed that a schedule may name. */
  readonly feedKinds: readonly FeedKind[];
  /** Has the variables that `tokenEnv` and `${NAME}` refer to, and `BELFRY_ADMIN_TOKEN`. */
  readonly env: NodeJS.ProcessEnv;
  /** Where the path of a key file starts. Default: the working directory. */
  readonly baseDirectory?: string;
  /** Where the server listens already: its tokens must be fit for it, whatever address the document has. */
  readonly boundHost?: string | undefined;
}

/**
 * Checks a document, fills the strings of its feeds from `options.env`, and completes it with the
 * defaults. Throws a `ConfigError` with every fault. The document itself is not changed.
 */
export function parseConfig(
  document: unknown,
  { feedKinds, env, baseDirectory = process.cwd(), boundHost }: ParseOptions,
): Config {
  const references = new References(env);
  const secrets = new Secrets(feedKinds);
  const filled = references.fillFeeds(document);
  const result = configSchema(feedKinds).safeParse(filled, { error: errorMessages(document, secrets) });
  const faults = references.faults.slice(0, MAX_FAULTS).map(({ path, message }) => ({
    path: pathText(secrets.shownPath(document, path)),
    message,
  }));
  let more = references.faults.length - faults.length;
  const unset = new Set(references.faults.map(({ path }) => pathText(path)));
  const { key, fault } = accessKey(document, env, baseDirectory);
  const issues = [
    ...(result.error?.issues ?? []),
    ...tokenFaults(document, env, boundHost),
    ...(fault === undefined ? [] : [fault]),
  ];
  for (const issue of issues) {
    if (faults.length >= MAX_FAULTS) more++;
    // A string with a variable that is not set has a fault already.
    else if (unset.has(pathText(issue.path))) continue;
    else if (secrets.endsInMalformedName(document, issue.path)) faults.push(malformedName(issue.path));
    else faults.push(...faultsOf(issue, references));
  }
  if (result.success && faults.length === 0) {
    const { admin, access, ...config } = result.data;
    return {
      ...config,
      admin: { tokens: adminTokens(admin.tokens, env) },
      ...(access && { access: { ...access, key } }),
    };
  }
  if (more > 0) faults.push({ path: '', message: `and ${more} more faults` });
  throw new ConfigError(faults);
}

interface Issue {
  readonly code?: string;
  readonly message: string;
  readonly path: Path;
}

function faultsOf({ code, message, path }: Issue, references: References): Fault[] {
  // The message about unknown keys has a line for each.
  const lines = code === 'unrecognized_keys' ? message.split('\n') : [message];
  return lines.map((line) => {
    const text = references.conceal(line, path);
    const isLong = text.length > MAX_MESSAGE_CHARACTERS;
    return { path: pathText(path), message: isLong ? `${text.slice(0, MAX_MESSAGE_CHARACTERS)}…` : text };
  });
}

function malformedName(path: Path): Fault {
  const message = 'holds a name that is none: write letters, digits, - and _ in it, and the value after it';
  return { path: pathText(path.slice(0, -1)), message };
}

/** The references of one document's feeds to environment variables, such as `${PRICES_TOKEN}`. */
class References {
  readonly faults: { readonly path: Path; readonly message: string }[] = [];
  readonly #env: NodeJS.ProcessEnv;
  /** For each schedule the variables that its feed refers to, by their values. */
  readonly #used: Map<string, string>[] = [];

  constructor(env: NodeJS.ProcessEnv) {
    this.#env = env;
  }

  /** A copy of the document with every string in a `feed` filled in. Keys stay as they are. */
  fillFeeds(document: unknown): unknown {
    const schedules = isObject(document) ? document.schedules : undefined;
    if (!isObject(document) || !Array.isArray(schedules)) return document;
    const filled = schedules.map((schedule: unknown, index) => {
      this.#used[index] = new Map();
      if (!isObject(schedule) || !('feed' in schedule)) return schedule;
      return {
        ...schedule,
        feed: this.#fill(schedule.feed, ['schedules', index, 'feed'], this.#used[index]),
      };
    });
    return { ...document, schedules: filled };
  }

  /** Replaces the values of variables by their names in a message about `path`. */
  conceal(message: string, [section, index]: Path): string {
    const used = section === 'schedules' ? this.#used[Number(index)] : undefined;
    // Longest first: a value may contain another one.
    const longestFirst = [...(used ?? [])].sort(([a], [b]) => b.length - a.length);
    return longestFirst.reduce((text, [value, name]) => {
      const reference = () => `\${${name}}`;
      return text.replaceAll(JSON.stringify(value).slice(1, -1), reference).replaceAll(value, reference);
    }, message);
  }

  #fill(value: unknown, path: Path, used: Map<string, string>): unknown {
    if (typeof value === 'string') {
      const replace = (reference: string, name?: string) =>
        name === undefined ? '${' : this.#lookUp(name, reference, path, used);
      // After the last brace no reference ends; a search from every `${` there would take quadratic time.
      const end = value.lastIndexOf('}') + 1;
      return value.slice(0, end).replace(REFERENCE, replace) + value.slice(end).replaceAll('$${', () => '${');
    }
    if (Array.isArray(value)) return value.map((item, index) => this.#fill(item, [...path, index], used));
    if (!isObject(value)) return value;
    return Object.fromEntries(
      Object.entries(value).map(([key, item]) => [key, this.#fill(item, [...path, key], used)]),
    );
  }

  #lookUp(name: string, reference: string, path: Path, used: Map<string, string>): string {
    // Own properties only: every object has a `constructor`.
    const value = Object.hasOwn(this.#env, name) ? this.#env[name] : undefined;
    if (value === undefined) {
      this.faults.push({ path, message: `${notSet(name)} (a plain "\${" is written "$\${")` });
      return reference;
    }
    if (value !== '') used.set(value, name);
    return value;
  }
}

/** A malformed name is not repeated: it may be a part of a password that contains `${`. */
function notSet(name: string): string {
  if (/^[A-Za-z_][A-Za-z0-9_]*$/.test(name)) return `the environment variable ${name} is not set`;
  return `what stands between "\${" and "}" is not the name of a variable: write letters, digits and _, not starting with a digit`;
}
