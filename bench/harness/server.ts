import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';

/** The unit in which Linux reports processor time, on every architecture that Node runs on. */
const CLOCK_TICK_MS = 10;

/** Memory counts as settled when it has changed by less than this part of itself in two seconds. */
const SETTLED_PART = 0.003;

/** Ticks go to the rooms whose names begin with this. */
export const TICKED = 'room';

/** A server under test: Belfry or a baseline, in a process of its own. */
export interface Server {
  readonly port: number;
  readonly cost: Cost;
  startTicks(): Promise<void>;
  stopTicks(): Promise<void>;
  /** Sends a string of this size to a room, now. */
  broadcast(room: string, bytes: number): Promise<void>;
}

/** What a process costs, as the operating system reports it. */
export class Cost {
  readonly #pid: number;

  constructor(pid: number) {
    this.#pid = pid;
  }

  #read(file: string): string {
    return readFileSync(`/proc/${this.#pid}/${file}`, 'utf8');
  }

  /** Processor time since its start, all threads, user and system, in milliseconds. */
  cpuMs(): number {
    // proc(5): the name may hold spaces and is in parentheses; utime and stime are fields 14 and 15.
    const fields = this.#read('stat').replace(/.*\) /s, '').split(' ');
    return (Number(fields[11]) + Number(fields[12])) * CLOCK_TICK_MS;
  }

  /** How long its main thread has waited for a processor that others used, since its start, in milliseconds. */
  waitedMs(): number {
    return Number(this.#read('schedstat').split(' ')[1]) / 1e6;
  }

  /** Processor time of its main thread since its start, in milliseconds; up to 4 ms behind. */
  mainThreadMs(): number {
    return Number(this.#read('schedstat').split(' ')[0]) / 1e6;
  }

  residentKiB(): number {
    return Number(/^VmRSS:\s+(\d+) kB$/m.exec(this.#read('status'))?.[1]);
  }

  /** Resident memory once it changes no more, or after ten seconds. */
  async settledKiB(): Promise<number> {
    let before = this.residentKiB();
    for (let look = 0; look < 5; look++) {
      await sleep(2000);
      const after = this.residentKiB();
      if (Math.abs(after - before) < before * SETTLED_PART) return after;
      before = after;
    }
    return before;
  }
}
