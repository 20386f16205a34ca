import type { Clock } from '../clock.ts';
import type { ComputedFeed } from '../feed/feed.ts';
import type { RoomData, Tick } from '../hub/event.ts';

/** What is done with what a feed gives. */
export interface Outcome<Answer> {
  /** `at`: when the value was had, milliseconds. Where it throws, that counts as a failure. */
  value(data: RoomData, at: number): Answer;
  failed(error: unknown): void;
}

/**
 * Where a schedule has its values from, whether they are computed or read. `Answer` is what its
 * caller makes of a value for those who join. Nothing throws, no promise rejects.
 */
export interface Source<Answer> {
  /** The run that is under way. */
  readonly running: Promise<void> | undefined;
  /** Whether the feed has not come to the end of what it was asked for, aborted or not. */
  readonly open: boolean;
  /** Whether a run has waited in vain for the end of a read that was aborted. */
  readonly stuck: boolean;
  /**
   * What comes for those who join now, if something is under way: the value that is read for those
   * who joined before, or nothing after a run, whose tick goes out live.
   */
  readonly coming: Promise<Answer | undefined> | undefined;
  /** Has a value for a run. Not while one is under way, nor while the feed is stuck. */
  run(tick: Tick, outcome: Outcome<void>): Promise<void> | undefined;
  /** Has a value for those who ask. Not while something is `open`. */
  ask(tick: Tick, outcome: Outcome<Answer>): Answer | Promise<Answer | undefined> | undefined;
  /** Aborts what is being read; its outcome is dropped. Resolves when the feed has come to its end. */
  cancel(): Promise<void>;
}

/** Values that are there at once. */
export class ComputedSource<Answer> implements Source<Answer> {
  readonly running = undefined;
  readonly open = false;
  readonly stuck = false;
  readonly coming = undefined;
  readonly #clock: Clock;
  readonly #feed: ComputedFeed;

  constructor(clock: Clock, feed: ComputedFeed) {
    this.#clock = clock;
    this.#feed = feed;
  }

  run(tick: Tick, outcome: Outcome<void>): undefined {
    this.#compute(tick, outcome);
  }

  ask(tick: Tick, outcome: Outcome<Answer>): Answer | undefined {
    return this.#compute(tick, outcome);
  }

  async cancel(): Promise<void> {}

  #compute<Made>(tick: Tick, outcome: Outcome<Made>): Made | undefined {
    try {
      const at = this.#clock.now();
      return outcome.value(this.#feed.compute(tick, at), at);
    } catch (error) {
      outcome.failed(error);
      return undefined;
    }
  }
}
