import { join } from 'node:path';
import { open } from 'lmdb';
import { STORE_FILE, StoreFile } from './store-file.ts';
import { StoreSpace } from './store-space.ts';

/** Copies the store as it is at one moment, without its free pages; another process may use it. */
export async function copyStore(path: string, target: string): Promise<void> {
  const root = open({ path, readOnly: true, encoding: 'binary' });
  try {
    await root.backup(target, true);
  } finally {
    await root.close();
  }
}

/**
 * Marks the store in a folder as a copy: the log that opens it begins a new epoch, each time that the copy is
 * put back. The log that it was copied from has given the next positions to other messages since.
 */
export async function markAsCopy(folder: string): Promise<void> {
  // LMDB must not be the first to find that a disk is full.
  const space = await StoreSpace.open(join(folder, STORE_FILE));
  try {
    const file = await StoreFile.open(folder);
    try {
      const state = file.readState();
      if (state) await file.putState({ ...state, isCopy: true });
    } finally {
      await file.close();
    }
  } finally {
    await space.close();
  }
}
