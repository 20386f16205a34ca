import { EventEmitter } from 'node:events';
import { type Clock, instant } from '../clock.ts';
import type { Administration, CloseRoom, Publication } from './administration.ts';
import { CLOSE, type CloseReason } from './close-reason.ts';
import { closeRoom, lockRefusal } from './closing-room.ts';
import { type BufferLimits, Congestion } from './congestion.ts';
import { Connection, closingText, type Peer } from './connection.ts';
import type { CurrentTicks } from './current-ticks.ts';
import type { Delivered, Delivery } from './delivery.ts';
import { Directory } from './directory.ts';
import type {
  ConnectionEntry,
  ConnectionsQuery,
  Published,
  RoomClosed,
  RoomEntry,
  RoomsQuery,
} from './entries.ts';
import type { RoomEvent } from './event.ts';
import { Encoding, type Frame } from './frame.ts';
import { checkPublication } from './gate.ts';
import { Inbox } from './inbox.ts';
import { listConnections, listRooms, roomEntries } from './listing.ts';
import type { History, Log } from './log.ts';
import type { Delivering, Sink } from './outbox.ts';
import { type Letter, Post } from './post.ts';
import { Refusal } from './refusal.ts';
import { retryAfterMs } from './retry.ts';
import { Rooms } from './rooms.ts';
import { Turn } from './turn.ts';
import { currentFrames, helloEvent, type Resumed, replay, resumedOf } from './welcome.ts';

/** What the hub says of what happens in it. A listener that throws is reported and harms nobody. */
export interface HubEvents {
  join: [{ room: string; connection: Connection }];
  leave: [{ room: string; connection: Connection }];
  message: [RoomEvent];
  close: [{ connection: Connection; reason: CloseReason }];
}

/** Looked at anew each time, so that a reload can change what is behind it. */
export interface HubOptions {
  readonly clock: Clock;
  readonly log: Log;
  readonly currentTicks: CurrentTicks;
  /** How many messages a room shows to who joins. */
  readonly historyOf: (room: string) => number;
  /** Whether ticks in a room may be replaced by newer ones for who does not keep up. */
  readonly conflates: (room: string) => boolean;
  /** The most bytes of JSON text in an event's data. */
  readonly eventBytes: number;
  readonly buffers: BufferLimits;
  /** How long writing to many may hold the event loop in one go. */
  readonly fanoutSliceMs: number;
  readonly emptyRoomMs: number;
  /** For `hello`. */
  readonly server: string;
  readonly heartbeatSeconds: number;
  /** Begins the id of each connection, and is different for each process. */
  readonly processId: string;
  /** Hears of faults that are nobody's answer: a listener that threw, a log that cannot be read. */
  readonly onFault: (what: string, error: unknown) => void;
}

/** What administrators do to rooms and connections: plain data, performed in the order of the inbox. */
type Command =
  | { readonly kind: 'close-room'; readonly room: string; readonly how: CloseRoom }
  | { readonly kind: 'unlock-room'; readonly room: string }
  | { readonly kind: 'close-connection'; readonly id: string; readonly reason: string | undefined };

interface Order {
  readonly command: Command;
  resolve(closed: RoomClosed | undefined): void;
  reject(error: unknown): void;
}

/**
 * The rooms and who is in them. Ticks are delivered in the turn in which they come; messages and
 * commands go through one inbox, get their numbers from the log, and take effect in that order.
 */
export class Hub implements Administration {
  readonly events = new EventEmitter<HubEvents>();
  readonly #options: HubOptions;
  readonly #rooms: Rooms;
  readonly #directory = new Directory();
  readonly #post: Post;
  readonly #inbox: Inbox<Letter, Order>;
  readonly #delivering: Delivering;
  #connectionNumber = 0;

