import type { History } from '../log/log.ts';
import type { Administration, CloseRoom, Publication } from './administration.ts';
import { Backpressure } from './backpressure.ts';
import { CLOSE, type CloseReason } from './close-reason.ts';
import { closeRoom } from './closing-room.ts';
import { Connection, type Peer } from './connection.ts';
import type { Delivered, Delivery } from './delivery.ts';
import { Connections } from './directory.ts';
import { Refusal, retryAfterMs } from './errors.ts';
import { sizedTexts } from './event.ts';
import { FlushScheduler } from './flush-scheduler.ts';
import { ReplayFrames } from './frame.ts';
import { checkPublication } from './gate.ts';
import { HubEmitter } from './hub-events.ts';
import { Inbox } from './inbox.ts';
import { type JoinOptions, Joins } from './join.ts';
import { listConnections, listRooms, roomEntries } from './listing.ts';
import type { Delivering, Sink } from './outbox.ts';
import { type Letter, Publisher } from './publisher.ts';
import { Rooms, type RoomsOptions } from './rooms.ts';
import type { SliceOptions } from './slices.ts';
import { type BufferLimits, SlowConsumers, type UnreadAnswer } from './slow-consumers.ts';
import type {
  ConnectionEntry,
  ConnectionsQuery,
  Published,
  RoomClosed,
  RoomEntry,
  RoomsQuery,
} from './views.ts';
import type { Resumed } from './welcome.ts';

/** So many lines of clients are acted on in one turn of the event loop, those of all together. */
const MAX_LINES_A_TURN = 64;

/** Looked at anew each time, so that a reload can change what is behind it. */
export interface HubOptions extends JoinOptions, Pick<RoomsOptions, 'onRoomMade' | 'onRoomEnded'> {
  /** Whether ticks in a room may be replaced by newer ones for who does not keep up. */
  readonly conflates: (room: string) => boolean;
  /** The most bytes of JSON text in an event's data. */
  readonly eventBytes: number;
  readonly buffers: BufferLimits;
  /** How long writing to many may hold the event loop in one go. */
  readonly fanoutSliceMs: number;
  readonly emptyRoomMs: number;
  /** Begins the id of each connection, and is different for each process. */
  readonly processId: string;
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
  readonly events: HubEmitter;
  readonly #options: HubOptions;
  readonly #rooms: Rooms;
  readonly #directory = new Connections();
  readonly #post: Publisher;
  readonly #membership: Joins;
  readonly #inbox: Inbox<Letter, Order>;
  readonly #delivering: Delivering;
  readonly #intake: Backpressure;
  readonly #slices: SliceOptions;
  #connectionNumber = 0;

