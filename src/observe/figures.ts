import { type Clock, instant } from '../clock.ts';
import type { RefusalReason } from '../hub/errors.ts';
import type { Transport } from '../hub/frame.ts';
import type { Hub } from '../hub/hub.ts';
import type { CloseReason } from '../protocol/close-reason.ts';
import type { RunOutcomes, ScheduleHistory } from './schedule-metrics.ts';

/** What is looked at rather than counted. */
export interface Watched {
  readonly clock: Clock;
  readonly version: string;
  readonly hub: WatchedHub;
  readonly schedules: {
    /** How many schedules are in each state. */
    states(): Readonly<Record<ScheduleState, number>>;
    /** Of each schedule, by its name. */
    histories(): Iterable<readonly [schedule: string, history: ScheduleHistory]>;
    /** How often the computer's clock was set. */
    readonly clockSteps: { readonly forward: number; readonly back: number };
    /** Of all schedules since the start, also of those that were removed. */
    totals(): Pick<Stats, 'runs' | 'missed' | 'overlapped' | 'lateness'>;
  };
}

/** What is watched of the hub. */
export interface WatchedHub {
  readonly events: { on(name: 'close', listener: (closed: { reason: CloseReason }) => void): unknown };
  readonly totals: Hub['totals'];
  readonly roomCount: number;
  connectionsHere(): Iterable<{
    readonly transport: Transport;
    readonly outbox: { readonly isBehind: boolean };
  }>;
}

type ScheduleState = 'ok' | 'stale' | 'error' | 'paused';

/** The figures of a server, as `GET /admin/stats` and the `stats` feed give them. Since the start. */
export interface Stats {
  readonly version: string;
  /** RFC 3339. */
  readonly startedAt: string;
  readonly uptimeSeconds: number;
  readonly rooms: number;
  readonly connections: Readonly<Record<Transport, number>>;
  /** Connections whose peers do not keep up. */
  readonly slow: number;
  readonly schedules: Readonly<Record<ScheduleState, number>>;
  readonly published: number;
  readonly delivered: number;
  readonly conflated: number;
  readonly sentBytes: number;
  readonly runs: RunOutcomes;
  readonly missed: number;
  readonly overlapped: number;
  readonly clockSteps: number;
  /** By close code. */
  readonly closes: Readonly<Record<string, number>>;
  /** By reason; those that there were. */
  readonly refusals: Readonly<Record<string, number>>;
  /** How long after their `due` ticks left, by hand excepted; null before the first. */
  readonly lateness: { readonly medianMs: number; readonly p99Ms: number; readonly maxMs: number } | null;
  readonly memory: { readonly rssBytes: number; readonly heapUsedBytes: number };
}

/** Counts what no other part counts, and reads the rest where it is counted: for `stats` and for `/metrics`. */
export class Figures {
  readonly #watched: Watched;
  readonly #startedAtMs: number;
  readonly #startedMonotonicMs: number;
  readonly connects: Record<Transport, number> = { websocket: 0, sse: 0 };
  /** By close code: of the connections that the server closed. */
  readonly closes = new Map<string, number>();
  readonly refusals = new Map<RefusalReason, number>();

  constructor(watched: Watched) {
    this.#watched = watched;
    this.#startedAtMs = watched.clock.now();
    this.#startedMonotonicMs = watched.clock.monotonic();
    watched.hub.events.on('close', ({ reason }) => count(this.closes, String(reason.code)));
  }

  connected(transport: Transport): void {
    this.connects[transport]++;
  }

  refused(reason: RefusalReason): void {
    count(this.refusals, reason);
  }

  get rooms(): number {
    return this.#watched.hub.roomCount;
  }

  /** Since the start: messages published; events and bytes handed to sockets, ticks conflated. */
  get totals(): Hub['totals'] {
    return this.#watched.hub.totals;
  }

  get uptimeSeconds(): number {
    return (this.#watched.clock.monotonic() - this.#startedMonotonicMs) / 1000;
  }

  /** Looks at every connection: about a millisecond for 20,000. */
  connections(): { byTransport: Record<Transport, number>; slow: number } {
    const byTransport = { websocket: 0, sse: 0 };
    let slow = 0;
    for (const { transport, outbox } of this.#watched.hub.connectionsHere()) {
      byTransport[transport]++;
      if (outbox.isBehind) slow++;
    }
    return { byTransport, slow };
  }

  stats(): Stats {
    const { published, events, bytes, conflated } = this.totals;
    const { byTransport, slow } = this.connections();
    const { schedules } = this.#watched;
    const { runs, missed, overlapped, lateness } = schedules.totals();
    const { clockSteps } = schedules;
    const { rss, heapUsed } = process.memoryUsage();
    return {
      version: this.#watched.version,
      startedAt: instant(this.#startedAtMs),
      uptimeSeconds: Math.round(this.uptimeSeconds * 1000) / 1000,
      rooms: this.rooms,
      connections: byTransport,
      slow,
      schedules: schedules.states(),
      published,
      delivered: events,
      conflated,
      sentBytes: bytes,
      runs,
      missed,
      overlapped,
      clockSteps: clockSteps.forward + clockSteps.back,
      closes: Object.fromEntries(this.closes),
      refusals: Object.fromEntries(this.refusals),
      lateness,
      memory: { rssBytes: rss, heapUsedBytes: heapUsed },
    };
  }
}

function count<Key>(counts: Map<Key, number>, key: Key): void {
  counts.set(key, (counts.get(key) ?? 0) + 1);
}