  constructor(options: HubOptions) {
    this.#options = options;
    const { clock, buffers } = options;
    const congestion = new Congestion({
      limits: buffers,
      clock,
      onTooSlow: ({ connection }) => this.#closeById(connection, CLOSE.tooSlow),
    });
    const turn = new Turn({
      monotonic: () => clock.monotonic(),
      sliceMs: () => options.fanoutSliceMs,
      onFlushed: () => congestion.look(),
    });
    this.#delivering = {
      turn,
      congestion,
      onBroken: (connection, error) => {
        options.onFault(`the socket of ${connection} threw`, error);
        this.#closeById(connection, CLOSE.internal);
      },
      totals: { events: 0, bytes: 0, conflated: 0 },
    };
    this.#rooms = new Rooms(options);
    this.#post = new Post({
      ...options,
      turn,
      rooms: this.#rooms,
      directory: this.#directory,
      onMessage: (event) => this.#emit('message', event),
    });
    this.#inbox = new Inbox({
      publish: (letters) => this.#post.send(letters),
      perform: (order) => this.#perform(order),
    });
  }

  /** To be awaited before anybody joins. */
  start(): Promise<void> {
    return this.#post.start();
  }

  /** Forgets the rooms and leaves no timer behind. Connections are closed by whoever made them. */
  stop(): void {
    this.#rooms.clear();
    this.#delivering.congestion.stop();
  }

  // Coming and going

  /** Why a room may not be entered now. */
  refusalOf(room: string): Refusal | undefined {
    const lock = this.#rooms.lockOf(room);
    return lock && lockRefusal(room, lock, this.#options.clock.now());
  }

  /** A new connection, known here and in no room yet. `join` comes next, `disconnect` in the end. */
  connect(peer: Peer, sink: Sink): Connection {
    const { processId, clock } = this.#options;
    const number = (this.#connectionNumber++).toString(36).padStart(8, '0');
    const id = `${processId}-${number}`;
    const connection = new Connection({ id, peer, sink, clock, delivering: this.#delivering });
    this.#directory.add(connection);
    return connection;
  }

  /**
   * Takes a new connection into its rooms. It is a member at once, in this very turn; `hello` and what
   * is current leave as soon as the log is read, and what arrives meanwhile waits behind it. Rooms
   * that are locked are told to it; where none is left it is closed.
   */
  async join(connection: Connection, rooms: readonly string[], since: string | undefined): Promise<void> {
    const { server, heartbeatSeconds, clock } = this.#options;
    const closings = new Map(rooms.map((room) => [room, this.refusalOf(room)?.details.closing]));
    const open = [...closings].flatMap(([room, closing]) => (closing ? [] : [room]));
    if (open.length === 0) {
      const [[room, closing] = []] = closings;
      this.close(connection, closing ?? CLOSE.roomClosed, room);
      return;
    }
    const newest = this.#post.newest;
    const { resumed, frames } = await this.#enter(connection, open, since);
    const time = instant(clock.now());
    // One room that goes on from `since` is enough: whoever is cut off in the midst of its replay
    // would miss the rest of it if it came back with anything newer.
    const id = since !== undefined && Object.values(resumed).some(Boolean) ? since : newest.id;
    const hello = helloEvent({ connection, rooms: open, server, heartbeatSeconds, resumed, id, time });
    connection.outbox.release([
      new Encoding(hello).in(connection.outbox.format),
      ...[...closings].flatMap(([room, closing]) =>
        closing ? [connection.frame(closingText(closing, room))] : [],
      ),
      ...frames,
    ]);
  }

  /** Takes a connection into one more room; throws the room's `Refusal` where it is locked. */
  async subscribe(connection: Connection, room: string, since: string | undefined): Promise<Resumed> {
    const refusal = this.refusalOf(room);
    if (refusal) throw refusal;
    const { resumed, frames } = await this.#enter(connection, [room], since);
    connection.outbox.release(frames);
    return resumed;
  }

  leave(connection: Connection, name: string): void {
    if (!connection.rooms.delete(name)) return;
    const room = this.#rooms.get(name);
    room?.members.delete(connection);
    if (room) this.#rooms.left(room);
    this.#emit('leave', { room: name, connection });
  }

  /** The socket is gone. Does nothing the second time. */
  disconnect(connection: Connection): void {
    connection.closed = true;
    connection.outbox.discard();
    for (const room of [...connection.rooms]) this.leave(connection, room);
    this.#directory.remove(connection);
  }

  /** Tells a connection why, closes it, and forgets it. Does nothing the second time. */
  close(connection: Connection, reason: CloseReason, room?: string): void {
    if (connection.closed) return;
    const told = reason.reconnect ? { retryAfterMs: retryAfterMs(0, 1), ...reason } : reason;
    connection.close(told, room);
    this.disconnect(connection);
    this.#emit('close', { connection, reason: told });
  }

  // Ticks

  /** Whether anybody is in a room that one of the patterns describes. */
  anyone(patterns: readonly string[]): boolean {
    return this.#rooms.matching(patterns).some((room) => room.members.size > 0);
  }

  /** Owes the event to the members of the rooms, in this very turn. */
  deliver(delivery: Delivery): Delivered {
    let rooms = 0;
    let connections = 0;
    let bytes = 0;
    this.#delivering.turn.newRound();
    for (const room of this.#rooms.matching(delivery.rooms)) {
      if (room.members.size === 0) continue;
      const data = typeof delivery.data === 'string' ? delivery.data : delivery.data(room.name);
      const delivered = room.deliver({ room: room.name, ...delivery.event, data });
      rooms++;
      connections += delivered.connections;
      bytes += delivered.bytes;
    }
    return { rooms, connections, bytes };
  }

  // Administration

  async publish(publication: Publication): Promise<Published> {
    checkPublication(publication, this.#options.eventBytes);
    if (publication.dryRun) return this.#post.outcome(publication, null);
    return new Promise((resolve, reject) => this.#inbox.publish({ publication, resolve, reject }));
  }

  async closeRoom(room: string, how: CloseRoom): Promise<RoomClosed> {
    const closed = await this.#order({ kind: 'close-room', room, how });
    if (!closed) throw unknownRoom(room);
    return closed;
  }

  async unlockRoom(room: string): Promise<void> {
    await this.#order({ kind: 'unlock-room', room });
  }

  async closeConnection(id: string, reason?: string): Promise<void> {
    await this.#order({ kind: 'close-connection', id, reason });
  }

  rooms(query: RoomsQuery): Promise<RoomEntry[]> {
    return listRooms(this.#rooms, this.#options.log, query);
  }

  async room(name: string): Promise<RoomEntry> {
    const room = this.#rooms.get(name);
    const [entry] = room ? await roomEntries([room], this.#options.log) : [];
    if (!entry) throw unknownRoom(name);
    return entry;
  }

  async connections(query: ConnectionsQuery): Promise<ConnectionEntry[]> {
    return listConnections(this.#directory, query);
  }

  async connection(id: string): Promise<ConnectionEntry> {
    return this.#connection(id).entry();
  }

  // What is here, on this node

  /** Every connection, in the order in which they came. */
  connectionsHere(): Iterable<Connection> {
    return this.#directory;
  }

  get connectionCount(): number {
    return this.#directory.size;
  }

  hasRoom(name: string): boolean {
    return this.#rooms.get(name) !== undefined;
  }

  get roomCount(): number {
    return this.#rooms.size;
  }

  /** Since start: messages published; events and bytes handed to sockets, ticks conflated. */
  get totals(): { published: number; events: number; bytes: number; conflated: number } {
    return { published: this.#post.delivered, ...this.#delivering.totals };
  }

  /** How many are in a room. */
  memberCount(room: string): number {
    return this.#rooms.get(room)?.members.size ?? 0;
  }

  /** The id up to which messages were delivered. */
  get newestId(): string {
    return this.#post.newest.id;
  }

  /**
   * What the JSON representation shows of a room, whether or not it exists: it makes none. Goes as
   * far as `newestId` at the moment of the call, so that whoever polls on from there gets nothing twice.
   */
  async history(room: string, since: string | undefined): Promise<History> {
    const upTo = this.#post.newest.position;
    const histories = await this.#histories([room], since);
    const { resumed, messages } = histories.get(room) ?? { resumed: null, messages: [] };
    return { resumed, messages: messages.filter(({ position }) => position <= upTo) };
  }

  // Inside

  /**
   * Makes the connection a member at once and holds its outbox; resolves to what it is to be released
   * with: what is current in the rooms that are new to it, and what it missed. Where that cannot be
   * had the connection is closed, since it would be held for ever.
   */
  async #enter(
    connection: Connection,
    rooms: readonly string[],
    since: string | undefined,
  ): Promise<{ resumed: Resumed; frames: Frame[] }> {
    const upTo = this.#post.newest.position;
    const mostBytes = this.#options.buffers.maxBufferedBytes / 2;
    connection.served = upTo;
    connection.outbox.hold();
    try {
      const entered = rooms.filter((room) => !connection.rooms.has(room));
      for (const room of entered) this.#add(connection, room);
      const current = currentFrames(connection, entered, this.#options.currentTicks);
      const missed = replay(connection, await this.#histories(rooms, since), { upTo, mostBytes });
      return { resumed: resumedOf(missed.histories), frames: [...current, ...missed.frames] };
    } catch (error) {
      this.close(connection, CLOSE.internal);
      throw error;
    }
  }

  #add(connection: Connection, name: string): void {
    // Somebody who heard of an earlier room may have closed it already.
    if (connection.closed) return;
    const room = this.#rooms.open(name);
    // The room's own text, of which all its members share one.
    connection.rooms.add(room.name);
    room.members.add(connection);
    this.#emit('join', { room: room.name, connection });
  }

  /** A history that cannot be read is a gap: who joins still gets what comes from now on. */
  async #histories(rooms: readonly string[], since: string | undefined): Promise<Map<string, History>> {
    const limit = Math.max(...rooms.map((room) => this.#options.historyOf(room)));
    try {
      return new Map(await this.#options.log.since(rooms, since, limit));
    } catch (error) {
      this.#options.onFault('the log could not be read for somebody who joined', error);
      const resumed = since === undefined ? null : false;
      return new Map(rooms.map((room) => [room, { resumed, messages: [] }]));
    }
  }

  #order(command: Command): Promise<RoomClosed | undefined> {
    return new Promise((resolve, reject) => this.#inbox.command({ command, resolve, reject }));
  }

  #perform({ command, resolve, reject }: Order): void {
    try {
      resolve(this.#apply(command));
    } catch (error) {
      reject(error);
    }
  }

  #apply(command: Command): RoomClosed | undefined {
    switch (command.kind) {
      case 'close-room': {
        const room = this.#rooms.get(command.room);
        const { clock } = this.#options;
        return room && closeRoom(room, command.how, { rooms: this.#rooms, clock, leaving: this });
      }
      case 'unlock-room': {
        const room = this.#rooms.get(command.room);
        if (!room || !this.#rooms.lockOf(command.room)) {
          throw new Refusal(404, `room "${command.room}" is not locked`);
        }
        this.#rooms.unlock(room);
        return undefined;
      }
      case 'close-connection': {
        const reason = command.reason ?? CLOSE.byAdministrator.reason;
        this.close(this.#connection(command.id), { ...CLOSE.byAdministrator, reason });
        return undefined;
      }
    }
  }

  #connection(id: string): Connection {
    const connection = this.#directory.get(id);
    if (!connection) throw new Refusal(404, `there is no connection "${id}"`);
    return connection;
  }

  #closeById(id: string, reason: CloseReason): void {
    const connection = this.#directory.get(id);
    if (connection) this.close(connection, reason);
  }

  #emit<Name extends keyof HubEvents>(name: Name, ...values: HubEvents[Name]): void {
    const onFault = (error: unknown) => this.#options.onFault(`a listener of "${name}" threw`, error);
    // Not by `emit`, which lets the first that throws keep it from the others.
    for (const listener of this.events.rawListeners(name)) {
      try {
        const result: unknown = Reflect.apply(listener, this.events, values);
        if (result instanceof Promise) result.catch(onFault);
      } catch (error) {
        onFault(error);
      }
    }
  }
}

function unknownRoom(name: string): Refusal {
  return new Refusal(404, `there is no room "${name}": nobody is in it`);
}
