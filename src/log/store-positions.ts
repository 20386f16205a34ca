import { randomBytes } from 'node:crypto';
import { Ids } from './ids.ts';
import type { Position } from './log.ts';
import type { StoreFile } from './store-file.ts';

/** Positions are reserved so far ahead that no append has to wait for it. A crash skips the rest of them. */
const RESERVED_AHEAD = 100_000;

/**
 * Gives out the positions of a log on disk. None is given twice, although clients may have seen positions that
 * never reached the disk: only those are used that were reserved there before. After a crash the log goes on
 * above them.
 */
export class StorePositions {
  readonly ids: Ids;
  readonly #file: StoreFile;
  #newest: number;
  /** Positions up to this one are reserved on the disk. */
  #reserved: number;
  /** What is being reserved; rejects where it cannot be. */
  #reserving: Promise<void> | undefined;

  private constructor(file: StoreFile, epoch: string, reserved: number) {
    this.#file = file;
    this.ids = new Ids(epoch);
    this.#newest = reserved;
    this.#reserved = reserved;
  }

  /** Begins an epoch where the store is new, or a copy. Rejects where the store is damaged or cannot be written. */
  static async open(file: StoreFile): Promise<StorePositions> {
    const state = file.readState();
    const epoch = !state || state.isCopy ? randomBytes(5).toString('hex') : state.epoch;
    const positions = new StorePositions(file, epoch, state?.reserved ?? 0);
    await positions.#reserve(RESERVED_AHEAD);
    return positions;
  }

  /** The newest that was given out; 0: none. */
  get newest(): number {
    return this.#newest;
  }

  next(): Position {
    const position = ++this.#newest;
    return { position, id: this.ids.at(position) };
  }

  /** Resolves when `next` may be called so many times. */
  async reserve(count: number): Promise<void> {
    while (this.#newest + count > this.#reserved) await this.#reserve(count + RESERVED_AHEAD);
  }

  /** Reserves more where half of what is ahead is used up. */
  reserveAhead(): void {
    if (this.#reserved - this.#newest < RESERVED_AHEAD / 2)
      void this.#reserve(RESERVED_AHEAD).catch(() => {});
  }

  /** Gives back what is not used, so that ids have no hole after a stop in good order. */
  async close(): Promise<void> {
    await this.#file.putState({ epoch: this.ids.epoch, reserved: this.#newest });
  }

  #reserve(count: number): Promise<void> {
    this.#reserving ??= this.#put(this.#newest + count).finally(() => {
      this.#reserving = undefined;
    });
    return this.#reserving;
  }

  async #put(reserved: number): Promise<void> {
    await this.#file.putState({ epoch: this.ids.epoch, reserved });
    this.#reserved = reserved;
  }
}
