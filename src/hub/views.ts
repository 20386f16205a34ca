/** What the hub tells about itself: plain data, ready for the admin API and for other nodes. */

import type { Transport } from './frame.ts';

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
  /** Ticks that a newer one replaced before they could leave. */
  readonly conflated: number;
  readonly bufferedBytes: number;
  /** Of the last ping; null before the first answer, and on SSE. */
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
  /** Only those whose peers do not keep up. */
  readonly slow?: boolean;
}

export interface Published {
  /** The last id given; null where no room was addressed. */
  readonly id: string | null;
  /** The rooms with somebody in them. */
  readonly rooms: readonly string[];
  /** Each connection counted once. */
  readonly connections: number;
  /** Devices, connections and users that were named and are not here. */
  readonly unreached: readonly string[];
}

export interface RoomClosed {
  readonly room: string;
  readonly connections: number;
  /** RFC 3339; null: not locked. */
  readonly lockedUntil: string | null;
}
