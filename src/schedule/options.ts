import type { Clock } from '../clock.ts';
import type { Feed } from '../feed/feed.ts';
import type { Delivered, Delivery } from '../hub/room.ts';
import type { Cadence } from './cadence.ts';
import type { Count } from './count.ts';
import type { CadenceEntry, ScheduleState } from './entries.ts';
import type { Run } from './run-history.ts';
import type { Timer } from './timer.ts';
import type { MissedPolicy } from './timer-slot.ts';

/** One schedule as the config file has it, its parts made. */
export interface ScheduleOptions {
  readonly name: string;
  readonly cadence: Cadence;
  /** The cadence in the words of the config file. */
  readonly describedCadence: CadenceEntry;
  readonly missed: MissedPolicy;
  /** `changed`: a value that everybody was shown already is not sent again, except by hand. */
  readonly when: 'always' | 'changed';
  /** From what age on a value is `stale`, milliseconds; null: from none. */
  readonly staleAfterMs: number | null;
  /** Room patterns. */
  readonly rooms: readonly string[];
  readonly event: string;
  /** Whether it starts paused. */
  readonly paused: boolean;
  /** How long the feed may take. */
  readonly timeoutMs: number;
  /** Called once, and only if the schedule is new or another one. */
  makeFeed(): Feed;
  readonly feedType: string;
  /** What all of this was made from, as plain data: where it is deeply equal, the schedule is the same. */
  readonly config: unknown;
}

/** What schedules need of the hub. */
export interface Listeners {
  /** Whether anybody is in a room that one of the patterns matches. */
  anyone(rooms: readonly string[]): boolean;
  /** Hands it to the members here in this very turn. Never throws for a member's sake. */
  deliver(delivery: Delivery): Delivered;
}

/** Whoever logs and measures what the schedules do. What it throws is ignored. */
export interface Report {
  /** A run is over, whatever came of it. */
  ran(schedule: string, run: Run): void;
  /** Its state is another one now. */
  turned(schedule: string, state: ScheduleState, detail: string | null): void;
  /** So many instants passed while nothing could run; not `exact`: more than that. */
  missed(schedule: string, missed: Count): void;
  /** An instant was left out because the feed was still being read. */
  overlapped(schedule: string): void;
  /** The computer's clock was set: milliseconds, negative for back. */
  stepped(ms: number): void;
  /** Something threw that should not have, in a cadence or in a schedule; the others go on. */
  faulted(error: unknown): void;
}

/** What the schedules of one server share. */
export interface ScheduleContext {
  readonly clock: Clock;
  readonly timer: Timer;
  readonly hub: Listeners;
  /** Must not throw. */
  readonly report: Report;
  /** The most bytes that the data of one event may have; read again for each. */
  eventBytes(): number;
}

/** The same reports, with nothing thrown back at the schedules. */
export function ignoringErrors(report: Report): Report {
  const quietly = (tell: () => void) => {
    try {
      tell();
    } catch {
      // A broken log must not stop the clock.
    }
  };
  return {
    ran: (schedule, run) => quietly(() => report.ran(schedule, run)),
    turned: (schedule, state, detail) => quietly(() => report.turned(schedule, state, detail)),
    missed: (schedule, missed) => quietly(() => report.missed(schedule, missed)),
    overlapped: (schedule) => quietly(() => report.overlapped(schedule)),
    stepped: (ms) => quietly(() => report.stepped(ms)),
    faulted: (error) => quietly(() => report.faulted(error)),
  };
}
