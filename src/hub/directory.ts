import type { Connection } from './connection.ts';
import type { Target } from './event.ts';

/** All connections of this node: by id, by device, by user. */
export class Connections {
  readonly #byId = new Map<string, Connection>();
  /** A device may hold several connections; who has no device stands in none of the sets. */
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

  /** Who is named by device, connection or user, each once, and the names that nobody answers to. */
  find(target: Target): { connections: Set<Connection>; unreached: string[] } {
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
