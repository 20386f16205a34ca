import { setImmediate as nextIteration } from 'node:timers/promises';
import type { Entry, RecordChange } from './log.ts';
import type { Store } from './store.ts';
import { causeOf, type EncodedMessage } from './store-file.ts';
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

  /** Resolves to what `put` needs; rejects where the disk has no space for the entries. */
  async takeSpace(entries: readonly Entry[]): Promise<number> {
    const { file, space } = this.#store;
    await this.#trimmer.hasSpace();
    const bytes = entries.length === 0 ? 0 : file.growthOf(entries.length, dataBytesOf(entries));
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
    const commits: Promise<unknown>[] = [];
    try {
      await space.take(changeBytes);
    } catch (error) {
      return { committed: this.#committed([Promise.reject(error)], takenBytes) };
    }
    for (const [index, message] of messages.entries()) {
      const commit = file.putMessage(message);
      commits[Math.floor(index / PUTS_PER_SLICE)] = commit;
      this.#trimmer.added(message.room, message.value.length);
      if (index % PUTS_PER_SLICE !== PUTS_PER_SLICE - 1) continue;
      // It is awaited together with the others.
      commit.catch(() => {});
      await nextIteration();
    }
    for (const change of changes) commits.push(file.change(change));
    return { committed: this.#committed(commits, takenBytes + changeBytes) };
  }

  async #committed(commits: readonly Promise<unknown>[], takenBytes: number): Promise<void> {
    try {
      await Promise.all(commits);
    } catch (error) {
      throw await causeOf(error);
    } finally {
      this.#store.space.release(takenBytes);
    }
  }
}

function dataBytesOf(entries: readonly Entry[]): number {
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
