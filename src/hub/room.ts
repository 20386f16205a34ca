import type { Cancel, Clock } from '../clock.ts';
import type { CloseReason } from '../protocol/close-reason.ts';
import { inSlices } from './backpressure.ts';
import type { Connection } from './connection.ts';
import type { Refusal } from './errors.ts';
import { isExact, type RoomData, type RoomEvent, type RoomMatcher, roomsMatcher } from './event.ts';
import type { FlushScheduler } from './flush-scheduler.ts';
import { Encoding, type SizedText, sizedTexts, type Transport } from './frame.ts';
import { type CloseRoom, type Lock, lockedRefusal, lockedUntil, roomClosed } from './lock.ts';
import type { CurrentSettings } from './settings.ts';

export interface RoomClosed {
  readonly room: string;
  /** How many members the room had. */
  readonly connections: number;
  /** RFC 3339; null: not locked. */
  readonly lockedUntil: string | null;
}

/** An event for the members of rooms on this node, now: a tick or a schedule's status. */
export interface Delivery {
  /** Room patterns. */
  readonly rooms: readonly string[];
  readonly event: Omit<RoomEvent, 'room' | 'data' | 'id'>;
  readonly data: RoomData;
}

/** What a delivery reached. `bytes`: queued for all connections together; a slow client may be sent less. */
export interface Delivered {
  readonly rooms: number;
  readonly connections: number;
  readonly bytes: number;
}

/** What a room has to know of an event beside the event itself. */
export interface RoomDelivery {
  /**
   * For a message: its position in the log, and the ids of connections that do not get it. A member that
   * has been served up to this position gets nothing.
   */
  readonly above?: { readonly position: number; readonly except: ReadonlySet<string> };
  /** The event as JSON, where it is known already. */
  readonly sized?: SizedText | undefined;
}

/** A room and its members. A room exists while it has a member or a lock, and for a while afterwards. */
export class Room {
  readonly name: string;
  readonly createdAtMs: number;
  /** To be changed by `add` and `remove` only. */
  readonly members = new Set<Connection>();
  readonly byTransport: Record<Transport, number> = { websocket: 0, sse: 0 };
  lock: Lock | undefined;
  /** Cancels the timer that ends the lock or forgets the room. */
  cancelTimer: Cancel | undefined;
  readonly #settings: CurrentSettings;
  /** Connections of each user here; made with the first user, since most rooms have none. */
  #byUser: Map<string, number> | undefined;
  /** The set with this room's name alone, which members share that are in no other room. */
  readonly #alone: Set<string>;

  constructor(name: string, createdAtMs: number, settings: CurrentSettings) {
    this.name = name;
    this.createdAtMs = createdAtMs;
    this.#settings = settings;
    this.#alone = new Set([name]);
  }

  /** Queues the event for every member. Returns how many members it goes to, and the bytes. */
  deliver(event: RoomEvent, { above, sized }: RoomDelivery = {}): { connections: number; bytes: number } {
    const mayConflate = event.tick !== undefined && this.#settings.current.conflates(this.name);
    const encoding = new Encoding(event, { mayConflate, sized });
    let connections = 0;
    let bytes = 0;
    for (const member of this.members) {
      if (above) {
        if (member.served >= above.position) continue;
        member.served = above.position;
        if (above.except.has(member.id)) continue;
      }
      const frame = encoding.in(member.outbox.format);
      member.outbox.push(frame);
      connections++;
      bytes += frame.length;
    }
    return { connections, bytes };
  }

  add(connection: Connection): void {
    if (this.members.has(connection)) return;
    this.members.add(connection);
    this.byTransport[connection.transport]++;
    this.#count(connection, 1);
    connection.addRoom(this.name, this.#alone);
  }

  remove(connection: Connection): void {
    if (!this.members.delete(connection)) return;
    this.byTransport[connection.transport]--;
    this.#count(connection, -1);
    connection.removeRoom(this.name);
  }

  /** How many members are connections of the user. */
  countOf(user: string): number {
    return this.#byUser?.get(user) ?? 0;
  }

  #count({ peer: { user } }: Connection, change: number): void {
    if (user === undefined) return;
    this.#byUser ??= new Map();
    const count = this.countOf(user) + change;
    if (count > 0) this.#byUser.set(user, count);
    else this.#byUser.delete(user);
  }
}

export interface RoomsOptions {
  readonly clock: Clock;
  readonly settings: CurrentSettings;
  readonly scheduler: Pick<FlushScheduler, 'newRound'>;
  /** Called with each room whose lock has ended by itself. */
  readonly onLockEnded: (room: string) => void;
  /** Called with each room that has come to exist. */
  readonly onRoomMade?: (room: string) => void;
  /** Called with each room that does not exist any more, until the server stops. */
  readonly onRoomEnded?: (room: string) => void;
}

/** The rooms that match some patterns, kept up to date as rooms come and go. */
interface Selection {
  readonly matches: RoomMatcher;
  readonly rooms: Set<Room>;
}

/** So many selections of rooms are kept; the oldest is dropped first. */
const MAX_SELECTIONS = 1024;

/**
 * All rooms of this node. A room is made when the first client joins it, and forgotten `emptyRoomSeconds`
 * after the last one has left, so that reloading a page does not make it again; a locked room stays until
 * its lock ends.
 */
export class Rooms {
  readonly #options: RoomsOptions;
  readonly #byName = new Map<string, Room>();
  /** Selections by their patterns: a schedule has the same patterns at each tick. */
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

