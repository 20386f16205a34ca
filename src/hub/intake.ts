/**
 * So many lines of clients are acted on in one turn of the event loop. Their replies and what they
 * publish are written at its end, and a turn that reads from all sockets first would collect both
 * without a bound.
 */
const MAX_LINES_A_TURN = 64;

/**
 * Backpressure from delivery to reading: lets clients' lines through in the order in which they came,
 * a bounded number in each turn of the event loop, and none while what is due has not been written.
 */
export class Intake {
  readonly #isBacklogged: () => boolean;
  /** In their order; those before `#next` have been let through. */
  #waiting: (() => void)[] = [];
  #next = 0;
  #passed = 0;
  #isScheduled = false;

  /** `isBacklogged`: whether more is due than was written in one go. */
  constructor(isBacklogged: () => boolean) {
    this.#isBacklogged = isBacklogged;
  }

  /** To be called, and awaited, before a line is acted on; `undefined`: it may be at once. */
  ready(): Promise<void> | undefined {
    this.#schedule();
    if (this.#waiting.length === 0 && this.#mayPass) {
      this.#passed++;
      return undefined;
    }
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  get #mayPass(): boolean {
    return this.#passed < MAX_LINES_A_TURN && !this.#isBacklogged();
  }

  #schedule(): void {
    if (this.#isScheduled) return;
    this.#isScheduled = true;
    setImmediate(() => {
      this.#isScheduled = false;
      this.#passed = 0;
      while (this.#next < this.#waiting.length && this.#mayPass) {
        this.#passed++;
        this.#waiting[this.#next++]?.();
      }
      // Under steady load somebody always waits: what was let through must not pile up before them.
      this.#waiting = this.#waiting.slice(this.#next);
      this.#next = 0;
      if (this.#waiting.length > 0) this.#schedule();
    });
  }
}