  constructor(options: HubOptions) {
    this.#options = options;
    const { clock, buffers, onFault } = options;
    this.events = new HubEmitter(onFault);
    this.#slices = { monotonic: () => clock.monotonic(), sliceMs: () => options.fanoutSliceMs };
    const frames = new ReplayFrames(buffers);
    const congestion = new SlowConsumers({
      otherBytes: () => frames.bytes,
      limits: buffers,
      clock,
      onTooSlow: ({ connection }) => this.#closeById(connection, CLOSE.tooSlow),
    });
    const turn = new FlushScheduler({
      ...this.#slices,
      onFlushed: () => congestion.lookIfGrown(),
    });
    this.#intake = new Backpressure({ mostPerTurn: MAX_LINES_A_TURN, isBlocked: () => turn.isBacklogged });
    this.#delivering = {
      turn,
      congestion,
      onBroken: (connection, error) => {
        onFault(`the socket of ${connection} threw`, error);
        this.#closeById(connection, CLOSE.internal);
      },
      totals: { events: 0, bytes: 0, conflated: 0 },
    };
    this.#rooms = new Rooms(options);
    this.#post = new Publisher({
      clock,
      log: options.log,
      onFault,
      ...this.#slices,
      turn,
      rooms: this.#rooms,
      directory: this.#directory,
      onMessage: (event) => this.events.tell('message', event),
    });
    this.#membership = new Joins(options, {
      rooms: this.#rooms,
      post: this.#post,
      turn,
      frames,
      events: this.events,
      close: (connection, reason, room) => this.close(connection, reason, room),
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
    return this.#membership.refusalOf(room);
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

  /** See `Joins.join`. */
  join(connection: Connection, rooms: readonly string[], since: string | undefined): Promise<void> {
    return this.#membership.join(connection, rooms, since);
  }

  /** See `Joins.subscribe`. */
  subscribe(connection: Connection, room: string, since: string | undefined): Promise<Resumed> {
    return this.#membership.subscribe(connection, room, since);
  }

  leave(connection: Connection, room: string): void {
    this.#membership.leave(connection, room);
  }

  /** The socket is gone. Does nothing the second time. */
  disconnect(connection: Connection): void {
    connection.closed = true;
    connection.outbox.discard();
    for (const room of [...connection.rooms]) this.#membership.leave(connection, room);
    this.#directory.remove(connection);
  }

  /** Tells a connection why, closes it, and forgets it. Does nothing the second time. */
  close(connection: Connection, reason: CloseReason, room?: string): void {
    if (connection.closed) return;
    const told = reason.reconnect
      ? { ...reason, retryAfterMs: reason.retryAfterMs ?? retryAfterMs(0, 1) }
      : reason;
    connection.close(told, room);
    this.disconnect(connection);
    this.events.tell('close', { connection, reason: told });
  }

  /**
   * Backpressure: to be awaited before a line of a client is acted on. `undefined`: it may be at once;
   * otherwise resolves when what is due has been written.
   */
  ready(): Promise<void> | undefined {
    return this.#intake.ready();
  }

  /** Where transports count the answers that their peers have not read: they are bounded with the queues. */
  readonly unreadAnswers = {
    add: (answer: UnreadAnswer): void => {
      this.#delivering.congestion.add(answer);
      this.#delivering.congestion.grew(answer.unsentBytes);
    },
    remove: (answer: UnreadAnswer): void => this.#delivering.congestion.remove(answer),
  };

  // Ticks

  /** Whether a connection is in a room that one of the patterns describes. */
  anyone(patterns: readonly string[]): boolean {
    for (const room of this.#rooms.matching(patterns)) if (room.members.size > 0) return true;
    return false;
  }

  /** Queues the event for the members of the rooms, in this very turn. */
  deliver(delivery: Delivery): Delivered {
    let rooms = 0;
    let connections = 0;
    let bytes = 0;
    const { event, data } = delivery;
    const inRoom = typeof data === 'string' ? sizedTexts({ ...event, data }) : undefined;
    this.#delivering.turn.newRound();
    for (const room of this.#rooms.matching(delivery.rooms)) {
      if (room.members.size === 0) continue;
      const own = typeof data === 'string' ? data : data(room.name);
      const sized = inRoom?.(room.name);
      const delivered = room.deliver({ room: room.name, ...event, data: own }, sized && { sized });
      rooms++;
      connections += delivered.connections;
      bytes += delivered.bytes;
    }
    return { rooms, connections, bytes };
  }

  // Administration

  /** What `beforehand` throws, called once all else is checked, refuses the publication. */
  async publish(publication: Publication, beforehand?: () => void): Promise<Published> {
    checkPublication(publication, this.#options.eventBytes);
    if (publication.dryRun) return this.#post.dryRun(publication);
    beforehand?.();
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
    return listRooms(this.#rooms, this.#options, query);
  }

  async room(name: string): Promise<RoomEntry> {
    const room = this.#rooms.get(name);
    const [entry] = room ? await roomEntries([room], this.#options) : [];
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
    const histories = await this.#membership.histories([room], since);
    const { resumed, messages } = histories.get(room) ?? { resumed: null, messages: [] };
    return { resumed, messages: messages.filter(({ position }) => position <= upTo) };
  }

  // Inside

  #order(command: Command): Promise<RoomClosed | undefined> {
    return new Promise((resolve, reject) => this.#inbox.command({ command, resolve, reject }));
  }

  async #perform({ command, resolve, reject }: Order): Promise<void> {
    try {
      resolve(await this.#apply(command));
    } catch (error) {
      reject(error);
    }
  }

  async #apply(command: Command): Promise<RoomClosed | undefined> {
    switch (command.kind) {
      case 'close-room': {
        const room = this.#rooms.get(command.room);
        const { clock } = this.#options;
        const parts = { rooms: this.#rooms, clock, leaving: this, ...this.#slices };
        return room && closeRoom(room, command.how, parts);
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
}

function unknownRoom(name: string): Refusal {
  return new Refusal(404, `there is no room "${name}": nobody is in it`);
}
