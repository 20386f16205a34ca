import { constants } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';

const PAGE_BYTES = 4096;
/** What a commit of one message changes, about. */
const CHANGED_PAGES = 8;
const FILE_PAGES = 256;

/** What the disk alone takes for a commit as LMDB makes it: pages and a flush, then the head and a flush. */
export class Disk {
  readonly #file: FileHandle;
  /** Each write to it is flushed. */
  readonly #head: FileHandle;
  #page = 0;

  private constructor(file: FileHandle, head: FileHandle) {
    this.#file = file;
    this.#head = head;
  }

  static async open(path: string): Promise<Disk> {
    const file = await open(path, 'w');
    await file.write(Buffer.alloc(FILE_PAGES * PAGE_BYTES));
    await file.sync();
    return new Disk(file, await open(path, constants.O_WRONLY | constants.O_DSYNC));
  }

  /** Resolves to milliseconds. */
  async commit(): Promise<number> {
    const pages = Buffer.alloc(CHANGED_PAGES * PAGE_BYTES, 1);
    this.#page = 1 + ((this.#page + CHANGED_PAGES) % (FILE_PAGES - CHANGED_PAGES - 1));
    const began = performance.now();
    await this.#file.write(pages, 0, pages.length, this.#page * PAGE_BYTES);
    await this.#file.datasync();
    await this.#head.write(pages, 0, 128, 0);
    return performance.now() - began;
  }

  async close(): Promise<void> {
    await this.#file.close();
    await this.#head.close();
  }
}
