import { createHistogram } from 'node:perf_hooks';
import { instant } from '../clock.ts';
import type { Count } from './count.ts';

/** `unheard`: when the value came, no client was connected any more. */
export type RunOutcome = 'sent' | 'unchanged' | 'unheard' | 'failed';

/** One run; instants in milliseconds since the epoch. */
export interface Run {
  readonly dueMs: number;
  readonly startedMs: number;
  /** How long the feed took for the value, on the monotonic clock. */
  readonly tookMs: number;
  /** When the tick was sent; null where no tick was sent. */
  readonly sentMs: number | null;
  readonly manual: boolean;
  readonly rooms: number;
  readonly connections: number;
  readonly bytes: number;
  readonly outcome: RunOutcome;
  readonly error: string | null;
}

/** A run as the admin API shows it; instants as RFC 3339. */
export interface RunEntry extends Omit<Run, 'dueMs' | 'startedMs' | 'sentMs' | 'tookMs'> {
  /** Grows with each run of a schedule; the cursor of a page. */
  readonly id: string;
  readonly due: string;
  readonly started: string;
  readonly sent: string | null;
  /** From `due` to `sent`; null where nothing was sent. */
  readonly lateMs: number | null;
}

/** What became of the due instants. Those at which no client listened are not counted. */
export interface RunCounts {
  /** Runs, by hand included, by what came of them. */
  readonly runs: Readonly<Record<RunOutcome, number>>;
  /** Instants that passed while nothing could run. */
  readonly missed: number;
  /** Instants left out because the feed was still being read for an earlier one. */
  readonly overlapped: number;
}

/** The counters of one schedule as the admin API shows them. */
export interface Counters {
  readonly runs: number;
  readonly sent: number;
  readonly unchanged: number;
  readonly missed: number;
  /** True: more instants than `missed` were missed, since some were too many to count. Absent otherwise. */
  readonly missedAtLeast?: true;
  readonly overlapped: number;
  readonly failed: number;
}

/** How late the ticks of one schedule left, milliseconds. */
export interface LatenessEntry {
  readonly lastMs: number;
  /** Of the newest 256. */
  readonly medianMs: number;
  /** Of the newest 256. */
  readonly p99Ms: number;
  /** Since the start. */
  readonly maxMs: number;
}

/** How many runs are kept; a hundred take about 13 KiB. */
const MAX_RUNS = 100;

/** Upper bounds in seconds; those of lateness are close together around 2 ms and 6 ms, which are promised. */
const LATENESS_BOUNDS = [0.0005, 0.001, 0.002, 0.004, 0.006, 0.01, 0.025, 0.1, 0.5, 1, 5, 10];
const FEED_DURATION_BOUNDS = [0.0005, 0.005, 0.025, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];

/**
 * The newest runs of one schedule, and what became of all its instants. Counted and measured here alone: the
 * admin API, `/metrics` and `/admin/stats` read it.
 */
export class RunHistory implements RunCounts {
  readonly runs = { sent: 0, unchanged: 0, unheard: 0, failed: 0 };
  missed = 0;
  overlapped = 0;
  /** In seconds; runs by hand are not late. */
  readonly lateness = new Histogram(LATENESS_BOUNDS);
  /** In seconds, failures included. */
  readonly feedDuration = new Histogram(FEED_DURATION_BOUNDS);
  readonly #latenessOfAll: LatenessOfAll;
  readonly #newestLateness = new NewestLateness();
  /** Run number n is at n modulo `MAX_RUNS`. */
  readonly #newest: Run[] = [];
  #count = 0;
  #lastSent: Run | undefined;
  #isMissedExact = true;

  constructor(latenessOfAll: LatenessOfAll) {
    this.#latenessOfAll = latenessOfAll;
  }

  add(run: Run): void {
    const { dueMs, sentMs, manual, outcome, tookMs } = run;
    this.#newest[this.#count++ % MAX_RUNS] = run;
    this.runs[outcome]++;
    this.feedDuration.observe(tookMs / 1000);
    if (sentMs === null) return;
    this.#lastSent = run;
    if (manual) return;
    const lateMs = sentMs - dueMs;
    this.lateness.observe(lateMs / 1000);
    this.#newestLateness.add(lateMs);
    this.#latenessOfAll.add(lateMs);
  }

  addMissed({ count, exact }: Count): void {
    this.missed += count;
    this.#isMissedExact &&= exact;
  }

  addOverlapped(): void {
    this.overlapped++;
  }

