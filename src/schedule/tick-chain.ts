import { instant } from '../clock.ts';
import { FeedError } from '../feed/feed.ts';
import type { RoomData, RoomEvent, Tick } from '../hub/event.ts';
import type { ScheduleOptions } from './options.ts';

/** No room's name is longer, so data that differs by room is at its largest with this one. */
const LONGEST_ROOM = 'x'.repeat(128);

/** For so many rooms the event of a current tick is kept: more than one connection may be in. */
const MAX_REPLAYS = 256;

/** A tick before it has a value; instants in milliseconds. */
export interface DueTick {
  readonly tick: Tick;
  readonly due: number;
  /** What is due after it; null: nothing. */
  readonly next: number | null;
}

/**
 * The ticks of one schedule: each names the one sent before it, and the newest is kept for clients that
 * join. Instants in milliseconds.
 */
export class TickChain {
  readonly #options: ScheduleOptions;
  /** The `due` of the tick sent last. */
  #sentDue: number | null = null;
  /** How many ticks were sent. */
  #sentCount = 0;
  #newest: CurrentTick | undefined;
  /** Not current any more: the last tick of the chain before, or from before the clock was set back. */
  #outdated: CurrentTick | undefined;
  /** The clock was set back, a `status` said so, and no tick was sent since. */
  #isSetBack = false;
  /** A client asked for the current tick since the last one was sent: it may not have that `status`. */
  #wasRequested = false;
  /** Whether every client here was shown the value of `#newest` last, live or on joining. */
  #isShownToAll = false;

  /** `before`: the chain that this one continues; what was current in it is not any more. */
  constructor(options: ScheduleOptions, before?: TickChain) {
    this.#options = options;
    if (!before) return;
    this.#sentDue = before.#sentDue;
    this.#newest = before.#newest;
    this.#outdated = before.#newest;
    this.#isSetBack = before.#isSetBack;
    this.#wasRequested = before.#wasRequested;
  }

  /** The tick of an instant, as it would be sent now. */
  tick(due: number, manual: boolean, next: number | null): DueTick {
    const { name, cadence } = this.#options;
    const tick = {
      schedule: name,
      due: instant(due),
      previous: instantOrNull(this.#sentDue),
      next: instantOrNull(next),
      ...(cadence.seq && { seq: cadence.seq(due) }),
      ...(manual && { manual }),
    };
    return { tick, due, next };
  }

  /** A tick with its value is the newest from now on. */
  keep(current: CurrentTick): void {
    this.#isShownToAll &&= this.#newest?.data === current.data;
    this.#newest = current;
  }

  /** The tick of this instant went to at least one client. */
  sent(due: number): void {
    this.#sentDue = due;
    this.#sentCount++;
    this.#isShownToAll = true;
    this.#isSetBack = false;
    this.#wasRequested = false;
  }

  get sentCount(): number {
    return this.#sentCount;
  }

  /** A client asks for the current tick: what is sent next has to make sense to it as well. */
  requested(): void {
    this.#wasRequested = true;
  }

  /** A client here has not been shown the value: the next one is sent, even if it is the same as before. */
  notShown(): void {
    this.#isShownToAll = false;
  }

  /** Whether every client has this value. Data that differs by room cannot be compared, and is new. */
  isUnchanged(data: RoomData): boolean {
    return this.#isShownToAll && typeof data === 'string' && data === this.#newest?.data;
  }

  /** The newest one stays the current one until then: clients that join meanwhile need no read. */
  extend(until: number | null): void {
    if (this.#newest) this.#newest.until = until;
  }

  /** The instant, or the one sent last if that is newer and not from before a step of the clock back. */
  newestDue(due: number | null, now: number): number | null {
    const sent = this.#sentDue;
    return sent !== null && sent <= now && (due === null || due < sent) ? sent : due;
  }

  /**
   * The clock was set back, and `next` is what is due now. Returns whether viewers need a `status` of
   * `changed`: whether something comes again that was sent.
   */
  setBack(next: number | null): boolean {
    if (next === null) return false;
    // It does not become current again when that time has come again.
    if (this.#newest && this.#newest.due >= next) this.#outdated = this.#newest;
    const comesAgain = this.#sentDue !== null && this.#sentDue >= next;
    this.#isSetBack ||= comesAgain;
    return comesAgain;
  }

  /**
   * Whether a `status` of `changed` has to precede the tick of this instant, because the clock was set back
   * and the tick is older than the last one that was sent. Once that is told, only if a client has asked since.
   */
  needsChangedStatus(due: number): boolean {
    if (this.#isSetBack) return this.#wasRequested;
    return this.#sentDue !== null && due < this.#sentDue;
  }

  /** The current one, if it is there; `next`: what is due next. */
  current(now: number, next: number | null): CurrentTick | undefined {
    const newest = this.#newest;
    // Where another instant is next than it was, the clock was set.
    const isCurrent = newest?.until === next && (next === null || now < next);
    return isCurrent && newest !== this.#outdated ? newest : undefined;
  }

  /** The newest one, however old: the current one while paused. */
  get newest(): CurrentTick | undefined {
    return this.#newest;
  }
}

/** A tick with its value: sent now, and shown to clients that join later. */
export class CurrentTick {
  /** As it goes into every room. */
  readonly event: Omit<RoomEvent, 'room' | 'data' | 'id'> & { readonly tick: Tick };
  readonly data: RoomData;
  readonly due: number;
  /** When it stops being the current one; null for never. */
  until: number | null;
  /** By room, all with `#replayedNext` as what is next. */
  readonly #replays = new Map<string, RoomEvent>();
  #replayedNext: number | null | undefined;

  /** `at`: when the value came. Throws a `FeedError` where the data has more than `maxBytes`. */
  constructor(
    event: string,
    { tick, due }: DueTick,
    { data, at, until, maxBytes }: { data: RoomData; at: number; until: number | null; maxBytes: number },
  ) {
    const bytes = Buffer.byteLength(inRoom(data, LONGEST_ROOM));
    if (bytes > maxBytes) {
      const message = `${bytes} bytes of data are too many: limits.eventBytes is ${maxBytes}`;
      throw new FeedError('too-large', message);
    }
    this.event = { event, time: instant(at), tick };
    this.data = data;
    this.due = due;
    this.until = until;
  }

  /**
   * The event for a client that joins later; `isOver`: nothing is due after it, as while paused. Where the
   * data is the same for all rooms it is the same object for all that join a room meanwhile, so that it
   * is encoded once for a storm of them.
   */
  replay(room: string, isOver: boolean): RoomEvent {
    const next = isOver ? null : this.until;
    if (next !== this.#replayedNext) this.#replays.clear();
    this.#replayedNext = next;
    const known = this.#replays.get(room);
    if (known) return known;
    const tick = { ...this.event.tick, next: instantOrNull(next) };
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
