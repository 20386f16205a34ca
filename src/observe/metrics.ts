import { Counter, Gauge, Registry } from 'prom-client';
import { type Clock, instant } from '../clock.ts';
import type { RefusalReason } from '../hub/errors.ts';
import type { Transport } from '../hub/frame.ts';
import type { Hub } from '../hub/hub.ts';
import type { CloseReason } from '../protocol/close-reason.ts';
import { ProcessMetrics } from './process-metrics.ts';
import { type RunOutcomes, type ScheduleHistory, scheduleMetrics } from './schedule-metrics.ts';

/** The parts that count for themselves, and are read when metrics are requested. */
export interface MetricsSources {
  readonly clock: Clock;
  readonly version: string;
  readonly hub: {
    readonly events: { on(name: 'close', listener: (closed: { reason: CloseReason }) => void): unknown };
    /** Since the start: messages published; events and bytes handed to sockets, ticks conflated. */
    readonly totals: Hub['totals'];
    readonly roomCount: number;
    connectionsHere(): Iterable<{
      readonly transport: Transport;
      readonly outbox: { readonly isBehind: boolean };
    }>;
  };
  readonly broadcasts: {
    /** Number of broadcasts that wait for their time. */
    readonly count: number;
    /** Since the start. */
    readonly missed: number;
  };
  readonly schedules: {
    /** Number of schedules in each state. */
    states(): Readonly<Record<'ok' | 'stale' | 'error' | 'paused', number>>;
    /** The history of each schedule, by its name. */
    histories(): Iterable<readonly [schedule: string, history: ScheduleHistory]>;
    /** Number of times that the clock of the computer was set. */
    readonly clockSteps: { readonly forward: number; readonly back: number };
    /** Of all schedules since the start, those included that were removed. */
    totals(): {
      readonly runs: RunOutcomes;
      readonly missed: number;
      readonly overlapped: number;
      /** Time from `due` until ticks were sent, runs by hand excepted; null before the first tick. */
      readonly lateness: {
        readonly medianMs: number;
        readonly p99Ms: number;
        readonly maxMs: number;
      } | null;
    };
  };
}

/**
 * The metrics of one server, for `/metrics` and for `/admin/stats`. It counts what no other part counts,
 * and reads the rest where it is counted. It has a registry of its own, so that several servers in one
 * process do not add up. No label holds what a stranger can choose (a room, a device, an address): the
 * number of series is bounded by the configuration.
 */
export class Metrics {
  readonly contentType: string;
  readonly #sources: MetricsSources;
  readonly #startedAtMs: number;
  readonly #startedMonotonicMs: number;
  readonly #connects: Record<Transport, number> = { websocket: 0, sse: 0 };
  /** By close code. */
  readonly #closes = new Map<string, number>();
  readonly #refusals = new Map<RefusalReason, number>();
  readonly #registry = new Registry();
  readonly #adminCalls: Counter<'operation' | 'status'>;
  readonly #process: ProcessMetrics;

  constructor(sources: MetricsSources) {
    const { clock, version, hub, schedules, broadcasts } = sources;
    this.#sources = sources;
    this.#startedAtMs = clock.now();
    this.#startedMonotonicMs = clock.monotonic();
    hub.events.on('close', ({ reason }) => count(this.#closes, String(reason.code)));
    this.contentType = this.#registry.contentType;
    this.#adminCalls = new Counter({
      name: 'belfry_admin_calls_total',
      help: 'Calls of the admin API, by the operation in openapi.yaml and the status of the answer.',
      labelNames: ['operation', 'status'],
      registers: [this.#registry],
    });
    this.#process = new ProcessMetrics(this.#registry, clock);

    this.#gauge('belfry_build_info', 'Always 1; the labels say what is running.', ['version', 'node'], () => [
      [{ version, node: process.versions.node }, 1],
    ]);
    this.#gauge('belfry_rooms', 'Rooms that exist.', [], () => single(hub.roomCount));
    this.#gauge('belfry_connections', 'Open connections.', ['transport'], () =>
      labelled('transport', Object.entries(this.#connections().byTransport)),
    );
    this.#gauge('belfry_connections_slow', 'Open connections that are slow consumers.', [], () =>
      single(this.#connections().slow),
    );
    this.#gauge('belfry_schedules', 'Schedules, by their state.', ['state'], () =>
      labelled('state', Object.entries(schedules.states())),
    );

