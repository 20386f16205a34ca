import { setImmediate as nextIteration } from 'node:timers/promises';
import { isDeepStrictEqual } from 'node:util';
import { Refusal } from '../hub/errors.ts';
import type { RoomEvent } from '../hub/event.ts';
import type { CurrentTicks, CurrentTicksOfRoom } from '../hub/join.ts';
import type { PageQuery } from '../hub/views.ts';
import { describeCadence, type Explanation, type PlannedRun, plannedRuns } from './explain.ts';
import type { PauseRecords, Report, ScheduleContext, ScheduleOptions, ScheduleState } from './options.ts';
import { LatenessOfAll, type RunCounts, type RunEntry, type RunHistory, sumOf } from './run-history.ts';
import { Schedule, type ScheduleEntry } from './schedule.ts';
import { Timer } from './timer.ts';

/** How long a stop waits for feeds to end: a command that ignores SIGTERM has a second. */
const MAX_STOP_MS = 2000;

/** How long making a list may hold the event loop in one go. */
const SLICE_MS = 5;

export interface SchedulesOptions extends Pick<ScheduleContext, 'clock' | 'hub' | 'report' | 'settings'> {
  readonly pauses: PauseRecords;
}

/** What `apply` did: names of schedules, ordered. */
export interface Applied {
  readonly added: readonly string[];
  readonly changed: readonly string[];
  readonly removed: readonly string[];
  readonly kept: readonly string[];
}

/**
 * All schedules of a server: applied and stopped together, listed and run by name. What acts or lists
 * is asynchronous and answers with plain data; an unknown name is refused with 404.
 */
export class Schedules implements CurrentTicks {
  readonly #context: ScheduleContext;
  readonly #pauses: PauseRecords;
  /** Of the schedules that the admin API has paused or resumed, where the config file says otherwise. */
  #pausedByHand = new Map<string, boolean>();
  /** Ordered by name. */
  #schedules: ReadonlyMap<string, Schedule> = new Map();
  /** The outcomes of the schedules that were removed. */
  #removedCounts: RunCounts = sumOf([]);
  /** The stopped schedules whose feeds have not ended yet. */
  readonly #ending = new Set<Promise<void>>();
  #isStopped = false;

  /** `report` may throw: its errors reach no schedule. */
  constructor({ report, pauses, ...options }: SchedulesOptions) {
    this.#pauses = pauses;
    const quiet = ignoringErrors(report);
    const timer = new Timer(options.clock, quiet);
    this.#context = { ...options, report: quiet, timer, lateness: new LatenessOfAll() };
  }

  /** Reads what outlived the last process. To be awaited before the first `apply`. */
  async start(): Promise<void> {
    this.#pausedByHand = new Map(await this.#pauses.read());
  }

