import type { Clock } from '../clock.ts';
import { inSlices, type Slice } from './backpressure.ts';
import type { Connection, Connections } from './connection.ts';
import { isExact, roomsMatcher, type Target, targetRooms } from './event.ts';
import type { Publication, Published } from './publication.ts';
import type { Room, Rooms } from './room.ts';
import type { CurrentSettings } from './settings.ts';

export interface AudienceOptions {
  readonly clock: Clock;
  readonly settings: CurrentSettings;
  readonly rooms: Rooms;
  readonly connections: Connections;
}

/** Finds the rooms and the connections that a target means, on this node and at this moment. */
export class Audience {
  readonly #options: AudienceOptions;

  constructor(options: AudienceOptions) {
    this.#options = options;
  }

  /** The rooms of a target by name: those named exactly, and those that exist and match a pattern. */
  async roomsOf(target: Target): Promise<string[]> {
    const patterns = targetRooms(target);
    const wildcards = patterns.filter((pattern) => !isExact(pattern));
    if (wildcards.length === 0) return [...new Set(patterns)];
    const names = new Set(patterns.filter(isExact));
    const matches = roomsMatcher(wildcards);
    const add = ({ name }: Room) => {
      if (matches(name)) names.add(name);
    };
    await inSlices(this.#options.rooms, add, this.#slice);
    return [...names];
  }

  /** The connections that a target names by device, id or user, without those that are in one of the rooms. */
  directly(target: Target, rooms: readonly string[]): Connection[] {
    const names = new Set(rooms);
    const { connections } = this.#options.connections.find(target);
    return [...connections].filter((connection) => !isInOneOf(connection, names));
  }

  /** What a publication to these rooms reaches; `id`: the last one of its messages. */
  async reached(
    { target, key }: Publication,
    names: readonly string[],
    id: string | null,
  ): Promise<Published> {
    const { rooms, connections, settings } = this.#options;
    const { current } = settings;
    const found = connections.find(target);
    const reached = names.flatMap((name) => rooms.get(name) ?? []).filter(({ members }) => members.size > 0);
    const isUnknown = (name: string) =>
      isExact(name) && !current.isExpected(name) && !rooms.get(name)?.members.size;
    const published = {
      id,
      rooms: reached.map(({ name }) => name).sort(),
      unreached: found.unreached,
      unknown: [...new Set(target.rooms ?? [])].filter(isUnknown),
      kept: key !== undefined || names.some((name) => current.retentionOf(name).messages > 0),
    };
    const [only, ...others] = reached;
    if (only && others.length === 0 && found.connections.size === 0 && !target.except?.length) {
      return { ...published, connections: only.members.size };
    }
    const once = new Set(found.connections);
    const add = (room: Room) => {
      for (const member of room.members) once.add(member);
    };
    await inSlices(reached, add, this.#slice);
    for (const excepted of target.except ?? []) {
      const connection = connections.get(excepted);
      if (connection) once.delete(connection);
    }
    return { ...published, connections: once.size };
  }

  get #slice(): Slice {
    const { clock, settings } = this.#options;
    return { clock, sliceMs: settings.current.limits.fanoutSliceMs };
  }
}

function isInOneOf({ rooms }: Connection, names: ReadonlySet<string>): boolean {
  for (const room of rooms) if (names.has(room)) return true;
  return false;
}
