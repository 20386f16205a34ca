import type { Clock } from '../clock.ts';
import { FeedError, type ReadFeed } from '../feed/feed.ts';
import type { JsonText, Tick } from '../hub/event.ts';
import type { Outcome, Source } from './source.ts';

/**
 * Reads one feed for its schedule, one read open at a time. A run goes first: what is being read for
 * those who joined is aborted and gives way to it.
 */
export class Reader<Answer> implements Source<Answer> {
  readonly #clock: Clock;
  readonly #feed: ReadFeed;
  readonly #timeoutMs: number;
  #reading: Reading | undefined;
  #running: Promise<void> | undefined;
  #asked: Promise<Answer | undefined> | undefined;
  /** Whether a run waits for the end of a read that was aborted. */
  #waiting = false;

  constructor(clock: Clock, feed: ReadFeed, timeoutMs: number) {
    this.#clock = clock;
    this.#feed = feed;
    this.#timeoutMs = timeoutMs;
  }

  get running(): Promise<void> | undefined {
    return this.#running;
  }

  get open(): boolean {
    return this.#reading?.open ?? false;
  }

  get stuck(): boolean {
    return this.#waiting && !this.#running;
  }

  get coming(): Promise<Answer | undefined> | undefined {
    return this.#asked ?? this.#running?.then(() => undefined);
  }

  run(tick: Tick, outcome: Outcome<void>): Promise<void> {
    // Not the reading itself: each would keep the one before it, and so all there ever were.
    const cleared = this.open ? this.cancel() : undefined;
    const reading = this.#read(async (signal) => {
      if (cleared) {
        this.#waiting = true;
        await cleared;
        this.#waiting = false;
        signal.throwIfAborted();
      }
      return this.#feed.read(tick, signal);
    });
    this.#running = this.#settle(reading, outcome).finally(() => {
      this.#running = undefined;
    });
    return this.#running;
  }

  ask(tick: Tick, outcome: Outcome<Answer>): Promise<Answer | undefined> {
    const reading = this.#read((signal) => this.#feed.read(tick, signal));
    // Where a run took the place of this read, whoever asked waits for its end.
    const asked = this.#settle(reading, outcome).then(
      async (answer) => answer ?? this.#running?.then(() => undefined),
    );
    this.#asked = asked.finally(() => {
      this.#asked = undefined;
    });
    return this.#asked;
  }

  async cancel(): Promise<void> {
    this.#reading?.cancel();
    await this.#reading?.ended;
  }

  #read(read: (signal: AbortSignal) => Promise<JsonText>): Reading {
    this.#reading = new Reading(this.#clock, this.#timeoutMs, read);
    return this.#reading;
  }

  /** Resolves to undefined where there is no answer: after a failure, and after `cancel`. */
  async #settle<Made>(reading: Reading, outcome: Outcome<Made>): Promise<Made | undefined> {
    try {
      const text = await reading.value;
      if (!reading.cancelled) return outcome.value(text, this.#clock.now());
    } catch (error) {
      if (!reading.cancelled) outcome.failed(error);
    }
    return undefined;
  }
}

/** One read of a feed, with a time limit that holds even where the feed does not heed its signal. */
class Reading {
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
      this.#abort.abort(new FeedError('timeout', `no answer within ${timeoutMs / 1000} s`));
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
