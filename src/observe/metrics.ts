import { Counter, Gauge, Registry } from 'prom-client';
import type { RefusalReason } from '../hub/errors.ts';
import type { Transport } from '../hub/frame.ts';
import { Figures, type Stats, type Watched } from './figures.ts';
import { ProcessMetrics } from './process-metrics.ts';
import { scheduleMetrics } from './schedule-metrics.ts';

/**
 * Counts and measures what the parts of a server report, for `/metrics` and for `stats`. It has a
 * registry of its own, so that several servers in one process do not add up. No label holds what a
 * stranger can choose (a room, a device, an address): the number of series is bounded by the
 * configuration.
 */
export class Metrics {
  readonly #figures: Figures;
  readonly #registry = new Registry();
  readonly #process: ProcessMetrics;
  readonly #watched: Watched;
  readonly #adminCalls = this.#counter(
    'belfry_admin_calls_total',
    'Calls of the admin API, by the operation in openapi.yaml and the status of the answer.',
    ['operation', 'status'],
  );

  constructor(watched: Watched) {
    const figures = new Figures(watched);
    this.#figures = figures;
    this.#watched = watched;
    this.#process = new ProcessMetrics(this.#registry, watched.clock);
    const { version } = watched;

    this.#gauge('belfry_build_info', 'Always 1; the labels say what is running.', ['version', 'node'], () => [
      [{ version, node: process.versions.node }, 1],
    ]);
    this.#gauge('belfry_rooms', 'Rooms that exist.', [], () => [[{}, figures.rooms]]);
    this.#gauge('belfry_connections', 'Open connections.', ['transport'], () =>
      labelled('transport', Object.entries(figures.connections().byTransport)),
    );
    this.#gauge('belfry_connections_slow', 'Open connections whose peers do not keep up.', [], () => [
      [{}, figures.connections().slow],
    ]);
    this.#gauge('belfry_schedules', 'Schedules, by the state they are in.', ['state'], () =>
      labelled('state', Object.entries(watched.schedules.states())),
    );

    this.#total('belfry_connects_total', 'Connections that were let in.', ['transport'], () =>
      labelled('transport', Object.entries(figures.connects)),
    );
    this.#total('belfry_closes_total', 'Connections that the server closed, by code.', ['code'], () =>
      labelled('code', figures.closes),
    );
    this.#total(
      'belfry_refusals_total',
      'Requests and messages of clients that were turned down, by reason.',
      ['reason'],
      () => labelled('reason', figures.refusals),
    );
    this.#total('belfry_messages_published_total', 'Messages that got a number.', [], () => [
      [{}, figures.totals.published],
    ]);
    this.#total('belfry_events_delivered_total', 'Events handed to sockets.', [], () => [
      [{}, figures.totals.events],
    ]);
    this.#total('belfry_sent_bytes_total', 'Bytes handed to sockets.', [], () => [
      [{}, figures.totals.bytes],
    ]);
    this.#total(
      'belfry_ticks_conflated_total',
      'Ticks that a newer one replaced before they could leave.',
      [],
      () => [[{}, figures.totals.conflated]],
    );
    this.#total('belfry_clock_steps_total', "How often the computer's clock was set.", ['direction'], () =>
      labelled('direction', Object.entries(watched.schedules.clockSteps)),
    );
  }

  /** What is watched all the time is watched from here on. */
  start(): void {
    this.#process.start();
  }

  /** Leaves nothing running. */
  stop(): void {
    this.#process.stop();
  }

  /** Somebody was let in. */
  connected(transport: Transport): void {
    this.#figures.connected(transport);
  }

  /** Somebody was turned down. */
  refused(reason: RefusalReason): void {
    this.#figures.refused(reason);
  }

  /** `operation`: the id in openapi.yaml, never anything that the caller chose. */
  adminCalled(operation: string, status: number): void {
    this.#adminCalls.inc({ operation, status });
  }

  stats(): Stats {
    return this.#figures.stats();
  }

  readonly contentType: string = this.#registry.contentType;

  /** Everything in the text format of Prometheus; in slices. */
  async text(): Promise<string> {
    const { clock, schedules } = this.#watched;
    const ofSchedules = await scheduleMetrics(() => schedules.histories(), clock);
    return (await this.#registry.metrics()) + ofSchedules;
  }

  #counter<Label extends string>(name: string, help: string, labelNames: Label[]): Counter<Label> {
    return new Counter({ name, help, labelNames, registers: [this.#registry] });
  }

  /** A counter that is kept elsewhere, and looked at when it is asked for. */
  #total(name: string, help: string, labelNames: string[], values: () => Values): void {
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

function labelled(name: string, values: Iterable<[string, number]>): Values {
  return [...values].map(([label, value]) => [{ [name]: label }, value]);
}
