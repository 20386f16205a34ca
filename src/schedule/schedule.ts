import { instant } from '../clock.ts';
import type { ComputedFeed, Feed } from '../feed/feed.ts';
import { type RoomData, type RoomEvent, type RoomMatcher, roomsMatcher } from '../hub/event.ts';
import type { Cadence } from './cadence.ts';
import type { Count } from './count.ts';
import { FeedReader } from './feed-reader.ts';
import type { CadenceEntry, ScheduleContext, ScheduleOptions, ScheduleState } from './options.ts';
import { type Counters, type LatenessEntry, type Run, RunHistory } from './run-history.ts';
import { type PublicStatus, Status } from './status.ts';
import { CurrentTick, type DueTick, TickChain } from './tick-chain.ts';
import type { MissedPolicy, Timed } from './timer.ts';
import type { TimerSlot } from './timer-slot.ts';

/** A schedule as the admin API shows it: plain data, instants as RFC 3339. */
export interface ScheduleEntry extends PublicStatus {
  readonly name: string;
  readonly cadence: CadenceEntry;
  readonly feed: { readonly type: string };
  readonly event: string;
  /** Room patterns. */
  readonly rooms: readonly string[];
  /** More of `reason`, cut where it is very long; null: none. For operators, since it may name the upstream. */
  readonly detail: string | null;
  /** Up to three instants; none while paused. */
  readonly next: readonly string[];
  /** The tick sent last. */
  readonly last: RunHistory['last'];
  readonly counters: Counters;
  readonly lateness: LatenessEntry | null;
}

/** What is current of one schedule in a room. */
export interface CurrentOfSchedule {
  /** Its `status`, unless it is `ok`. */
  readonly status: RoomEvent | undefined;
  /** A promise where the tick has to be read first: as in `CurrentTicksOfRoom.coming`. */
  readonly tick: RoomEvent | Promise<RoomEvent | undefined> | undefined;
}

/** What is known of a run when the run begins; `sinceMs` is `startedMs` on the monotonic clock. */
type RunStart = Pick<Run, 'dueMs' | 'manual' | 'startedMs'> & { readonly sinceMs: number };

/** Makes a value at the time that is given; throws where there is no value. */
type MakeValue = (atMs: number) => RoomData;

type RunResult = Pick<Run, 'sentMs' | 'rooms' | 'connections' | 'bytes' | 'outcome' | 'error'>;

const NOTHING_SENT = { sentMs: null, rooms: 0, connections: 0, bytes: 0 };

/**
 * One schedule: while a client listens, it gets a value for each due instant and sends it as a tick.
 * Nothing that its feed does reaches another schedule.
 */
export class Schedule implements Timed {
  readonly name: string;
  readonly cadence: Cadence;
  readonly missed: MissedPolicy;
  /** Whether a room belongs to the schedule. */
  readonly reaches: RoomMatcher;
  readonly options: ScheduleOptions;
  readonly history: RunHistory;
  readonly #context: ScheduleContext;
  readonly #feed: Feed;
  /** Where the values come from: the feed itself where it is computed. */
  readonly #source: ComputedFeed | FeedReader;
  readonly #status: Status;
  readonly #chain: TickChain;
  /** The slot of the timer; absent while paused or stopped. */
  #slot: TimerSlot | undefined;
  /** The newest slot, also of the schedule that this one replaced: the next slot continues it. */
  #lastSlot: TimerSlot | undefined;
  /** Set by `stop`; resolves when the feed has ended. */
  #ended: Promise<void> | undefined;
  /** The newest instant whose value could not be had: it is not tried again for a client that joins. */
  #failedDueMs: number | null = null;
  /** The run by hand that is under way; never rejects. */
  #manualRun: Promise<void> | undefined;

  /**
   * Nothing runs before `start`. `before` is the schedule of this name that this one replaces: it
   * continues its state, its chain and its history. `isPaused`: where there is none before; absent: as the
   * options say. Throws where the feed cannot be made.
   */
  constructor(options: ScheduleOptions, context: ScheduleContext, before?: Schedule, isPaused?: boolean) {
    this.name = options.name;
    this.cadence = options.cadence;
    this.missed = options.missed;
    this.reaches = roomsMatcher(options.rooms);
    this.options = options;
    this.#context = context;
    this.#status = new Status(options, context, before ? before.#status : undefined, isPaused);
    this.#chain = new TickChain(options, before ? before.#chain : undefined);
    this.history = before?.history ?? new RunHistory(context.lateness);
    const feed = options.makeFeed();
    this.#feed = feed;
    this.#source = 'compute' in feed ? feed : new FeedReader(context.clock, feed, options.timeoutMs);
  }

