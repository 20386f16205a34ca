import type { Clock } from '../clock.ts';
import type { Feed } from '../feed/feed.ts';
import type { Cadence } from './cadence.ts';
import type { CadenceEntry } from './entries.ts';
import type { Listeners } from './listeners.ts';
import type { Report } from './report.ts';
import type { MissedPolicy, Timetable } from './timetable.ts';

/** One schedule as the config file has it, its parts made. */
export interface ScheduleOptions {
  readonly name: string;
  readonly cadence: Cadence;
  /** The cadence in the words of the config file. */
  readonly describedCadence: CadenceEntry;
  readonly missed: MissedPolicy;
  /** Room patterns. */
  readonly rooms: readonly string[];
  readonly event: string;
  /** Whether it starts paused. */
  readonly paused: boolean;
  /** How long the feed may take. */
  readonly timeoutMs: number;
  readonly feed: Feed;
  readonly feedType: string;
}

/** What the schedules of one server share. */
export interface ScheduleContext {
  readonly clock: Clock;
  readonly timetable: Timetable;
  readonly hub: Listeners;
  /** Must not throw. */
  readonly report: Report;
  /** The most bytes that the data of one event may have. */
  readonly eventBytes: number;
}
