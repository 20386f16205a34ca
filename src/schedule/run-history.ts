import { instant } from '../clock.ts';
import type { Count } from './count.ts';
import type { Counters, LatenessEntry, RunEntry, RunOutcome, ScheduleEntry } from './entries.ts';

/** One run; instants in milliseconds since the epoch. */
export interface Run {
  readonly due: number;
  readonly started: number;
  /** How long it took to have the value, on the clock that never steps. */
  readonly tookMs: number;
  /** When the tick left; null where nothing did. */
  readonly sent: number | null;
  readonly manual: boolean;
  readonly rooms: number;
  readonly connections: number;
  readonly bytes: number;
  readonly outcome: RunOutcome;
  readonly error: string | null;
}

/** What became of the instants of one schedule: counted, measured, and the newest runs kept. */
export class Tally {
  readonly #counters = { runs: 0, sent: 0, unchanged: 0, missed: 0, overlapped: 0, failed: 0 };
  #isMissedExact = true;
  readonly #lateness = new Lateness();
  readonly #runs = new RunLog();
  #last: Run | undefined;

  ran(run: Run): void {
    this.#runs.add(run);
    this.#counters.runs++;
    if (run.outcome !== 'unheard') this.#counters[run.outcome]++;
    if (run.outcome !== 'sent') return;
    this.#last = run;
    if (run.sent !== null && !run.manual) this.#lateness.add(run.sent - run.due);
  }

  missed({ count, exact }: Count): void {
    this.#counters.missed += count;
    this.#isMissedExact &&= exact;
  }

  overlapped(): void {
    this.#counters.overlapped++;
  }

  /** Newest first: those older than the run `before`, `limit` at most. */
  runs(before: number, limit: number): RunEntry[] {
    return this.#runs.page(before, limit);
  }

  entry(): { last: ScheduleEntry['last']; counters: Counters; lateness: LatenessEntry | null } {
    const last = this.#last;
    return {
      last: last
        ? {
            due: instant(last.due),
            sent: instant(last.sent ?? last.due),
            rooms: last.rooms,
            connections: last.connections,
          }
        : null,
      counters: { ...this.#counters, ...(this.#isMissedExact ? {} : { missedAtLeast: true }) },
      lateness: this.#lateness.entry(),
    };
  }
}

/** How many runs are kept; a hundred take about 13 KiB. */
const KEPT = 100;

/** The newest runs of one schedule. */
class RunLog {
  readonly #ring: Run[] = [];
  /** How many there have been; the ids are these numbers. */
  #count = 0;

  add(run: Run): void {
    this.#ring[this.#count % KEPT] = run;
    this.#count++;
  }

  page(before: number, limit: number): RunEntry[] {
    const entries: RunEntry[] = [];
    const oldest = Math.max(this.#count - KEPT, 0);
    for (let id = Math.min(before - 1, this.#count - 1); id >= oldest && entries.length < limit; id--) {
      const run = this.#ring[id % KEPT];
      if (run) entries.push(entryOf(id, run));
    }
    return entries;
  }
}

function entryOf(id: number, { tookMs, ...run }: Run): RunEntry {
  return {
    ...run,
    id: String(id),
    due: instant(run.due),
    started: instant(run.started),
    sent: run.sent === null ? null : instant(run.sent),
    lateMs: run.sent === null ? null : run.sent - run.due,
  };
}

/** Over how many of the newest ticks median and percentile are taken. */
const WINDOW = 256;

/** How late the ticks of one schedule left, in 1 KiB. */
class Lateness {
  readonly #newest = new Float32Array(WINDOW);
  #count = 0;
  #maxMs = 0;

  add(lateMs: number): void {
    this.#newest[this.#count % WINDOW] = lateMs;
    this.#count++;
    this.#maxMs = Math.max(this.#maxMs, lateMs);
  }

  /** Null before the first tick. */
  entry(): LatenessEntry | null {
    if (this.#count === 0) return null;
    const sorted = this.#newest.slice(0, this.#count).sort();
    const at = (share: number) => sorted[Math.ceil(share * sorted.length) - 1] ?? 0;
    return {
      lastMs: this.#newest[(this.#count - 1) % WINDOW] ?? 0,
      medianMs: at(0.5),
      p99Ms: at(0.99),
      maxMs: this.#maxMs,
    };
  }
}
