import { instant } from '../clock.ts';
import type { ComputedFeed } from '../feed/feed.ts';
import type { JsonText, RoomData, RoomEvent, Tick } from '../hub/event.ts';
import { type RoomMatcher, roomsMatcher } from '../hub/names.ts';
import type { Cadence } from './cadence.ts';
import type { RunEntry, ScheduleEntry, ScheduleState } from './entries.ts';
import { MadeTick } from './made-tick.ts';
import type { ScheduleContext, ScheduleOptions } from './options.ts';
import { Reader } from './reader.ts';
import type { Run } from './run-log.ts';
import { Standing } from './standing.ts';
import { Tally } from './tally.ts';
import type { MissedPolicy, Slot, Timed } from './timetable.ts';

/** What somebody who joins a room is told about one schedule: at most one of the two. */
export interface CurrentTick {
  readonly tick?: RoomEvent;
  /** As `CurrentTicksOfRoom.coming`. */
  readonly coming?: Promise<RoomEvent | undefined>;
}

/** A run under way. */
interface Errand {
  readonly due: number;
  readonly manual: boolean;
  readonly started: number;
}

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
  readonly #options: ScheduleOptions;
  readonly #context: ScheduleContext;
  readonly #standing: Standing;
  readonly #tally = new Tally();
  readonly #source: ComputedFeed | Reader<MadeTick>;
  /** Its place in the timetable; absent while paused or stopped. */
  #slot: Slot | undefined;
  #stopped = false;
  /** The `due` of the tick sent last: what the next one says in `previous`. */
  #sentDue: number | null = null;
  /** The newest instant whose value could not be had: joining does not try it again. */
  #failedDue: number | null = null;
  #made: MadeTick | undefined;
  /** The run by hand that is waited for; never rejects. */
  #byHand: Promise<void> | undefined;

  constructor(options: ScheduleOptions, context: ScheduleContext) {
    this.name = options.name;
    this.cadence = options.cadence;
    this.missed = options.missed;
    this.reaches = roomsMatcher(options.rooms);
    this.#options = options;
    this.#context = context;
    this.#standing = new Standing(options.paused ? 'paused' : 'ok', context.clock.now());
    const { feed, timeoutMs } = options;
    this.#source = 'compute' in feed ? feed : new Reader(context.clock, feed, timeoutMs);
  }

  start(): void {
    if (!this.#options.paused) this.#slot = this.#context.timetable.add(this);
  }

  /** For good: aborts what is being read; nothing is sent any more. */
  stop(): void {
    this.#stopped = true;
    this.#leave();
  }

  /** No ticks from now on; what is being read is dropped. */
  pause(): void {
    if (this.#standing.state === 'paused') return;
    this.#leave();
    this.#turn('paused', null);
  }

  resume(): void {
    if (this.#standing.state !== 'paused' || this.#stopped) return;
    this.#slot = this.#context.timetable.add(this);
    this.#turn('ok', null);
  }

  /**
   * Makes and sends the tick of the newest due instant, also while paused and with nobody there.
   * Resolves when its outcome is known, which is in the entry; who calls meanwhile shares the run.
   */
  run(): Promise<void> {
    this.#byHand ??= this.#runByHand().finally(() => {
      this.#byHand = undefined;
    });
    return this.#byHand;
  }

  /** Called by the timetable. */
  due(due: number): void {
    // The turn of another schedule may have paused this one.
    if (!this.#slot || !this.#context.hub.anyone(this.#options.rooms)) return;
    if (this.#reader?.running || this.#reader?.stuck) {
      this.#tally.overlapped();
      this.#context.report.overlapped(this.name);
    } else {
      this.#perform(due, false);
    }
  }

  /** Called by the timetable. */
  passedOver(count: number): void {
    this.#tally.missed(count);
    this.#context.report.missed(this.name, count);
  }

  /** The next due instant, milliseconds; null while paused and when it is over. */
  get next(): number | null {
    return this.#slot?.next ?? null;
  }

  entry(): ScheduleEntry {
    const { describedCadence, feedType, event, rooms } = this.#options;
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
    if (this.#standing.state === 'ok') return undefined;
    const time = instant(this.#context.clock.now());
    return { room, event: 'status', time, data: this.#standing.status(this.name) };
  }

  /**
   * The tick that is current in a room: the last one, which stays it while paused; otherwise made for
   * the newest due instant, once for all who ask. That changes no `previous` and tells nobody else.
   */
  current(room: string): CurrentTick {
    const now = this.#context.clock.now();
    if (this.#made && (!this.#slot || this.#made.isCurrent(now)))
      return { tick: this.#replay(this.#made, room) };
    const coming = this.#reader?.coming ?? this.#makeCurrent(now);
    if (coming instanceof MadeTick) return { tick: this.#replay(coming, room) };
    return coming ? { coming: coming.then((made) => made && this.#replay(made, room)) } : {};
  }

  #replay(made: MadeTick, room: string): RoomEvent {
    return made.replay(room, this.#slot === undefined);
  }

  #leave(): void {
    if (this.#slot) this.#context.timetable.remove(this.#slot);
    this.#slot = undefined;
    this.#reader?.cancel();
  }

  async #runByHand(): Promise<void> {
    await this.#reader?.running;
    if (this.#stopped) return;
    const now = this.#context.clock.now();
    const due = this.#newest(now) ?? now;
    if (this.#reader?.stuck) {
      this.#fail(
        { due, manual: true, started: now },
        new Error('the read before does not end, although aborted'),
      );
    } else {
      await this.#perform(due, true);
    }
  }

  /** Never throws or rejects. A computed value is sent on return, one that is read when this resolves. */
  #perform(due: number, manual: boolean): Promise<void> | undefined {
    const { clock } = this.#context;
    const errand: Errand = { due, manual, started: clock.now() };
    const tick = this.#tick(due, manual);
    const failed = (error: unknown) => this.#fail(errand, error);
    if (this.#source instanceof Reader) {
      // Built anew when the value is there: what was next may have passed.
      const value = (data: JsonText) => this.#send(errand, this.#tick(due, manual), data, clock.now());
      return this.#source.run(tick, { value, failed });
    }
    try {
      this.#send(errand, tick, this.#source.compute(tick, errand.started), errand.started);
    } catch (error) {
      failed(error);
    }
    return undefined;
  }

  /** Throws where the value cannot be sent. */
  #send(errand: Errand, tick: Tick, data: RoomData, at: number): void {
    const { due } = errand;
    const made = this.#keep(due, tick, data, at);
    if (this.#sentDue !== null && due < this.#sentDue) {
      this.#tell(this.#standing.changed(this.name, 'the clock was set back', at), at);
    }
    const { rooms } = this.#options;
    const delivered = this.#context.hub.deliver({ rooms, event: made.event, data });
    const sent = delivered.connections > 0;
    if (sent) this.#sentDue = due;
    const outcome = sent ? 'sent' : 'unheard';
    this.#ran({ ...errand, ...delivered, sent: sent ? at : null, outcome, error: null });
  }

  #fail(errand: Errand, error: unknown): void {
    const message = this.#failed(errand.due, error);
    const nothing = { sent: null, rooms: 0, connections: 0, bytes: 0 };
    this.#ran({ ...errand, ...nothing, outcome: 'failed', error: message });
  }

  #ran(run: Run): void {
    this.#tally.ran(run);
    this.#context.report.ran(this.name, run);
  }

  /** Answers with the value for the newest due instant, or the promise of it. */
  #makeCurrent(now: number): MadeTick | Promise<MadeTick | undefined> | undefined {
    const due = this.#newest(now);
    if (!this.#slot || this.#reader?.open || due === null || due === this.#failedDue) return undefined;
    const tick = this.#tick(due, false);
    const failed = (error: unknown) => void this.#failed(due, error);
    if (this.#source instanceof Reader) {
      const value = (data: JsonText) =>
        this.#keep(due, this.#tick(due, false), data, this.#context.clock.now());
      return this.#source.ask(tick, { value, failed });
    }
    try {
      return this.#keep(due, tick, this.#source.compute(tick, now), now);
    } catch (error) {
      failed(error);
      return undefined;
    }
  }

  /** Takes a value for the current one. Throws where it is too large. */
  #keep(due: number, tick: Tick, data: RoomData, at: number): MadeTick {
    const { event } = this.#options;
    const until = this.#slot ? this.#slot.next : this.cadence.next(at);
    const made = new MadeTick({ event, tick, data, at, due, until }, this.#context.eventBytes);
    this.#made = made;
    this.#standing.lastGood = at;
    if (this.#standing.state !== 'paused') this.#turn('ok', null);
    return made;
  }

  #failed(due: number, error: unknown): string {
    const message = error instanceof Error ? error.message : String(error);
    this.#failedDue = due;
    if (this.#standing.state !== 'paused') this.#turn('error', message);
    return message;
  }

  #turn(state: ScheduleState, detail: string | null): void {
    const now = this.#context.clock.now();
    if (!this.#standing.turn(state, detail, now)) return;
    this.#tell(this.#standing.status(this.name), now);
    this.#context.report.turned(this.name, state, detail);
  }

  /** Sends a `status` to the rooms. */
  #tell(data: JsonText, now: number): void {
    const event = { event: 'status', time: instant(now) };
    this.#context.hub.deliver({ rooms: this.#options.rooms, event, data });
  }

  get #reader(): Reader<MadeTick> | undefined {
    return this.#source instanceof Reader ? this.#source : undefined;
  }

  /** The newest instant that was due; not yet the one that the timetable is about to call for. */
  #newest(now: number): number | null {
    const next = this.next;
    return this.cadence.previous(next === null ? now : Math.min(now, next - 1));
  }

  #tick(due: number, manual: boolean): Tick {
    return {
      schedule: this.name,
      due: instant(due),
      previous: instantOrNull(this.#sentDue),
      next: instantOrNull(this.next),
      ...(this.cadence.seq && { seq: this.cadence.seq(due) }),
      ...(manual && { manual }),
    };
  }
}

function instantOrNull(unixMs: number | null): string | null {
  return unixMs === null ? null : instant(unixMs);
}
