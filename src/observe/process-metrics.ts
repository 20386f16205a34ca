import { type IntervalHistogram, monitorEventLoopDelay } from 'node:perf_hooks';
import { Counter, Gauge, type Registry } from 'prom-client';
import type { Cancel, Clock } from '../clock.ts';

/** How often the event loop is asked how late it is. */
const RESOLUTION_MS = 20;

/** Every so often the older of two watches begins again. */
const WINDOW_MS = 60_000;

/**
 * The process under the server: what it uses and how long it is held up. Not prom-client's default
 * metrics: those watch garbage collection and the event loop from then on, with nothing to end it.
 */
export class ProcessMetrics {
  readonly #clock: Clock;
  /**
   * Two that watch the same, the first begun a window before the other. The first one is what is shown:
   * it holds the last one to two windows, however many ask and how often. Empty while nothing is watched.
   */
  #delays: IntervalHistogram[] = [];
  #cancel: Cancel | undefined;

  constructor(registry: Registry, clock: Clock) {
    this.#clock = clock;
    const registers = [registry];
    const eventLoopDelay = new Gauge({
      name: 'belfry_event_loop_delay_seconds',
      help: 'How late the event loop came to what was due, over the last one to two minutes.',
      labelNames: ['stat'],
      registers,
      collect: () => {
        const [delay] = this.#delays;
        eventLoopDelay.set({ stat: 'median' }, lateSeconds(delay?.percentile(50)));
        eventLoopDelay.set({ stat: 'p99' }, lateSeconds(delay?.percentile(99)));
        eventLoopDelay.set({ stat: 'max' }, lateSeconds(delay?.max));
      },
    });
    new Counter({
      name: 'process_cpu_seconds_total',
      help: 'User and system CPU time.',
      registers,
      collect() {
        const { user, system } = process.cpuUsage();
        this.reset();
        this.inc((user + system) / 1e6);
      },
    });
    const gauge = (name: string, help: string, value: () => number) =>
      new Gauge({
        name,
        help,
        registers,
        collect() {
          this.set(value());
        },
      });
    const startedAtSeconds = clock.now() / 1000 - process.uptime();
    gauge('process_start_time_seconds', 'When the process started, since 1970.', () => startedAtSeconds);
    gauge('process_resident_memory_bytes', 'Memory of the process.', () => process.memoryUsage.rss());
    gauge('nodejs_heap_size_used_bytes', 'Memory that JavaScript objects take.', () => memory().heapUsed);
    gauge('nodejs_external_memory_bytes', 'Memory that buffers and the like take.', () => memory().external);
  }

  start(): void {
    if (this.#delays.length > 0) return;
    this.#delays = [watched(), watched()];
    this.#turnLater();
  }

  stop(): void {
    this.#cancel?.();
    for (const delay of this.#delays) delay.disable();
    this.#delays = [];
  }

  #turnLater(): void {
    this.#cancel = this.#clock.after(WINDOW_MS, () => {
      const [older, newer] = this.#delays;
      if (!older || !newer) return;
      older.reset();
      this.#delays = [newer, older];
      this.#turnLater();
    });
  }
}

function watched(): IntervalHistogram {
  const delay = monitorEventLoopDelay({ resolution: RESOLUTION_MS });
  delay.enable();
  return delay;
}

const memory = () => process.memoryUsage();

/** Nanoseconds between two looks, of which the interval itself is no delay. */
function lateSeconds(betweenNs = 0): number {
  return Math.max(betweenNs / 1e9 - RESOLUTION_MS / 1000, 0);
}
