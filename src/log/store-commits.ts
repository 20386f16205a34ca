import type { RootDatabase } from 'lmdb';
import type { Cancel, Clock } from '../clock.ts';
import { StoreError } from './store-error.ts';

/** A commit that takes longer will never end. A look is one second, and an iteration of the event loop. */
const MAX_COMMIT_LOOKS = 30;
const LOOK_MS = 1000;

/**
 * Commits what is put, with a limit of time: after a fatal error LMDB settles none of its promises any
 * more. Then the store has failed, and stays so until it is opened by another process.
 */
export class StoreCommits {
  readonly #root: Pick<RootDatabase, 'batch'>;
  readonly #clock: Clock;
  /** Of the commits under way, oldest first. */
  readonly #rejects = new Set<(error: StoreError) => void>();
  #cancel: Cancel | undefined;
  /** The oldest at the last look, and how many looks have seen it. */
  #watched: unknown;
  #looks = 0;
  #failure: StoreError | undefined;

  constructor(root: Pick<RootDatabase, 'batch'>, clock: Clock) {
    this.#root = root;
    this.#clock = clock;
  }

  /** Why nothing can be stored any more. */
  get failure(): StoreError | undefined {
    return this.#failure;
  }

  /**
   * What `write` puts and removes is one transaction, which those that wait at the same time share. Rejects
   * with why it could not be committed.
   */
  commit(write: () => void): Promise<void> {
    if (this.#failure) return Promise.reject(this.#failure);
    return new Promise((resolve, reject) => {
      this.#rejects.add(reject);
      if (!this.#cancel) this.#look();
      this.#batch(write)
        .then(resolve, reject)
        .finally(() => this.#rejects.delete(reject));
    });
  }

  stop(): void {
    this.#cancel?.();
    this.#cancel = undefined;
  }

  async #batch(write: () => void): Promise<void> {
    try {
      await this.#root.batch(write);
    } catch (error) {
      // lmdb tells why by another promise, which rejects right after this one.
      const { commitError } = Object(error);
      throw commitError instanceof Promise ? await commitError.catch((cause) => cause) : error;
    }
  }

  /** Looks are counted, and not the time: a computer that sleeps, or an event loop that is held, is no failure. */
  #look(): void {
    this.#cancel = undefined;
    const [oldest] = this.#rejects;
    if (!oldest) return;
    this.#looks = oldest === this.#watched ? this.#looks + 1 : 0;
    this.#watched = oldest;
    if (this.#looks >= MAX_COMMIT_LOOKS) this.#fail();
    else this.#cancel = this.#clock.after(LOOK_MS, () => setImmediate(() => this.#look()));
  }

  #fail(): void {
    const seconds = (MAX_COMMIT_LOOKS * LOOK_MS) / 1000;
    this.#failure = new StoreError(
      `the store has not answered for ${seconds} s: nothing is stored until the server is started again`,
    );
    for (const reject of this.#rejects) reject(this.#failure);
    this.#rejects.clear();
  }
}
