import { dirname, resolve } from 'node:path';
import { isObject, parseJson } from './document.ts';
import { ConfigError, type Fault } from './faults.ts';
import { hostFault, isHost } from './host.ts';
import { FileError, readPlainFile } from './read-file.ts';

/**
 * The configuration where there is no file: the same as the `belfry.json` that is shipped, which a
 * test holds it to.
 */
export const defaultDocument = {
  $schema: './belfry.schema.json',
  rooms: [{ match: 'lobby', publish: 'members', history: 100 }],
  schedules: [{ name: 'clock', every: '3s', feed: { type: 'time' } }],
} as const;

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
    return readPlainFile(path);
  } catch (error) {
    if (!(error instanceof FileError)) throw error;
    if (mayBeMissing && error.isMissing) return undefined;
    throw fault(label, `cannot be read: ${error.message}`, error);
  }
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

export interface Overrides {
  /** `--host`. */
  readonly host?: string;
  /** `--port`, as it was typed or already a number. */
  readonly port?: string | number;
  readonly env: NodeJS.ProcessEnv;
}

/**
 * Puts what the flags and the environment say over what the file says; flags win. An empty variable
 * counts as not set. Throws a `ConfigError` that names where a wrong value came from.
 */
export function applyOverrides(document: unknown, { host, port, env }: Overrides): unknown {
  const faults: Fault[] = [];
  const server: { host?: string; port?: number } = {};
  const newHost = (host ?? (env.BELFRY_HOST || undefined))?.replace(/^\[(.*)\]$/, '$1');
  const newPort = port ?? (env.BELFRY_PORT || undefined);
  if (newHost !== undefined) {
    if (!isHost(newHost)) {
      faults.push({
        source: host === undefined ? 'BELFRY_HOST' : '--host',
        path: '',
        message: hostFault(newHost),
      });
    }
    server.host = newHost;
  }
  if (newPort !== undefined) {
    if (!/^\d{1,5}$/.test(String(newPort)) || Number(newPort) > 65_535) {
      const message = `"${newPort}" is not a port: write a whole number from 0 to 65535`;
      faults.push({ source: port === undefined ? 'BELFRY_PORT' : '--port', path: '', message });
    }
    server.port = Number(newPort);
  }
  if (faults.length > 0) throw new ConfigError(faults);
  return merge(document, server);
}

/** What is not an object stays as it is: parsing tells what is wrong with it. */
function merge(document: unknown, server: object): unknown {
  if (Object.keys(server).length === 0 || !isObject(document)) return document;
  const own = document.server ?? {};
  return isObject(own) ? { ...document, server: { ...own, ...server } } : document;
}
