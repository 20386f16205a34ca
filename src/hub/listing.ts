import type { Connection } from './connection.ts';
import type { Directory } from './directory.ts';
import type { ConnectionEntry, ConnectionsQuery, RoomEntry, RoomsQuery } from './entries.ts';
import type { Log } from './log.ts';
import { roomMatcher } from './names.ts';
import type { Rooms } from './rooms.ts';

/** A page of the rooms, by name. */
export function listRooms(rooms: Rooms, log: Log, query: RoomsQuery): Promise<RoomEntry[]> {
  const { match, after, limit } = query;
  const matches = match === undefined ? () => true : roomMatcher(match);
  const names: string[] = [];
  for (const { name } of rooms) {
    if ((after === undefined || name > after) && matches(name)) names.push(name);
  }
  return roomEntries(rooms, log, names.sort().slice(0, limit));
}

/** The entries of those rooms that exist. */
export async function roomEntries(rooms: Rooms, log: Log, names: readonly string[]): Promise<RoomEntry[]> {
  const histories = await log.since(names, undefined, Number.MAX_SAFE_INTEGER);
  return names.flatMap((name) => {
    const messages = histories.get(name)?.messages ?? [];
    const newest = messages.at(-1);
    const last = newest ? { id: newest.id, event: newest.event.event, time: newest.event.time } : null;
    return rooms.get(name)?.entry({ last, history: messages.length }) ?? [];
  });
}

/** A page of the connections, by id, which is the order in which they came. */
export function listConnections(directory: Directory, query: ConnectionsQuery): ConnectionEntry[] {
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
