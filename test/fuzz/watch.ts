import { performance } from 'node:perf_hooks';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { afterAll, expect } from 'vitest';
import { casesOf, type Kind } from './cases.ts';
import { MAX_HOLD_MS } from './probe.ts';
import { MAX_GROWTH_MIB, report } from './report.ts';

/**
 * A case that took longer than all before is tried again so often, and the shortest time counts: garbage
 * collection and the compiler hold one case or another, but not the same again.
 */
const TIMES_AGAIN = 3;
/** How often is reported how far it got. */
const REPORTS = 20;

interface WatchOptions {
  /** How long one case may hold the event loop. */
  readonly maxHoldMs?: number;
  /** Why it is longer than for others. */
  readonly note?: string;
}

/** Tries the cases of one kind in this process: how long each holds the event loop, and what all of them leave. */
export class Watch {
  readonly #kind: Kind;
  readonly #options: WatchOptions;
  #cases = 0;
  #longestMs = 0;
  /** Measured after a tenth of the cases: the generators of inputs keep tables of their own. */
  #heapBefore = 0;

  constructor(kind: Kind, options: WatchOptions = {}) {
    this.#kind = kind;
    this.#options = options;
    afterAll(() => this.#finish());
  }

  /** Tries one case, which may be tried again. Rejects as it does, and where it takes too long each time. */
  async hold(act: () => unknown): Promise<void> {
    const { maxHoldMs = MAX_HOLD_MS } = this.#options;
    const all = casesOf(this.#kind);
    if (++this.#cases === Math.ceil(all / 10)) this.#heapBefore = heapMiB();
    else if (this.#cases % Math.ceil(all / REPORTS) === 0) this.#report();
    let ms = await heldMs(act);
    for (let again = 0; ms > this.#longestMs && again < TIMES_AGAIN; again++) {
      ms = Math.min(ms, await heldMs(act));
    }
    this.#longestMs = Math.max(this.#longestMs, ms);
    expect(ms, 'milliseconds in which nothing else was done').toBeLessThanOrEqual(maxHoldMs);
  }

  #finish(): void {
    const growthMiB = this.#report();
    if (this.#cases >= casesOf(this.#kind)) expect(growthMiB).toBeLessThan(MAX_GROWTH_MIB);
  }

  #report(): number {
    const { note } = this.#options;
    const growthMiB = this.#heapBefore === 0 ? 0 : heapMiB() - this.#heapBefore;
    const line = { kind: this.#kind, cases: this.#cases, longestMs: this.#longestMs, growthMiB };
    report(note === undefined ? line : { ...line, note });
    return growthMiB;
  }
}

/**
 * For how long the event loop was not idle while this was done, or the processor time of the process where that
 * is shorter. So neither other programs count, nor what is waited for: signatures are verified by other threads.
 */
async function heldMs(act: () => unknown): Promise<number> {
  const activeBefore = performance.eventLoopUtilization().active;
  const cpuBefore = process.cpuUsage();
  const done = act();
  if (done instanceof Promise) await done;
  const { user, system } = process.cpuUsage(cpuBefore);
  return Math.min(performance.eventLoopUtilization().active - activeBefore, (user + system) / 1000);
}

function heapMiB(): number {
  setFlagsFromString('--expose-gc');
  runInNewContext('gc')();
  const { heapUsed, external } = process.memoryUsage();
  return (heapUsed + external) / 1024 / 1024;
}
