import type { History, Log } from '../log/log.ts';
import { CLOSE, type CloseReason } from '../protocol/close-reason.ts';
import { Backpressure } from './backpressure.ts';
import { applyChangedRules, type ChangedRules } from './changed-rules.ts';
import { type Command, Commands } from './commands.ts';
import { Connection, Connections, closingText, type Peer } from './connection.ts';
import { Refusal, retryAfterMs } from './errors.ts';
import type { RoomEvent } from './event.ts';
import { FlushScheduler } from './flush-scheduler.ts';
import { ReplayFrames } from './frame.ts';
import { type CurrentTicks, Joins, type Resumed } from './join.ts';
import type { CloseRoom } from './lock.ts';
import type { OutboxContext, Sink } from './outbox.ts';
import type { Publication, Published, PublishOptions } from './publication.ts';
import { Publisher } from './publisher.ts';
import { type Delivered, type Delivery, type RoomClosed, Rooms, type RoomsOptions } from './room.ts';
import { SlowConsumers } from './slow-consumers.ts';
import {
  type ConnectionEntry,
  type ConnectionsQuery,
  connectionEntry,
  HubEmitter,
  listConnections,
  listRooms,
  movement,
  type RoomEntry,
  type RoomsQuery,
  roomEntries,
} from './views.ts';

/** So many lines are acted on in one iteration of the event loop, those of all clients together. */
const MAX_LINES_PER_ITERATION = 64;

export interface HubOptions extends Omit<RoomsOptions, 'scheduler' | 'onLockEnded'> {
  readonly log: Log;
  readonly currentTicks: CurrentTicks;
  /** Name of the server, for `hello`. */
  readonly server: string;
  /** Begins the id of each connection, and is different for each process. */
  readonly processId: string;
  /** Called with faults that reach no caller: a listener that threw, a log that cannot be read. */
  readonly onFault: (what: string, error: unknown) => void;
}

/**
 * The calls of the hub that the admin API makes. All of them are asynchronous and deal in plain data, so
 * that other nodes can answer later. They throw a `Refusal` for what cannot be done: 404 for what is
 * not here, 400 for a name, 413 for an event that is too large, 503 where no number can be had.
 */
export type Administration = Pick<
  Hub,
  | 'rooms'
  | 'room'
  | 'connections'
  | 'connection'
  | 'publish'
  | 'withdraw'
  | 'retained'
  | 'closeRoom'
  | 'lockRoom'
  | 'unlockRoom'
  | 'closeConnection'
>;

/**
 * The rooms and their members. Ticks are delivered at once; messages and commands wait in the queue of
 * the publisher, get their numbers from the log, and take effect in that order.
 */
export class Hub {
  readonly events: HubEmitter;
  readonly #options: HubOptions;
  readonly #rooms: Rooms;
  readonly #connections = new Connections();
  readonly #commands: Commands;
  readonly #publisher: Publisher;
  readonly #joins: Joins;
  readonly #outboxes: OutboxContext;
  readonly #backpressure: Backpressure;
  #connectionNumber = 0;