  /** `before`: as given to the constructor; that schedule is stopped, and this one replaces it. */
  start(before?: Schedule): void {
    // An instant that has passed and was not called yet is called for this schedule.
    const afterMs = Math.min(this.#context.clock.now(), (before?.next ?? Number.POSITIVE_INFINITY) - 1);
    before?.stop();
    this.#lastSlot = before ? before.#lastSlot : undefined;
    if (!this.#status.isPaused) this.#enterTimer(afterMs);
    this.#status.start(before?.options);
  }

  /**
   * Cannot be undone. Aborts what is being read; nothing is sent any more. Resolves when the feed has ended.
   */
  stop(): Promise<void> {
    if (this.#ended) return this.#ended;
    this.#ended = this.#leaveTimer();
    this.#status.stop();
    try {
      this.#feed.close?.();
    } catch {
      // An error of one feed must not keep the others running.
    }
    return this.#ended;
  }

  /** Sends no ticks until `resume`; what is being read is dropped. */
  pause(): void {
    if (this.#status.isPaused) return;
    this.#leaveTimer();
    this.#status.pause();
  }

  resume(): void {
    if (!this.#status.isPaused || this.#ended) return;
    this.#enterTimer(this.#context.clock.now());
    this.#status.resume();
  }

  /**
   * Makes and sends the tick of the newest due instant, also while paused, while no client listens, and
   * where the value is the same as before. Resolves when it is over; the entry shows the outcome. Calls
   * that come meanwhile share the run.
   */
  run(): Promise<void> {
    this.#manualRun ??= this.#runByHand().finally(() => {
      this.#manualRun = undefined;
    });
    return this.#manualRun;
  }

  /** Called by the timer. */
  due(dueMs: number): void {
    // A schedule that was called before in the same iteration may have paused this one.
    if (!this.#slot || !this.#context.hub.anyone(this.options.rooms)) return;
    if (this.#reader?.running || this.#reader?.isStuck) {
      this.history.addOverlapped();
      this.#context.report.overlapped(this.name);
    } else {
      this.#startRun(dueMs, false);
    }
  }

  /** Called by the timer. */
  passedOver(missed: Count): void {
    this.history.addMissed(missed);
    this.#context.report.missed(this.name, missed);
    this.#status.sendMissed(missed);
  }

  /** Called by the timer. The `status` is sent at once: the next tick may be a day away. */
  stepped(ms: number): void {
    this.#failedDueMs = null;
    if (ms > 0 || this.#chain.setBack(this.next)) this.#status.sendChanged('clock');
  }

  /** The next due instant, milliseconds; null while paused and when it is over. */
  get next(): number | null {
    return this.#slot ? this.#context.timer.next(this.#slot) : null;
  }

  get state(): ScheduleState {
    return this.#status.state;
  }

  entry(): ScheduleEntry {
    const { describedCadence, feedType, event, rooms } = this.options;
    const next: string[] = [];
    for (let atMs = this.next; atMs !== null && next.length < 3; atMs = this.cadence.next(atMs))
      next.push(instant(atMs));
    return {
      name: this.name,
      cadence: describedCadence,
      feed: { type: feedType },
      event,
      rooms,
      ...this.#status.entry(),
      next,
      last: this.history.last,
      counters: this.history.counters,
      lateness: this.history.latenessEntry,
    };
  }

  /**
   * Asks what is current in a room, for a client that joins it or reads it. The current tick is the last
   * one, which stays it while paused and through instants that left it unchanged; otherwise the value for
   * the newest due instant is computed or read, once for all clients that ask. That changes no `previous`
   * and goes to no other client.
   */
  request(room: string): CurrentOfSchedule {
    const current = this.#requestTick();
    // The status after the tick: a value that could not be computed just now is a reason for a status.
    this.#status.checkAge();
    const status = this.#status.event(room);
    if (current instanceof CurrentTick) return { status, tick: current.replay(room, !this.#slot) };
    // A run shows its value only if the run sends it.
    if (!current || this.#reader?.running) this.#chain.notShown();
    return { status, tick: current && this.#comingTick(current, room) };
  }

  #requestTick(): CurrentTick | Promise<CurrentTick | undefined> | undefined {
    const nowMs = this.#context.clock.now();
    const nextMs = this.next;
    this.#chain.requested();
    const known = this.#slot ? this.#chain.current(nowMs, nextMs) : this.#chain.newest;
    const current = known ?? this.#reader?.coming;
    if (current || !this.#slot || this.#reader?.isOpen) return current;
    const dueMs = this.#newestDue(nowMs, nextMs);
    if (dueMs === null || dueMs === this.#failedDueMs) return undefined;
    const tick = this.#chain.tick(dueMs, false, nextMs);
    const source = this.#source;
    if (source instanceof FeedReader)
      return source.request(tick.tick, (value) => this.#finishRequest(dueMs, value));
    return this.#finishRequest(dueMs, (atMs) => source.compute(tick.tick, atMs), tick);
  }

  /**
   * Resolves to the tick when its value was read. A client that gets no tick, live ticks included, was not
   * shown the value.
   */
  async #comingTick(coming: Promise<CurrentTick | undefined>, room: string): Promise<RoomEvent | undefined> {
    const { sentCount } = this.#chain;
    const current = await coming;
    if (!current && this.#chain.sentCount === sentCount) this.#chain.notShown();
    return current?.replay(room, !this.#slot);
  }

  get #reader(): FeedReader | undefined {
    return this.#source instanceof FeedReader ? this.#source : undefined;
  }

  /** Waits for the first instant after `afterMs`. */
  #enterTimer(afterMs: number): void {
    this.#slot = this.#context.timer.add(this, { afterMs, before: this.#lastSlot });
    this.#lastSlot = this.#slot;
  }

  /** Resolves when what is being read has ended. */
  async #leaveTimer(): Promise<void> {
    if (this.#slot) this.#context.timer.remove(this.#slot);
    this.#slot = undefined;
    await this.#reader?.cancel();
  }

  async #runByHand(): Promise<void> {
    await this.#reader?.running;
    if (this.#ended) return;
    const nowMs = this.#context.clock.now();
    await this.#startRun(this.#newestDue(nowMs, this.next) ?? nowMs, true);
  }

  /** Returns when a computed value is sent; for a value that is read resolves when it is sent. */
  #startRun(dueMs: number, manual: boolean): Promise<void> | undefined {
    const { clock } = this.#context;
    const start = { dueMs, manual, startedMs: clock.now(), sinceMs: clock.monotonic() };
    const tick = this.#chain.tick(dueMs, manual, this.next);
    const source = this.#source;
    if (source instanceof FeedReader) return source.run(tick.tick, (value) => this.#finishRun(start, value));
    this.#finishRun(start, (atMs) => source.compute(tick.tick, atMs), tick);
    return undefined;
  }

  /**
   * `tick`: the one that a value was computed for. For a value that was read it is made now, because
   * `previous` and `next` may have moved since the read began.
   */
  #finishRun(start: RunStart, value: MakeValue, tick?: DueTick): void {
    const { sinceMs, ...run } = start;
    const { clock } = this.#context;
    const atMs = clock.now();
    let result: RunResult;
    let tookMs: number | undefined;
    try {
      const data = value(atMs);
      tookMs = clock.monotonic() - sinceMs;
      result = this.#send(start, data, atMs, tick);
    } catch (error) {
      tookMs ??= clock.monotonic() - sinceMs;
      result = { ...NOTHING_SENT, outcome: 'failed', error: this.#failed(run.dueMs, error) };
    }
    this.history.add({ ...run, tookMs, ...result });
  }

  /** Sends a value, unless every client has it. Throws where it is too large. */
  #send({ dueMs, manual }: RunStart, data: RoomData, atMs: number, tick?: DueTick): RunResult {
    const { when, rooms } = this.options;
    if (when === 'changed' && !manual && this.#chain.isUnchanged(data)) {
      this.#chain.extend(this.next);
      this.#status.succeeded();
      return { ...NOTHING_SENT, outcome: 'unchanged', error: null };
    }
    const { event } = this.#keep(tick ?? this.#chain.tick(dueMs, manual, this.next), data, atMs);
    if (this.#chain.needsChangedStatus(dueMs)) this.#status.sendChanged('clock');
    const delivered = this.#context.hub.deliver({ rooms, event, data });
    if (delivered.connections === 0) return { ...delivered, sentMs: null, outcome: 'unheard', error: null };
    this.#chain.sent(dueMs);
    return { ...delivered, sentMs: atMs, outcome: 'sent', error: null };
  }

  /** As `#finishRun`, for a value that goes to the clients that asked for it. */
  #finishRequest(dueMs: number, value: MakeValue, tick?: DueTick): CurrentTick | undefined {
    const atMs = this.#context.clock.now();
    try {
      const data = value(atMs);
      return this.#keep(tick ?? this.#chain.tick(dueMs, false, this.next), data, atMs);
    } catch (error) {
      this.#failed(dueMs, error);
      return undefined;
    }
  }

  /** Makes a value the current one. Throws where it is too large. */
  #keep(tick: DueTick, data: RoomData, atMs: number): CurrentTick {
    const current = new CurrentTick(this.options.event, tick, {
      data,
      atMs,
      untilMs: this.#slot ? tick.nextMs : this.cadence.next(atMs),
      maxBytes: this.#context.settings.current.limits.eventBytes,
    });
    this.#chain.keep(current);
    this.#status.succeeded();
    return current;
  }

  /** Returns the part of the error that is kept. */
  #failed(dueMs: number, error: unknown): string {
    this.#failedDueMs = dueMs;
    return this.#status.failed(error);
  }

  /**
   * The newest due instant: the one before the instant that the timer calls next. (The timer may be late, so
   * that the next instant can already be in the past.) After a change of cadence it can be an instant of the
   * old cadence, if its tick was sent.
   */
  #newestDue(nowMs: number, nextMs: number | null): number | null {
    return this.#chain.newestDue(this.cadence.previous(nextMs === null ? nowMs : nextMs - 1), nowMs);
  }
}
