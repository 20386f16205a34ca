import type { Clock } from '../clock.ts';
import type { ReadFeed } from '../feed/feed.ts';
import type { JsonText, Tick } from '../hub/event.ts';
import { Reading } from './reading.ts';

/** What is done with what a read brings; a `value` that throws counts as a failure. */
export interface Outcome<Answer> {
  value(text: JsonText): Answer;
  failed(error: unknown): void;
}

/**
 * Reads one feed for its schedule, one read open at a time. A run goes first: what is being read for
 * those who joined is aborted and gives way to it. None of the promises rejects.
 */
export class Reader<Answer> {
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

  /** The run that is under way. */
  get running(): Promise<void> | undefined {
    return this.#running;
  }

  /** Whether the feed has not come to the end of what it was asked for, aborted or not. */
  get open(): boolean {
    return this.#reading?.open ?? false;
  }

  /** Whether a run has waited in vain for the end of a read that was aborted. */
  get stuck(): boolean {
    return this.#waiting && !this.#running;
  }

  /**
   * What comes for those who join now, if something is under way: the value that is read for those
   * who joined before, or nothing after a run, whose tick goes out live.
   */
  get coming(): Promise<Answer | undefined> | undefined {
    return this.#asked ?? this.#running?.then(() => undefined);
  }

  /** Reads for a run. Not while one is under way, nor while the feed is stuck. */
  run(tick: Tick, outcome: Outcome<void>): Promise<void> {
    const before = this.#reading;
    const waits = before?.open === true;
    if (waits) before.cancel();
    const reading = this.#read(async (signal) => {
      if (waits) {
        this.#waiting = true;
        await before.ended;
        this.#waiting = false;
        signal.throwIfAborted();
      }
      return this.#feed.read(tick, signal);
    });
    this.#running = settle(reading, outcome).finally(() => {
      this.#running = undefined;
    });
    return this.#running;
  }

  /** Reads for those who ask. Not while something is `open`. */
  ask(tick: Tick, outcome: Outcome<Answer>): Promise<Answer | undefined> {
    const reading = this.#read((signal) => this.#feed.read(tick, signal));
    // Where a run took the place of this read, whoever asked waits for its end.
    const asked = settle(reading, outcome).then(
      async (answer) => answer ?? this.#running?.then(() => undefined),
    );
    this.#asked = asked.finally(() => {
      this.#asked = undefined;
    });
    return this.#asked;
  }

  /** Aborts what is being read; its outcome is dropped. */
  cancel(): void {
    this.#reading?.cancel();
  }

  #read(read: (signal: AbortSignal) => Promise<JsonText>): Reading {
    this.#reading = new Reading(this.#clock, this.#timeoutMs, read);
    return this.#reading;
  }
}

/** Resolves to undefined where there is no answer: after a failure, and after `cancel`. */
async function settle<Answer>(reading: Reading, outcome: Outcome<Answer>): Promise<Answer | undefined> {
  try {
    const text = await reading.value;
    if (!reading.cancelled) return outcome.value(text);
  } catch (error) {
    if (!reading.cancelled) outcome.failed(error);
  }
  return undefined;
}
