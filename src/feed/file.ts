import type { BigIntStats } from 'node:fs';
import { constants, open, stat } from 'node:fs/promises';
import { resolve } from 'node:path';
import { z } from 'zod';
import type { JsonText, Tick } from '../hub/event.ts';
import { contentOptions, jsonText, readAtMost, tooLarge } from './content.ts';
import { FeedError, feedKind, type ReadFeed, type Reason, failureReason } from './feed.ts';

const options = z.object({
  path: z
    .string()
    .min(1, { error: 'is empty: write the path of a file, such as "prices.json"' })
    .refine((path) => !path.includes('\0'), { error: 'holds a NUL character: no file has such a name' })
    .describe('The file to read, relative to the folder of the config file.'),
  ...contentOptions,
});

/** What a file holds, read when it has changed: JSON where its name ends in `.json`, otherwise text. */
export const fileFeed = feedKind({
  type: 'file',
  description: 'What a file holds.',
  options,
  secrets: {},
  create: (parsed, { baseDirectory }) => new FileFeed(parsed, baseDirectory),
});

interface Cached {
  /** Device, inode, size and times of the file that the value is from. */
  readonly version: string;
  readonly value: JsonText;
}

class FileFeed implements ReadFeed {
  readonly #options: z.output<typeof options>;
  readonly #path: string;
  #cached: Cached | undefined;

  constructor(parsed: z.output<typeof options>, baseDirectory: string) {
    this.#options = parsed;
    this.#path = resolve(baseDirectory, parsed.path);
  }

  /**
   * On a disk that has gone away it does not end when `signal` aborts, because nothing can end it. Since
   * the next read waits for that end, one thread is blocked and not all of them.
   */
  async read(_tick: Tick, signal: AbortSignal): Promise<JsonText> {
    signal.throwIfAborted();
    try {
      return await this.#read(signal);
    } catch (error) {
      signal.throwIfAborted();
      throw explained(error, this.#options.path);
    }
  }

  async #read(signal: AbortSignal): Promise<JsonText> {
    const { path, maxBytes, pick } = this.#options;
    // Checked before it is opened: opening a pipe or a device may already do something.
    const seen = version(this.#regular(await stat(this.#path, { bigint: true })));
    if (this.#cached?.version === seen) return this.#cached.value;
    // Another file may be there by now: a pipe must not block this.
    const file = await open(this.#path, constants.O_RDONLY | constants.O_NONBLOCK);
    try {
      const stats = this.#regular(await file.stat({ bigint: true }));
      if (stats.size > maxBytes) throw tooLarge(maxBytes, path);
      const bytes = await readAtMost(file.createReadStream({ signal, autoClose: false }), maxBytes, path);
      const value = jsonText(bytes, path.endsWith('.json') ? 'json' : 'text', pick, path);
      // Files of /proc and /sys never seem to change, and are never of the size they give.
      const whole = BigInt(bytes.length) === stats.size;
      this.#cached = whole ? { version: version(stats), value } : undefined;
      return value;
    } finally {
      await file.close();
    }
  }

  #regular(stats: BigIntStats): BigIntStats {
    if (stats.isFile()) return stats;
    const kind = stats.isDirectory() ? 'a directory' : stats.isFIFO() ? 'a pipe' : 'a device or a socket';
    throw new FeedError('failed', `${this.#options.path} is ${kind}: only plain files can be read`);
  }
}

function version({ dev, ino, size, mtimeNs, ctimeNs }: BigIntStats): string {
  return [dev, ino, size, mtimeNs, ctimeNs].join();
}

/** Node's own messages name the whole path; the folder is not shown. */
function explained(cause: unknown, path: string): FeedError {
  const error = (reason: Reason, message: string) => new FeedError(reason, message, { cause });
  const { code, message } = cause as NodeJS.ErrnoException; // nothing else is thrown here
  if (code === undefined) return error(failureReason(cause), message);
  if (code === 'ENOENT' || code === 'ENOTDIR') return error('not-found', `${path} does not exist`);
  if (code === 'EACCES' || code === 'EPERM')
    return error('refused', `${path} may not be read: permission denied`);
  return error('failed', `${path} cannot be read: ${code}`);
}
