import { ConfigError, faultMessage, pathText } from './faults.ts';
import { type Config, configSchema, type SchemaOptions } from './schema.ts';
import { substitute } from './substitute.ts';

/**
 * Checks a document and completes it with the defaults. Throws a `ConfigError` with every fault.
 * The document itself is not changed.
 */
export function parseConfig(document: unknown, options: SchemaOptions): Config {
  const filled = substitute(document, options.env);
  const result = configSchema(options).safeParse(filled.document, { error: faultMessage });
  const unset = new Set(filled.faults.map(({ path }) => path));
  const faults = [...filled.faults];
  for (const issue of result.error?.issues ?? []) {
    const path = pathText(issue.path);
    // What a string with a hole in it fails at is no news.
    if (!unset.has(path))
      faults.push(...messages(issue).map((text) => ({ path, message: filled.conceal(text) })));
  }
  if (result.success && faults.length === 0) return result.data;
  throw new ConfigError(faults);
}

/** `faultMessage` writes a line for each unknown key. */
function messages({ code, message }: { code?: string; message: string }): string[] {
  return code === 'unrecognized_keys' ? message.split('\n') : [message];
}
