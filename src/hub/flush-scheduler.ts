import { Batch, type Frame } from './frame.ts';

/** The outboxes that became ready by one delivery. */
interface Round {
  /** Later rounds have higher numbers. */
  readonly number: number;
  readonly outboxes: Flushable[];
}

/** Something that has bytes to write at the end of the turn. */
export interface Flushable {
  /** Returns how many bytes were written. */
  flush(): number;
}

/** So many bytes go at once to sockets that have room again, in one turn and where nothing else is due. */
const MAX_REFILL_BYTES = 1024 * 1024;

/**
 * How much is flushed between two looks at the clock: 64 small writes take about half a millisecond,
 * and so do that many bytes.
 */
const FLUSHES_A_LOOK = 64;
const BYTES_A_LOOK = 512 * 1024;

export interface FlushSchedulerOptions {
  /** Milliseconds on a clock that never steps. */
  readonly monotonic: () => number;
  /** How long writing may hold the event loop in one go. */
  readonly sliceMs: () => number;
  /** Called when everything of a turn has been written. */
  readonly onFlushed: () => void;
}

/**
 * Gathers what becomes due in one turn of the event loop: an outbox with something to write says so
 * once and is flushed when the turn is over, in one write for each socket. What goes to many is
 * written in slices; in between, what goes to few comes first, so that a small room does not wait for
 * a large one. The round that has waited longest gets a share of each slice, so that many small ones
 * cannot keep it waiting for ever.
 */
export class FlushScheduler {
  readonly #options: FlushSchedulerOptions;
  /** One for each delivery, oldest first, until all of it is written; the last one is still being filled. */
  #rounds: Round[] = [];
  #roundNumber = 0;
  /** The batches that begin with a frame, for outboxes that get the same frames in this turn. */
  readonly #batches = new Map<Frame, Batch>();
  #lastBatch: Batch | undefined;
  #isScheduled = false;
  #isBacklogged = false;
  /** Sockets that have room again, for what waited of them: they come after all rounds. */
  #refills: Flushable[] = [];
  #refilledBytes = 0;
  #onWritten: { readonly upTo: number; readonly resolve: () => void }[] = [];

  constructor(options: FlushSchedulerOptions) {
    this.#options = options;
  }

  /** Whether a slice was not enough for what was due: until it is written, nothing more should be accepted. */
  get isBacklogged(): boolean {
    return this.#isBacklogged;
  }

  /** Whether anything is due. */
  get isDue(): boolean {
    return this.#rounds.some(({ outboxes }) => outboxes.length > 0);
  }

  /** Resolves when what is due now has been handed to the sockets, whatever becomes due meanwhile. */
  written(): Promise<void> {
    const upTo = this.#rounds.findLast(({ outboxes }) => outboxes.length > 0)?.number;
    if (upTo === undefined) return Promise.resolve();
    this.newRound();
    return new Promise((resolve) => this.#onWritten.push({ upTo, resolve }));
  }

  /** The batch of this frame alone, the same for all outboxes that begin with it in this turn. */
  batchOf(frame: Frame): Batch {
    // Nearly always that of the member of the room before this one.
    if (frame === this.#lastBatch?.first) return this.#lastBatch;
    let batch = this.#batches.get(frame);
    if (!batch) {
      batch = new Batch(frame);
      this.#batches.set(frame, batch);
    }
    this.#lastBatch = batch;
    return batch;
  }

  /**
   * To be called by an outbox whose socket has room again for at most so many bytes, which are written
   * at once or later in `flush`. A peer that reads fast would otherwise keep the event loop to itself, and
   * thousands of them would make what is due late.
   */
  refill(outbox: Flushable, mostBytes: number): void {
    const isNothingDue = this.#rounds.length === 0 && this.#refills.length === 0;
    if (isNothingDue && this.#refilledBytes < MAX_REFILL_BYTES) {
      this.#refilledBytes += mostBytes;
      outbox.flush();
    } else {
      this.#refills.push(outbox);
    }
    this.#schedule();
  }

  /** From here on those who become ready are flushed apart from those before. */
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
      // Kept longer, they would keep the bytes of frames that are replayed again and again.
      this.#batches.clear();
      this.#lastBatch = undefined;
      this.#flushSlice();
      this.#isBacklogged = this.#rounds.length > 0;
      if (this.#isBacklogged || this.#refills.length > 0) this.#schedule();
      if (!this.#isBacklogged) this.#options.onFlushed();
      this.#tellWritten();
    });
  }

  #tellWritten(): void {
    const oldest = this.#rounds[0]?.number ?? Number.POSITIVE_INFINITY;
    const waiting = this.#onWritten;
    this.#onWritten = waiting.filter(({ upTo }) => upTo >= oldest);
    for (const { upTo, resolve } of waiting) if (upTo < oldest) resolve();
  }

  #flushSlice(): void {
    const { monotonic, sliceMs } = this.#options;
    const endsAt = monotonic() + sliceMs();
    const rounds = this.#rounds.filter(({ outboxes }) => outboxes.length > 0);
    const [oldest] = rounds;
    const smallestLast = rounds.toSorted((a, b) => b.outboxes.length - a.outboxes.length);
    // What becomes ready from here on, by a write that calls back or between two slices, is a round of
    // its own.
    this.#rounds = [];
    let isOldestServed = false;
    for (let round = smallestLast.at(-1); round; round = smallestLast.at(-1)) {
      flushSome(round.outboxes);
      isOldestServed ||= round === oldest;
      if (round.outboxes.length === 0) smallestLast.pop();
      if (monotonic() >= endsAt) break;
    }
    if (oldest && !isOldestServed) flushSome(oldest.outboxes);
    this.#refill(endsAt);
    const left = [...rounds, ...this.#rounds].filter(({ outboxes }) => outboxes.length > 0);
    this.#rounds = left.length > 0 ? [...left, this.#round()] : left;
  }

  /** Refills sockets in their order for as long as the slice lasts; a few of them in any case. */
  #refill(endsAt: number): void {
    const refills = this.#refills;
    this.#refills = [];
    let done = 0;
    let bytes = 0;
    while (done < refills.length) {
      bytes += refills[done++]?.flush() ?? 0;
      if (bytes < BYTES_A_LOOK && done % FLUSHES_A_LOOK !== 0) continue;
      bytes = 0;
      if (this.#options.monotonic() >= endsAt) break;
    }
    this.#refills = [...refills.slice(done), ...this.#refills];
  }
}

/** From the end: within a round it makes no difference which is first. */
function flushSome(round: Flushable[]): void {
  let bytes = 0;
  for (let left = Math.min(FLUSHES_A_LOOK, round.length); left > 0 && bytes < BYTES_A_LOOK; left--) {
    bytes += round.pop()?.flush() ?? 0;
  }
}
