import { instant } from '../clock.ts';
import { type Feed, FeedError, reasonOf } from '../feed/feed.ts';
import type { RoomData, RoomEvent } from '../hub/event.ts';
import { type RoomMatcher, roomsMatcher } from '../hub/event.ts';
import type { Cadence } from './cadence.ts';
import { Chain, type CurrentTick, MadeTick } from './tick-chain.ts';
import type { Count } from './count.ts';
import type { RunEntry, ScheduleEntry, ScheduleState } from './entries.ts';
import type { ScheduleContext, ScheduleOptions } from './options.ts';
import { Reader } from './feed-reader.ts';
import { ComputedSource, type Source } from './source.ts';
import { Standing } from './status.ts';
import { type Run, Tally } from './run-history.ts';
import type { MissedPolicy, Timed, TimerSlot } from './timer-slot.ts';

/** A run under way; `since`: when it began, on the clock that never steps. */
type Errand = Pick<Run, 'due' | 'manual' | 'started'> & { readonly since: number };

/** What came of it. */
type Result = Omit<Run, 'due' | 'manual' | 'started' | 'tookMs'>;

/** How much of what a feed says is kept: an upstream may decide how long it is. */
const MOST_MESSAGE_CHARACTERS = 500;

const NOTHING_SENT = { sent: null, rooms: 0, connections: 0, bytes: 0 };

/**
 * One schedule: makes a value for each due instant while somebody listens, sends it as a tick, and
 * keeps what `previous` promises. Nothing that its feed does reaches another schedule.
 */
export class Schedule implements Timed {
  readonly name: string;
  readonly cadence: Cadence;
  readonly missed: MissedPolicy;
  /** Whether a room belongs to it. */
  readonly reaches: RoomMatcher;
  readonly options: ScheduleOptions;
  readonly #context: ScheduleContext;
  readonly #feed: Feed;
  readonly #source: Source<MadeTick>;
  readonly #standing: Standing;
  readonly #chain: Chain;
  readonly #tally: Tally;
  /** Absent while paused or stopped. */
  #slot: TimerSlot | undefined;
  /** The slot it has or had last, also before it was changed: the next one goes on from what was called there. */
  #lastSlot: TimerSlot | undefined;
  /** Set by a stop; resolves when the feed has ended. */
  #ended: Promise<void> | undefined;
  /** The newest instant whose value could not be had: joining does not try it again. */
  #failedDue: number | null = null;
  /** The run by hand that is waited for; never rejects. */
  #byHand: Promise<void> | undefined;

