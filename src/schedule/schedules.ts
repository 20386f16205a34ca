import { setImmediate as nextTurn } from 'node:timers/promises';
import { isDeepStrictEqual } from 'node:util';
import type { Clock } from '../clock.ts';
import { Refusal } from '../hub/errors.ts';
import type { RoomEvent } from '../hub/event.ts';
import type { CurrentTicks, CurrentTicksOfRoom } from '../hub/join.ts';
import type { PageQuery } from '../hub/views.ts';
import type { RunEntry, ScheduleEntry, ScheduleState } from './entries.ts';
import { type Explanation, explain } from './explain.ts';
import {
  ignoringErrors,
  type Listeners,
  type Report,
  type ScheduleContext,
  type ScheduleOptions,
} from './options.ts';
import { Schedule } from './schedule.ts';
import { Timer } from './timer.ts';

/** How long feeds may take to end once all is stopped: a command that ignores SIGTERM has a second. */
const FAREWELL_MS = 2000;

/** How long a list may hold the event loop in one go, and how many runs are found in about as long. */
const SLICE_MS = 5;
const RUNS_A_SLICE = 10;

export interface SchedulesOptions {
  readonly clock: Clock;
  readonly hub: Listeners;
  readonly report: Report;
  /** The most bytes that the data of one event may have; read again for each. */
  eventBytes(): number;
}

/** What became of the schedules when others were given: names, ordered. */
export interface Applied {
  readonly added: readonly string[];
  readonly changed: readonly string[];
  readonly removed: readonly string[];
  readonly kept: readonly string[];
}

/**
 * All schedules of a server: given, replaced and stopped together, listed and driven by name. What
 * acts or lists is asynchronous and answers with plain data; an unknown name is refused with 404.
 */
export class Schedules implements CurrentTicks {
  readonly #context: ScheduleContext;
  /** Ordered by name. */
  #schedules: ReadonlyMap<string, Schedule> = new Map();
  /** What schedules that were stopped still wait for: their feeds come to an end. */
  readonly #ending = new Set<Promise<void>>();
  #stopped = false;

  constructor({ clock, hub, report, eventBytes }: SchedulesOptions) {
    const quiet = ignoringErrors(report);
    const timer = new Timer(clock, quiet);
    this.#context = { clock, hub, report: quiet, eventBytes: () => eventBytes(), timer };
  }

  /**
   * From now on these are the schedules, each with a name of its own. One that is there already, made
   * from the same config, goes on untouched. One that has changed takes over the name, the counters
   * and the chain, and is told as `changed` where its cadence or rooms are others. All or nothing:
   * throws where a feed cannot be made, and then the old ones go on. After `stop` it does nothing.
   */
  apply(list: readonly ScheduleOptions[]): Applied {
    const before = this.#schedules;
    const after = new Map<string, Schedule>();
    if (this.#stopped) return { added: [], changed: [], removed: [], kept: [] };
    // Steps of the clock are counted from here on, also while no schedule waits.
    this.#context.timer.start();
    try {
      for (const options of list.toSorted((a, b) => (a.name < b.name ? -1 : 1))) {
        const known = before.get(options.name);
        const same = known && isDeepStrictEqual(known.options.config, options.config);
        after.set(options.name, same ? known : new Schedule(options, this.#context, known));
      }
    } catch (error) {
      for (const [name, schedule] of after) if (schedule !== before.get(name)) schedule.stop();
      throw error;
    }
    this.#schedules = after;
    for (const [name, schedule] of before) if (!after.has(name)) this.#end(schedule);
    for (const { name } of list) {
      const schedule = after.get(name);
      const replaced = before.get(name);
      if (schedule === replaced) continue;
      schedule?.start(replaced);
      if (replaced) this.#end(replaced);
    }
    const names = [...after.keys()];
    return {
      added: names.filter((name) => !before.has(name)),
      changed: names.filter((name) => before.has(name) && before.get(name) !== after.get(name)),
      removed: [...before.keys()].filter((name) => !after.has(name)),
      kept: names.filter((name) => before.get(name) === after.get(name)),
    };
  }

  /**
   * For good: aborts what is being read and forgets all schedules; nothing is sent any more. Resolves
   * when the feeds have ended, so that nothing of theirs outlives the process; one that does not heed
   * its signal is not waited for.
   */
  async stop(): Promise<void> {
    this.#stopped = true;
    for (const schedule of this.#schedules.values()) this.#end(schedule);
    const ended = Promise.all(this.#ending);
    this.#schedules = new Map();
    this.#context.timer.stop();
    let cancel = () => {};
    const patience = new Promise<void>((resolve) => {
      cancel = this.#context.clock.after(FAREWELL_MS, resolve);
    });
    await Promise.race([ended, patience]);
    cancel();
  }

  /**
   * A page of the schedules, ordered by name; all of them where none is asked for. In slices, since
   * finding the next instants of a thousand calendars takes a tenth of a second.
   */
  async list({
    after = '',
    limit = Number.POSITIVE_INFINITY,
  }: Partial<PageQuery> = {}): Promise<ScheduleEntry[]> {
    const { clock } = this.#context;
    const entries: ScheduleEntry[] = [];
    let endsAt = clock.monotonic() + SLICE_MS;
    for (const schedule of this.#schedules.values()) {
      if (schedule.name <= after) continue;
      if (entries.length >= limit) break;
      if (clock.monotonic() >= endsAt) {
        await nextTurn();
        endsAt = clock.monotonic() + SLICE_MS;
      }
      entries.push(schedule.entry());
    }
    return entries;
  }

  async get(name: string): Promise<ScheduleEntry> {
    return this.#named(name).entry();
  }

  /** The `count` runs after `fromMs`, undefined for now, as if it were not paused. */
  async explain(
    name: string,
    { fromMs = this.#context.clock.now(), count }: { fromMs: number | undefined; count: number },
  ): Promise<Explanation> {
    const { options } = this.#named(name);
    const { runs, ...said } = explain(options, fromMs, Math.min(count, RUNS_A_SLICE));
    const all = [...runs];
    for (let last = runs.at(-1); last && all.length < count; last = all.at(-1)) {
      await nextTurn();
      const more = explain(options, Date.parse(last.due), Math.min(count - all.length, RUNS_A_SLICE)).runs;
      if (more.length === 0) break;
      all.push(...more);
    }
    return { ...said, runs: all };
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

  /** How many are in each state. */
  states(): Record<ScheduleState, number> {
    const states = { ok: 0, stale: 0, error: 0, paused: 0 };
    for (const { state } of this.#schedules.values()) states[state]++;
    return states;
  }

  of(room: string): CurrentTicksOfRoom {
    this.#context.timer.look();
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

  #end(schedule: Schedule): void {
    const ended = schedule.stop().finally(() => this.#ending.delete(ended));
    this.#ending.add(ended);
  }

  #named(name: string): Schedule {
    const schedule = this.#schedules.get(name);
    if (schedule) return schedule;
    const known = [...this.#schedules.keys()].join(', ') || 'none';
    throw new Refusal(404, `there is no schedule "${name}"; known: ${known}`);
  }
}
