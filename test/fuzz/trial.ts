import { expect } from 'vitest';
import { casesOf, type Kind } from './cases.ts';
import { MAX_HOLD_MS } from './probe.ts';
import { MAX_GROWTH_MIB, report } from './report.ts';
import { type Case, Watched } from './watched.ts';

const AT_ONCE = 25;
/** One case alone is tried so often: garbage is collected in one try or another, not in each. */
const TIMES_ALONE = 4;
/** How often is reported how far it got. */
const REPORTS = 20;

interface TrialOptions {
  readonly kind: Kind;
  readonly first: number;
  readonly end: number;
  readonly caseOf: (number: number) => Case;
  /** Throws; with the number of the case, or the first and last of those that only fail together. */
  readonly fail: (which: number | string, why: string) => never;
}

/**
 * Tries cases on a server in a process of its own, several at once. Where something is wrong they are tried
 * alone, to find the one that does it.
 */
export class Trial {
  readonly #options: TrialOptions;
  #watched: Watched;
  /** Measured after a tenth of the cases, when code is compiled and histories are full. */
  #heapBefore: number | undefined;
  /** The longest hold, where cases that held too long together count with what each does alone. */
  #longestMs = 0;

  private constructor(options: TrialOptions, watched: Watched) {
    this.#options = options;
    this.#watched = watched;
  }

  static async run(options: TrialOptions): Promise<void> {
    await new Trial(options, await Watched.start()).#run();
  }

  async #run(): Promise<void> {
    const { kind, first, end } = this.#options;
    const reportEvery = Math.max(AT_ONCE, Math.ceil((end - first) / REPORTS));
    for (let from = first, reported = first; from < end; from += AT_ONCE) {
      if (from - first >= (end - first) / 10) this.#heapBefore ??= await this.#watched.heapMiB();
      const numbers = Array.from({ length: Math.min(AT_ONCE, end - from) }, (_, index) => from + index);
      await this.#try(numbers);
      if (from - reported < reportEvery) continue;
      reported = from;
      await this.#report(from + numbers.length - first);
    }
    await this.#watched.settle();
    const growthMiB = await this.#report(end - first);
    if (end - first >= casesOf(kind)) expect(growthMiB).toBeLessThan(MAX_GROWTH_MIB);
  }

  async #report(cases: number): Promise<number> {
    const { kind } = this.#options;
    const heapMiB = await this.#watched.heapMiB();
    const growthMiB = heapMiB - (this.#heapBefore ?? heapMiB);
    report({ kind, cases, longestMs: this.#longestMs, growthMiB, togetherMs: this.#watched.longestMs });
    return growthMiB;
  }

  /** Cases that hold the event loop too long together are tried again in halves, down to one alone. */
  async #try(numbers: readonly number[]): Promise<void> {
    const { fault, heldMs } = await this.#hold(numbers);
    if (fault !== undefined) return this.#blame(numbers, fault);
    if (heldMs <= MAX_HOLD_MS) {
      this.#longestMs = Math.max(this.#longestMs, heldMs);
      return;
    }
    const [only] = numbers;
    if (numbers.length === 1 && only !== undefined) return this.#holdAlone(only, heldMs);
    const middle = Math.ceil(numbers.length / 2);
    await this.#try(numbers.slice(0, middle));
    await this.#try(numbers.slice(middle));
  }

  async #holdAlone(number: number, firstMs: number): Promise<void> {
    let shortestMs = firstMs;
    for (let time = 1; time < TIMES_ALONE && shortestMs > MAX_HOLD_MS; time++) {
      shortestMs = Math.min(shortestMs, (await this.#hold([number])).heldMs);
    }
    this.#longestMs = Math.max(this.#longestMs, shortestMs);
    if (shortestMs > MAX_HOLD_MS) this.#options.fail(number, `held the event loop for ${shortestMs} ms`);
  }

  /** Alone, with a new server after each fault, until one is at fault by itself. */
  async #blame(numbers: readonly number[], fault: string): Promise<never> {
    for (const number of numbers) {
      this.#watched = await this.#watched.renewed();
      const alone = await this.#hold([number]);
      if (alone.fault !== undefined) this.#options.fail(number, alone.fault);
    }
    return this.#options.fail(`${numbers[0]}-${numbers.at(-1)}`, `${fault} (none of them does it alone)`);
  }

  #hold(numbers: readonly number[]) {
    return this.#watched.hold(numbers.map(this.#options.caseOf));
  }
}
