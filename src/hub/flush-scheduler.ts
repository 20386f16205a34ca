import type { Clock } from '../clock.ts';
import { Batch, type Frame } from './frame.ts';
import type { CurrentSettings } from './settings.ts';

/** Something that has bytes to write at the end of an iteration. */
export interface Flushable {
  /** Returns how many bytes were written. */
  flush(): number;
}

/** The outboxes that one delivery made ready. */
interface Round {
  /** Later rounds have higher numbers. */
  readonly number: number;
  readonly outboxes: Flushable[];
}

/**
 * In one iteration, and while nothing else is due, so many bytes are written at once to sockets that
 * drained.
 */
const MAX_REFILL_BYTES = 1024 * 1024;

/**
 * How much is flushed between two looks at the clock: 64 small writes take about half a millisecond,
 * and so do that many bytes.
 */
const FLUSHES_PER_LOOK = 64;
const BYTES_PER_LOOK = 512 * 1024;

export interface FlushSchedulerOptions {
  readonly clock: Pick<Clock, 'monotonic'>;
  readonly settings: CurrentSettings;
  /** Called when everything that was due has been written. */
  readonly onFlushed: () => void;
}

/**
 * Flushes outboxes at the end of the event-loop iteration in which they became ready, so that each
 * socket gets one write. What goes to many is written in slices of `fanoutSliceMs`. The smallest round
 * goes first, so that a small room does not wait for a large one; the oldest gets a share of each slice,
 * so that many small ones cannot keep it waiting for ever.
 */
export class FlushScheduler {
  readonly #options: FlushSchedulerOptions;
  /** Oldest first; a round stays until all of it is written, and the last round is still being filled. */
  #rounds: Round[] = [];
  #roundNumber = 0;
  /** By its first frame, the batch of outboxes that get the same frames in this iteration. */
  readonly #batches = new Map<Frame, Batch>();
  #lastBatch: Batch | undefined;
  #isScheduled = false;
  #isBacklogged = false;
  /** Outboxes whose sockets have drained: they come after all rounds. */
  #refills: Flushable[] = [];
  #refilledBytes = 0;
  #onWritten: { readonly upTo: number; readonly resolve: () => void }[] = [];

  constructor(options: FlushSchedulerOptions) {
    this.#options = options;
  }

  /**
   * Whether a slice was not enough for what was due: until the rest is written, nothing more should be
   * accepted.
   */
  get isBacklogged(): boolean {
    return this.#isBacklogged;
  }

  /** Whether anything is due. */
  get isDue(): boolean {
    return this.#rounds.some(hasOutboxes);
  }

