import type { Reason } from '../feed/feed.ts';

/** What the schedules tell about themselves: plain data, instants as RFC 3339. */

/** How the config file says when: durations and patterns as they stand there. */
export type CadenceEntry = { readonly every: string } | { readonly cron: string; readonly timezone: string };

export type ScheduleState = 'ok' | 'stale' | 'error' | 'paused';

export interface Counters {
  /** Values made for an instant, by hand included. Instants with nobody listening are no runs. */
  readonly runs: number;
  /** Ticks that reached somebody. */
  readonly sent: number;
  /** Left out because the value was the same. */
  readonly unchanged: number;
  /** Instants that passed while nothing could run. */
  readonly missed: number;
  /** Some were too many to count: there were more than `missed`. Absent otherwise. */
  readonly missedAtLeast?: true;
  /** Instants left out because the feed was still being read for an earlier one. */
  readonly overlapped: number;
  readonly failed: number;
}

/** How late ticks left, milliseconds; runs by hand are not late. */
export interface LatenessEntry {
  readonly lastMs: number;
  /** Of the newest 256. */
  readonly medianMs: number;
  /** Of the newest 256. */
  readonly p99Ms: number;
  /** Since the start. */
  readonly maxMs: number;
}

export interface ScheduleEntry {
  readonly name: string;
  readonly cadence: CadenceEntry;
  readonly feed: { readonly type: string };
  readonly event: string;
  /** Room patterns. */
  readonly rooms: readonly string[];
  readonly state: ScheduleState;
  /** Since when it is in this state. */
  readonly since: string;
  /** Why, in the word that listeners are told; null where it is `ok`. */
  readonly reason: Reason | null;
  /** More of it, where there is more to say; cut where it is very long. For operators: it may name the upstream. */
  readonly detail: string | null;
  /** When the last value was had; null before the first. */
  readonly lastGood: string | null;
  /** Up to three instants; none while paused. */
  readonly next: readonly string[];
  /** The tick sent last. */
  readonly last: {
    readonly due: string;
    readonly sent: string;
    readonly rooms: number;
    readonly connections: number;
  } | null;
  readonly counters: Counters;
  readonly lateness: LatenessEntry | null;
}

/** `unheard`: nobody was there when the value was. */
export type RunOutcome = 'sent' | 'unchanged' | 'unheard' | 'failed';

export interface RunEntry {
  /** Grows with each run of a schedule; the cursor of a page. */
  readonly id: string;
  readonly due: string;
  readonly started: string;
  /** Null where nothing left. */
  readonly sent: string | null;
  /** From `due` to `sent`; null where nothing left. */
  readonly lateMs: number | null;
  readonly manual: boolean;
  readonly rooms: number;
  readonly connections: number;
  readonly bytes: number;
  readonly outcome: RunOutcome;
  readonly error: string | null;
}
