import { closeSync, constants, fstatSync, openSync, readSync, type Stats, statSync } from 'node:fs';

/** Ten thousand schedules find room; reading and checking more would hold the server up for seconds. */
export const MAX_FILE_BYTES = 4_194_304;

/** A file that cannot be read. The message says why, and goes on where "it cannot be read: " ends. */
export class FileError extends Error {
  override readonly name = 'FileError';
  /** Whether nothing is there at all. */
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
 * The bytes of a plain file of at most `MAX_FILE_BYTES`. Throws a `FileError` for all else; for a pipe
 * or a device too, whose bytes may never come.
 */
export function readPlainFile(path: string): Buffer {
  try {
    // Looked at before it is opened: opening a device may already do something.
    check(statSync(path));
    // And not waited for, should it have become a pipe meanwhile.
    const fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
    try {
      check(fstatSync(fd));
      return readAll(fd);
    } finally {
      closeSync(fd);
    }
  } catch (error) {
    if (error instanceof FileError) throw error;
    throw explained(error);
  }
}

function check(stats: Stats): void {
  if (stats.isDirectory()) throw new FileError('it is a folder');
  if (stats.isFIFO()) throw new FileError('it is a pipe: write it to a file first');
  if (!stats.isFile()) throw new FileError('it is a device or a socket: only plain files can be read');
  if (stats.size > MAX_FILE_BYTES) throw tooLarge();
}

/** To its end, whatever size it claims to be: it may grow, and files of /proc claim to be empty. */
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

function explained(cause: unknown): FileError {
  const code = cause instanceof Error && 'code' in cause ? cause.code : undefined;
  if (code === 'ENOENT') return new FileError('there is no such file', { cause, isMissing: true });
  if (code === 'ENOTDIR') return new FileError('a part of its path is no folder', { cause, isMissing: true });
  if (code === 'EACCES') return new FileError('permission denied', { cause });
  return new FileError(String(code ?? cause), { cause });
}