  /** Resolves when what is due now has been handed to the sockets, whatever becomes due meanwhile. */
  written(): Promise<void> {
    const upTo = this.#rounds.findLast(hasOutboxes)?.number;
    if (upTo === undefined) return Promise.resolve();
    this.newRound();
    return new Promise((resolve) => this.#onWritten.push({ upTo, resolve }));
  }

  /** The batch of this frame alone, the same for all outboxes that begin with it in this iteration. */
  batchOf(frame: Frame): Batch {
    // Nearly always the batch of the room's member before this one.
    if (frame === this.#lastBatch?.last) return this.#lastBatch;
    let batch = this.#batches.get(frame);
    if (!batch) {
      batch = new Batch(frame);
      this.#batches.set(frame, batch);
    }
    this.#lastBatch = batch;
    return batch;
  }

  /** Outboxes that become ready from here on are flushed apart from the outboxes before. */
  newRound(): void {
    if (this.#rounds.at(-1)?.outboxes.length) this.#rounds.push(this.#round());
  }

  /** To be called once by an outbox until it is flushed. */
  flushLater(outbox: Flushable): void {
    let round = this.#rounds.at(-1);
    if (!round) {
      round = this.#round();
      this.#rounds.push(round);
    }
    round.outboxes.push(outbox);
    if (!this.#isScheduled) this.#schedule();
  }

  /**
   * To be called by an outbox whose socket has drained: its `flush`, which writes at most `maxBytes`, is
   * called at once or later. A peer that reads fast would otherwise hold the event loop, and thousands of
   * them would make what is due late.
   */
  refill(outbox: Flushable, maxBytes: number): void {
    const isNothingDue = this.#rounds.length === 0 && this.#refills.length === 0;
    if (isNothingDue && this.#refilledBytes < MAX_REFILL_BYTES) {
      this.#refilledBytes += maxBytes;
      outbox.flush();
    } else {
      this.#refills.push(outbox);
    }
    this.#schedule();
  }

  #round(): Round {
    return { number: ++this.#roundNumber, outboxes: [] };
  }

  #schedule(): void {
    if (this.#isScheduled) return;
    this.#isScheduled = true;
    setImmediate(() => {
      this.#isScheduled = false;
      this.#refilledBytes = 0;
      // Kept longer, the batches would fill with joined copies of the frames that are replayed to each client.
      this.#batches.clear();
      this.#lastBatch = undefined;
      this.#flushSlice();
      this.#isBacklogged = this.#rounds.length > 0;
      if (this.#isBacklogged || this.#refills.length > 0) this.#schedule();
      if (!this.#isBacklogged) this.#options.onFlushed();
      this.#resolveWritten();
    });
  }

  #flushSlice(): void {
    const { clock, settings } = this.#options;
    const endsAtMs = clock.monotonic() + settings.current.limits.fanoutSliceMs;
    const rounds = this.#rounds.filter(hasOutboxes);
    const [oldest] = rounds;
    const smallestLast = rounds.toSorted((a, b) => b.outboxes.length - a.outboxes.length);
    // Outboxes that become ready during a write, or between two slices, are a new round.
    this.#rounds = [];
    let isOldestServed = false;
    for (let round = smallestLast.at(-1); round; round = smallestLast.at(-1)) {
      flushSome(round.outboxes);
      isOldestServed ||= round === oldest;
      if (round.outboxes.length === 0) smallestLast.pop();
      if (clock.monotonic() >= endsAtMs) break;
    }
    if (oldest && !isOldestServed) flushSome(oldest.outboxes);
    this.#refill(endsAtMs);
    const left = [...rounds, ...this.#rounds].filter(hasOutboxes);
    this.#rounds = left.length > 0 ? [...left, this.#round()] : left;
  }

  /** Refills sockets in the order in which they drained, while the slice lasts; some of them in any case. */
  #refill(endsAtMs: number): void {
    const refills = this.#refills;
    this.#refills = [];
    let done = 0;
    let bytes = 0;
    while (done < refills.length) {
      bytes += refills[done++]?.flush() ?? 0;
      if (bytes < BYTES_PER_LOOK && done % FLUSHES_PER_LOOK !== 0) continue;
      bytes = 0;
      if (this.#options.clock.monotonic() >= endsAtMs) break;
    }
    this.#refills = [...refills.slice(done), ...this.#refills];
  }

  #resolveWritten(): void {
    const oldest = this.#rounds[0]?.number ?? Number.POSITIVE_INFINITY;
    const waiting = this.#onWritten;
    this.#onWritten = waiting.filter(({ upTo }) => upTo >= oldest);
    for (const { upTo, resolve } of waiting) if (upTo < oldest) resolve();
  }
}

const hasOutboxes = ({ outboxes }: Round): boolean => outboxes.length > 0;

/**
 * From the end: within a round the order makes no difference, and the last outboxes are still in the
 * processor's cache.
 */
function flushSome(outboxes: Flushable[]): void {
  let bytes = 0;
  for (let left = Math.min(FLUSHES_PER_LOOK, outboxes.length); left > 0 && bytes < BYTES_PER_LOOK; left--) {
    bytes += outboxes.pop()?.flush() ?? 0;
  }
}
