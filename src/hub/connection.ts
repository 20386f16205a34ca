import type { CloseReason, Closing, Ends } from '../protocol/close-reason.ts';
import { Refusal } from './errors.ts';
import type { JsonText, Sender, Target } from './event.ts';
import { Frame, type Transport } from './frame.ts';
import { Outbox, type OutboxContext, type Sink } from './outbox.ts';
import type { Subscriber } from './subscriber.ts';

/** The client at the other end, as far as the server knows. */
export interface Peer {
  readonly device?: string;
  readonly user?: string;
  readonly remoteAddress: string;
  readonly userAgent?: string;
}

const NO_ROOMS: Set<string> = new Set();

/** One socket that listens: who it is, which rooms it is in, and its outbox. */
export class Connection {
  readonly id: string;
  readonly peer: Peer;
  readonly outbox: Outbox;
  readonly connectedAtMs: number;
  /** When the last frame came from the client, milliseconds since the epoch. */
  lastSeenAtMs: number;
  roundTripMs: number | null = null;
  /** Absent where the client came without a token. A newer token replaces it. */
  subscriber: Subscriber | undefined;
  /**
   * The position in the log up to which the client has been sent messages: later messages have higher
   * positions.
   */
  served = 0;
  /**
   * Shared with other connections while the set has fewer than two names: such a set is replaced, never
   * changed.
   */
  #rooms = NO_ROOMS;
  #isClosed = false;

  constructor(id: string, peer: Peer, sink: Sink, context: OutboxContext, nowMs: number) {
    this.id = id;
    this.peer = peer;
    this.outbox = new Outbox(id, sink, context);
    this.connectedAtMs = nowMs;
    this.lastSeenAtMs = nowMs;
  }

  /** The names of the rooms that the connection is in. */
  get rooms(): ReadonlySet<string> {
    return this.#rooms;
  }

  /** `alone`: a set of this name, shared by all connections that are in no other room. */
  addRoom(name: string, alone: Set<string>): void {
    if (this.#rooms.size === 0) this.#rooms = alone;
    else if (this.#rooms.size === 1) this.#rooms = new Set(this.#rooms).add(name);
    else this.#rooms.add(name);
  }

  removeRoom(name: string): void {
    if (this.#rooms.size > 1) this.#rooms.delete(name);
    else if (this.#rooms.has(name)) this.#rooms = NO_ROOMS;
  }

  /**
   * Whether the hub has closed the connection, or its socket is gone: actions of the client are not performed
   * any more. Where the peer has begun to close, the connection is not closed yet: actions that the peer sent
   * before are performed, without a reply.
   */
  get closed(): boolean {
    return this.#isClosed;
  }

  /** To be called when the socket is gone, or about to be. */
  end(): void {
    this.#isClosed = true;
    this.outbox.discard();
  }

  get transport(): Transport {
    return this.outbox.format.name;
  }

  /** Sends what is for this connection alone. */
  send(text: JsonText, id?: string): void {
    this.outbox.push(this.frame(text, id));
  }

  frame(text: JsonText, id?: string): Frame {
    return new Frame(this.outbox.format.encode(text, id));
  }

  /** Sends a `closing` event, then closes. `room`: the only one that the connection was in. */
  close(reason: CloseReason, room?: string): void {
    this.#isClosed = true;
    this.outbox.close(reason, this.frame(closingText(reason, 'connection', room)));
  }

  /** How the client is named in the messages that it publishes. */
  get sender(): Sender {
    const { device, user } = this.peer;
    return { connection: this.id, ...(device && { device }), ...(user && { user }) };
  }
}

/** The event that says that a connection, or its place in one room, is about to end. */
export function closingText(reason: CloseReason, ends: Ends, room?: string): JsonText {
  const data: Closing = { ...reason, ends };
  return JSON.stringify({ event: 'closing', room, data });
}

/**
 * What the devices, connections and users of a target are here: the connections, each once, and the names
 * without a connection.
 */
export interface Found {
  readonly connections: ReadonlySet<Connection>;
  readonly unreached: readonly string[];
}

/** All connections of this node, in the order in which they came: by id, by device, by user. */
export class Connections {
  readonly #byId = new Map<string, Connection>();
  /** A device may hold several connections; a connection without a device is in none of the sets. */
  readonly #byDevice = new Map<string, Set<Connection>>();
  readonly #byUser = new Map<string, Set<Connection>>();

  get size(): number {
    return this.#byId.size;
  }

  [Symbol.iterator](): IterableIterator<Connection> {
    return this.#byId.values();
  }

  add(connection: Connection): void {
    this.#byId.set(connection.id, connection);
    add(this.#byDevice, connection.peer.device, connection);
    add(this.#byUser, connection.peer.user, connection);
  }

  remove(connection: Connection): void {
    this.#byId.delete(connection.id);
    remove(this.#byDevice, connection.peer.device, connection);
    remove(this.#byUser, connection.peer.user, connection);
  }

  get(id: string): Connection | undefined {
    return this.#byId.get(id);
  }

  /** Throws a 404 `Refusal` where there is no such connection. */
  known(id: string): Connection {
    const connection = this.#byId.get(id);
    if (!connection) throw new Refusal(404, `there is no connection "${id}"`);
    return connection;
  }

  /** Looks up the devices, connections and users of a target. */
  find(target: Target): Found {
    const connections = new Set<Connection>();
    const unreached = new Set<string>();
    const collect = (name: string, found: Iterable<Connection> | undefined) => {
      if (!found) unreached.add(name);
      for (const connection of found ?? []) connections.add(connection);
    };
    for (const device of target.devices ?? []) collect(device, this.#byDevice.get(device));
    for (const id of target.connections ?? []) {
      const connection = this.#byId.get(id);
      collect(id, connection && [connection]);
    }
    for (const user of target.users ?? []) collect(user, this.#byUser.get(user));
    return { connections, unreached: [...unreached] };
  }
}

function add(index: Map<string, Set<Connection>>, key: string | undefined, connection: Connection): void {
  if (key === undefined) return;
  const set = index.get(key);
  if (set) set.add(connection);
  else index.set(key, new Set([connection]));
}

function remove(index: Map<string, Set<Connection>>, key: string | undefined, connection: Connection): void {
  if (key === undefined) return;
  const set = index.get(key);
  set?.delete(connection);
  if (set?.size === 0) index.delete(key);
}