  /**
   * Replaces all schedules by these; their names differ. A schedule whose config is the same goes on
   * unchanged. One whose config has changed continues the history and the chain of that name, and sends a
   * `status` of `changed` where its cadence or rooms are others. One that was paused or resumed by hand stays
   * so until `paused` of its config is changed, or it is removed. Throws where a feed cannot be made, and then
   * changes nothing. After `stop` it does nothing.
   */
  apply(list: readonly ScheduleOptions[]): Applied {
    const before = this.#schedules;
    const after = new Map<string, Schedule>();
    if (this.#isStopped) return { added: [], changed: [], removed: [], kept: [] };
    // Steps of the clock are counted from here on, also while no schedule waits.
    this.#context.timer.start();
    try {
      for (const options of list.toSorted((a, b) => (a.name < b.name ? -1 : 1))) {
        const known = before.get(options.name);
        const same = known && isDeepStrictEqual(known.options.config, options.config);
        const isPaused = this.#pausedByHand.get(options.name);
        after.set(options.name, same ? known : new Schedule(options, this.#context, known, isPaused));
      }
    } catch (error) {
      for (const [name, schedule] of after) if (schedule !== before.get(name)) schedule.stop();
      throw error;
    }
    this.#schedules = after;
    const removed = [...before.values()].filter(({ name }) => !after.has(name));
    this.#removedCounts = sumOf([this.#removedCounts, ...removed.map(({ history }) => history)]);
    for (const schedule of removed) this.#end(schedule);
    for (const { name } of list) {
      const schedule = after.get(name);
      const replaced = before.get(name);
      if (schedule === replaced) continue;
      schedule?.start(replaced);
      if (replaced) this.#end(replaced);
    }
    this.#forgetPauses();
    const names = [...after.keys()];
    return {
      added: names.filter((name) => !before.has(name)),
      changed: names.filter((name) => before.has(name) && before.get(name) !== after.get(name)),
      removed: removed.map(({ name }) => name),
      kept: names.filter((name) => before.get(name) === after.get(name)),
    };
  }

  /**
   * Cannot be undone. Aborts what is being read and forgets all schedules; nothing is sent any more.
   * Resolves when the feeds have ended, so that none of their processes outlives this one, or after two
   * seconds where one ignores its signal.
   */
  async stop(): Promise<void> {
    this.#isStopped = true;
    for (const schedule of this.#schedules.values()) this.#end(schedule);
    const ended = Promise.all(this.#ending);
    this.#removedCounts = this.#counts();
    this.#schedules = new Map();
    this.#context.timer.stop();
    let cancel = () => {};
    const timeUp = new Promise<void>((resolve) => {
      cancel = this.#context.clock.after(MAX_STOP_MS, resolve);
    });
    await Promise.race([ended, timeUp]);
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
    const entries: ScheduleEntry[] = [];
    for await (const schedule of this.#inSlices(this.#schedules.values())) {
      if (entries.length >= limit) break;
      if (schedule.name > after) entries.push(schedule.entry());
    }
    return entries;
  }

  async get(name: string): Promise<ScheduleEntry> {
    return this.#named(name).entry();
  }

  /** The `count` runs of a schedule after `fromMs`, undefined for now, as if the schedule were not paused. */
  async explain(
    name: string,
    { fromMs = this.#context.clock.now(), count }: { fromMs: number | undefined; count: number },
  ): Promise<Explanation> {
    const { options } = this.#named(name);
    const runs: PlannedRun[] = [];
    for await (const run of this.#inSlices(plannedRuns(options, fromMs))) {
      if (runs.push(run) >= count) break;
    }
    return { ...describeCadence(options), runs };
  }

  /** Runs a schedule by hand and answers when the run is over; whether it failed is in the entry. */
  async run(name: string): Promise<ScheduleEntry> {
    const schedule = this.#named(name);
    await schedule.run();
    return schedule.entry();
  }

  /** Pausing a paused schedule changes nothing. Resolves when the pause is stored; 503 where it cannot be. */
  pause(name: string): Promise<ScheduleEntry> {
    return this.#setPaused(name, true);
  }

  /** Resuming a schedule that is not paused changes nothing. Resolves when it is stored; 503 where it cannot be. */
  resume(name: string): Promise<ScheduleEntry> {
    return this.#setPaused(name, false);
  }

  /**
   * The newest runs, newest first; `after` is the id of the last run seen. 400 if it cannot be the id of a
   * run.
   */
  async runs(name: string, { after, limit }: PageQuery): Promise<RunEntry[]> {
    const schedule = this.#named(name);
    if (after !== undefined && !/^\d{1,15}$/.test(after)) {
      throw new Refusal(400, `"${after}" is not the id of a run: give the "next" of the page before`);
    }
    return schedule.history.page(after === undefined ? Number.POSITIVE_INFINITY : Number(after), limit);
  }

  /** The schedule that is due first, and when, in milliseconds; null if none will be. */
  nextDue(): { schedule: string; due: number } | null {
    let first: { schedule: string; due: number } | null = null;
    for (const { name, next } of this.#schedules.values()) {
      if (next !== null && (first === null || next < first.due)) first = { schedule: name, due: next };
    }
    return first;
  }

  /** The next due instant of a schedule, in milliseconds; null if there is none, or no such schedule. */
  nextOf(name: string): number | null {
    return this.#schedules.get(name)?.next ?? null;
  }

  /** How many schedules are in each state. */
  states(): Record<ScheduleState, number> {
    const states = { ok: 0, stale: 0, error: 0, paused: 0 };
    for (const { state } of this.#schedules.values()) states[state]++;
    return states;
  }

  /** The histories, for what measures them, by the name of the schedule. */
  *histories(): Iterable<[schedule: string, history: RunHistory]> {
    for (const { name, history } of this.#schedules.values()) yield [name, history];
  }

  /** How often the computer's clock was set since the start. */
  get clockSteps(): Timer['clockSteps'] {
    return this.#context.timer.clockSteps;
  }

  /** What became of the instants of all schedules since the start, also of those that were removed. */
  totals(): RunCounts & { readonly lateness: ReturnType<LatenessOfAll['entry']> } {
    return { ...this.#counts(), lateness: this.#context.lateness.entry() };
  }

  #counts(): RunCounts {
    const histories = [...this.#schedules.values()].map(({ history }) => history);
    return sumOf([this.#removedCounts, ...histories]);
  }

  request(room: string): CurrentTicksOfRoom {
    // A step of the clock is noticed before anything is answered by that clock.
    this.#context.timer.look();
    const statuses: RoomEvent[] = [];
    const ticks: RoomEvent[] = [];
    const coming: Promise<RoomEvent | undefined>[] = [];
    for (const schedule of this.#schedules.values()) {
      if (!schedule.reaches(room)) continue;
      const { status, tick } = schedule.request(room);
      if (status) statuses.push(status);
      if (tick instanceof Promise) coming.push(tick);
      else if (tick) ticks.push(tick);
    }
    return { statuses, ticks, coming };
  }

  /** The same items; after each slice of time the event loop does its other work. */
  async *#inSlices<Item>(items: Iterable<Item>): AsyncGenerator<Item> {
    const { clock } = this.#context;
    let endsAtMs = clock.monotonic() + SLICE_MS;
    for (const item of items) {
      yield item;
      if (clock.monotonic() < endsAtMs) continue;
      await nextIteration();
      endsAtMs = clock.monotonic() + SLICE_MS;
    }
  }

  async #setPaused(name: string, isPaused: boolean): Promise<ScheduleEntry> {
    const { paused } = this.#named(name).options;
    const failed = (message: string) => (cause: unknown) => {
      this.#context.report.notStored(cause);
      throw new Refusal(503, message, { reason: 'internal', cause });
    };
    const is = isPaused ? 'paused' : 'resumed';
    // What the file says anyway needs no record.
    const { stored } = await this.#pauses
      .write(name, isPaused === paused ? undefined : isPaused)
      .catch(failed(`that schedule "${name}" is ${is} could not be stored, so it was not ${is}: try again`));
    if (isPaused === paused) this.#pausedByHand.delete(name);
    else this.#pausedByHand.set(name, isPaused);
    // A reload may have replaced it meanwhile.
    const schedule = this.#named(name);
    if (isPaused) schedule.pause();
    else schedule.resume();
    await stored.catch(
      failed(`schedule "${name}" is ${is}, but that is not stored: a restart would undo it; try again`),
    );
    return schedule.entry();
  }

  /** Forgets what was done by hand to schedules that are gone, and what the config file says as well by now. */
  #forgetPauses(): void {
    const { notStored } = this.#context.report;
    for (const [name, isPaused] of this.#pausedByHand) {
      const schedule = this.#schedules.get(name);
      if (schedule && schedule.options.paused !== isPaused) continue;
      this.#pausedByHand.delete(name);
      this.#pauses.write(name, undefined).then(({ stored }) => stored.catch(notStored), notStored);
    }
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

/** The same report, but what it throws is ignored: a logger that fails must stop no schedule. */
function ignoringErrors(report: Report): Report {
  const quietly = (act: () => void) => {
    try {
      act();
    } catch {}
  };
  return {
    stateChanged: (schedule, state, detail) => quietly(() => report.stateChanged(schedule, state, detail)),
    missed: (schedule, missed) => quietly(() => report.missed(schedule, missed)),
    overlapped: (schedule) => quietly(() => report.overlapped(schedule)),
    stepped: (ms) => quietly(() => report.stepped(ms)),
    faulted: (error) => quietly(() => report.faulted(error)),
    notStored: (error) => quietly(() => report.notStored(error)),
  };
}
