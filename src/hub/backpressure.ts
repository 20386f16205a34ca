export interface BackpressureOptions {
  /** How many may pass in one turn of the event loop. */
  readonly mostPerTurn: number;
  /** How many of those that wait may pass when a turn is over. Default: as many. */
  readonly mostWaitingPerTurn?: number;
  /** Whether no more than one may pass in this turn. */
  readonly isBlocked: () => boolean;
  /** Called when a turn is over, before those pass that wait. */
  readonly onTurn?: () => void;
}

/**
 * Backpressure: lets pieces of work through in the order in which they came, a bounded number in each
 * turn of the event loop, and one in a turn while the server is busy with what passed before: none at
 * all would shut everything out where ticks alone keep it busy. Reading from all
 * sockets comes first in a turn and writing to them last, so that without it one turn would collect
 * replies and deliveries without a bound.
 */
export class Backpressure {
  readonly #options: BackpressureOptions;
  /** In their order. */
  #waiting: (() => void)[] = [];
  #passed = 0;
  #isScheduled = false;

  constructor(options: BackpressureOptions) {
    this.#options = options;
  }

  /** To be called, and awaited, before a piece of work; `undefined`: it may be done at once. */
  ready(): Promise<void> | undefined {
    this.#schedule();
    if (this.#waiting.length === 0 && this.#mayPass) {
      this.#passed++;
      return undefined;
    }
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  get #mayPass(): boolean {
    if (this.#passed === 0) return true;
    return this.#passed < this.#options.mostPerTurn && !this.#options.isBlocked();
  }

  #schedule(): void {
    if (this.#isScheduled) return;
    this.#isScheduled = true;
    setImmediate(() => {
      this.#isScheduled = false;
      this.#passed = 0;
      this.#options.onTurn?.();
      void this.#letThrough();
    });
  }

  async #letThrough(): Promise<void> {
    const { mostPerTurn, mostWaitingPerTurn = mostPerTurn } = this.#options;
    let count = 0;
    for (const resolve of this.#waiting) {
      if (!this.#mayPass || count >= mostWaitingPerTurn) break;
      this.#passed++;
      count++;
      resolve();
      // What it does may block the next one.
      await undefined;
    }
    // Under steady load some always wait: those that passed must not pile up before them.
    this.#waiting = this.#waiting.slice(count);
    if (this.#waiting.length > 0) this.#schedule();
  }
}
