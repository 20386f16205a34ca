import { instant } from '../clock.ts';
import { FeedError } from '../feed/feed.ts';
import type { RoomData, RoomEvent, Tick } from '../hub/event.ts';
import type { ScheduleContext, ScheduleOptions } from './options.ts';

/** No room's name is longer, so data that differs by room is at its largest with this one. */
const LONGEST_ROOM = 'x'.repeat(128);

/** For so many rooms the event of a current tick is kept: as many as one connection may be in, and some. */
const MAX_REPLAYS = 256;

/** What somebody who joins a room is told about one schedule: at most one of the two. */
export interface CurrentTick {
  readonly tick?: RoomEvent;
  /** As `CurrentTicksOfRoom.coming`. */
  readonly coming?: Promise<RoomEvent | undefined>;
}

/** A value as the tick of an instant; instants in milliseconds. */
interface Making {
  readonly due: number;
  readonly manual: boolean;
  /** What is due after it; null: nothing. */
  readonly next: number | null;
  /** When it ceases to be the current one; null for never. */
  readonly until: number | null;
  readonly data: RoomData;
  /** When the value was had. */
  readonly at: number;
}

/**
 * The ticks of one schedule: each names the one sent before it, and the last one is there for those
 * who join. Instants in milliseconds.
 */
export class Chain {
  readonly #options: ScheduleOptions;
  readonly #context: ScheduleContext;
  /** The `due` of the tick sent last. */
  #sentDue: number | null = null;
  #last: MadeTick | undefined;
  /** The last one of the chain before. */
  #inherited: MadeTick | undefined;
  /** How many ticks went out. */
  sends = 0;
  /** A step of the clock back was told, and no tick went out since. */
  #isSetBack = false;
  /** Whether a client asked for the current tick since the last one went out: it may not have heard that. */
  #wasAsked = false;
  /** Whether the value of `#last` is what everybody here was shown last, live or on joining. */
  #shown = false;

  /** `before`: the chain that this one goes on from; what was current in it is not any more. */
  constructor(options: ScheduleOptions, context: ScheduleContext, before?: Chain) {
    this.#options = options;
    this.#context = context;
    if (!before) return;
    this.#sentDue = before.#sentDue;
    this.#last = before.#last;
    this.#inherited = before.#last;
    this.#isSetBack = before.#isSetBack;
    this.#wasAsked = before.#wasAsked;
  }

  /** The tick of an instant, as it would be sent now. */
  tick({ due, manual, next }: Pick<Making, 'due' | 'manual' | 'next'>): Tick {
    const { name, cadence } = this.#options;
    return {
      schedule: name,
      due: instant(due),
      previous: instantOrNull(this.#sentDue),
      next: instantOrNull(next),
      ...(cadence.seq && { seq: cadence.seq(due) }),
      ...(manual && { manual }),
    };
  }

  /** Makes a tick, which is the last one from now on. Throws where its data is too large. */
  make(making: Making): MadeTick {
    const { event } = this.#options;
    const made = new MadeTick(event, this.tick(making), making, this.#context.eventBytes());
    this.#shown &&= this.#last?.data === making.data;
    this.#last = made;
    return made;
  }

  /** The last one went to somebody. */
  sent(due: number): void {
    this.#sentDue = due;
    this.#shown = true;
    this.#isSetBack = false;
    this.#wasAsked = false;
    this.sends++;
  }

  /** Somebody here has not been shown a value: the next one goes out, even if it is the same as before. */
  owe(): void {
    this.#shown = false;
  }

  /** The instant, or the one sent last if that is newer and not from before a step of the clock back. */
  newest(due: number | null, now: number): number | null {
    const sent = this.#sentDue;
    return sent !== null && sent <= now && (due === null || due < sent) ? sent : due;
  }

  /** A client joined or asks: what is sent next has to make sense to it as well. */
  asked(): void {
    this.#wasAsked = true;
  }

  /**
   * The clock was set back, and `next` is what is due now. Answers whether viewers have to be told:
   * whether something comes again that was sent.
   */
  setBack(next: number | null): boolean {
    if (next === null) return false;
    // What was current by the old time is not any more, not even when that time has come again.
    if (this.#last && this.#last.due >= next) this.#inherited = this.#last;
    const again = this.#sentDue !== null && this.#sentDue >= next;
    this.#isSetBack ||= again;
    return again;
  }

  /** Whether viewers have to be told, before the tick of this instant, that the clock was set back. */
  goesBack(due: number): boolean {
    if (this.#isSetBack) return this.#wasAsked;
    return this.#sentDue !== null && due < this.#sentDue;
  }

  /** Whether everybody has this value. Data that differs by room cannot be compared, and is new. */
  isUnchanged(data: RoomData): boolean {
    return this.#shown && typeof data === 'string' && data === this.#last?.data;
  }

  /** The last one stays the current one: who joins meanwhile needs no read. */
  extend(until: number | null): void {
    if (this.#last) this.#last.until = until;
  }

  /**
   * The current one, if it is there. `next`: what is due next; `over`: nothing any more, as while
   * paused, and any will do.
   */
  current(now: number, next: number | null | 'over'): MadeTick | undefined {
    if (next === 'over') return this.#last;
    return this.#last !== this.#inherited && this.#last?.isCurrent(now, next) ? this.#last : undefined;
  }
}

/** A tick with its value, to be sent now and shown to who comes later. */
export class MadeTick {
  /** As it goes into every room. */
  readonly event: Omit<RoomEvent, 'room' | 'data' | 'id'>;
  readonly data: RoomData;
  /** When it ceases to be the current one; null for never. */
  until: number | null;
  readonly due: number;
  readonly #tick: Tick;

  /** By room, all with this `next`. */
  readonly #replays = new Map<string, RoomEvent>();
  #replayedNext: number | null | undefined;

  constructor(event: string, tick: Tick, making: Making, eventBytes: number) {
    const bytes = Buffer.byteLength(inRoom(making.data, LONGEST_ROOM));
    if (bytes > eventBytes) {
      const message = `${bytes} bytes of data are too many: limits.eventBytes is ${eventBytes}`;
      throw new FeedError('too-large', message);
    }
    this.event = { event, time: instant(making.at), tick };
    this.data = making.data;
    this.until = making.until;
    this.#tick = tick;
    this.due = making.due;
  }

  /** Whether no newer instant has come; where another one is next than it was, the clock was set. */
  isCurrent(now: number, next: number | null): boolean {
    return this.until === next && (next === null || now < next);
  }

  /**
   * The event for a client that joins later; `over`: nothing is due after it, as while paused. Where the
   * data is the same for all rooms it is the same object for all that join a room meanwhile, so that it
   * is encoded once for a storm of them.
   */
  replay(room: string, over: boolean): RoomEvent {
    const next = over ? null : this.until;
    if (next !== this.#replayedNext) this.#replays.clear();
    this.#replayedNext = next;
    const known = this.#replays.get(room);
    if (known) return known;
    const tick = { ...this.#tick, next: instantOrNull(next) };
    const event: RoomEvent = { room, ...this.event, data: inRoom(this.data, room), tick, replay: true };
    if (typeof this.data === 'string' && this.#replays.size < MAX_REPLAYS) this.#replays.set(room, event);
    return event;
  }
}

function inRoom(data: RoomData, room: string): string {
  return typeof data === 'string' ? data : data(room);
}

function instantOrNull(unixMs: number | null): string | null {
  return unixMs === null ? null : instant(unixMs);
}
