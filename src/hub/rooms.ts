import type { Cancel, Clock } from '../clock.ts';
import { isExact, roomsMatcher } from './names.ts';
import { type Lock, Room } from './room.ts';

export interface RoomsOptions {
  readonly clock: Clock;
  /** How long an empty room is remembered; looked at anew each time. */
  readonly emptyRoomMs: number;
  /** Whether ticks in a room may be replaced by newer ones for who does not keep up. */
  readonly conflates: (room: string) => boolean;
}

/**
 * The rooms there are. A room appears when somebody joins, stays a little while when the last one
 * has left, so that a reload of a page does not make it anew, and as long as it is locked.
 */
export class Rooms {
  readonly #options: RoomsOptions;
  readonly #byName = new Map<string, Room>();
  readonly #forgetting = new Map<string, Cancel>();

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
    if (room?.lock && room.lock.untilMs <= this.#options.clock.now()) this.unlock(room);
    return room?.lock;
  }

  /** The room of that name, made if it is not there. */
  open(name: string): Room {
    this.#keep(name);
    let room = this.#byName.get(name);
    if (!room) {
      room = new Room(name, this.#options.clock.now(), this.#options.conflates);
      this.#byName.set(name, room);
    }
    return room;
  }

  /** The rooms that any of the patterns describes, each once. */
  matching(patterns: readonly string[]): Room[] {
    if (patterns.every(isExact)) {
      const names = [...new Set(patterns)];
      return names.map((name) => this.#byName.get(name)).filter((room) => room !== undefined);
    }
    const matches = roomsMatcher(patterns);
    return [...this.#byName.values()].filter((room) => matches(room.name));
  }

  /** Shuts a room that is about to be empty until the lock ends. */
  lock(room: Room, lock: Lock): void {
    this.#keep(room.name);
    room.lock = lock;
    this.#later(room, lock.untilMs - this.#options.clock.now(), () => {
      if (room.lock === lock && lock.untilMs > this.#options.clock.now()) this.lock(room, lock);
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
    if (room.members.size === 0) this.#byName.delete(room.name);
  }

  /** Forgets all rooms, and leaves no timer behind. */
  clear(): void {
    for (const cancel of this.#forgetting.values()) cancel();
    this.#forgetting.clear();
    this.#byName.clear();
  }

  #later(room: Room, delayMs: number, what: () => void): void {
    this.#forgetting.set(room.name, this.#options.clock.after(delayMs, what));
  }

  #keep(name: string): void {
    this.#forgetting.get(name)?.();
    this.#forgetting.delete(name);
  }
}
