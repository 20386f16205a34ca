import type { UnreadAnswer, UnreadAnswers } from './pipeline.ts';

/** Read at each answer; `Infinity` is no limit. */
export interface UnreadLimits {
  readonly totalBufferedBytes: number;
}

/** Cut down to this part of the limit, so that the next answer does not make for another search. */
const CUT_TO = 0.75;

/** Bounds what answers that are not read hold in all: above the limit the largest are cut. */
export class BoundedAnswers implements UnreadAnswers {
  readonly #limits: UnreadLimits;
  readonly #answers = new Map<UnreadAnswer, number>();
  /** At least what they hold: their bytes as they were when they were last counted. */
  #bytes = 0;

  constructor(limits: UnreadLimits) {
    this.#limits = limits;
  }

  /** How many there are. */
  get size(): number {
    return this.#answers.size;
  }

  add(answer: UnreadAnswer): void {
    if (this.#answers.has(answer)) return;
    this.#count(answer);
    if (this.#bytes > this.#limits.totalBufferedBytes) this.#relieve();
  }

  remove(answer: UnreadAnswer): void {
    this.#bytes -= this.#answers.get(answer) ?? 0;
    this.#answers.delete(answer);
  }

  #count(answer: UnreadAnswer): void {
    const { unsentBytes } = answer;
    this.#answers.set(answer, unsentBytes);
    this.#bytes += unsentBytes;
  }

  #relieve(): void {
    this.#bytes = 0;
    for (const answer of this.#answers.keys()) this.#count(answer);
    const { totalBufferedBytes } = this.#limits;
    if (this.#bytes <= totalBufferedBytes) return;
    // Sorting is stable: of equal ones the oldest go first.
    const largestFirst = [...this.#answers].sort(([, a], [, b]) => b - a);
    for (const [answer] of largestFirst) {
      if (this.#bytes <= totalBufferedBytes * CUT_TO) break;
      this.remove(answer);
      answer.cut();
    }
  }
}
