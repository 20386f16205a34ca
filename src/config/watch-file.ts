import { readFileSync } from 'node:fs';
import { basename, dirname } from 'node:path';
import { watch } from 'chokidar';

/** How long nothing must happen to a file before it counts as written. */
const QUIET_MS = 200;

export interface FileWatch {
  /** Resolves when nothing of it runs any more; `onChange` is not called once this was. */
  close(): Promise<void>;
}

/**
 * Calls `onChange` when a file holds something else than before, and it is written to its end: also
 * where an editor puts a new file in the place of the old one, and where a file that has vanished
 * comes back. Not while it is away, nor when it was only touched. `onError` hears why a file cannot
 * be watched, such as too few watches in the system.
 */
export function watchFile(
  path: string,
  onChange: () => void,
  onError: (error: unknown) => void = () => {},
): FileWatch {
  const folder = dirname(path);
  let known = contentOf(path);
  let timer: NodeJS.Timeout | undefined;
  const look = () => {
    const content = contentOf(path);
    if (content === undefined || content === known) return;
    known = content;
    onChange();
  };
  const lookSoon = () => {
    clearTimeout(timer);
    timer = setTimeout(look, QUIET_MS);
  };
  // The folder is watched, since the file itself may be another one a moment later. What is found at
  // first is told as well: it may be newer than what is known here.
  const watcher = watch(folder, {
    depth: 0,
    ignored: (other) => other !== folder && basename(other) !== basename(path),
  });
  watcher.on('add', lookSoon).on('change', lookSoon).on('error', onError);
  return {
    close() {
      watcher.off('add', lookSoon).off('change', lookSoon);
      clearTimeout(timer);
      return watcher.close();
    },
  };
}

/** Undefined while it cannot be read. */
function contentOf(path: string): string | undefined {
  try {
    return readFileSync(path, 'latin1');
  } catch {
    return undefined;
  }
}
