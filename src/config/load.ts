import { closeSync, constants, fstatSync, openSync, readSync, type Stats, statSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { ConfigError, type Fault } from './errors.ts';
import { hostFault, plainHost } from './fields.ts';
import { isObject, parseJson } from './json.ts';

/** The configuration that is used without a file: the same as the shipped `belfry.json`, which a test holds. */
export const defaultDocument = {
  $schema: './belfry.schema.json',
  store: {},
  rooms: [{ match: 'lobby', publish: 'members', history: 100 }],
  schedules: [{ name: 'clock', every: '3s', feed: { type: 'time' } }],
} as const;

/** A configuration that was found but not yet checked. */
export interface ConfigSource {
  readonly document: unknown;
  /** The path as the user wrote it, or "the built-in default". */
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

const DEFAULT_FILE = 'belfry.json';

/**
 * Reads the file that `--config` names, else `BELFRY_CONFIG`, else `belfry.json` in `cwd` if there
 * is one, else the built-in default. Throws a `ConfigError` for a file that cannot be read, with line
 * and column if it is not JSON.
 */
export function findConfig({ path, env, cwd }: Search): ConfigSource {
  const named = path ?? (env.BELFRY_CONFIG || undefined);
  const label = named ?? DEFAULT_FILE;
  const absolute = resolve(cwd, label);
  const fail = (message: string, cause: unknown) =>
    new ConfigError([{ source: label, path: '', message }], { cause });
  let bytes: Buffer;
  try {
    bytes = readPlainFile(absolute);
  } catch (error) {
    if (!(error instanceof FileError)) throw error;
    if (named !== undefined || !error.isMissing) throw fail(`cannot be read: ${error.message}`, error);
    return { document: defaultDocument, label: 'the built-in default', path: null, baseDirectory: cwd };
  }
  try {
    // Also removes a byte order mark.
    const text = new TextDecoder('utf-8', { fatal: true }).decode(bytes);
    return { document: parseJson(text), label, path: absolute, baseDirectory: dirname(absolute) };
  } catch (error) {
    if (error instanceof TypeError) throw fail('is not UTF-8 text', error);
    throw fail(`is not JSON: ${error instanceof Error ? error.message : error}`, error);
  }
}

export interface Overrides {
  /** `--host`. */
  readonly host?: string;
  /** `--port`, as typed or already a number. */
  readonly port?: string | number;
  readonly env: NodeJS.ProcessEnv;
}

/**
 * Puts the flags and the environment in the place of the file's values; flags win. An empty variable
 * counts as not set. Throws a `ConfigError` that names the source of a wrong value.
 */
export function applyOverrides(document: unknown, { host, port, env }: Overrides): unknown {
  const given = host ?? (env.BELFRY_HOST || undefined);
  const newHost = given === undefined ? undefined : plainHost(given);
  const newPort = port ?? (env.BELFRY_PORT || undefined);
  const faults: Fault[] = [];
  const message = newHost === undefined ? undefined : hostFault(newHost);
  if (message !== undefined)
    faults.push({ source: host === undefined ? 'BELFRY_HOST' : '--host', path: '', message });
  if (newPort !== undefined && (!/^\d{1,5}$/.test(String(newPort)) || Number(newPort) > 65_535)) {
    const source = port === undefined ? 'BELFRY_PORT' : '--port';
    const message = `"${newPort}" is not a port: write a whole number from 0 to 65535`;
    faults.push({ source, path: '', message });
  }
  if (faults.length > 0) throw new ConfigError(faults);
  if (newHost === undefined && newPort === undefined) return document;
  // Anything but an object is left for the schema to refuse.
  if (!isObject(document)) return document;
  const server = document.server ?? {};
  if (!isObject(server)) return document;
  const overrides = {
    ...(newHost !== undefined && { host: newHost }),
    ...(newPort !== undefined && { port: Number(newPort) }),
  };
  return { ...document, server: { ...server, ...overrides } };
}

/** Enough for ten thousand schedules. To read and check more would block the server for seconds. */
export const MAX_FILE_BYTES = 4_194_304;

/** A file that cannot be read. The message is the reason, to be written after "it cannot be read: ". */
export class FileError extends Error {
  override readonly name = 'FileError';
  /** Whether there is no file. */
  readonly isMissing: boolean;

  constructor(
    reason: string,
    { isMissing = false, ...options }: ErrorOptions & { isMissing?: boolean } = {},
  ) {
    super(reason, options);
    this.isMissing = isMissing;
  }
}

/**
 * The bytes of a plain file of at most `MAX_FILE_BYTES`. Throws a `FileError` for anything else, also
 * for a pipe or a device, which may never end.
 */
export function readPlainFile(path: string): Buffer {
  try {
    // Before it is opened: to open a device may have an effect.
    checkPlain(statSync(path));
    // Non-blocking in case it has become a pipe meanwhile.
    const fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
    try {
      checkPlain(fstatSync(fd));
      return readAll(fd);
    } finally {
      closeSync(fd);
    }
  } catch (error) {
    throw error instanceof FileError ? error : fileError(error);
  }
}

function checkPlain(stats: Stats): void {
  if (stats.isDirectory()) throw new FileError('it is a folder');
  if (stats.isFIFO()) throw new FileError('it is a pipe: write it to a file first');
  if (!stats.isFile()) throw new FileError('it is a device or a socket: only plain files can be read');
  if (stats.size > MAX_FILE_BYTES) throw tooLarge();
}

/** To the end, whatever the file's size: it may grow, and files of /proc claim to be empty. */
function readAll(fd: number): Buffer {
  const chunks: Buffer[] = [];
  for (let bytes = 0; bytes <= MAX_FILE_BYTES; ) {
    const chunk = Buffer.allocUnsafe(65_536);
    const read = readSync(fd, chunk);
    if (read === 0) return Buffer.concat(chunks);
    chunks.push(chunk.subarray(0, read));
    bytes += read;
  }
  throw tooLarge();
}

function tooLarge(): FileError {
  return new FileError(`it is larger than ${MAX_FILE_BYTES} bytes: write a smaller one`);
}

function fileError(cause: unknown): FileError {
  const code = cause instanceof Error && 'code' in cause ? cause.code : undefined;
  if (code === 'ENOENT') return new FileError('there is no such file', { cause, isMissing: true });
  if (code === 'ENOTDIR') return new FileError('a part of its path is no folder', { cause, isMissing: true });
  if (code === 'EACCES') return new FileError('permission denied', { cause });
  return new FileError(String(code ?? cause), { cause });
}
