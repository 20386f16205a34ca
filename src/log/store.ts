import { existsSync, statfsSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { getSystemErrorMap } from 'node:util';
import type { Clock } from '../clock.ts';
import { StoreError } from './store-error.ts';
import { STORE_FILE, StoreFile } from './store-file.ts';
import { StoreLock } from './store-lock.ts';
import { checkPages } from './store-pages.ts';
import { StoreSpace } from './store-space.ts';

/** How long a file is checked before it is opened: in 200 ms about 25 MiB, and the structure of the others. */
const CHECK_MS = 200;

/** A new store needs so much. */
const MIN_FREE_BYTES = 1_048_576;

/** What to do about a file that is damaged. */
export const DAMAGE_ADVICE =
  'run "belfry store check", restore a backup, or move the folder away to begin with an empty store';

/** A folder that this process uses: its lock, its file, and the space that the file grows into. */
export class Store {
  readonly file: StoreFile;
  readonly space: StoreSpace;
  readonly #lock: StoreLock;

  private constructor(file: StoreFile, space: StoreSpace, lock: StoreLock) {
    this.file = file;
    this.space = space;
    this.#lock = lock;
  }

  /** Makes what is missing. Throws a `StoreError` that says what is wrong and what to do. */
  static async open(folder: string, clock: Clock): Promise<Store> {
    let lock: StoreLock | undefined;
    let space: StoreSpace | undefined;
    let file: StoreFile | undefined;
    try {
      lock = await StoreLock.take(folder, clock.now());
      const path = join(folder, STORE_FILE);
      checkFree(folder);
      if (hasContent(path)) {
        const { damage } = await checkPages(path, CHECK_MS);
        if (damage !== undefined)
          throw new StoreError(`the store in ${path} is damaged: ${damage}: ${DAMAGE_ADVICE}`);
        // LMDB must not be the first to find that a disk is full.
        space = await StoreSpace.open(path);
      }
      file = await StoreFile.open(folder, clock);
      space ??= await StoreSpace.open(path);
      return new Store(file, space, lock);
    } catch (error) {
      await file?.close();
      await space?.close();
      lock?.release();
      throw notOpened(folder, error);
    }
  }

  async close(): Promise<void> {
    await this.file.close();
    await this.space.close();
    this.#lock.release();
  }
}

export function hasContent(path: string): boolean {
  return existsSync(path) && statSync(path).size > 0;
}

/** LMDB maps its lock file into memory as well: a page of it that cannot be had ends the process. */
function checkFree(folder: string): void {
  const isThere = [STORE_FILE, `${STORE_FILE}-lock`].every((name) => hasContent(join(folder, name)));
  const { bavail, bsize } = statfsSync(folder);
  if (!isThere && bavail * bsize < MIN_FREE_BYTES) throw Object.assign(new Error(), { code: 'ENOSPC' });
}

/** An error that is told to the operator at the start: its message says what to do. */
export function notOpened(folder: string, error: unknown): StoreError {
  if (error instanceof StoreError) return error;
  const { code, message } = Object(error);
  const reason = REASONS[nameOf(code)] ?? `${message}: ${DAMAGE_ADVICE}`;
  return new StoreError(`the store in ${folder} cannot be opened: ${reason}`, { cause: error });
}

/** LMDB's errors have the number of a system error, or a negative one of its own. */
function nameOf(code: unknown): string {
  return typeof code === 'number' ? (getSystemErrorMap().get(-code)?.[0] ?? '') : String(code);
}

const ELSEWHERE = 'or choose another folder with store.path';
const NO_FOLDER = `there is a file where a folder should be: move it away, ${ELSEWHERE}`;
const NOT_ALLOWED = `this user may not write there: change the owner of the folder, ${ELSEWHERE}`;

/** By the codes of Node's errors. */
const REASONS: Readonly<Record<string, string>> = {
  EEXIST: NO_FOLDER,
  ENOTDIR: NO_FOLDER,
  EACCES: NOT_ALLOWED,
  EPERM: NOT_ALLOWED,
  EROFS: `its file system is read-only: mount it for writing, ${ELSEWHERE}`,
  ENOSPC: `no space is left on its disk: make some, ${ELSEWHERE}`,
  EFBIG: `the file may not grow: raise the limit of file sizes (ulimit -f), ${ELSEWHERE}`,
  EDQUOT: `the disk quota is used up: raise it, ${ELSEWHERE}`,
};
