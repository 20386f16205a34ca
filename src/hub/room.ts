import { type Clock, instant } from '../clock.ts';
import type { Connection } from './connection.ts';
import type { RoomEvent, SizedText } from './event.ts';
import { Encoding, type Transport } from './frame.ts';
import type { LockEntry, RoomEntry } from './views.ts';

/** A lock keeps a closed room shut. */
export interface Lock {
  /** On the monotonic clock: setting the computer's clock makes no lock longer or shorter. */
  readonly endsAtMs: number;
  readonly reconnect: boolean;
  readonly reason: string;
}

/** When a lock ends, in milliseconds since the epoch, as the computer's clock shows it now. */
export function lockedUntil({ endsAtMs }: Pick<Lock, 'endsAtMs'>, clock: Clock): number {
  return Math.round(clock.now() + endsAtMs - clock.monotonic());
}

/** How a message is delivered, beside what it is. */
export interface RoomDelivery {
  /** The place of a message in the log: who joined later and has been served beyond it is passed over. */
  readonly above?: { readonly position: number; readonly except: ReadonlySet<string> };
  /** The event as JSON, where it is known already. */
  readonly sized?: SizedText;
}

/** A room as long as somebody is in it, or a lock is on it, or it was left a moment ago. */
export class Room {
  readonly name: string;
  readonly createdAtMs: number;
  /** Whether ticks may be replaced by newer ones for members who do not keep up. */
  readonly #conflates: (room: string) => boolean;
  /** To be changed by `add` and `remove` only. */
  readonly members = new Set<Connection>();
  readonly #byTransport: Record<Transport, number> = { websocket: 0, sse: 0 };
  lock: Lock | undefined;

  constructor(name: string, createdAtMs: number, conflates: (room: string) => boolean) {
    this.name = name;
    this.createdAtMs = createdAtMs;
    this.#conflates = conflates;
  }

  /** Queues the event for every member. Returns how many it goes to, and the bytes. */
  deliver(event: RoomEvent, { above, sized }: RoomDelivery = {}): { connections: number; bytes: number } {
    const mayConflate = event.tick !== undefined && this.#conflates(this.name);
    const encoding = new Encoding(event, { mayConflate, ...(sized && { sized }) });
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
      bytes += frame.length;
    }
    return { connections, bytes };
  }

  add(connection: Connection): void {
    if (this.members.has(connection)) return;
    this.members.add(connection);
    this.#byTransport[connection.transport]++;
  }

  remove(connection: Connection): void {
    if (this.members.delete(connection)) this.#byTransport[connection.transport]--;
  }

  entry(kept: { last: RoomEntry['last']; history: number }, clock: Clock): RoomEntry {
    return {
      name: this.name,
      connections: { ...this.#byTransport },
      createdAt: instant(this.createdAtMs),
      last: kept.last,
      history: kept.history,
      locked: this.lock ? lockEntry(this.lock, clock) : null,
    };
  }
}

function lockEntry(lock: Lock, clock: Clock): LockEntry {
  return { until: instant(lockedUntil(lock, clock)), reconnect: lock.reconnect, reason: lock.reason };
}
