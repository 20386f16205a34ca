/** Something that has bytes to write at the end of the turn. */
export interface Flushable {
  flush(): void;
}

/** How many are flushed between two looks at the clock: 64 writes take about half a millisecond. */
const FLUSHES_A_LOOK = 64;

export interface TurnOptions {
  /** Milliseconds on a clock that never steps. */
  readonly monotonic: () => number;
  /** How long writing may hold the event loop in one go. */
  readonly sliceMs: () => number;
  /** Called when everything of a turn has been written. */
  readonly onFlushed: () => void;
}

/**
 * Gathers what becomes due in one turn of the event loop: whoever has something to write says so
 * once and is flushed when the turn is over, in one write for each socket. What goes to many is
 * written in slices; in between, what goes to few comes first, so that nobody waits for a large room.
 */
export class Turn {
  readonly #options: TurnOptions;
  /** One for each delivery, until all of it is written; the last one is still being filled. */
  #rounds: Flushable[][] = [];
  #isScheduled = false;

  constructor(options: TurnOptions) {
    this.#options = options;
  }

  /** From here on those who become ready are flushed apart from those before. */
  newRound(): void {
    if (this.#rounds.at(-1)?.length) this.#rounds.push([]);
  }

  /** To be called once by an outbox until it is flushed. */
  flushLater(outbox: Flushable): void {
    const round = this.#rounds.at(-1);
    if (round) round.push(outbox);
    else this.#rounds.push([outbox]);
    this.#schedule();
  }

  #schedule(): void {
    if (this.#isScheduled) return;
    this.#isScheduled = true;
    setImmediate(() => {
      this.#isScheduled = false;
      this.#flushSlice();
      if (this.#rounds.length > 0) this.#schedule();
      else this.#options.onFlushed();
    });
  }

  #flushSlice(): void {
    const { monotonic, sliceMs } = this.#options;
    const endsAt = monotonic() + sliceMs();
    const rounds = this.#rounds.filter(({ length }) => length > 0).sort((a, b) => b.length - a.length);
    // What becomes ready from here on, by a write that calls back or between two slices, is a round of
    // its own.
    this.#rounds = [];
    for (let round = rounds.at(-1); round; round = rounds.at(-1)) {
      // From the end: within a round it makes no difference who is first.
      for (let left = Math.min(FLUSHES_A_LOOK, round.length); left > 0; left--) round.pop()?.flush();
      if (round.length === 0) rounds.pop();
      if (monotonic() >= endsAt) break;
    }
    const left = [...rounds, ...this.#rounds];
    this.#rounds = left.length > 0 ? [...left, []] : left;
  }
}
