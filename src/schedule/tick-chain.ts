import { instant } from '../clock.ts';
import { FeedError } from '../feed/feed.ts';
import type { RoomData, RoomEvent, Tick } from '../hub/event.ts';
import type { ScheduleOptions } from './options.ts';

/** No room's name is longer, so data that differs by room is at its largest with this one. */
const MAX_ROOM_NAME = 'x'.repeat(128);

/** For so many rooms the replay of a current tick is kept; one connection may not be in more. */
const MAX_REPLAYS = 256;

/** A tick before it has a value. */
export interface DueTick {
  readonly tick: Tick;
  readonly dueMs: number;
  /** The next due instant; null: there is none. */
  readonly nextMs: number | null;
}

/**
 * The ticks of one schedule: each names the one sent before it, and the newest is kept for clients that
 * join. Instants are milliseconds since the epoch.
 */
export class TickChain {
  readonly #options: ScheduleOptions;
  /** The due instant of the tick sent last. */
  #sentDueMs: number | null = null;
  #sentCount = 0;
  #newest: CurrentTick | undefined;
  /**
   * A tick that is not current any more: the last one of the chain before, or from before the clock was set
   * back.
   */
  #outdated: CurrentTick | undefined;
  /** The clock was set back, a `status` said so, and no tick was sent since. */
  #isSetBack = false;
  /**
   * A client asked for the current tick since the last tick was sent: that client may not have the `status`
   * about the clock.
   */
  #wasRequested = false;
  /** The last value that each client here was shown, live or on joining, is that of `#newest`. */
  #isShownToAll = false;

  /** `before`: the chain that this one continues; its newest tick is not current any more. */
  constructor(options: ScheduleOptions, before?: TickChain) {
    this.#options = options;
    if (!before) return;
    this.#sentDueMs = before.#sentDueMs;
    this.#newest = before.#newest;
    this.#outdated = before.#newest;
    this.#isSetBack = before.#isSetBack;
    this.#wasRequested = before.#wasRequested;
  }