  /** The lock of a room, while it lasts: the timer that removes it may be late. */
  lockOf(name: string): Lock | undefined {
    const lock = this.#byName.get(name)?.lock;
    return lock && lock.endsAtMs > this.#options.clock.monotonic() ? lock : undefined;
  }

  /** Why a client may not join a room now; `undefined`: the client may. */
  refusalOf(name: string): Refusal | undefined {
    const lock = this.lockOf(name);
    if (!lock) return undefined;
    return lockedRefusal(name, lock, this.#options.clock);
  }

  /**
   * The room of that name, for a client that joins it; made if it does not exist. The room must not be
   * locked.
   */
  open(name: string): Room {
    const room = this.#getOrMake(name);
    room.cancelTimer?.();
    if (room.lock) this.#lockEnded(room);
    return room;
  }

  #getOrMake(name: string): Room {
    const known = this.#byName.get(name);
    if (known) return known;
    const room = new Room(name, this.#options.clock.now(), this.#options.settings);
    this.#byName.set(name, room);
    for (const selection of this.#selections.values()) {
      if (selection.matches(name)) selection.rooms.add(room);
    }
    this.#options.onRoomMade?.(name);
    return room;
  }

  /**
   * The rooms that match any of the patterns, each once. The first call with patterns compares them with
   * all rooms; the selection is then kept up to date.
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

  haveMembers(patterns: readonly string[]): boolean {
    for (const room of this.matching(patterns)) if (room.members.size > 0) return true;
    return false;
  }

  /** Queues an event for the members of all matching rooms, as one round. Never throws because of a member. */
  deliver({ rooms: patterns, event, data }: Delivery): Delivered {
    this.#options.scheduler.newRound();
    let rooms = 0;
    let connections = 0;
    let bytes = 0;
    const sizedIn = typeof data === 'string' ? sizedTexts({ ...event, data }) : undefined;
    for (const room of this.matching(patterns)) {
      if (room.members.size === 0) continue;
      const own = typeof data === 'string' ? data : data(room.name);
      const sized = sizedIn?.(room.name);
      const delivered = room.deliver({ room: room.name, ...event, data: own }, { sized });
      rooms++;
      connections += delivered.connections;
      bytes += delivered.bytes;
    }
    return { rooms, connections, bytes };
  }

  /**
   * Locks a room at once, which is made where it does not exist, and calls `evict` for each of its members,
   * in slices where they are many. Without a lock the room is gone afterwards, unless a client has joined
   * meanwhile.
   */
  async close(
    name: string,
    how: CloseRoom,
    lock: Lock | undefined,
    evict: (member: Connection, reason: CloseReason) => void,
  ): Promise<RoomClosed> {
    const { clock, settings } = this.#options;
    // The lock first, so that no client joins again while other members are still being closed.
    const until = lock ? lockedUntil(lock, clock) : null;
    const room = lock ? this.lock(name, lock) : this.#byName.get(name);
    const members = [...(room?.members ?? [])];
    const close = (member: Connection) => {
      if (!room?.members.has(member)) return;
      const leftMs = lock ? lock.endsAtMs - clock.monotonic() : 0;
      evict(member, roomClosed(how, leftMs, members.length));
    };
    await inSlices(members, close, { clock, sliceMs: settings.current.limits.fanoutSliceMs });
    if (!lock) this.unlock(name);
    return { room: name, connections: members.length, lockedUntil: until };
  }

  /** Locks a room that has no members, or is about to have none; it is made where it does not exist. */
  lock(name: string, lock: Lock): Room {
    const room = this.#getOrMake(name);
    room.lock = lock;
    this.#awaitEnd(room, lock);
    return room;
  }

  #awaitEnd(room: Room, lock: Lock): void {
    const { clock } = this.#options;
    this.#setTimer(room, lock.endsAtMs - clock.monotonic(), () => {
      // A timer may fire early; a timer that was set for more than 24 days always does.
      if (lock.endsAtMs > clock.monotonic()) {
        this.#awaitEnd(room, lock);
      } else {
        this.#lockEnded(room);
        this.forget(room);
      }
    });
  }

  #lockEnded(room: Room): void {
    room.lock = undefined;
    this.#options.onLockEnded(room.name);
  }

  /** Removes the lock, and the room with it where the room is empty. */
  unlock(name: string): void {
    const room = this.#byName.get(name);
    if (!room) return;
    room.lock = undefined;
    this.forget(room);
  }

  /** To be called when a client has left: an empty room is forgotten after `emptyRoomSeconds`. */
  left(room: Room): void {
    if (room.members.size > 0 || room.lock) return;
    const { emptyRoomSeconds } = this.#options.settings.current;
    this.#setTimer(room, emptyRoomSeconds * 1000, () => this.forget(room));
  }

  /** Does nothing for a room that has members. */
  forget(room: Room): void {
    room.cancelTimer?.();
    if (room.members.size > 0 || this.#byName.get(room.name) !== room) return;
    this.#byName.delete(room.name);
    for (const { rooms } of this.#selections.values()) rooms.delete(room);
    this.#options.onRoomEnded?.(room.name);
  }

  /** Forgets all rooms, and leaves no timer behind. */
  clear(): void {
    for (const room of this.#byName.values()) room.cancelTimer?.();
    this.#byName.clear();
    this.#selections.clear();
  }

  #setTimer(room: Room, delayMs: number, callback: () => void): void {
    room.cancelTimer?.();
    room.cancelTimer = this.#options.clock.after(delayMs, callback);
  }
}
