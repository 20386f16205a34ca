import { setImmediate as nextIteration } from 'node:timers/promises';
import type { Entry, RecordChange } from './log.ts';
import type { Store } from './store.ts';
import type { EncodedMessage } from './store-file.ts';
import type { StoreTrimmer } from './store-trimmer.ts';

/** After so many messages, about 5 ms, handing them to LMDB waits for the next iteration. */
const PUTS_PER_SLICE = 2500;

/** Hands messages and changes to LMDB once there is space for them on the disk. */
export class StoreWriter {
  readonly #store: Store;
  readonly #trimmer: StoreTrimmer;

  constructor(store: Store, trimmer: StoreTrimmer) {
    this.#store = store;
    this.#trimmer = trimmer;
  }

  /** Resolves to what `put` needs; rejects where the disk has no space for the messages, or the store has failed. */
  async takeSpace(messages: number, dataBytes: number): Promise<number> {
    const { file, space } = this.#store;
    await this.#trimmer.hasSpace();
    if (file.failure) throw file.failure;
    const bytes = messages === 0 ? 0 : file.growthOf(messages, dataBytes);
    await space.take(bytes);
    return bytes;
  }

  /**
   * Resolves when all is handed over. `committed` resolves when it is on disk, and rejects with why it never
   * will be.
   */
  async put(
    messages: readonly EncodedMessage[],
    changes: readonly RecordChange[],
    takenBytes: number,
  ): Promise<{ committed: Promise<void> }> {
    const { file, space } = this.#store;
    const changeBytes = changes.length === 0 ? 0 : file.growthOf(changes.length, changeBytesOf(changes));
    const commits: Promise<void>[] = [];
    try {
      await space.take(changeBytes);
    } catch (error) {
      return { committed: this.#committed([Promise.reject(error)], takenBytes) };
    }
    for (let from = 0; from === 0 || from < messages.length; from += PUTS_PER_SLICE) {
      if (from > 0) await nextIteration();
      const slice = messages.slice(from, from + PUTS_PER_SLICE);
      const isLast = from + PUTS_PER_SLICE >= messages.length;
      if (slice.length + changes.length === 0) break;
      const commit = file.put(slice, isLast ? changes : []);
      // It is awaited together with the others.
      commit.catch(() => {});
      commits.push(commit);
      for (const { room, value } of slice) this.#trimmer.added(room, value.length);
    }
    return { committed: this.#committed(commits, takenBytes + changeBytes) };
  }

  async #committed(commits: readonly Promise<void>[], takenBytes: number): Promise<void> {
    try {
      await Promise.all(commits);
    } finally {
      this.#store.space.release(takenBytes);
    }
  }
}

/** What entries take on the disk, each with its own copy of the data. */
export function dataBytesOf(entries: readonly Entry[]): number {
  let bytes = 0;
  let last = '';
  let lastBytes = 0;
  for (const { data } of entries) {
    if (data !== last) [last, lastBytes] = [data, Buffer.byteLength(data)];
    bytes += lastBytes;
  }
  return bytes;
}

function changeBytesOf(changes: readonly RecordChange[]): number {
  return changes.reduce((sum, { key, value }) => sum + key.length + Buffer.byteLength(value ?? ''), 0);
}
