import { closeSync, fstatSync, openSync } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { metaOf } from './store-pages.ts';

/** So much is free at the end at any time, for what is small. */
const SPARE_BYTES = 262_144;

/** The file grows by so much at least. */
const GROWTH_BYTES = 262_144;

const ZEROS = Buffer.alloc(GROWTH_BYTES);

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
    try {
      while (this.#missing > 0) {
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

  get #missing(): number {
    const { pages, pageSize } = metaOf(this.#readFd);
    return pages * pageSize + this.#taken - fstatSync(this.#readFd).size;
  }

  async #grow(): Promise<void> {
    do await this.#file.appendFile(ZEROS);
    while (this.#missing > 0);
  }
}
