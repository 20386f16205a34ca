import { statSync } from 'node:fs';
import { basename, dirname } from 'node:path';
import { type FSWatcher, watch } from 'chokidar';
import { FileError, readPlainFile } from './load.ts';

/** A file counts as completely written after this time without an event. */
const QUIET_MS = 200;

/**
 * Interval of looks at the file that need no event: events get lost on network drives, and where the file is
 * removed while chokidar reads the folder for the first time.
 */
const LOOK_MS = 2000;

export interface FileListener {
  /**
   * The file has another content, and is completely written. Also if an editor put a new file in its
   * place, or if it was removed and came back with another content.
   */
  readonly onChange: () => void;
  /** The file was removed and nothing took its place. Once, until it is back. */
  readonly onVanished?: () => void;
  /** Why the file cannot be watched, such as too few watches in the system. */
  readonly onError?: (error: unknown) => void;
}

/** Watches one file, which need not exist yet. */
export class FileWatch {
  readonly #path: string;
  readonly #listener: FileListener;
  readonly #watcher: FSWatcher;
  #timer: NodeJS.Timeout | undefined;
  readonly #looking: NodeJS.Timeout;
  #isThere: boolean;
  /** The last content; kept while the file is removed. */
  #content: string | undefined;

  constructor(path: string, listener: FileListener) {
    this.#path = path;
    this.#listener = listener;
    this.#content = contentOf(path);
    this.#isThere = this.#content !== undefined;
    const folder = dirname(path);
    // The folder, since another file may take the place of this one.
    this.#watcher = watch(folder, {
      depth: 0,
      ignored: (other) => other !== folder && basename(other) !== basename(path),
    });
    // `ready` too: the file may have changed since it was read above.
    for (const event of ['add', 'change', 'unlink', 'ready'] as const)
      this.#watcher.on(event, () => this.#compareSoon());
    this.#watcher.on('error', (error) => listener.onError?.(error));
    let seen = stateOf(path);
    this.#looking = setInterval(() => {
      const before = seen;
      seen = stateOf(path);
      if (seen !== before) this.#compareSoon();
    }, LOOK_MS);
  }

  /** Stops watching. The listener is not called after this call, even before the promise resolves. */
  close(): Promise<void> {
    clearTimeout(this.#timer);
    clearInterval(this.#looking);
    // Removes its listeners at once.
    return this.#watcher.close();
  }

  #compareSoon(): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#compare(), QUIET_MS);
  }

  #compare(): void {
    const content = contentOf(this.#path);
    const wasThere = this.#isThere;
    this.#isThere = content !== undefined;
    if (wasThere && !this.#isThere) this.#listener.onVanished?.();
    if (content === undefined || content === this.#content) return;
    this.#content = content;
    this.#listener.onChange();
  }
}

/** Another string whenever the file may have another content. */
function stateOf(path: string): string | undefined {
  try {
    const { ino, mtimeNs, size } = statSync(path, { bigint: true });
    return `${ino} ${mtimeNs} ${size}`;
  } catch {
    return undefined;
  }
}

/** Undefined for no file. A file that cannot be read is a content too: the reload that follows reports why. */
function contentOf(path: string): string | undefined {
  try {
    return `=${readPlainFile(path).toString('latin1')}`;
  } catch (error) {
    return error instanceof FileError && error.isMissing ? undefined : `!${error}`;
  }
}