    this.#counter('belfry_connects_total', 'Accepted connections.', ['transport'], () =>
      labelled('transport', Object.entries(this.#connects)),
    );
    this.#counter('belfry_closes_total', 'Connections that the server closed, by code.', ['code'], () =>
      labelled('code', this.#closes),
    );
    this.#counter(
      'belfry_refusals_total',
      'Refused requests and client messages, by reason.',
      ['reason'],
      () => labelled('reason', this.#refusals),
    );
    this.#counter('belfry_messages_published_total', 'Messages that got an id.', [], () =>
      single(hub.totals.published),
    );
    this.#gauge('belfry_broadcasts_waiting', 'Broadcasts that wait for their time.', [], () =>
      single(broadcasts.count),
    );
    this.#counter(
      'belfry_broadcasts_missed_total',
      'Broadcasts that were not sent since their time had passed.',
      [],
      () => single(broadcasts.missed),
    );
    this.#counter('belfry_events_delivered_total', 'Events handed to sockets.', [], () =>
      single(hub.totals.events),
    );
    this.#counter('belfry_sent_bytes_total', 'Bytes handed to sockets.', [], () => single(hub.totals.bytes));
    this.#counter(
      'belfry_ticks_conflated_total',
      'Ticks that a newer one replaced before they were sent.',
      [],
      () => single(hub.totals.conflated),
    );
    this.#counter(
      'belfry_clock_steps_total',
      'Times that the clock of the computer was set.',
      ['direction'],
      () => labelled('direction', Object.entries(schedules.clockSteps)),
    );
  }

  /** Begins to watch the event loop. */
  start(): void {
    this.#process.start();
  }

  /** Leaves nothing running. */
  stop(): void {
    this.#process.stop();
  }

  /** A connection was accepted. */
  connected(transport: Transport): void {
    this.#connects[transport]++;
  }

  /** A request or a message of a client was refused. */
  refused(reason: RefusalReason): void {
    count(this.#refusals, reason);
  }

  /** `operation`: the id in openapi.yaml, never anything that the caller chose. */
  adminCalled(operation: string, status: number): void {
    this.#adminCalls.inc({ operation, status });
  }

  /** The answer of `GET /admin/stats` and the value of the `stats` feed; openapi.yaml says what each field is. */
  stats() {
    const { clock, version, hub, schedules, broadcasts } = this.#sources;
    const { published, events, bytes, conflated } = hub.totals;
    const { byTransport, slow } = this.#connections();
    const { runs, missed, overlapped, lateness } = schedules.totals();
    const { rss, heapUsed } = process.memoryUsage();
    return {
      version,
      startedAt: instant(this.#startedAtMs),
      uptimeSeconds: Math.round(clock.monotonic() - this.#startedMonotonicMs) / 1000,
      rooms: hub.roomCount,
      connections: byTransport,
      slow,
      schedules: schedules.states(),
      published,
      broadcasts: { waiting: broadcasts.count, missed: broadcasts.missed },
      delivered: events,
      conflated,
      sentBytes: bytes,
      runs,
      missed,
      overlapped,
      clockSteps: schedules.clockSteps.forward + schedules.clockSteps.back,
      closes: Object.fromEntries(this.#closes),
      refusals: Object.fromEntries(this.#refusals),
      lateness,
      memory: { rssBytes: rss, heapUsedBytes: heapUsed },
    };
  }

  /** Everything in the text format of Prometheus; in slices. */
  async text(): Promise<string> {
    const { clock, schedules } = this.#sources;
    const ofSchedules = await scheduleMetrics(() => schedules.histories(), clock);
    return (await this.#registry.metrics()) + ofSchedules;
  }

  /** Looks at every connection: about a millisecond for 20,000. */
  #connections(): { byTransport: Record<Transport, number>; slow: number } {
    const byTransport = { websocket: 0, sse: 0 };
    let slow = 0;
    for (const { transport, outbox } of this.#sources.hub.connectionsHere()) {
      byTransport[transport]++;
      if (outbox.isBehind) slow++;
    }
    return { byTransport, slow };
  }

  /** A counter whose values are kept elsewhere, and read when they are asked for. */
  #counter(name: string, help: string, labelNames: string[], values: () => Values): void {
    new Counter({
      name,
      help,
      labelNames,
      registers: [this.#registry],
      collect() {
        this.reset();
        for (const [labels, value] of values()) this.inc(labels, value);
      },
    });
  }

  #gauge(name: string, help: string, labelNames: string[], values: () => Values): void {
    new Gauge({
      name,
      help,
      labelNames,
      registers: [this.#registry],
      collect() {
        for (const [labels, value] of values()) this.set(labels, value);
      },
    });
  }
}

type Values = readonly (readonly [labels: Record<string, string>, value: number])[];

const single = (value: number): Values => [[{}, value]];

function labelled(name: string, values: Iterable<[string, number]>): Values {
  return [...values].map(([label, value]) => [{ [name]: label }, value]);
}

function count<Key>(counts: Map<Key, number>, key: Key): void {
  counts.set(key, (counts.get(key) ?? 0) + 1);
}
