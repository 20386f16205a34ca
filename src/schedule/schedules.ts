import type { Clock } from '../clock.ts';
import type { CurrentTicks, CurrentTicksOfRoom } from '../hub/current-ticks.ts';
import type { PageQuery } from '../hub/entries.ts';
import type { RoomEvent } from '../hub/event.ts';
import { Refusal } from '../hub/refusal.ts';
import type { RunEntry, ScheduleEntry } from './entries.ts';
import type { Listeners } from './listeners.ts';
import type { ScheduleContext, ScheduleOptions } from './options.ts';
import { ignoringErrors, type Report } from './report.ts';
import { Schedule } from './schedule.ts';
import { Timetable } from './timetable.ts';

export interface SchedulesOptions {
  readonly clock: Clock;
  readonly hub: Listeners;
  readonly report: Report;
  /** The most bytes that the data of one event may have. */
  readonly eventBytes: number;
}

/**
 * All schedules of a server: started and stopped together, listed and driven by name. What acts or
 * lists is asynchronous and answers with plain data; an unknown name is refused with 404.
 */
export class Schedules implements CurrentTicks {
  readonly #context: ScheduleContext;
  /** Ordered by name. */
  #schedules: ReadonlyMap<string, Schedule> = new Map();

  constructor({ clock, hub, report, eventBytes }: SchedulesOptions) {
    const quiet = ignoringErrors(report);
    const timetable = new Timetable(clock, (ms) => quiet.stepped(ms));
    this.#context = { clock, hub, report: quiet, eventBytes, timetable };
  }

  /** Begins with these, each with a name of its own. Call it once. */
  start(list: readonly ScheduleOptions[]): void {
    const ordered = list.toSorted((a, b) => (a.name < b.name ? -1 : 1));
    this.#schedules = new Map(ordered.map((options) => [options.name, new Schedule(options, this.#context)]));
    for (const { name } of list) this.#schedules.get(name)?.start();
  }

  /** Aborts what is being read and forgets all schedules; nothing is sent any more. */
  stop(): void {
    for (const schedule of this.#schedules.values()) schedule.stop();
    this.#schedules = new Map();
    this.#context.timetable.stop();
  }

  /** Ordered by name. */
  async list(): Promise<ScheduleEntry[]> {
    return [...this.#schedules.values()].map((schedule) => schedule.entry());
  }

  async get(name: string): Promise<ScheduleEntry> {
    return this.#named(name).entry();
  }

  /** Runs it by hand and answers when it is done; whether it failed is in the entry. */
  async run(name: string): Promise<ScheduleEntry> {
    const schedule = this.#named(name);
    await schedule.run();
    return schedule.entry();
  }

  /** Pausing what is paused changes nothing. */
  async pause(name: string): Promise<ScheduleEntry> {
    const schedule = this.#named(name);
    schedule.pause();
    return schedule.entry();
  }

  /** Resuming what is not paused changes nothing. */
  async resume(name: string): Promise<ScheduleEntry> {
    const schedule = this.#named(name);
    schedule.resume();
    return schedule.entry();
  }

  /** The newest runs, newest first; `after` is the id of the last one seen. 400 if it cannot be one. */
  async runs(name: string, { after, limit }: PageQuery): Promise<RunEntry[]> {
    const schedule = this.#named(name);
    if (after !== undefined && !/^\d{1,15}$/.test(after)) {
      throw new Refusal(400, `"${after}" is not the id of a run: give the "next" of the page before`);
    }
    return schedule.runs(after === undefined ? Number.POSITIVE_INFINITY : Number(after), limit);
  }

  /** The schedule that is due first, and when, in milliseconds; null if none will be. */
  nextDue(): { schedule: string; due: number } | null {
    let first: { schedule: string; due: number } | null = null;
    for (const { name, next } of this.#schedules.values()) {
      if (next !== null && (first === null || next < first.due)) first = { schedule: name, due: next };
    }
    return first;
  }

  of(room: string): CurrentTicksOfRoom {
    const statuses: RoomEvent[] = [];
    const ticks: RoomEvent[] = [];
    const coming: Promise<RoomEvent | undefined>[] = [];
    for (const schedule of this.#schedules.values()) {
      if (!schedule.reaches(room)) continue;
      const current = schedule.current(room);
      // Asked for afterwards: a value that could not be computed just now is one reason for a status.
      const status = schedule.status(room);
      if (status) statuses.push(status);
      if (current.tick) ticks.push(current.tick);
      if (current.coming) coming.push(current.coming);
    }
    return { statuses, ticks, coming };
  }

  #named(name: string): Schedule {
    const schedule = this.#schedules.get(name);
    if (schedule) return schedule;
    const known = [...this.#schedules.keys()].join(', ') || 'none';
    throw new Refusal(404, `there is no schedule "${name}"; known: ${known}`);
  }
}