  constructor(options: HubOptions) {
    this.#options = options;
    const { clock, settings, onFault } = options;
    this.events = new HubEmitter(onFault);
    const frames = new ReplayFrames(settings);
    const slowConsumers = new SlowConsumers({
      clock,
      settings,
      otherBytes: () => frames.bytes,
      onTooSlow: ({ connection }) => this.#closeById(connection, CLOSE.tooSlow),
    });
    const scheduler = new FlushScheduler({ clock, settings, onFlushed: () => slowConsumers.checkIfGrown() });
    this.#outboxes = {
      settings,
      scheduler,
      slowConsumers,
      onBroken: (connection, error) => {
        onFault(`the socket of ${connection} threw`, error);
        this.#closeById(connection, CLOSE.internal);
      },
      totals: { events: 0, bytes: 0, conflated: 0 },
    };
    this.#backpressure = new Backpressure({
      maxPerIteration: MAX_LINES_PER_ITERATION,
      isBlocked: () => scheduler.isBacklogged,
    });
    this.#rooms = new Rooms({ ...options, scheduler, onLockEnded: (room) => this.#forgetLock(room) });
    const parts = {
      ...options,
      rooms: this.#rooms,
      connections: this.#connections,
      scheduler,
      events: this.events,
      close: (connection: Connection, reason: CloseReason, room?: string) =>
        this.close(connection, reason, room),
    };
    this.#commands = new Commands({
      ...parts,
      dismiss: (connection, room, reason) => this.#dismiss(connection, room, reason),
    });
    this.#publisher = new Publisher({
      ...parts,
      perform: (command) => this.#commands.perform(command),
    });
    this.#joins = new Joins({ ...parts, publisher: this.#publisher, frames });
  }

  /** Reads from the log what outlived the last process. To be awaited before any client joins. */
  async start(): Promise<void> {
    await this.#publisher.start();
    await this.#commands.start();
  }

  /** Forgets the rooms and leaves no timer behind. Connections are closed by the code that made them. */
  stop(): void {
    this.#rooms.clear();
    this.#outboxes.slowConsumers.stop();
  }

  // Clients

  /** Why a room may not be entered now. */
  refusalOf(room: string): Refusal | undefined {
    return this.#rooms.refusalOf(room);
  }

  /** A new connection, known here and in no room yet. `join` comes next, `disconnect` in the end. */
  connect(peer: Peer, sink: Sink): Connection {
    const { processId, clock } = this.#options;
    const number = (this.#connectionNumber++).toString(36).padStart(8, '0');
    const connection = new Connection(`${processId}-${number}`, peer, sink, this.#outboxes, clock.now());
    this.#connections.add(connection);
    return connection;
  }

  /** See `Joins.join`. */
  join(connection: Connection, rooms: readonly string[], since: string | undefined): Promise<void> {
    return this.#joins.join(connection, rooms, since);
  }

  /** See `Joins.subscribe`. */
  subscribe(connection: Connection, room: string, since: string | undefined): Promise<Resumed> {
    return this.#joins.subscribe(connection, room, since);
  }

  /** Does nothing where the connection is not in the room. */
  leave(connection: Connection, name: string): void {
    if (!connection.rooms.has(name)) return;
    const room = this.#rooms.get(name);
    if (!room) return;
    room.remove(connection);
    this.#rooms.left(room);
    this.events.notify('leave', movement(room, connection));
  }

  /** The socket is gone. Does nothing the second time. */
  disconnect(connection: Connection): void {
    connection.end();
    for (const room of [...connection.rooms]) this.leave(connection, room);
    this.#connections.remove(connection);
  }

  /** Sends a connection the reason, closes it, and forgets it. Does nothing the second time. */
  close(connection: Connection, { retryAfterMs: after, ...rest }: CloseReason, room?: string): void {
    if (connection.closed) return;
    const reason = rest.reconnect ? { ...rest, retryAfterMs: after ?? retryAfterMs(0, 1) } : rest;
    connection.close(reason, room);
    this.disconnect(connection);
    this.events.notify('close', { connection, reason });
  }

  /** To be called after a reload: ends what the configuration does not allow any more. */
  applyChangedRules(changed: ChangedRules): Promise<void> {
    return applyChangedRules(changed, {
      ...this.#options,
      connections: this.#connections,
      close: (connection, reason) => this.close(connection, reason),
      dismiss: (connection, room, reason) => this.#dismiss(connection, room, reason),
    });
  }

  /**
   * Backpressure: to be awaited before a line of a client is acted on. `undefined`: the line may be acted
   * on at once; otherwise resolves when what is due has been written.
   */
  ready(): Promise<void> | undefined {
    return this.#backpressure.ready();
  }

  /** HTTP answers that are not read yet count towards `totalBufferedBytes`, as send queues do. */
  get unreadAnswers(): Pick<SlowConsumers, 'add' | 'remove'> {
    return this.#outboxes.slowConsumers;
  }

  // Ticks

  /** Whether any connection is in a room that matches one of the patterns. */
  anyone(patterns: readonly string[]): boolean {
    return this.#rooms.haveMembers(patterns);
  }

  /** See `Rooms.deliver`. */
  deliver(delivery: Delivery): Delivered {
    return this.#rooms.deliver(delivery);
  }

  // Administration

  /** See `Publisher.publish`. */
  publish(publication: Publication, options?: PublishOptions): Promise<Published> {
    return this.#publisher.publish(publication, options);
  }

  /** See `Publisher.withdraw`. */
  withdraw(key: string, room?: string): Promise<Published> {
    return this.#publisher.withdraw(key, room);
  }

  /** The retained messages that a client would get that joins the room. */
  async retained(room: string): Promise<readonly RoomEvent[]> {
    const { retained } = this.#publisher;
    return retained.of(room).flatMap(({ event, isOver }) => (isOver ? [] : [event]));
  }

  /** 404 where there is no such room and no lock on it; the new lock replaces an older one. */
  closeRoom(room: string, how: CloseRoom): Promise<RoomClosed> {
    return this.#close({ kind: 'close-room', room, how });
  }

  /** As `closeRoom`, and makes the room where it does not exist; 503 where that would be too many rooms. */
  lockRoom(room: string, how: CloseRoom): Promise<RoomClosed> {
    return this.#close({ kind: 'lock-room', room, how });
  }

  /** 404 where the room is not locked. */
  async unlockRoom(room: string): Promise<void> {
    await this.#publisher.order({ kind: 'unlock-room', room });
  }

  /** Closes with 4004; 404 where there is no such connection. */
  async closeConnection(id: string, reason?: string): Promise<void> {
    await this.#publisher.order({ kind: 'close-connection', id, reason });
  }

  rooms(query: RoomsQuery): Promise<RoomEntry[]> {
    const { log, clock } = this.#options;
    return listRooms(this.#rooms, query, log, clock);
  }

  async room(name: string): Promise<RoomEntry> {
    const { log, clock } = this.#options;
    const room = this.#rooms.get(name);
    const [entry] = room ? await roomEntries([room], log, clock) : [];
    if (!entry) throw unknownRoom(name);
    return entry;
  }

  async connections(query: ConnectionsQuery): Promise<ConnectionEntry[]> {
    return listConnections(this.#connections, query);
  }

  async connection(id: string): Promise<ConnectionEntry> {
    return connectionEntry(this.#connections.known(id));
  }

  // What is here, on this node

  /** Every connection, in the order in which they came. */
  connectionsHere(): Iterable<Connection> {
    return this.#connections;
  }

  get connectionCount(): number {
    return this.#connections.size;
  }

  hasRoom(name: string): boolean {
    return this.#rooms.get(name) !== undefined;
  }

  get roomCount(): number {
    return this.#rooms.size;
  }

  /** Since start: messages published; events and bytes handed to sockets, ticks conflated. */
  get totals(): { published: number; events: number; bytes: number; conflated: number } {
    return { published: this.#publisher.fanout.delivered, ...this.#outboxes.totals };
  }

  memberCount(room: string): number {
    return this.#rooms.get(room)?.members.size ?? 0;
  }

  /** The id up to which messages were delivered. */
  get newestId(): string {
    return this.#publisher.fanout.newest.id;
  }

  /** See `Joins.history`. The history goes as far as `newestId` at the moment of the call. */
  history(room: string, since: string | undefined): Promise<History> {
    return this.#joins.history(room, since);
  }

  /** Ends the place of a member in a room; one that is left with no room is closed. */
  #dismiss(connection: Connection, room: string, reason: CloseReason): void {
    if (connection.rooms.size === 1) {
      this.close(connection, reason, room);
      return;
    }
    connection.send(closingText(reason, 'room', room));
    this.leave(connection, room);
  }

  async #close(command: Command & { readonly room: string }): Promise<RoomClosed> {
    const closed = await this.#publisher.order(command);
    if (!closed) throw unknownRoom(command.room);
    return closed;
  }

  #forgetLock(room: string): void {
    const onFault = (error: unknown) =>
      this.#options.onFault('a lock that has ended could not be removed from the log', error);
    this.#publisher.order({ kind: 'forget-lock', room }).catch(onFault);
  }

  #closeById(id: string, reason: CloseReason): void {
    const connection = this.#connections.get(id);
    if (connection) this.close(connection, reason);
  }
}

function unknownRoom(name: string): Refusal {
  return new Refusal(404, `there is no room "${name}": no client is in it`);
}
