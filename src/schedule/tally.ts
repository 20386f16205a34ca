import { instant } from '../clock.ts';
import type { Counters, LatenessEntry, RunEntry, ScheduleEntry } from './entries.ts';
import { Lateness } from './lateness.ts';
import { type Run, RunLog } from './run-log.ts';

/** What became of the instants of one schedule: counted, measured, and the newest runs kept. */
export class Tally {
  readonly #counters = { runs: 0, sent: 0, unchanged: 0, missed: 0, overlapped: 0, failed: 0 };
  readonly #lateness = new Lateness();
  readonly #runs = new RunLog();
  #last: Run | undefined;

  ran(run: Run): void {
    this.#runs.add(run);
    this.#counters.runs++;
    if (run.outcome === 'failed') this.#counters.failed++;
    if (run.outcome !== 'sent') return;
    this.#counters.sent++;
    this.#last = run;
    if (run.sent !== null && !run.manual) this.#lateness.add(run.sent - run.due);
  }

  missed(count: number): void {
    this.#counters.missed += count;
  }

  overlapped(): void {
    this.#counters.overlapped++;
  }

  /** As `RunLog.page`. */
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
      counters: { ...this.#counters },
      lateness: this.#lateness.entry(),
    };
  }
}
