import type { Cancel, Clock } from '../clock.ts';
import { isExact, type RoomMatcher, roomsMatcher } from './event.ts';
import { type Lock, Room } from './room.ts';

export interface RoomsOptions {
  readonly clock: Clock;
  /** How long an empty room is remembered; looked at anew each time. */
  readonly emptyRoomMs: number;
  /** Whether ticks in a room may be replaced by newer ones for who does not keep up. */
  readonly conflates: (room: string) => boolean;
  /** Hears of each room that has come to exist. */
  readonly onRoomMade?: (room: string) => void;
  /** Hears of each room that has ceased to exist, until `clear`. */
  readonly onRoomEnded?: (room: string) => void;
}

/** The rooms that some patterns describe, kept up to date as rooms come and go. */
interface Selection {
  readonly matches: RoomMatcher;
  readonly rooms: Set<Room>;
}

/** So many lists of patterns are indexed; beyond that the one that was indexed first is forgotten. */
const MAX_SELECTIONS = 1024;

/**
 * The rooms there are. A room appears when somebody joins, stays a little while when the last one
 * has left, so that a reload of a page does not make it anew, and as long as it is locked.
 */
export class Rooms {
  readonly #options: RoomsOptions;
  readonly #byName = new Map<string, Room>();
  readonly #forgetting = new Map<string, Cancel>();
  /** By the patterns: a schedule asks for the same ones at each tick. */
  readonly #selections = new Map<string, Selection>();

  constructor(options: RoomsOptions) {
    this.#options = options;
  }

  get size(): number {
    return this.#byName.size;
  }

  [Symbol.iterator](): IterableIterator<Room> {
    return this.#byName.values();
  }

  get(name: string): Room | undefined {
    return this.#byName.get(name);
  }

  /** The lock that is on a room now. */
  lockOf(name: string): Lock | undefined {
    const room = this.#byName.get(name);
    // The timer that takes a lock off may be late: the clock decides.
    if (room?.lock && room.lock.endsAtMs <= this.#options.clock.monotonic()) this.unlock(room);
    return room?.lock;
  }

  /** The room of that name, made if it is not there. */
  open(name: string): Room {
    this.#keep(name);
    let room = this.#byName.get(name);
    if (!room) {
      room = new Room(name, this.#options.clock.now(), this.#options.conflates);
      this.#byName.set(name, room);
      for (const selection of this.#selections.values()) {
        if (selection.matches(name)) selection.rooms.add(room);
      }
      this.#options.onRoomMade?.(name);
    }
    return room;
  }

  /**
   * The rooms that any of the patterns describes, each once. Looks through all rooms the first time
   * that these patterns are asked for, and then keeps an index of them.
   */
  matching(patterns: readonly string[]): Iterable<Room> {
    if (patterns.every(isExact)) {
      return [...new Set(patterns)].flatMap((name) => this.#byName.get(name) ?? []);
    }
    const key = patterns.join(' ');
    return (this.#selections.get(key) ?? this.#select(key, patterns)).rooms;
  }

  #select(key: string, patterns: readonly string[]): Selection {
    const matches = roomsMatcher(patterns);
    const rooms = new Set([...this.#byName.values()].filter(({ name }) => matches(name)));
    const selection = { matches, rooms };
    const [oldest] = this.#selections.keys();
    if (this.#selections.size >= MAX_SELECTIONS && oldest !== undefined) this.#selections.delete(oldest);
    this.#selections.set(key, selection);
    return selection;
  }

  /** Shuts a room that is about to be empty until the lock ends. */
  lock(room: Room, lock: Lock): void {
    this.#keep(room.name);
    room.lock = lock;
    const { clock } = this.#options;
    this.#later(room, lock.endsAtMs - clock.monotonic(), () => {
      // A timer may fire early, and one of more than 24 days does.
      if (room.lock === lock && lock.endsAtMs > clock.monotonic()) this.lock(room, lock);
      else this.unlock(room);
    });
  }

  /** Takes the lock off; the room, empty as it is, goes. */
  unlock(room: Room): void {
    room.lock = undefined;
    this.forget(room);
  }

  /** To be called when somebody left: an empty room goes after a while. */
  left(room: Room): void {
    if (room.members.size > 0 || room.lock) return;
    this.#keep(room.name);
    this.#later(room, this.#options.emptyRoomMs, () => this.forget(room));
  }

  forget(room: Room): void {
    this.#keep(room.name);
    if (room.members.size > 0 || this.#byName.get(room.name) !== room) return;
    this.#byName.delete(room.name);
    for (const { rooms } of this.#selections.values()) rooms.delete(room);
    this.#options.onRoomEnded?.(room.name);
  }

  /** Forgets all rooms, and leaves no timer behind. */
  clear(): void {
    for (const cancel of this.#forgetting.values()) cancel();
    this.#forgetting.clear();
    this.#byName.clear();
    this.#selections.clear();
  }

  #later(room: Room, delayMs: number, what: () => void): void {
    this.#forgetting.set(room.name, this.#options.clock.after(delayMs, what));
  }

  #keep(name: string): void {
    this.#forgetting.get(name)?.();
    this.#forgetting.delete(name);
  }
}
