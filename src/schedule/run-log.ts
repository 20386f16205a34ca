import { instant } from '../clock.ts';
import type { RunEntry, RunOutcome } from './entries.ts';

/** One run; instants in milliseconds since the epoch. */
export interface Run {
  readonly due: number;
  readonly started: number;
  /** When the tick left; null where nothing did. */
  readonly sent: number | null;
  readonly manual: boolean;
  readonly rooms: number;
  readonly connections: number;
  readonly bytes: number;
  readonly outcome: RunOutcome;
  readonly error: string | null;
}

/** How many runs are kept; a hundred take about 13 KiB. */
const KEPT = 100;

/** The newest runs of one schedule. */
export class RunLog {
  readonly #ring: Run[] = [];
  /** How many there have been; the ids are these numbers. */
  #count = 0;

  add(run: Run): void {
    this.#ring[this.#count % KEPT] = run;
    this.#count++;
  }

  /** Newest first: those older than the run `before`, `limit` at most. */
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

function entryOf(id: number, run: Run): RunEntry {
  return {
    ...run,
    id: String(id),
    due: instant(run.due),
    started: instant(run.started),
    sent: run.sent === null ? null : instant(run.sent),
    lateMs: run.sent === null ? null : run.sent - run.due,
  };
}