  /** Newest first: those older than the run number `before`, `limit` at most. */
  page(before: number, limit: number): RunEntry[] {
    const entries: RunEntry[] = [];
    const oldest = Math.max(this.#count - MAX_RUNS, 0);
    for (let id = Math.min(before, this.#count) - 1; id >= oldest && entries.length < limit; id--) {
      const run = this.#newest[id % MAX_RUNS];
      if (run) entries.push(runEntry(id, run));
    }
    return entries;
  }

  /** The tick sent last; null before the first. */
  get last(): { due: string; sent: string; rooms: number; connections: number } | null {
    if (!this.#lastSent) return null;
    const { dueMs, sentMs, rooms, connections } = this.#lastSent;
    return { due: instant(dueMs), sent: instant(sentMs ?? dueMs), rooms, connections };
  }

  get counters(): Counters {
    const { sent, unchanged, unheard, failed } = this.runs;
    return {
      runs: sent + unchanged + unheard + failed,
      sent,
      unchanged,
      missed: this.missed,
      ...(!this.#isMissedExact && { missedAtLeast: true }),
      overlapped: this.overlapped,
      failed,
    };
  }

  /** Null before the first tick. */
  get latenessEntry(): LatenessEntry | null {
    return this.#newestLateness.entry();
  }
}

function runEntry(id: number, { dueMs, startedMs, sentMs, tookMs: _, ...run }: Run): RunEntry {
  return {
    ...run,
    id: String(id),
    due: instant(dueMs),
    started: instant(startedMs),
    sent: sentMs === null ? null : instant(sentMs),
    lateMs: sentMs === null ? null : sentMs - dueMs,
  };
}

/** The sum of several outcomes, for instance those of all schedules. */
export function sumOf(counts: Iterable<RunCounts>): RunCounts {
  const sum = { runs: { sent: 0, unchanged: 0, unheard: 0, failed: 0 }, missed: 0, overlapped: 0 };
  for (const { runs, missed, overlapped } of counts) {
    sum.runs.sent += runs.sent;
    sum.runs.unchanged += runs.unchanged;
    sum.runs.unheard += runs.unheard;
    sum.runs.failed += runs.failed;
    sum.missed += missed;
    sum.overlapped += overlapped;
  }
  return sum;
}

/** A histogram for Prometheus: how many values lie at or below each bound. */
class Histogram {
  readonly bounds: readonly number[];
  /** One count for each bound, and the last for values above all bounds; not cumulative. */
  readonly counts: number[];
  sum = 0;

  constructor(bounds: readonly number[]) {
    this.bounds = bounds;
    this.counts = Array(bounds.length + 1).fill(0);
  }

  observe(value: number): void {
    // A clock that was set meanwhile must not make the sum shrink.
    const observed = Math.max(value, 0);
    const index = this.bounds.findIndex((bound) => observed <= bound);
    const bucket = index === -1 ? this.bounds.length : index;
    this.counts[bucket] = (this.counts[bucket] ?? 0) + 1;
    this.sum += observed;
  }
}

/** Median and percentile are those of so many newest ticks. */
const WINDOW = 256;

/** How late the newest ticks of one schedule left, in 1 KiB. */
class NewestLateness {
  readonly #newest = new Float32Array(WINDOW);
  #count = 0;
  #maxMs = 0;

  add(lateMs: number): void {
    this.#newest[this.#count % WINDOW] = lateMs;
    this.#count++;
    this.#maxMs = Math.max(this.#maxMs, lateMs);
  }

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

const DAY_US = 86_400_000_000;

/** How late the ticks of all schedules left since the start. */
export class LatenessOfAll {
  /** In microseconds, to three figures, up to a day: a fixed 200 KiB however long the server runs. */
  readonly #histogram = createHistogram({ lowest: 1, highest: DAY_US, figures: 3 });

  add(lateMs: number): void {
    // A clock that was set while the feed was read can make a tick early, or late by years.
    this.#histogram.record(Math.min(Math.max(Math.round(lateMs * 1000), 1), DAY_US));
  }

  /** Null before the first tick. */
  entry(): Omit<LatenessEntry, 'lastMs'> | null {
    const histogram = this.#histogram;
    if (histogram.count === 0) return null;
    // The histogram answers with the end of the range that a value lies in, which may be above the maximum.
    const atMost = (value: number) => Math.round(Math.min(value, histogram.max) / 10) / 100;
    return {
      medianMs: atMost(histogram.percentile(50)),
      p99Ms: atMost(histogram.percentile(99)),
      maxMs: atMost(histogram.max),
    };
  }
}
