/**
 * `FUZZ_CASES`: how many conversations are held. By default a small dose for `npm test`; CI holds 5,000,
 * `npm run fuzz` 200,000.
 */
export const CONVERSATIONS = whole('FUZZ_CASES', 500);

/** How many cases the other fuzzers try, all together: they are much faster. */
export const CASES = CONVERSATIONS * 4;

/** `FUZZ_SEED`: the same seed tries the same cases. */
export const SEED = whole('FUZZ_SEED', 1);

/** Far more than the cases take. */
export const TIMEOUT_MS = 60_000 + CASES * 20;

function whole(name: string, byDefault: number): number {
  const text = process.env[name] || String(byDefault);
  if (!/^\d{1,9}$/.test(text)) throw new Error(`${name} is "${text}": set it to a whole number`);
  return Number(text);
}

/** Numbers that look random and are the same for the same seed (mulberry32). */
export class Random {
  #state: number;

  constructor(seed: number) {
    this.#state = seed;
  }

  /** A whole number from 0 up to, not including, `end`. */
  below(end: number): number {
    this.#state = (this.#state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(this.#state ^ (this.#state >>> 15), 1 | this.#state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return Math.floor((((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32) * end);
  }

  of<Item>(items: readonly [Item, ...Item[]]): Item {
    return items[this.below(items.length)] ?? items[0];
  }

  bytes(length: number): Buffer {
    return Buffer.from(Array.from({ length }, () => this.below(256)));
  }
}
