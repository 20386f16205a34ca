/** `FUZZ_CASES`: how many cases are tried, of all kinds. By default a small dose; `npm run fuzz` 2,000,000. */
const CASES = whole('FUZZ_CASES', 10_000);

/**
 * Which part of all cases is of which kind. Whole conversations and bytes need sockets and a server, and take
 * a hundred times as long as a call of a parser.
 */
const SHARES = {
  conversations: 0.05,
  bytes: 0.1,
  lines: 0.25,
  addresses: 0.18,
  handshakes: 0.15,
  'config texts': 0.1,
  tokens: 0.1,
  configs: 0.03,
  'admin bodies': 0.04,
} as const;

/** The name of a kind is what the report of `npm run fuzz` calls it. */
export type Kind = keyof typeof SHARES;

export function casesOf(kind: Kind): number {
  return Math.ceil(CASES * SHARES[kind]);
}

/** `FUZZ_SEED`: the same seed tries the same cases. */
export const SEED = whole('FUZZ_SEED', 1);

/** Far more than the cases take. */
export const TIMEOUT_MS = 60_000 + CASES * 2;

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