  /** The tick of an instant, as it would be sent now. */
  tick(dueMs: number, manual: boolean, nextMs: number | null): DueTick {
    const { name, cadence, when } = this.#options;
    const tick = {
      schedule: name,
      due: instant(dueMs),
      previous: instantOrNull(this.#sentDueMs),
      next: instantOrNull(nextMs),
      ...(cadence.seq && { seq: cadence.seq(dueMs) }),
      ...(manual && { manual }),
      ...(when === 'changed' && { when }),
    };
    return { tick, dueMs, nextMs };
  }

  /** From now on this is the newest tick. */
  keep(current: CurrentTick): void {
    this.#isShownToAll &&= this.#newest?.data === current.data;
    this.#newest = current;
  }

  /** The tick of this instant went to at least one client. */
  sent(dueMs: number): void {
    this.#sentDueMs = dueMs;
    this.#sentCount++;
    this.#isShownToAll = true;
    this.#isSetBack = false;
    this.#wasRequested = false;
  }

  /** How many ticks were sent. */
  get sentCount(): number {
    return this.#sentCount;
  }

  /** A client asks for the current tick: that client may need a `status` of `changed` before the next tick. */
  requested(): void {
    this.#wasRequested = true;
  }

  /** A client here was not shown the newest value: the next value is sent, even if it is the same. */
  notShown(): void {
    this.#isShownToAll = false;
  }

  /** Whether every client here was shown this value last. Data that differs by room is never unchanged. */
  isUnchanged(data: RoomData): boolean {
    return this.#isShownToAll && typeof data === 'string' && data === this.#newest?.data;
  }

  /** The newest tick stays the current one until `untilMs`: clients that join meanwhile need no read. */
  extend(untilMs: number | null): void {
    if (this.#newest) this.#newest.untilMs = untilMs;
  }

  /** The instant, or that of the tick sent last if it is newer and not from before a step of the clock back. */
  newestDue(dueMs: number | null, nowMs: number): number | null {
    const sentMs = this.#sentDueMs;
    return sentMs !== null && sentMs <= nowMs && (dueMs === null || dueMs < sentMs) ? sentMs : dueMs;
  }

  /**
   * The clock was set back, and `nextMs` is what is due now. Returns whether viewers need a `status` of
   * `changed`: whether an instant comes again whose tick was sent.
   */
  setBack(nextMs: number | null): boolean {
    if (nextMs === null) return false;
    // The tick does not become current again when its time comes again.
    if (this.#newest && this.#newest.dueMs >= nextMs) this.#outdated = this.#newest;
    const comesAgain = this.#sentDueMs !== null && this.#sentDueMs >= nextMs;
    this.#isSetBack ||= comesAgain;
    return comesAgain;
  }

  /**
   * Whether a `status` of `changed` has to precede the tick of this instant, because the clock was set back
   * and the tick is older than the last one that was sent. Once that `status` was sent, only if a client
   * has joined since.
   */
  needsChangedStatus(dueMs: number): boolean {
    if (this.#isSetBack) return this.#wasRequested;
    return this.#sentDueMs !== null && dueMs < this.#sentDueMs;
  }

  /** The current tick, `undefined` if its value is not here; `nextMs`: the next due instant. */
  current(nowMs: number, nextMs: number | null): CurrentTick | undefined {
    const newest = this.#newest;
    // Where another instant is next than it was, the clock was set.
    const isCurrent = newest?.untilMs === nextMs && (nextMs === null || nowMs < nextMs);
    return isCurrent && newest !== this.#outdated ? newest : undefined;
  }

  /** The newest tick, however old: the current one while paused. */
  get newest(): CurrentTick | undefined {
    return this.#newest;
  }
}

/** A tick with its value: sent now, and shown to clients that join later. */
export class CurrentTick {
  /** As it goes into every room. */
  readonly event: Omit<RoomEvent, 'room' | 'data' | 'id'> & { readonly tick: Tick };
  readonly data: RoomData;
  readonly dueMs: number;
  /** When the tick stops being the current one; null for never. */
  untilMs: number | null;
  /** By room, all with `#replayedTick`. */
  readonly #replays = new Map<string, RoomEvent>();
  /** The tick with `#replayedNextMs` as what is next. */
  #replayedTick: Tick;
  #replayedNextMs: number | null | undefined;

  /** `atMs`: when the value came. Throws a `FeedError` where the data has more than `maxBytes`. */
  constructor(
    event: string,
    { tick, dueMs }: DueTick,
    value: { data: RoomData; atMs: number; untilMs: number | null; maxBytes: number },
  ) {
    const { data, atMs, untilMs, maxBytes } = value;
    const bytes = Buffer.byteLength(inRoom(data, MAX_ROOM_NAME));
    if (bytes > maxBytes) {
      const message = `${bytes} bytes of data are too many: limits.eventBytes is ${maxBytes}`;
      throw new FeedError('too-large', message);
    }
    this.event = { event, time: instant(atMs), tick };
    this.data = data;
    this.dueMs = dueMs;
    this.untilMs = untilMs;
    this.#replayedTick = tick;
  }

  /**
   * The event for a client that joins later; `isOver`: nothing is due after it, as while paused. Where the
   * data is the same for all rooms, all clients that join a room get the same object, which is so encoded
   * once for a storm of them.
   */
  replay(room: string, isOver: boolean): RoomEvent {
    const nextMs = isOver ? null : this.untilMs;
    if (nextMs !== this.#replayedNextMs) {
      this.#replays.clear();
      this.#replayedNextMs = nextMs;
      this.#replayedTick = { ...this.event.tick, next: instantOrNull(nextMs) };
    }
    const known = this.#replays.get(room);
    if (known) return known;
    const tick = this.#replayedTick;
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
