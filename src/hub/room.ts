import { instant } from '../clock.ts';
import type { Connection } from './connection.ts';
import type { LockEntry, RoomEntry, Transport } from './entries.ts';
import type { JsonText, RoomEvent } from './event.ts';
import { Encoding } from './frame.ts';

/** A lock keeps a closed room shut. */
export interface Lock {
  readonly untilMs: number;
  readonly reconnect: boolean;
  readonly reason: string;
}

/** A room as long as somebody is in it, or a lock is on it, or it was left a moment ago. */
export class Room {
  readonly name: string;
  readonly createdAtMs: number;
  /** Whether ticks may be replaced by newer ones for members who do not keep up. */
  readonly #conflates: (room: string) => boolean;
  readonly members = new Set<Connection>();
  lock: Lock | undefined;

  constructor(name: string, createdAtMs: number, conflates: (room: string) => boolean) {
    this.name = name;
    this.createdAtMs = createdAtMs;
    this.#conflates = conflates;
  }

  /**
   * Owes the event to every member. `above` is the place in the log of a message: who joined later
   * and has been served beyond it is passed over. `text` is the event as JSON, if it is known already.
   * Returns how many it went to, and the bytes.
   */
  deliver(
    event: RoomEvent,
    above?: { position: number; except: ReadonlySet<string> },
    text?: JsonText,
  ): { connections: number; bytes: number } {
    const encoding = new Encoding(event, event.tick !== undefined && this.#conflates(this.name), text);
    let connections = 0;
    let bytes = 0;
    for (const member of this.members) {
      if (above) {
        if (member.served >= above.position) continue;
        member.served = above.position;
        if (above.except.has(member.id)) continue;
      }
      const frame = encoding.in(member.outbox.format);
      member.outbox.push(frame);
      connections++;
      bytes += frame.bytes.length;
    }
    return { connections, bytes };
  }

  entry(kept: { last: RoomEntry['last']; history: number }): RoomEntry {
    const connections: Record<Transport, number> = { websocket: 0, sse: 0 };
    for (const member of this.members) connections[member.transport]++;
    return {
      name: this.name,
      connections,
      createdAt: instant(this.createdAtMs),
      last: kept.last,
      history: kept.history,
      locked: this.lock ? lockEntry(this.lock) : null,
    };
  }
}

function lockEntry(lock: Lock): LockEntry {
  return { until: instant(lock.untilMs), reconnect: lock.reconnect, reason: lock.reason };
}
