import { createHistogram } from 'node:perf_hooks';
import { type Clock, instant } from '../clock.ts';
import type { CloseReason } from '../hub/close-reason.ts';
import type { RefusalReason } from '../hub/errors.ts';
import type { Transport } from '../hub/frame.ts';
import type { Hub } from '../hub/hub.ts';

/** What is looked at rather than counted. */
export interface Watched {
  readonly clock: Clock;
  readonly version: string;
  readonly hub: WatchedHub;
  readonly schedules: {
    /** How many schedules are in each state. */
    states(): Readonly<Record<ScheduleState, number>>;
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

/** A run of a schedule, as far as it is counted here; instants in milliseconds since the epoch. */
export interface CountedRun {
  readonly due: number;
  /** How long it took to have the value, on the clock that never steps. */
  readonly tookMs: number;
  /** Null where nothing left. */
  readonly sent: number | null;
  readonly manual: boolean;
  readonly outcome: 'sent' | 'unchanged' | 'unheard' | 'failed';
}

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
  readonly runs: Readonly<Record<CountedRun['outcome'], number>>;
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

/** What happens in a server is counted here, each thing once: for `stats` and for `/metrics`. */
export class Figures {
  readonly #watched: Watched;
  readonly #startedAtMs: number;
  readonly #startedMonotonicMs: number;
  readonly #runs = { sent: 0, unchanged: 0, unheard: 0, failed: 0 };
  /** In microseconds, to three figures, up to a day: a fixed 200 KiB however long the server runs. */
  readonly #lateness = createHistogram({ lowest: 1, highest: 86_400_000_000, figures: 3 });
  #missed = 0;
  #overlapped = 0;
  readonly connects: Record<Transport, number> = { websocket: 0, sse: 0 };
  readonly clockSteps = { forward: 0, back: 0 };
  /** By close code: of the connections that the server closed. */
  readonly closes = new Map<string, number>();
  readonly refusals = new Map<RefusalReason, number>();

  constructor(watched: Watched) {
    this.#watched = watched;
    this.#startedAtMs = watched.clock.now();
    this.#startedMonotonicMs = watched.clock.monotonic();
    watched.hub.events.on('close', ({ reason }) => count(this.closes, String(reason.code)));
  }

  ran({ due, sent, manual, outcome }: CountedRun): void {
    this.#runs[outcome]++;
    if (sent !== null && !manual) this.#lateness.record(microseconds(sent - due));
  }

  missed(instants: number): void {
    this.#missed += instants;
  }

  overlapped(): void {
    this.#overlapped++;
  }

  stepped(ms: number): void {
    this.clockSteps[ms < 0 ? 'back' : 'forward']++;
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

  scheduleStates(): Readonly<Record<ScheduleState, number>> {
    return this.#watched.schedules.states();
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
    const { rss, heapUsed } = process.memoryUsage();
    return {
      version: this.#watched.version,
      startedAt: instant(this.#startedAtMs),
      uptimeSeconds: Math.round(this.uptimeSeconds * 1000) / 1000,
      rooms: this.rooms,
      connections: byTransport,
      slow,
      schedules: this.scheduleStates(),
      published,
      delivered: events,
      conflated,
      sentBytes: bytes,
      runs: { ...this.#runs },
      missed: this.#missed,
      overlapped: this.#overlapped,
      clockSteps: this.clockSteps.forward + this.clockSteps.back,
      closes: Object.fromEntries(this.closes),
      refusals: Object.fromEntries(this.refusals),
      lateness: this.#latenessMs(),
      memory: { rssBytes: rss, heapUsedBytes: heapUsed },
    };
  }

  #latenessMs(): Stats['lateness'] {
    const lateness = this.#lateness;
    if (lateness.count === 0) return null;
    // The histogram says of a value in which range it lies, and names the end of it.
    const atMost = (value: number) => Math.round(Math.min(value, lateness.max) / 10) / 100;
    return {
      medianMs: atMost(lateness.percentile(50)),
      p99Ms: atMost(lateness.percentile(99)),
      maxMs: atMost(lateness.max),
    };
  }
}

function count<Key>(counts: Map<Key, number>, key: Key): void {
  counts.set(key, (counts.get(key) ?? 0) + 1);
}

/** A clock that was set while the feed was read can make a tick early, or late by years. */
function microseconds(ms: number): number {
  return Math.min(Math.max(Math.round(ms * 1000), 1), 86_400_000_000);
}
