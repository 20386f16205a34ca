import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';

/** The unit in which Linux reports processor time, on every architecture that Node runs on. */
const CLOCK_TICK_MS = 10;

/** Memory counts as settled when it has changed by less than this part of itself in two seconds. */
const SETTLED_PART = 0.003;

/** By this time after the last work V8 has collected the garbage and returned it. */
const QUIET_SECONDS = 45;

/** A server under test: Belfry or a baseline, in a process of its own. */
export interface Server {
  readonly port: number;
  readonly cost: Cost;
  /** Sends a string of this size to a room, now. */
  broadcast(room: string, bytes: number): Promise<void>;
}

/** Ticks that a server sends from `start` until `stop`. */
export interface Ticks {
  readonly server: Server;
  start(): Promise<void>;
  stop(): Promise<void>;
}

/** What a process costs, as the operating system reports it. */
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
    return (Number(fields[11]) + Number(fields[12])) * CLOCK_TICK_MS;
  }

  /** How long its main thread has waited for a processor that others used, since its start, in milliseconds. */
  waitedMs(): number {
    const [, waitedNs] = readFileSync(`/proc/${this.#pid}/schedstat`, 'utf8').split(' ');
    return Number(waitedNs) / 1e6;
  }

  residentKiB(): number {
    const status = readFileSync(`/proc/${this.#pid}/status`, 'utf8');
    return Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1]);
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

  /**
   * The least resident memory in the time after work, which is what is really kept. Call it when the
   * server is idle: before, memory holds garbage that V8 collects only when it needs the place.
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
