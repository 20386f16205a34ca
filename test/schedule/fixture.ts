import { afterEach, expect } from 'vitest';
import type { Feed } from '../../src/feed/feed.ts';
import { roomMatcher, type Tick } from '../../src/hub/event.ts';
import type { Delivered, Delivery } from '../../src/hub/room.ts';
import { interval } from '../../src/schedule/cadence.ts';
import type { PauseRecords, Report, ScheduleHub, ScheduleOptions } from '../../src/schedule/options.ts';
import { Schedules } from '../../src/schedule/schedules.ts';
import { ManualClock } from '../helpers/manual-clock.ts';

export const START = '2026-11-20T18:00:00.000Z';
export const HOUR_MS = 3_600_000;
/** The timers that are set while nothing waits: the one that looks for steps of the clock. */
export const LOOKING_FOR_STEPS = 1;
export const EVENT_BYTES = 1000;

/** An instant of the tests: seconds after 18:00:00. */
export const at = (seconds: number) => new Date(Date.parse(START) + seconds * 1000).toISOString();
export const secondsOf = (instant: string | null) =>
  instant === null ? null : (Date.parse(instant) - Date.parse(START)) / 1000;

/** A hub with one member in each of its rooms. */
export class FakeHub implements ScheduleHub {
  rooms: string[] = ['lobby'];
  readonly deliveries: Delivery[] = [];

  anyone(patterns: readonly string[]): boolean {
    return this.#matching(patterns).length > 0;
  }

  deliver(delivery: Delivery): Delivered {
    this.deliveries.push(delivery);
    const rooms = this.#matching(delivery.rooms);
    return { rooms: rooms.length, connections: rooms.length, bytes: rooms.length * 100 };
  }

  /** The ticks delivered, in short: seconds of `due`, `previous` and `next`. */
  get ticks() {
    return this.deliveries
      .flatMap(({ event }) => event.tick ?? [])
      .map(({ due, previous, next }) => [secondsOf(due), secondsOf(previous), secondsOf(next)]);
  }

  get dues() {
    return this.ticks.map(([due]) => due);
  }

  /** The states told, in their order among the ticks. */
  get story(): string[] {
    return this.deliveries.map(({ event, data }) =>
      event.tick ? `tick ${secondsOf(event.tick.due)}` : `${JSON.parse(String(data)).state}`,
    );
  }

  statuses(): Record<string, unknown>[] {
    return this.deliveries.flatMap(({ event, data }) =>
      event.event === 'status' ? [{ time: event.time, ...JSON.parse(String(data)) }] : [],
    );
  }

  #matching(patterns: readonly string[]): string[] {
    return this.rooms.filter((room) => patterns.some((pattern) => roomMatcher(pattern)(room)));
  }
}

/** A feed whose reads end when the test says so. */
export class FakeFeed {
  readonly reads: {
    tick: Tick;
    signal: AbortSignal;
    resolve(text: string): void;
    reject(error: unknown): void;
  }[] = [];
  open = 0;
  mostOpen = 0;

  read(tick: Tick, signal: AbortSignal): Promise<string> {
    this.open++;
    this.mostOpen = Math.max(this.mostOpen, this.open);
    return new Promise<string>((resolve, reject) => {
      this.reads.push({ tick, signal, resolve, reject });
      signal.addEventListener('abort', () => reject(signal.reason));
    }).finally(() => {
      this.open--;
    });
  }

  get last() {
    const last = this.reads.at(-1);
    if (!last) throw new Error('nothing was read');
    return last;
  }
}

const computed: Feed = { compute: (_tick, sentAtMs) => JSON.stringify({ unixMs: sentAtMs }) };

let running: { schedules: Schedules; clock: ManualClock } | undefined;

afterEach(async () => {
  await running?.schedules.stop();
  expect(running?.clock.pending ?? 0).toBe(0);
  running = undefined;
});

/** A schedule of every three seconds, but for what is given; its config says what was given. */
export function schedule({ feed = computed, ...options }: Partial<ScheduleOptions> & { feed?: Feed } = {}) {
  return {
    name: 'clock',
    cadence: interval(3000),
    describedCadence: { every: '3s' },
    missed: 'latest',
    when: 'always',
    staleAfterMs: null,
    rooms: ['*'],
    event: 'time',
    paused: false,
    timeoutMs: 10_000,
    makeFeed: () => feed,
    feedType: 'time',
    config: { feed, ...options },
    ...options,
  } satisfies ScheduleOptions;
}

/** Runs these schedules; all is stopped, and looked at for timers left, after the test. */
export function start(...list: ScheduleOptions[]) {
  const reports: unknown[][] = [];
  const report: Report = {
    stateChanged: (name, state, detail) => reports.push(['turned', name, state, detail]),
    missed: (name, { count, exact }) => reports.push(['missed', name, exact ? count : `more than ${count}`]),
    overlapped: (name) => reports.push(['overlapped', name]),
    stepped: (ms) => reports.push(['stepped', ms]),
    faulted: (error) => reports.push(['faulted', error]),
    notStored: (error) => reports.push(['not stored', error]),
  };
  return { ...startReporting(report, ...list), reports };
}

/** Keeps in memory what is paused and resumed; fails where the test says so. */
export class FakePauses implements PauseRecords {
  readonly kept = new Map<string, boolean>();
  failure: Error | undefined;
  lateFailure: Error | undefined;

  async read() {
    return new Map(this.kept);
  }

  async write(name: string, isPaused: boolean | undefined) {
    if (this.failure) throw this.failure;
    if (isPaused === undefined) this.kept.delete(name);
    else this.kept.set(name, isPaused);
    return { stored: this.lateFailure ? Promise.reject(this.lateFailure) : Promise.resolve() };
  }
}

export function startReporting(report: Report, ...list: ScheduleOptions[]) {
  const clock = new ManualClock(START);
  const hub = new FakeHub();
  const pauses = new FakePauses();
  const settings = { current: { limits: { eventBytes: EVENT_BYTES } } };
  const schedules = new Schedules({ clock, hub, report, settings, pauses });
  schedules.apply(list);
  running = { schedules, clock };
  /** Stops the schedules and starts them as the next process would. */
  const restart = async (...next: ScheduleOptions[]) => {
    await running?.schedules.stop();
    const after = new Schedules({ clock, hub, report, settings, pauses });
    running = { schedules: after, clock };
    await after.start();
    after.apply(next);
    return after;
  };
  return { clock, hub, schedules, pauses, restart };
}
