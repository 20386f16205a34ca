import { basename, dirname } from 'node:path';
import { watch } from 'chokidar';
import { FileError, readPlainFile } from './load.ts';

/** How long nothing must happen to a file before it counts as written. */
const QUIET_MS = 200;

export interface FileWatch {
  /** Resolves when nothing of it runs any more; `onChange` is not called once this was. */
  close(): Promise<void>;
}

export interface FileListener {
  /**
   * The file holds something else than before, and is written to its end: also where an editor puts a
   * new file in the place of the old one, and where one that has vanished comes back with other words.
   * Not while it is away, nor when it was only touched.
   */
  readonly onChange: () => void;
  /** The file is there no more, and nothing has come in its place; once, until it is back. */
  readonly onVanished?: () => void;
  /** Why a file cannot be watched, such as too few watches in the system. */
  readonly onError?: (error: unknown) => void;
}

/** Watches one file, which need not be there yet. */
export function watchFile(path: string, { onChange, onVanished, onError }: FileListener): FileWatch {
  const folder = dirname(path);
  let known = contentOf(path);
  let isThere = known !== undefined;
  let timer: NodeJS.Timeout | undefined;
  const look = () => {
    const content = contentOf(path);
    const wasThere = isThere;
    isThere = content !== undefined;
    if (wasThere && !isThere) onVanished?.();
    if (content === undefined || content === known) return;
    known = content;
    onChange();
  };
  const lookSoon = () => {
    clearTimeout(timer);
    timer = setTimeout(look, QUIET_MS);
  };
  // The folder is watched, since the file itself may be another one a moment later. What is found at
  // first is told as well, and so is nothing: it may be newer than what is known here.
  const watcher = watch(folder, {
    depth: 0,
    ignored: (other) => other !== folder && basename(other) !== basename(path),
  });
  watcher.on('add', lookSoon).on('change', lookSoon).on('unlink', lookSoon).on('ready', lookSoon);
  watcher.on('error', (error) => onError?.(error));
  return {
    close() {
      watcher.off('add', lookSoon).off('change', lookSoon).off('unlink', lookSoon).off('ready', lookSoon);
      clearTimeout(timer);
      return watcher.close();
    },
  };
}

/**
 * Undefined while nothing is there. A file that cannot be read counts as a change too, so that the reload
 * that follows reports why.
 */
function contentOf(path: string): string | undefined {
  try {
    return `=${readPlainFile(path).toString('latin1')}`;
  } catch (error) {
    return error instanceof FileError && error.isMissing ? undefined : `!${error}`;
  }
}
