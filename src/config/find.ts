import { readFileSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { defaultDocument } from './default.ts';
import { ConfigError } from './faults.ts';
import { parseJson } from './json-text.ts';

/** A configuration as it was found, not yet checked. */
export interface ConfigSource {
  readonly document: unknown;
  /** What people call it: the path as they wrote it, or "the built-in default". */
  readonly label: string;
  /** Absolute; null for the built-in default. */
  readonly path: string | null;
  /** The folder that relative paths in the document start from. */
  readonly baseDirectory: string;
}

export interface Search {
  /** `--config`. */
  readonly path?: string;
  readonly env: NodeJS.ProcessEnv;
  readonly cwd: string;
}

/** The file that is taken where none is named. */
const USUAL = 'belfry.json';

/**
 * Reads the file that `--config` names, else `BELFRY_CONFIG`, else `belfry.json` in `cwd` if there
 * is one, else the built-in default. Throws a `ConfigError` for a file that cannot be read, with line
 * and column where it is not JSON.
 */
export function findConfig({ path, env, cwd }: Search): ConfigSource {
  const named = path ?? (env.BELFRY_CONFIG || undefined);
  const label = named ?? USUAL;
  const absolute = resolve(cwd, label);
  const bytes = read(absolute, label, named === undefined);
  if (bytes === undefined)
    return { document: defaultDocument, label: 'the built-in default', path: null, baseDirectory: cwd };
  return { document: parse(bytes, label), label, path: absolute, baseDirectory: dirname(absolute) };
}

function read(path: string, label: string, mayBeMissing: boolean): Buffer | undefined {
  try {
    return readFileSync(path);
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? error.code : undefined;
    if (mayBeMissing && code === 'ENOENT') return undefined;
    throw fault(label, `cannot be read: ${reason(code)}`, error);
  }
}

function reason(code: unknown): string {
  if (code === 'ENOENT') return 'there is no such file';
  if (code === 'EISDIR') return 'it is a folder';
  if (code === 'EACCES') return 'permission denied';
  return String(code);
}

function parse(bytes: Buffer, label: string): unknown {
  try {
    // Leaves out the mark that some editors put in front.
    return parseJson(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  } catch (error) {
    const decoded = !(error instanceof TypeError);
    const message = error instanceof Error ? error.message : String(error);
    throw fault(label, decoded ? `is not JSON: ${message}` : 'is not UTF-8 text', error);
  }
}

function fault(label: string, message: string, cause: unknown): ConfigError {
  return new ConfigError([{ source: label, path: '', message }], { cause });
}
