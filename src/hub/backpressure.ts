import { setImmediate as nextIteration } from 'node:timers/promises';
import type { Clock } from '../clock.ts';

export interface BackpressureOptions {
  /** How many pieces of work may pass in one iteration of the event loop. */
  readonly maxPerIteration: number;
  /** How many pieces that wait may pass at the end of an iteration. Default: `maxPerIteration`. */
  readonly maxWaitingPerIteration?: number;
  /** Whether the server is busy: no more than one piece of work may pass in this iteration. */
  readonly isBlocked: () => boolean;
  /** Called at the end of an iteration, before the pieces of work that wait pass. */
  readonly onIteration?: () => void;
}

/**
 * Lets pieces of work pass in the order in which they came, a bounded number in each iteration of the event
 * loop. While the server is busy only one passes; with none, a server that ticks alone keep busy would serve
 * no client. The bound is needed because an iteration reads from all sockets first and writes to them last:
 * it would otherwise collect replies and deliveries without end.
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

  /** To be called, and awaited, before a piece of work; `undefined`: the work may be done at once. */
  ready(): Promise<void> | undefined {
    this.#schedule();
    if (this.#waiting.length === 0 && this.#mayPass) {
      this.#passed++;
      return undefined;
    }
    return this.later();
  }

  /**
   * To be awaited in the midst of a piece of work that has taken its share of this iteration: resolves in a
   * later one, behind the work that waits already.
   */
  later(): Promise<void> {
    this.#schedule();
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  get #mayPass(): boolean {
    if (this.#passed === 0) return true;
    return this.#passed < this.#options.maxPerIteration && !this.#options.isBlocked();
  }

  #schedule(): void {
    if (this.#isScheduled) return;
    this.#isScheduled = true;
    setImmediate(() => {
      this.#isScheduled = false;
      this.#passed = 0;
      this.#options.onIteration?.();
      void this.#letThrough();
    });
  }

  async #letThrough(): Promise<void> {
    const { maxPerIteration, maxWaitingPerIteration = maxPerIteration } = this.#options;
    let count = 0;
    for (const resolve of this.#waiting) {
      if (!this.#mayPass || count >= maxWaitingPerIteration) break;
      this.#passed++;
      count++;
      resolve();
      // The work that waited runs now, and may make `isBlocked` true for the next piece.
      await undefined;
    }
    this.#waiting = this.#waiting.slice(count);
    if (this.#waiting.length > 0) this.#schedule();
  }
}

/** How many steps are taken between two looks at the clock. */
const STEPS_PER_LOOK = 32;

/** A piece of work in steps, none of which takes longer than some milliseconds; most take microseconds. */
export type Steps<Result> = Generator<undefined, Result>;

/** How long a piece of work may hold the event loop. */
export interface Slice {
  readonly clock: Pick<Clock, 'monotonic'>;
  readonly sliceMs: number;
}

/**
 * Does something to each of many items without holding the event loop for longer than `sliceMs`.
 * Resolves when all is done; rejects with what `step` throws. Small work is done at once, before this
 * returns.
 */
export async function inSlices<Item>(
  items: Iterable<Item>,
  step: (item: Item) => void,
  { clock, sliceMs }: Slice,
): Promise<void> {
  let endsAtMs = clock.monotonic() + sliceMs;
  let steps = 0;
  for (const item of items) {
    step(item);
    if (++steps % STEPS_PER_LOOK !== 0 || clock.monotonic() < endsAtMs) continue;
    await nextIteration();
    endsAtMs = clock.monotonic() + sliceMs;
  }
}
