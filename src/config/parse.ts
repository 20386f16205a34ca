import { ConfigError, type Fault, faultMessages, pathText } from './faults.ts';
import { type Config, configSchema, type SchemaOptions } from './schema.ts';
import { isMadeUp, isName, shownPath } from './secrets.ts';
import { type Substituted, substitute } from './substitute.ts';

/** The most faults that are listed; the rest is counted. */
const MOST_FAULTS = 100;
const LONGEST_MESSAGE = 500;

/**
 * Checks a document and completes it with the defaults. Throws a `ConfigError` with every fault.
 * The document itself is not changed.
 */
export function parseConfig(document: unknown, options: SchemaOptions): Config {
  const filled = substitute(document, options.env);
  const result = configSchema(options).safeParse(filled.document, { error: faultMessages(document) });
  const unset = new Set(filled.faults.map(({ path }) => pathText(path)));
  const faults: Fault[] = filled.faults
    .slice(0, MOST_FAULTS)
    .map(({ path, message }) => ({ path: pathText(shownPath(document, path)), message }));
  let more = filled.faults.length - faults.length;
  for (const issue of result.error?.issues ?? []) {
    if (faults.length >= MOST_FAULTS) more++;
    // What a string with a hole in it fails at is no news.
    else if (!unset.has(pathText(issue.path))) faults.push(...faultsOf(issue, filled));
  }
  if (result.success && faults.length === 0) return result.data;
  if (more > 0) faults.push({ path: '', message: `and ${more} more faults` });
  throw new ConfigError(faults);
}

interface Issue {
  readonly code?: string;
  readonly message: string;
  readonly path: readonly PropertyKey[];
}

function faultsOf({ code, message, path }: Issue, { conceal }: Substituted): Fault[] {
  if (isMadeUp(path) && !isName(path.at(-1) ?? '')) {
    const words = 'holds a name that is none: write letters, digits, - and _ in it, and the value after it';
    return [{ path: pathText(path.slice(0, -1)), message: words }];
  }
  // `faultMessages` writes a line for each unknown key.
  const lines = code === 'unrecognized_keys' ? message.split('\n') : [message];
  return lines.map((line) => {
    const text = conceal(line, path);
    const cut = text.length > LONGEST_MESSAGE ? `${text.slice(0, LONGEST_MESSAGE)}…` : text;
    return { path: pathText(path), message: cut };
  });
}