  /**
   * Nothing runs before `start`. `before` is the schedule of this name that this one replaces: it
   * goes on with its state, its chain and its counters. Throws where the feed cannot be made.
   */
  constructor(options: ScheduleOptions, context: ScheduleContext, before?: Schedule) {
    this.name = options.name;
    this.cadence = options.cadence;
    this.missed = options.missed;
    this.reaches = roomsMatcher(options.rooms);
    this.options = options;
    this.#context = context;
    this.#standing = new Standing(options, context, before ? before.#standing : undefined);
    this.#chain = new Chain(options, context, before ? before.#chain : undefined);
    this.#tally = before ? before.#tally : new Tally();
    this.#feed = options.makeFeed();
    this.#source =
      'compute' in this.#feed
        ? new ComputedSource(context.clock, this.#feed)
        : new Reader(context.clock, this.#feed, options.timeoutMs);
  }

  /** `before`: as given to the constructor; it is stopped, and this one takes its place. */
  start(before?: Schedule): void {
    // An instant that the timer is about to call is this one's.
    const after = Math.min(this.#context.clock.now(), (before?.next ?? Number.POSITIVE_INFINITY) - 1);
    before?.stop();
    this.#lastSlot = before ? before.#lastSlot : undefined;
    if (!this.#standing.paused) this.#enter(after);
    this.#standing.start(before?.options);
  }

  /** For good: aborts what is being read; nothing is sent any more. Resolves when the feed has ended. */
  stop(): Promise<void> {
    if (this.#ended) return this.#ended;
    this.#ended = this.#leave();
    this.#standing.stop();
    try {
      this.#feed.close?.();
    } catch {
      // What a feed throws must not keep the others running.
    }
    return this.#ended;
  }

  /** No ticks from now on; what is being read is dropped. */
  pause(): void {
    if (this.#standing.paused) return;
    this.#leave();
    this.#standing.pause();
  }

  resume(): void {
    if (!this.#standing.paused || this.#ended) return;
    this.#enter(this.#context.clock.now());
    this.#standing.resume();
  }

  /**
   * Makes and sends the tick of the newest due instant, also while paused, with nobody there, and
   * where the value is the same as before. Resolves when its outcome is known, which is in the entry;
   * who calls meanwhile shares the run.
   */
  run(): Promise<void> {
    this.#byHand ??= this.#runByHand().finally(() => {
      this.#byHand = undefined;
    });
    return this.#byHand;
  }

  /** Called by the timer. */
  due(due: number): void {
    // The turn of another schedule may have paused this one.
    if (!this.#slot || !this.#context.hub.anyone(this.options.rooms)) return;
    if (this.#source.running || this.#source.stuck) {
      this.#tally.overlapped();
      this.#context.report.overlapped(this.name);
    } else {
      this.#perform(due, false);
    }
  }

  /** Called by the timer. */
  passedOver(missed: Count): void {
    this.#tally.missed(missed);
    this.#context.report.missed(this.name, missed);
    this.#standing.leftOut(missed);
  }

  /** Called by the timer. Told at once, so that it is told also where the next instant is a day away. */
  stepped(ms: number): void {
    this.#failedDue = null;
    if (ms > 0) this.#standing.changed('clock');
    else if (this.#chain.setBack(this.next)) this.#standing.changed('clock');
  }

  /** The next due instant, milliseconds; null while paused and when it is over. */
  get next(): number | null {
    return this.#slot ? this.#context.timer.next(this.#slot) : null;
  }

  get state(): ScheduleState {
    return this.#standing.state;
  }

  entry(): ScheduleEntry {
    const { describedCadence, feedType, event, rooms } = this.options;
    const next: string[] = [];
    for (let at = this.next; at !== null && next.length < 3; at = this.cadence.next(at))
      next.push(instant(at));
    return {
      name: this.name,
      cadence: describedCadence,
      feed: { type: feedType },
      event,
      rooms,
      ...this.#standing.entry(),
      next,
      ...this.#tally.entry(),
    };
  }

  /** Newest first, from before the run with the number `before`. */
  runs(before: number, limit: number): RunEntry[] {
    return this.#tally.runs(before, limit);
  }

  /** Its `status` for who joins, unless it is `ok`. */
  status(room: string): RoomEvent | undefined {
    return this.#standing.status(room);
  }

  /**
   * The tick that is current in a room: the last one, which stays it while paused and through
   * instants that left it unchanged; otherwise made for the newest due instant, once for all who ask.
   * That changes no `previous` and tells nobody else.
   */
  current(room: string): CurrentTick {
    const now = this.#context.clock.now();
    const over = this.#slot === undefined;
    this.#chain.asked();
    const coming =
      this.#chain.current(now, over ? 'over' : this.next) ?? this.#source.coming ?? this.#makeCurrent(now);
    if (coming instanceof MadeTick) return { tick: coming.replay(room, over) };
    // A run shows its value only if it sends it.
    if (!coming || this.#source.running) this.#chain.owe();
    return coming ? { coming: this.#coming(coming, room) } : {};
  }

  /** Who gets no tick of its own has had a live one meanwhile, or is owed one. */
  async #coming(coming: Promise<MadeTick | undefined>, room: string): Promise<RoomEvent | undefined> {
    const { sends } = this.#chain;
    const made = await coming;
    if (!made && this.#chain.sends === sends) this.#chain.owe();
    return made?.replay(room, this.#slot === undefined);
  }

  #enter(after: number): void {
    this.#slot = this.#context.timer.add(this, { after, before: this.#lastSlot });
    this.#lastSlot = this.#slot;
  }

  #leave(): Promise<void> {
    if (this.#slot) this.#context.timer.remove(this.#slot);
    this.#slot = undefined;
    return this.#source.cancel();
  }

  async #runByHand(): Promise<void> {
    await this.#source.running;
    if (this.#ended) return;
    const now = this.#context.clock.now();
    const due = this.#newest(now) ?? now;
    if (this.#source.stuck) {
      const reason = new FeedError('timeout', 'the read before does not end, although aborted');
      this.#fail(this.#errand(due, true), reason);
    } else {
      await this.#perform(due, true);
    }
  }

  /** A computed value is sent on return, one that is read when this resolves. */
  #perform(due: number, manual: boolean): Promise<void> | undefined {
    const errand = this.#errand(due, manual);
    return this.#source.run(this.#chain.tick({ due, manual, next: this.next }), {
      value: (data, at) => this.#take(errand, data, at),
      failed: (error) => this.#fail(errand, error),
    });
  }

  #errand(due: number, manual: boolean): Errand {
    const { clock } = this.#context;
    return { due, manual, started: clock.now(), since: clock.monotonic() };
  }

  /** Throws where the value cannot be sent. */
  #take(errand: Errand, data: RoomData, at: number): void {
    const { when, rooms } = this.options;
    const { due, manual } = errand;
    const tookMs = this.#tookMs(errand);
    if (when === 'changed' && !manual && this.#chain.isUnchanged(data)) {
      this.#chain.extend(this.next);
      this.#standing.good();
      this.#ran(errand, tookMs, { ...NOTHING_SENT, outcome: 'unchanged', error: null });
      return;
    }
    const { event } = this.#keep(due, manual, data, at);
    if (this.#chain.goesBack(due)) this.#standing.changed('clock');
    const delivered = this.#context.hub.deliver({ rooms, event, data });
    const sent = delivered.connections > 0;
    if (sent) this.#chain.sent(due);
    const outcome = sent ? 'sent' : 'unheard';
    this.#ran(errand, tookMs, { ...delivered, sent: sent ? at : null, outcome, error: null });
  }

  #fail(errand: Errand, error: unknown): void {
    const tookMs = this.#tookMs(errand);
    const message = this.#failed(errand.due, error);
    this.#ran(errand, tookMs, { ...NOTHING_SENT, outcome: 'failed', error: message });
  }

  #tookMs({ since }: Errand): number {
    return this.#context.clock.monotonic() - since;
  }

  #ran({ due, manual, started }: Errand, tookMs: number, result: Result): void {
    const run = { due, manual, started, tookMs, ...result };
    this.#tally.ran(run);
    this.#context.report.ran(this.name, run);
  }

  /** Answers with the value for the newest due instant, or the promise of it. */
  #makeCurrent(now: number): MadeTick | Promise<MadeTick | undefined> | undefined {
    const due = this.#newest(now);
    if (!this.#slot || this.#source.open || due === null || due === this.#failedDue) return undefined;
    return this.#source.ask(this.#chain.tick({ due, manual: false, next: this.next }), {
      value: (data, at) => this.#keep(due, false, data, at),
      failed: (error) => this.#failed(due, error),
    });
  }

