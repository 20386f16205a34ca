import type { Clock } from '../clock.ts';
import type { Feed } from '../feed/feed.ts';
import type { Delivered, Delivery } from '../hub/room.ts';
import type { Limits } from '../limits.ts';
import type { Cadence } from './cadence.ts';
import type { Count } from './count.ts';
import type { LatenessOfAll } from './run-history.ts';
import type { MissedPolicy, Timer } from './timer.ts';

/** A cadence as the config file writes it: durations and patterns as they stand there. */
export type CadenceEntry = { readonly every: string } | { readonly cron: string; readonly timezone: string };

export type ScheduleState = 'ok' | 'stale' | 'error' | 'paused';

/** One schedule of the config file, parsed. */
export interface ScheduleOptions {
  readonly name: string;
  readonly cadence: Cadence;
  readonly describedCadence: CadenceEntry;
  readonly missed: MissedPolicy;
  /** `changed`: a value that every client was shown last is not sent again, except by hand. */
  readonly when: 'always' | 'changed';
  /** From what age on a value is `stale`, milliseconds; null: never. */
  readonly staleAfterMs: number | null;
  /** Room patterns. */
  readonly rooms: readonly string[];
  readonly event: string;
  /** Whether the schedule starts paused, unless the admin API has said otherwise. */
  readonly paused: boolean;
  /** How long one read of the feed may take. */
  readonly timeoutMs: number;
  /** Makes the feed. Called once, and only if the schedule is new or has changed. */
  makeFeed(): Feed;
  readonly feedType: string;
  /** What these options were parsed from: where it is deeply equal, a reload leaves the schedule as it is. */
  readonly config: unknown;
}

/** What schedules need of the configuration in force. */
export interface ScheduleSettings {
  readonly limits: Pick<Limits, 'eventBytes'>;
}

/** What schedules need of the hub. */
export interface ScheduleHub {
  /** Whether a connection is in a room that one of the patterns matches. */
  anyone(rooms: readonly string[]): boolean;
  /** Delivers to the members on this node before it returns. Never throws because of a member. */
  deliver(delivery: Delivery): Delivered;
}

/** Keeps which schedules the admin API has paused or resumed, by name, also when the process ends. */
export interface PauseRecords {
  /** Whether each is paused. */
  read(): Promise<ReadonlyMap<string, boolean>>;
  /**
   * Undefined: nothing is kept of it any more. Resolves when it is taken; `stored` resolves when it survives
   * a crash. Either may reject.
   */
  write(name: string, isPaused: boolean | undefined): Promise<{ readonly stored: Promise<void> }>;
}

/** Logs what happens to schedules. What it throws is ignored. */
export interface Report {
  stateChanged(schedule: string, state: ScheduleState, detail: string | null): void;
  /** So many instants passed while nothing could run. */
  missed(schedule: string, missed: Count): void;
  /** An instant was left out because the feed was still being read. */
  overlapped(schedule: string): void;
  /** The wall clock was set: milliseconds, negative for back. */
  stepped(ms: number): void;
  /** A cadence or a schedule threw, which should not happen; the others go on. */
  faulted(error: unknown): void;
  /** What the admin API has paused or resumed could not be stored. */
  notStored(error: unknown): void;
}

/** What the schedules of one server share. */
export interface ScheduleContext {
  readonly clock: Clock;
  readonly timer: Timer;
  readonly hub: ScheduleHub;
  /** Must not throw. */
  readonly report: Report;
  readonly lateness: LatenessOfAll;
  /** Where the settings in force are found; a reload replaces them. */
  readonly settings: { readonly current: ScheduleSettings };
}
