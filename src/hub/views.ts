/** What other parts see of the hub: the entries of the admin API's lists, and events for listeners. */

import { EventEmitter } from 'node:events';
import { type Clock, instant } from '../clock.ts';
import type { Log } from '../log/log.ts';
import type { CloseReason } from '../protocol/close-reason.ts';
import type { Connection, Connections } from './connection.ts';
import { type RoomEvent, roomMatcher } from './event.ts';
import type { Transport } from './frame.ts';
import { lockedUntil } from './lock.ts';
import type { Room, Rooms } from './room.ts';

export interface LockEntry {
  /** RFC 3339. */
  readonly until: string;
  readonly reconnect: boolean;
  readonly reason: string;
}

export interface RoomEntry {
  readonly name: string;
  readonly connections: Readonly<Record<Transport, number>>;
  readonly createdAt: string;
  /** The newest message, null before there is one. */
  readonly last: { readonly id: string; readonly event: string; readonly time: string } | null;
  /** How many messages are kept. */
  readonly history: number;
  readonly locked: LockEntry | null;
}

export interface ConnectionEntry {
  readonly id: string;
  readonly rooms: readonly string[];
  readonly transport: Transport;
  readonly device: string | null;
  readonly user: string | null;
  readonly remoteAddress: string;
  readonly userAgent: string | null;
  readonly connectedAt: string;
  readonly lastSeenAt: string;
  /** Events handed to the socket. */
  readonly sent: number;
  /** Ticks that a newer tick replaced before they could leave. */
  readonly conflated: number;
  readonly bufferedBytes: number;
  /** Round trip of the last ping; null before the first answer, and on SSE. */
  readonly roundTripMs: number | null;
}

/** A page of a list, ordered by id or name: the cursor is the last one seen. */
export interface PageQuery {
  readonly after?: string;
  readonly limit: number;
}

export interface RoomsQuery extends PageQuery {
  /** A room pattern. */
  readonly match?: string;
}

export interface ConnectionsQuery extends PageQuery {
  readonly room?: string;
  readonly user?: string;
  readonly device?: string;
  readonly transport?: Transport;
  /** `true`: only connections whose peers do not keep up; `false`: only the others. */
  readonly slow?: boolean;
}

/** A page of the rooms, by name. */
export function listRooms(
  rooms: Rooms,
  { match, after, limit }: RoomsQuery,
  log: Log,
  clock: Clock,
): Promise<RoomEntry[]> {
  const matches = match === undefined ? () => true : roomMatcher(match);
  const found: Room[] = [];
  for (const room of rooms) {
    if ((after === undefined || room.name > after) && matches(room.name)) found.push(room);
  }
  found.sort((a, b) => (a.name < b.name ? -1 : 1));
  return roomEntries(found.slice(0, limit), log, clock);
}

/**
 * A room that is forgotten while the log is read stays in the page: a shorter page would look like the last
 * page.
 */
export async function roomEntries(rooms: readonly Room[], log: Log, clock: Clock): Promise<RoomEntry[]> {
  const kept = await log.kept(rooms.map(({ name }) => name));
  return rooms.map(({ name, byTransport, createdAtMs, lock }) => {
    const { count = 0, newest } = kept.get(name) ?? {};
    return {
      name,
      connections: { ...byTransport },
      createdAt: instant(createdAtMs),
      last: newest ? { id: newest.id, event: newest.event.event, time: newest.event.time } : null,
      history: count,
      locked: lock
        ? { until: lockedUntil(lock, clock), reconnect: lock.reconnect, reason: lock.reason }
        : null,
    };
  });
}

/** A page of the connections, by id, which is the order in which they came. */
export function listConnections(connections: Connections, query: ConnectionsQuery): ConnectionEntry[] {
  const entries: ConnectionEntry[] = [];
  for (const connection of connections) {
    if (entries.length === query.limit) break;
    if (query.after !== undefined && connection.id <= query.after) continue;
    if (matches(connection, query)) entries.push(connectionEntry(connection));
  }
  return entries;
}

function matches(connection: Connection, { room, user, device, transport, slow }: ConnectionsQuery): boolean {
  return (
    (room === undefined || connection.rooms.has(room)) &&
    (user === undefined || connection.peer.user === user) &&
    (device === undefined || connection.peer.device === device) &&
    (transport === undefined || connection.transport === transport) &&
    (slow === undefined || connection.outbox.isBehind === slow)
  );
}

export function connectionEntry(connection: Connection): ConnectionEntry {
  const { id, rooms, transport, peer, outbox } = connection;
  return {
    id,
    rooms: [...rooms].sort(),
    transport,
    device: peer.device ?? null,
    user: peer.user ?? null,
    remoteAddress: peer.remoteAddress,
    userAgent: peer.userAgent ?? null,
    connectedAt: instant(connection.connectedAtMs),
    lastSeenAt: instant(connection.lastSeenAtMs),
    sent: outbox.sent,
    conflated: outbox.conflated,
    bufferedBytes: outbox.unsentBytes,
    roundTripMs: connection.roundTripMs,
  };
}

/** A connection has joined a room, or left it. */
export interface Movement {
  readonly room: string;
  readonly connection: Connection;
  /**
   * How many connections of the same user are in the room now: 1 when the user comes, 0 when the last one has
   * left. 0 also without a user.
   */
  readonly userConnections: number;
}

/** Tells of a connection that has just joined a room, or left it. */
export function movement(room: Room, connection: Connection): Movement {
  const { user } = connection.peer;
  return { room: room.name, connection, userConnections: user === undefined ? 0 : room.countOf(user) };
}

/** The events of the hub, each with what its listeners get. */
export interface HubEvents {
  join: [Movement];
  leave: [Movement];
  message: [RoomEvent];
  close: [{ connection: Connection; reason: CloseReason }];
}

/** An emitter on which a listener that throws harms neither the other listeners nor the hub. */
export class HubEmitter extends EventEmitter<HubEvents> {
  readonly #onFault: (what: string, error: unknown) => void;

  constructor(onFault: (what: string, error: unknown) => void) {
    super();
    this.#onFault = onFault;
  }

  /** As `emit`, but a listener that throws does not keep the event from the others. */
  notify<Name extends keyof HubEvents>(name: Name, ...values: HubEvents[Name]): void {
    const onFault = (error: unknown) => this.#onFault(`a listener of "${name}" threw`, error);
    for (const listener of this.rawListeners(name)) {
      try {
        const result: unknown = Reflect.apply(listener, this, values);
        if (result instanceof Promise) result.catch(onFault);
      } catch (error) {
        onFault(error);
      }
    }
  }
}
