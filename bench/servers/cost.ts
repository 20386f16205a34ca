import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';

/** What Linux counts processor time in for programs, on every architecture that Node runs on. */
const TICK_MS = 10;

/** Memory counts as settled when it has moved less than this part of itself for two seconds. */
const SETTLED = 0.003;

/** So long after the last work, V8 has collected what a process left lying about, and given it back. */
const QUIET_SECONDS = 45;

/** What a process costs, as the operating system sees it. */
export class Cost {
  readonly #pid: number;

  constructor(pid: number) {
    this.#pid = pid;
  }

  /** Processor time since its start, all threads, user and system, in milliseconds. */
  cpuMs(): number {
    // proc(5): the name may hold spaces and is in parentheses; utime and stime are fields 14 and 15.
    const stat = readFileSync(`/proc/${this.#pid}/stat`, 'utf8');
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return (Number(fields[11]) + Number(fields[12])) * TICK_MS;
  }

  /** How long its main thread has waited for a processor that others had, since its start, in milliseconds. */
  waitedMs(): number {
    const [, waitedNs] = readFileSync(`/proc/${this.#pid}/schedstat`, 'utf8').split(' ');
    return Number(waitedNs) / 1e6;
  }

  residentKiB(): number {
    const status = readFileSync(`/proc/${this.#pid}/status`, 'utf8');
    return Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1]);
  }

  /** Resident memory once it moves no more, or after ten seconds. */
  async settledKiB(): Promise<number> {
    let before = this.residentKiB();
    for (let look = 0; look < 5; look++) {
      await sleep(2000);
      const after = this.residentKiB();
      if (Math.abs(after - before) < before * SETTLED) return after;
      before = after;
    }
    return before;
  }

  /**
   * The least resident memory in the time after work: what is really kept. To be asked when nothing goes
   * on; before, it holds garbage that V8 would collect only when it needs the place.
   */
  async quietKiB(): Promise<number> {
    let least = this.residentKiB();
    for (let second = 0; second < QUIET_SECONDS; second++) {
      await sleep(1000);
      least = Math.min(least, this.residentKiB());
    }
    return least;
  }
}
