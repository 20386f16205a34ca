import type { Clock } from '../clock.ts';
import type { Log } from '../log/log.ts';
import type { Connection } from './connection.ts';
import type { Connections } from './directory.ts';
import { roomMatcher } from './event.ts';
import type { Room } from './room.ts';
import type { Rooms } from './rooms.ts';
import type { ConnectionEntry, ConnectionsQuery, RoomEntry, RoomsQuery } from './views.ts';

/** What rooms are listed with. */
export interface ListingParts {
  readonly log: Log;
  readonly clock: Clock;
}

/** A page of the rooms, by name. */
export function listRooms(
  rooms: Rooms,
  { log, clock }: ListingParts,
  query: RoomsQuery,
): Promise<RoomEntry[]> {
  const { match, after, limit } = query;
  const matches = match === undefined ? () => true : roomMatcher(match);
  const found: Room[] = [];
  for (const room of rooms) {
    if ((after === undefined || room.name > after) && matches(room.name)) found.push(room);
  }
  found.sort((a, b) => (a.name < b.name ? -1 : 1));
  return roomEntries(found.slice(0, limit), { log, clock });
}

/** A room that goes while the log is read stays in: a page cut short would look like the last one. */
export async function roomEntries(
  rooms: readonly Room[],
  { log, clock }: ListingParts,
): Promise<RoomEntry[]> {
  const kept = await log.kept(rooms.map(({ name }) => name));
  return rooms.map((room) => {
    const { count = 0, newest } = kept.get(room.name) ?? {};
    const last = newest ? { id: newest.id, event: newest.event.event, time: newest.event.time } : null;
    return room.entry({ last, history: count }, clock);
  });
}

/** A page of the connections, by id, which is the order in which they came. */
export function listConnections(directory: Connections, query: ConnectionsQuery): ConnectionEntry[] {
  const entries: ConnectionEntry[] = [];
  for (const connection of directory) {
    if (entries.length === query.limit) break;
    if (query.after !== undefined && connection.id <= query.after) continue;
    if (fits(connection, query)) entries.push(connection.entry());
  }
  return entries;
}

function fits(connection: Connection, { room, user, device, transport, slow }: ConnectionsQuery): boolean {
  return (
    (room === undefined || connection.rooms.has(room)) &&
    (user === undefined || connection.peer.user === user) &&
    (device === undefined || connection.peer.device === device) &&
    (transport === undefined || connection.transport === transport) &&
    (slow === undefined || connection.outbox.isBehind === slow)
  );
}
