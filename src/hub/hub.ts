import { EventEmitter } from 'node:events';
import { type Clock, instant } from '../clock.ts';
import type { Administration, CloseRoom, Publication } from './administration.ts';
import { CLOSE, type CloseReason } from './close-reason.ts';
import { type Connection, closingText } from './connection.ts';
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
import { Encoding } from './frame.ts';
import { checkPublication } from './gate.ts';
import { Inbox } from './inbox.ts';
import type { Entry, History, Log, Position } from './log.ts';
import { isExact, roomMatcher } from './names.ts';
import { Refusal } from './refusal.ts';
import { retryAfterMs } from './retry.ts';
import type { Room } from './room.ts';
import { Rooms } from './rooms.ts';
import { targetRooms } from './target.ts';
import { currentFrames, helloEvent, type Resumed, replayFrames } from './welcome.ts';

/** What the hub says of what happens in it. A listener that throws is reported and harms nobody. */
export interface HubEvents {
  join: [{ room: string; connection: Connection }];
  leave: [{ room: string; connection: Connection }];
  message: [RoomEvent];
}

export interface HubOptions {
  readonly clock: Clock;
  readonly log: Log;
  readonly currentTicks: CurrentTicks;
  /** How many messages a room shows to who joins. */
  readonly historyOf: (room: string) => number;
  /** The most bytes of JSON text in an event's data. */
  readonly eventBytes: number;
  readonly emptyRoomMs: number;
  /** For `hello`. */
  readonly server: string;
  readonly heartbeatSeconds: number;
  /** Hears of faults that are nobody's answer: a listener that threw, a log that cannot be read. */
  readonly onFault: (what: string, error: unknown) => void;
}

/** What administrators do to rooms and connections: plain data, performed in the order of the inbox. */
type Command =
  | { readonly kind: 'close-room'; readonly room: string; readonly how: CloseRoom }
  | { readonly kind: 'unlock-room'; readonly room: string }
  | { readonly kind: 'close-connection'; readonly id: string; readonly reason: string | undefined };

/** Something in the inbox, and who waits for the answer. */
interface Asked<What, Result> {
  readonly what: What;
  resolve(result: Result): void;
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
  readonly #inbox: Inbox<Asked<Publication, Published>, Asked<Command, RoomClosed | undefined>>;
  /** The place of the newest message that was delivered here. */
  #newest: Position = { position: 0, id: '' };

