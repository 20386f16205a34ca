import { appendFileSync, readFileSync } from 'node:fs';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { afterAll, expect } from 'vitest';
import { casesOf, type Kind } from './cases.ts';

/** No single input of a client may hold the event loop longer. */
const MAX_HOLD_MS = 20;
/**
 * A case that took longer than all before is tried again so often, and the shortest time counts: garbage
 * collection, the compiler and other programs hold one case or another, but not the same again.
 */
const TIMES_AGAIN = 3;
/** What a kind may leave on the heap: compiled code and caches, whatever the number of cases. */
const MAX_GROWTH_MIB = 32;

/** What `npm run fuzz` adds up, one line of JSON for each kind. */
export interface Report {
  readonly kind: Kind;
  readonly cases: number;
  readonly longestMs?: number;
  readonly growthMiB?: number;
}

/** Hands a report to `npm run fuzz`. */
export function report(line: Report): void {
  const file = process.env.FUZZ_REPORT;
  if (file) appendFileSync(file, `${JSON.stringify(line)}\n`);
}

/** Tries the cases of one kind in this process: how long each holds the event loop, and what all of them leave. */
export class Watch {
  readonly #kind: Kind;
  readonly #maxHoldMs: number;
  #cases = 0;
  #longestMs = 0;
  /** Measured after a tenth of the cases: the generators of inputs keep tables of their own. */
  #heapBefore = 0;

  constructor(kind: Kind, maxHoldMs = MAX_HOLD_MS) {
    this.#kind = kind;
    this.#maxHoldMs = maxHoldMs;
    afterAll(() => this.#finish());
  }

  /** Tries one case, which may be tried again. Rejects as it does, and where it takes too long each time. */
  async hold(act: () => unknown): Promise<void> {
    if (++this.#cases === Math.ceil(casesOf(this.#kind) / 10)) this.#heapBefore = heapMiB();
    let ms = await timed(act, performance.now.bind(performance));
    for (let again = 0; ms > this.#longestMs && again < TIMES_AGAIN; again++) {
      ms = Math.min(ms, await timed(act, performance.now.bind(performance)));
    }
    if (ms > this.#maxHoldMs) ms = Math.min(ms, await timed(act, threadMs));
    this.#longestMs = Math.max(this.#longestMs, ms);
    expect(ms, 'milliseconds in which nothing else was done').toBeLessThanOrEqual(this.#maxHoldMs);
  }

  #finish(): void {
    const growthMiB = heapMiB() - this.#heapBefore;
    report({ kind: this.#kind, cases: this.#cases, longestMs: this.#longestMs, growthMiB });
    if (this.#cases >= casesOf(this.#kind)) expect(growthMiB).toBeLessThan(MAX_GROWTH_MIB);
  }
}

async function timed(act: () => unknown, nowMs: () => number): Promise<number> {
  const startedAt = nowMs();
  const done = act();
  if (done instanceof Promise) await done;
  return nowMs() - startedAt;
}

/**
 * Processor time of the main thread, in steps of a few milliseconds, where the operating system tells it;
 * otherwise the time that has passed. For a machine that is busy with other programs.
 */
function threadMs(): number {
  if (process.platform !== 'linux') return performance.now();
  return Number(readFileSync('/proc/self/schedstat', 'latin1').split(' ')[0]) / 1e6;
}

function heapMiB(): number {
  setFlagsFromString('--expose-gc');
  runInNewContext('gc')();
  return process.memoryUsage().heapUsed / 1024 / 1024;
}
