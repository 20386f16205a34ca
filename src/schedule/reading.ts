import type { Clock } from '../clock.ts';
import type { JsonText } from '../hub/event.ts';

/** One read of a feed, with a time limit that holds even where the feed does not heed its signal. */
export class Reading {
  /** Rejects when the feed does, and at once when the time is up or the reading is cancelled. */
  readonly value: Promise<JsonText>;
  /** Resolves when the feed has come to its end, which may be after `value`. */
  readonly ended: Promise<void>;
  readonly #abort = new AbortController();
  #open = true;
  #cancelled = false;

  constructor(clock: Clock, timeoutMs: number, read: (signal: AbortSignal) => Promise<JsonText>) {
    const { signal } = this.#abort;
    const stopTimer = clock.after(timeoutMs, () => {
      this.#abort.abort(new Error(`no answer within ${timeoutMs / 1000} s`));
    });
    const aborted = new Promise<never>((_, reject) => {
      signal.addEventListener('abort', () => reject(signal.reason), { once: true });
    });
    // In an async function of its own, so that a feed that throws at once rejects like any other.
    const feed = (async () => await read(signal))().finally(() => {
      this.#open = false;
      stopTimer();
    });
    signal.addEventListener('abort', stopTimer, { once: true });
    this.ended = feed.then(ignore, ignore);
    this.value = Promise.race([feed, aborted]);
    // Whoever waits for the value hears of a rejection; nobody has to wait.
    this.value.catch(ignore);
  }

  /** Whether the feed has not come to its end. */
  get open(): boolean {
    return this.#open;
  }

  get cancelled(): boolean {
    return this.#cancelled;
  }

  /** The value is no longer wanted. */
  cancel(): void {
    this.#cancelled = true;
    this.#abort.abort(new Error('the reading was cancelled'));
  }
}

function ignore(): void {}