  constructor(options: HubOptions) {
    this.#options = options;
    this.#rooms = new Rooms(options);
    this.#inbox = new Inbox({
      publish: (asked) => this.#publish(asked),
      perform: (asked) => this.#perform(asked),
    });
  }

  /** To be awaited before anybody joins: finds the place in the log from which all goes on. */
  async start(): Promise<void> {
    this.#newest = await this.#options.log.head();
  }

  /** Forgets the rooms and leaves no timer behind. Connections are closed by whoever made them. */
  stop(): void {
    this.#rooms.clear();
  }

  get connectionCount(): number {
    return this.#directory.size;
  }

  /** Every connection of this node, in the order in which they came. */
  connectionsHere(): Iterable<Connection> {
    return this.#directory;
  }

  /** The place in the log up to which messages were delivered. */
  get newestId(): string {
    return this.#newest.id;
  }

  // Coming and going

  /** Why a room may not be entered now. */
  refusalOf(room: string): Refusal | undefined {
    const lock = this.#rooms.lockOf(room);
    if (!lock) return undefined;
    const leftMs = lock.untilMs - this.#options.clock.now();
    const until = instant(lock.untilMs);
    const closing = this.#closedRoom(lock.reason, lock.reconnect, leftMs);
    return new Refusal(423, `room "${room}" is closed until ${until}: ${lock.reason}`, {
      closing,
      ...(closing.retryAfterMs !== undefined && { retryAfterMs: closing.retryAfterMs }),
    });
  }

  /**
   * Takes a new connection in. It is a member at once, in this very turn; `hello` and what is
   * current leave as soon as the log is read, and what arrives meanwhile waits behind it. Rooms
   * that are locked are told to it; where none is left it is closed.
   */
  async connect(connection: Connection, rooms: readonly string[], since: string | undefined): Promise<void> {
    this.#directory.add(connection);
    const served = this.#newest;
    const locked = new Map(rooms.map((room) => [room, this.refusalOf(room)?.details.closing]));
    const joined = [...new Set(rooms)].filter((room) => !locked.get(room));
    if (joined.length === 0) {
      const reason = rooms.map((room) => locked.get(room)).find((closing) => closing);
      this.close(connection, reason ?? CLOSE.roomClosed, rooms[0]);
      return;
    }
    for (const room of joined) this.#enter(connection, room);
    connection.outbox.hold();
    const histories = await this.#history(joined, since);
    const resumed = resumedOf(histories);
    const hello = helloEvent({
      connection,
      rooms: joined,
      server: this.#options.server,
      heartbeatSeconds: this.#options.heartbeatSeconds,
      resumed,
      id: since !== undefined && Object.values(resumed).every(Boolean) ? since : served.id,
      time: instant(this.#options.clock.now()),
    });
    const closings = [...locked].flatMap(([room, closing]) => (closing ? [closingText(closing, room)] : []));
    connection.outbox.release([
      new Encoding(hello).in(connection.outbox.format),
      ...closings.map((text) => connection.frame(text)),
      ...currentFrames(connection, joined, this.#options.currentTicks),
      ...replayFrames(connection, histories, served.position),
    ]);
  }

  /** Takes a connection into one more room; throws the room's `Refusal` where it is locked. */
  async subscribe(connection: Connection, room: string, since: string | undefined): Promise<Resumed> {
    const refusal = this.refusalOf(room);
    if (refusal) throw refusal;
    const isNew = !connection.rooms.has(room);
    const served = this.#newest;
    if (isNew) this.#enter(connection, room);
    connection.outbox.hold();
    const histories = await this.#history([room], since);
    connection.outbox.release([
      ...(isNew ? currentFrames(connection, [room], this.#options.currentTicks) : []),
      ...replayFrames(connection, histories, served.position),
    ]);
    return resumedOf(histories);
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

  /** Tells a connection why, closes it, and forgets it. */
  close(connection: Connection, reason: CloseReason, room?: string): void {
    if (connection.closed) return;
    connection.close(reason, room);
    this.disconnect(connection);
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
    if (publication.dryRun) return this.#outcome(publication, null);
    return new Promise((resolve, reject) => this.#inbox.publish({ what: publication, resolve, reject }));
  }

  async closeRoom(room: string, how: CloseRoom): Promise<RoomClosed> {
    const closed = await this.#command({ kind: 'close-room', room, how });
    if (!closed) throw unknownRoom(room);
    return closed;
  }

  async unlockRoom(room: string): Promise<void> {
    await this.#command({ kind: 'unlock-room', room });
  }

  async closeConnection(id: string, reason?: string): Promise<void> {
    await this.#command({ kind: 'close-connection', id, reason });
  }

  async rooms({ match, after, limit }: RoomsQuery): Promise<RoomEntry[]> {
    const matches = match === undefined ? () => true : roomMatcher(match);
    const names = [...this.#rooms]
      .map(({ name }) => name)
      .filter((name) => (after === undefined || name > after) && matches(name))
      .sort()
      .slice(0, limit);
    return this.#entries(names);
  }

  async room(name: string): Promise<RoomEntry> {
    const [entry] = await this.#entries([name]);
    if (!entry) throw unknownRoom(name);
    return entry;
  }

  async connections(query: ConnectionsQuery): Promise<ConnectionEntry[]> {
    const entries: ConnectionEntry[] = [];
    for (const connection of this.#directory) {
      if (entries.length === query.limit) break;
      if (query.after !== undefined && connection.id <= query.after) continue;
      if (fits(connection, query)) entries.push(connection.entry());
    }
    return entries;
  }

  async connection(id: string): Promise<ConnectionEntry> {
    return this.#connection(id).entry();
  }

  /** What the JSON representation shows of a room, whether or not it exists: it makes none. */
  async history(room: string, since: string | undefined, limit: number): Promise<History> {
    const shown = Math.min(limit, this.#options.historyOf(room));
    const histories = await this.#options.log.since([room], since, shown);
    return histories.get(room) ?? { resumed: null, messages: [] };
  }

  /** How many are in a room. */
  memberCount(room: string): number {
    return this.#rooms.get(room)?.members.size ?? 0;
  }

  // Inside

  #enter(connection: Connection, name: string): void {
    connection.served = this.#newest.position;
    connection.rooms.add(name);
    this.#rooms.open(name).members.add(connection);
    this.#emit('join', { room: name, connection });
  }

  /** A history that cannot be read is a gap: who joins still gets what comes from now on. */
  async #history(rooms: readonly string[], since: string | undefined): Promise<ReadonlyMap<string, History>> {
    const limit = Math.max(...rooms.map((room) => this.#options.historyOf(room)));
    try {
      return await this.#options.log.since(rooms, since, limit);
    } catch (error) {
      this.#options.onFault('the log could not be read for somebody who joined', error);
      const resumed = since === undefined ? null : false;
      return new Map(rooms.map((room) => [room, { resumed, messages: [] }]));
    }
  }

  async #entries(names: readonly string[]): Promise<RoomEntry[]> {
    const found = names.map((name) => this.#rooms.get(name)).filter((room) => room !== undefined);
    const histories = await this.#options.log.since(names, undefined, Number.MAX_SAFE_INTEGER);
    return found.map((room) => {
      const messages = histories.get(room.name)?.messages ?? [];
      const last = messages.at(-1);
      return room.entry({
        last: last ? { id: last.id, event: last.event.event, time: last.event.time } : null,
        history: messages.length,
      });
    });
  }

  #command(what: Command): Promise<RoomClosed | undefined> {
    return new Promise((resolve, reject) => this.#inbox.command({ what, resolve, reject }));
  }

  #perform({ what, resolve, reject }: Asked<Command, RoomClosed | undefined>): void {
    try {
      resolve(this.#apply(what));
    } catch (error) {
      reject(error);
    }
  }

  #apply(command: Command): RoomClosed | undefined {
    switch (command.kind) {
      case 'close-room':
        return this.#closeRoom(command.room, command.how);
      case 'unlock-room':
        return this.#unlock(command.room);
      case 'close-connection': {
        const reason = command.reason ?? CLOSE.byAdministrator.reason;
        this.close(this.#connection(command.id), { ...CLOSE.byAdministrator, reason });
        return undefined;
      }
    }
  }

  #closeRoom(name: string, how: CloseRoom): RoomClosed | undefined {
    const room = this.#rooms.get(name);
    if (!room) return undefined;
    const members = [...room.members];
    const reason = how.reason ?? CLOSE.roomClosed.reason;
    const untilMs = this.#options.clock.now() + how.lockMs;
    for (const member of members) {
      const closed = this.#closedRoom(reason, how.reconnect, how.lockMs, members.length);
      if (member.rooms.size === 1) {
        this.close(member, closed, name);
      } else {
        member.send(closingText(closed, name));
        this.leave(member, name);
      }
    }
    if (how.lockMs > 0) this.#rooms.lock(room, { untilMs, reconnect: how.reconnect, reason });
    else this.#rooms.unlock(room);
    return {
      room: name,
      connections: members.length,
      lockedUntil: how.lockMs > 0 ? instant(untilMs) : null,
    };
  }

  #closedRoom(reason: string, reconnect: boolean, leftMs: number, connections = 0): CloseReason {
    const { code } = CLOSE.roomClosed;
    if (!reconnect) return { code, reason, reconnect };
    return { code, reason, reconnect, retryAfterMs: retryAfterMs(leftMs, connections) };
  }

  #unlock(name: string): undefined {
    const room = this.#rooms.get(name);
    if (!room || !this.#rooms.lockOf(name)) throw new Refusal(404, `room "${name}" is not locked`);
    this.#rooms.unlock(room);
  }

  async #publish(asked: readonly Asked<Publication, Published>[]): Promise<void> {
    const time = instant(this.#options.clock.now());
    const entries = asked.map(({ what }) => this.#entriesOf(what, time));
    try {
      const { messages, stored } = await this.#options.log.append(entries.flat());
      let from = 0;
      for (const [index, { what, resolve, reject }] of asked.entries()) {
        const to = from + (entries[index]?.length ?? 0);
        const own = messages.slice(from, to);
        from = to;
        const outcome = this.#outcome(what, own.at(-1)?.id ?? null);
        for (const message of own) this.#deliverMessage(message, what);
        this.#deliverDirectly(what, time);
        // Delivery does not wait for the disk; who acted is told only when it is safe.
        stored.then(() => resolve(outcome), reject);
      }
    } catch (cause) {
      const refusal = new Refusal(503, 'the message could not be numbered: try again', { cause });
      for (const { reject } of asked) reject(refusal);
    }
  }

  /** One message for each room: those named exactly, and those that exist and fit a pattern. */
  #entriesOf({ target, event, data, from }: Publication, time: string): Entry[] {
    const patterns = targetRooms(target);
    const found = this.#rooms.matching(patterns.filter((pattern) => !isExact(pattern)));
    const names = new Set([...patterns.filter(isExact), ...found.map(({ name }) => name)]);
    return [...names].map((room) => ({ room, event, time, data, ...(from && { from }) }));
  }

  #deliverMessage(message: { event: RoomEvent } & Position, { target }: Publication): void {
    this.#newest = { position: message.position, id: message.id };
    const except = new Set(target.except);
    const room = message.event.room === undefined ? undefined : this.#rooms.get(message.event.room);
    room?.deliver(message.event, { position: message.position, except });
    this.#emit('message', message.event);
  }

  /** One copy each for who is named by device, connection or user, and not reached through a room. */
  #deliverDirectly({ target, event, data, from }: Publication, time: string): void {
    const { connections } = this.#directory.find(target);
    if (connections.size === 0) return;
    const reached = this.#members(target);
    const encoding = new Encoding({ event, time, data, ...(from && { from }) });
    for (const connection of connections) {
      if (reached.has(connection) || target.except?.includes(connection.id)) continue;
      connection.outbox.push(encoding.in(connection.outbox.format));
    }
  }

  #outcome({ target }: Publication, id: string | null): Published {
    const rooms = this.#rooms.matching(targetRooms(target)).filter((room) => room.members.size > 0);
    const { connections: named, unreached } = this.#directory.find(target);
    const except = new Set(target.except);
    return {
      id,
      rooms: rooms.map(({ name }) => name).sort(),
      connections: countWithout(except, rooms, named),
      unreached,
    };
  }

  #members(target: Publication['target']): Set<Connection> {
    const members = new Set<Connection>();
    for (const room of this.#rooms.matching(targetRooms(target))) {
      for (const member of room.members) members.add(member);
    }
    return members;
  }

  #connection(id: string): Connection {
    const connection = this.#directory.get(id);
    if (!connection) throw new Refusal(404, `there is no connection "${id}"`);
    return connection;
  }

  #emit<Name extends keyof HubEvents>(name: Name, ...values: HubEvents[Name]): void {
    try {
      // The emitter's types do not follow a generic name; `values` is typed by this signature.
      (this.events.emit as (name: string, ...values: unknown[]) => boolean).call(
        this.events,
        name,
        ...values,
      );
    } catch (error) {
      this.#options.onFault(`a listener of "${name}" threw`, error);
    }
  }
}

function resumedOf(histories: ReadonlyMap<string, History>): Resumed {
  return Object.fromEntries([...histories].map(([room, { resumed }]) => [room, resumed]));
}

function unknownRoom(name: string): Refusal {
  return new Refusal(404, `there is no room "${name}": nobody is in it`);
}

function fits(connection: Connection, query: ConnectionsQuery): boolean {
  const { room, user, device, transport } = query;
  return (
    (room === undefined || connection.rooms.has(room)) &&
    (user === undefined || connection.peer.user === user) &&
    (device === undefined || connection.peer.device === device) &&
    (transport === undefined || connection.transport === transport)
  );
}

/** How many connections are in the rooms or were named, each counted once. */
function countWithout(except: ReadonlySet<string>, rooms: readonly Room[], named: Set<Connection>): number {
  const only = rooms.length === 1 ? rooms[0] : undefined;
  if (only && named.size === 0 && except.size === 0) return only.members.size;
  const counted = new Set(named);
  for (const room of rooms) for (const member of room.members) counted.add(member);
  for (const connection of counted) if (except.has(connection.id)) counted.delete(connection);
  return counted.size;
}
