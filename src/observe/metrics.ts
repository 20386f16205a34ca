import { Counter, Gauge, Histogram, Registry } from 'prom-client';
import type { Transport } from '../hub/entries.ts';
import type { RefusalReason } from '../hub/refusal.ts';
import { type CountedRun, Figures, type Stats, type Watched } from './figures.ts';
import { ProcessMetrics } from './process-metrics.ts';

/**
 * Upper bounds in seconds. Fine around what is promised of lateness (2 ms and 6 ms); few of them, as
 * each is a line for each schedule: a thousand schedules take 50 ms to write.
 */
const LATENESS = [0.0005, 0.001, 0.002, 0.004, 0.006, 0.01, 0.025, 0.1, 0.5, 1, 5, 10];
const FEED_DURATION = [0.0005, 0.005, 0.025, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];

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
  readonly #runs = this.#counter('belfry_runs_total', 'Runs of a schedule, by what came of them.', [
    'schedule',
    'outcome',
  ]);
  readonly #missed = this.#counter(
    'belfry_instants_missed_total',
    'Due instants that passed while nothing could run; at least, where some were too many to count.',
    ['schedule'],
  );
  readonly #overlapped = this.#counter(
    'belfry_instants_overlapped_total',
    'Due instants left out because the feed was still being read.',
    ['schedule'],
  );
  readonly #lateness = this.#histogram(
    'belfry_tick_lateness_seconds',
    'How long after the instant it stands for a tick left; runs by hand are not in it.',
    LATENESS,
  );
  readonly #feedDuration = this.#histogram(
    'belfry_feed_duration_seconds',
    'How long a feed took for a value, failures included.',
    FEED_DURATION,
  );
  readonly #adminCalls = this.#counter(
    'belfry_admin_calls_total',
    'Calls of the admin API, by the operation in openapi.yaml and the status of the answer.',
    ['operation', 'status'],
  );

  constructor(watched: Watched) {
    const figures = new Figures(watched);
    this.#figures = figures;
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
      labelled('state', Object.entries(figures.scheduleStates())),
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
      labelled('direction', Object.entries(figures.clockSteps)),
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

  /** A run of a schedule is over: to be called at once. */
  ran(schedule: string, run: CountedRun): void {
    const { due, tookMs, sent, manual, outcome } = run;
    this.#figures.ran(run);
    this.#runs.inc({ schedule, outcome });
    this.#feedDuration.observe({ schedule }, seconds(tookMs));
    if (sent !== null && !manual) this.#lateness.observe({ schedule }, seconds(sent - due));
  }

  missed(schedule: string, instants: number): void {
    this.#figures.missed(instants);
    this.#missed.inc({ schedule }, instants);
  }

  overlapped(schedule: string): void {
    this.#figures.overlapped();
    this.#overlapped.inc({ schedule });
  }

  /** The computer's clock was set: milliseconds, negative for back. */
  stepped(ms: number): void {
    this.#figures.stepped(ms);
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

  /** A schedule is no longer there: its series end, so that reloads do not pile them up. */
  forget(schedule: string): void {
    for (const outcome of ['sent', 'unchanged', 'unheard', 'failed'])
      this.#runs.remove({ schedule, outcome });
    for (const metric of [this.#missed, this.#overlapped, this.#lateness, this.#feedDuration])
      metric.remove({ schedule });
  }

  stats(): Stats {
    return this.#figures.stats();
  }

  readonly contentType: string = this.#registry.contentType;

  /** Everything in the text format of Prometheus. */
  text(): Promise<string> {
    return this.#registry.metrics();
  }

  #counter<Label extends string>(name: string, help: string, labelNames: Label[]): Counter<Label> {
    return new Counter({ name, help, labelNames, registers: [this.#registry] });
  }

  #histogram(name: string, help: string, buckets: number[]): Histogram<'schedule'> {
    return new Histogram({
      name,
      help,
      labelNames: ['schedule'],
      buckets,
      registers: [this.#registry],
    });
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

/** A clock that was set meanwhile must not make a histogram's sum shrink. */
function seconds(ms: number): number {
  return Math.max(ms, 0) / 1000;
}
