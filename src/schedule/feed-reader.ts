import type { Clock } from '../clock.ts';
import { FeedError, type ReadFeed } from '../feed/feed.ts';
import type { JsonText, Tick } from '../hub/event.ts';
import type { CurrentTick } from './tick-chain.ts';

/** Returns the value that was read, or throws the error of the read. */
export type ReadValue = () => JsonText;

/**
 * Reads one feed for its schedule: for runs, and for the current tick that clients ask for. Only one read
 * is open at a time; a run aborts the read for clients that is under way. The callbacks that get the value
 * are called once, unless the read is cancelled, and must not throw; no promise rejects.
 */
export class FeedReader {
  readonly #clock: Clock;
  readonly #feed: ReadFeed;
  readonly #timeoutMs: number;
  #reading: Reading | undefined;
  #running: Promise<void> | undefined;
  #requested: Promise<CurrentTick | undefined> | undefined;
  /** Whether a run waits for the end of a read that was aborted. */
  #isBlocked = false;

  constructor(clock: Clock, feed: ReadFeed, timeoutMs: number) {
    this.#clock = clock;
    this.#feed = feed;
    this.#timeoutMs = timeoutMs;
  }

  /** The run that is under way. */
  get running(): Promise<void> | undefined {
    return this.#running;
  }

  /** Whether the feed has not ended a read, aborted or not. */
  get isOpen(): boolean {
    return this.#reading?.isOpen ?? false;
  }

  /** Whether a run was given up because a read that was aborted has not ended yet. */
  get isStuck(): boolean {
    return this.#isBlocked && !this.#running;
  }

  /**
   * What a client that joins now can wait for: the value that is read for the clients before it, or the end
   * of a run, whose tick is sent live. Undefined: nothing is under way.
   */
  get coming(): Promise<CurrentTick | undefined> | undefined {
    return this.#requested ?? this.#running?.then(() => undefined);
  }

  /** Reads for a run; not to be called while one is under way. Fails at once while the feed is stuck. */
  run(tick: Tick, onValue: (value: ReadValue) => void): Promise<void> {
    if (this.isStuck) {
      onValue(() => {
        throw new FeedError('timeout', 'the read before does not end, although aborted');
      });
      return Promise.resolve();
    }
    // Only the promise of the reading before, not that reading: each would keep the one before it, and so all.
    const cleared = this.isOpen ? this.cancel() : undefined;
    const reading = this.#read(async (signal) => {
      if (cleared) {
        this.#isBlocked = true;
        await cleared;
        this.#isBlocked = false;
        signal.throwIfAborted();
      }
      return this.#feed.read(tick, signal);
    });
    this.#running = settle(reading, onValue).finally(() => {
      this.#running = undefined;
    });
    return this.#running;
  }

  /** Reads for clients that ask for the current tick; not to be called while a read is open. */
  request(
    tick: Tick,
    onValue: (value: ReadValue) => CurrentTick | undefined,
  ): Promise<CurrentTick | undefined> {
    const reading = this.#read((signal) => this.#feed.read(tick, signal));
    // Where a run took the place of this read, the clients wait for the end of the run.
    const requested = settle(reading, onValue).then(
      async (current) => current ?? this.#running?.then(() => undefined),
    );
    this.#requested = requested.finally(() => {
      this.#requested = undefined;
    });
    return this.#requested;
  }

  /** Aborts the read that is under way; its value is dropped. Resolves when the feed has ended the read. */
  async cancel(): Promise<void> {
    this.#reading?.cancel();
    await this.#reading?.ended;
  }

  #read(read: (signal: AbortSignal) => Promise<JsonText>): Reading {
    this.#reading = new Reading(this.#clock, this.#timeoutMs, read);
    return this.#reading;
  }
}

/** Resolves to what `onValue` returns; to undefined after `cancel`. */
async function settle<Result>(
  reading: Reading,
  onValue: (value: ReadValue) => Result,
): Promise<Result | undefined> {
  let value: ReadValue;
  try {
    const text = await reading.value;
    value = () => text;
  } catch (error) {
    value = () => {
      throw error;
    };
  }
  return reading.isCancelled ? undefined : onValue(value);
}

/** One read of a feed, with a time limit that holds even where the feed ignores its signal. */
class Reading {
  /** Rejects when the feed does, and at once when the time is up or the reading is cancelled. */
  readonly value: Promise<JsonText>;
  /** Resolves when the feed has ended the read, which may be after `value`. */
  readonly ended: Promise<void>;
  /** Whether the feed has not ended the read. */
  isOpen = true;
  isCancelled = false;
  readonly #abort = new AbortController();

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
      this.isOpen = false;
      stopTimer();
    });
    signal.addEventListener('abort', stopTimer, { once: true });
    this.ended = feed.then(ignore, ignore);
    this.value = Promise.race([feed, aborted]);
    // Where no code awaits the value, its rejection must not end the process.
    this.value.catch(ignore);
  }

  /** The value is no longer wanted. */
  cancel(): void {
    this.isCancelled = true;
    this.#abort.abort(new Error('the reading was cancelled'));
  }
}

function ignore(): void {}
