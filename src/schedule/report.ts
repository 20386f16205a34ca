import type { ScheduleState } from './entries.ts';
import type { Run } from './run-log.ts';

/** Whoever logs and measures what the schedules do. What it throws is ignored. */
export interface Report {
  /** A run is over, whatever came of it. */
  ran(schedule: string, run: Run): void;
  /** Its state is another one now. */
  turned(schedule: string, state: ScheduleState, detail: string | null): void;
  /** So many instants passed while nothing could run. */
  missed(schedule: string, count: number): void;
  /** An instant was left out because the feed was still being read. */
  overlapped(schedule: string): void;
  /** The computer's clock was set: milliseconds, negative for back. */
  stepped(ms: number): void;
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
    missed: (schedule, count) => quietly(() => report.missed(schedule, count)),
    overlapped: (schedule) => quietly(() => report.overlapped(schedule)),
    stepped: (ms) => quietly(() => report.stepped(ms)),
  };
}