  /** Takes a value for the current one. Throws where it is too large. */
  #keep(due: number, manual: boolean, data: RoomData, at: number): MadeTick {
    const until = this.#slot ? this.next : this.cadence.next(at);
    // Made when the value is there: what was next when it was asked for may have passed.
    const made = this.#chain.make({ due, manual, next: this.next, until, data, at });
    this.#standing.good();
    return made;
  }

  #failed(due: number, error: unknown): string {
    const message = beginning(error instanceof Error ? error.message : String(error));
    this.#failedDue = due;
    this.#standing.failed(message, reasonOf(error));
    return message;
  }

  /**
   * The newest instant that was due: the one before the instant that the timer will call next,
   * which may have passed. After a change of cadence that may be one of the cadence before.
   */
  #newest(now: number): number | null {
    const next = this.next;
    const due = this.cadence.previous(next === null ? now : next - 1);
    return this.#chain.newest(due, now);
  }
}

/** A long message is cut between two characters, and ends with "…". */
function beginning(message: string): string {
  if (message.length <= MOST_MESSAGE_CHARACTERS) return message;
  const isSplit = /[\uD800-\uDBFF]/.test(message.charAt(MOST_MESSAGE_CHARACTERS - 1));
  const cut = message.slice(0, MOST_MESSAGE_CHARACTERS - (isSplit ? 1 : 0));
  // A copy: what `slice` gives would keep the whole message in memory.
  return `${Buffer.from(cut).toString()}…`;
}
