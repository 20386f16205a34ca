import { type IntervalHistogram, monitorEventLoopDelay } from 'node:perf_hooks';
import { Counter, Gauge, type Registry } from 'prom-client';
import type { Cancel, Clock } from '../clock.ts';

/** Interval of the timer whose lateness is measured. */
const RESOLUTION_MS = 20;

/** Interval at which the older of the two histograms begins again. */
const WINDOW_MS = 60_000;

/**
 * CPU, memory and event loop delay of the process. Not prom-client's default metrics: those watch garbage
 * collection and the event loop from then on, and nothing ends that.
 */
export class ProcessMetrics {
  readonly #clock: Clock;
  /**
   * Two histograms of the same delay, the first begun one window before the other. The first is exported:
   * it holds the last one to two windows, however often it is read. Empty unless started.
   */
  #delays: IntervalHistogram[] = [];
  #cancel: Cancel | undefined;

  constructor(registry: Registry, clock: Clock) {
    this.#clock = clock;
    const registers = [registry];
    const eventLoopDelay = new Gauge({
      name: 'belfry_event_loop_delay_seconds',
      help: 'Delay of the event loop over the last one to two minutes.',
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
    this.#delays = [delayHistogram(), delayHistogram()];
    this.#rotateLater();
  }

  stop(): void {
    this.#cancel?.();
    for (const delay of this.#delays) delay.disable();
    this.#delays = [];
  }

  #rotateLater(): void {
    this.#cancel = this.#clock.after(WINDOW_MS, () => {
      const [older, newer] = this.#delays;
      if (!older || !newer) return;
      older.reset();
      this.#delays = [newer, older];
      this.#rotateLater();
    });
  }
}

function delayHistogram(): IntervalHistogram {
  const delay = monitorEventLoopDelay({ resolution: RESOLUTION_MS });
  delay.enable();
  return delay;
}

const memory = () => process.memoryUsage();

/** Nanoseconds between two timer events, of which the interval itself is no delay. */
function lateSeconds(betweenNs = 0): number {
  return Math.max(betweenNs / 1e9 - RESOLUTION_MS / 1000, 0);
}
