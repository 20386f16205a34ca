import { closeSync, fstatSync, openSync } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { metaOf } from './store-pages.ts';

/** So much is free at the end at any time, for what is small. */
const SPARE_BYTES = 262_144;

/** So much is free when the file has grown, for about 14 appends of one message; less on a disk that is almost full. */
const GROWTH_BYTES = 1_048_576;

/** It is written in parts of this size. */
const CHUNK_BYTES = 262_144;

const ZEROS = Buffer.alloc(CHUNK_BYTES);

/**
 * Disk space at the end of the file that LMDB has not used yet. It is made by appending zeros before LMDB
 * gets something to write, so that a full disk shows as an error here. Where a write of LMDB itself fails,
 * the package lmdb (3.5.6, in mdb.c where pages are flushed) formats its message into memory that is too
 * short for it, and the process aborts.
 */
export class StoreSpace {
  readonly #readFd: number;
  /** Appends whatever the size is, so that it never writes over what LMDB has written. */
  readonly #file: FileHandle;
  /** For transactions that are not on disk yet. */
  #taken = SPARE_BYTES;
  /** So much may be taken before the file is looked at again: a look takes 60 µs. */
  #unlooked = Number.NEGATIVE_INFINITY;
  #growing: Promise<void> | undefined;

  private constructor(readFd: number, file: FileHandle) {
    this.#readFd = readFd;
    this.#file = file;
  }

  /** Rejects where there is no space left for the smallest changes. */
  static async open(path: string): Promise<StoreSpace> {
    const space = new StoreSpace(openSync(path, 'r'), await open(path, 'a'));
    try {
      await space.take(0);
      return space;
    } catch (error) {
      await space.close();
      throw error;
    }
  }

  /** Resolves when so much can be written, which `release` must follow; rejects with why not. */
  async take(bytes: number): Promise<void> {
    this.#taken += bytes;
    this.#unlooked -= bytes;
    if (this.#unlooked >= 0) return;
    try {
      while (this.#look() > 0) {
        this.#growing ??= this.#grow().finally(() => {
          this.#growing = undefined;
        });
        await this.#growing;
      }
    } catch (error) {
      this.#taken -= bytes;
      throw error;
    }
  }

  /** It is written, or will not be. */
  release(bytes: number): void {
    this.#taken -= bytes;
  }

  async close(): Promise<void> {
    await this.#growing?.catch(() => {});
    closeSync(this.#readFd);
    await this.#file.close();
  }

  /** How much is missing. Transactions use no more than they take, so that what is left stays free till it is taken. */
  #look(): number {
    const { pages, pageSize } = metaOf(this.#readFd);
    const missing = pages * pageSize + this.#taken - fstatSync(this.#readFd).size;
    this.#unlooked = -missing;
    return missing;
  }

  async #grow(): Promise<void> {
    try {
      do await this.#file.appendFile(ZEROS);
      while (this.#look() > -GROWTH_BYTES);
    } catch (error) {
      if (this.#look() > 0) throw error;
    }
  }
}
