import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Clock } from '../clock.ts';
import type { CountedRun } from './figures.ts';

/** Upper bounds in seconds; of lateness fine around what is promised, 2 ms and 6 ms. */
const LATENESS = [0.0005, 0.001, 0.002, 0.004, 0.006, 0.01, 0.025, 0.1, 0.5, 1, 5, 10];
const FEED_DURATION = [0.0005, 0.005, 0.025, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];

const OUTCOMES = ['sent', 'unchanged', 'unheard', 'failed'] as const;

/** How long writing may hold the event loop in one go. */
const SLICE_MS = 5;

/**
 * What is counted for each schedule, and its text for Prometheus. Written here in slices: a thousand
 * schedules are 34,000 lines, for which prom-client holds the event loop for a tenth of a second.
 */
export class ScheduleMetrics {
  readonly #clock: Pick<Clock, 'monotonic'>;
  readonly #bySchedule = new Map<string, Counted>();

  constructor(clock: Pick<Clock, 'monotonic'>) {
    this.#clock = clock;
  }

  ran(schedule: string, { due, tookMs, sent, manual, outcome }: CountedRun): void {
    const counted = this.#of(schedule);
    counted.runs[outcome]++;
    counted.feedDuration.observe(seconds(tookMs));
    if (sent !== null && !manual) counted.lateness.observe(seconds(sent - due));
  }

  missed(schedule: string, instants: number): void {
    this.#of(schedule).missed += instants;
  }

  overlapped(schedule: string): void {
    this.#of(schedule).overlapped++;
  }

  /** Its series end, so that reloads do not pile them up. */
  forget(schedule: string): void {
    this.#bySchedule.delete(schedule);
  }

  /** In the text format 0.0.4. */
  async text(): Promise<string> {
    let text = '';
    let endsAt = this.#clock.monotonic() + SLICE_MS;
    for (const { name, type, help, lines } of METRICS) {
      text += `# HELP ${name} ${help}\n# TYPE ${name} ${type}\n`;
      for (const counted of this.#bySchedule.values()) {
        text += lines(counted, name);
        if (this.#clock.monotonic() < endsAt) continue;
        await nextTurn();
        endsAt = this.#clock.monotonic() + SLICE_MS;
      }
    }
    return text;
  }

  #of(schedule: string): Counted {
    const known = this.#bySchedule.get(schedule);
    if (known) return known;
    const counted = {
      label: `schedule="${escaped(schedule)}"`,
      runs: { sent: 0, unchanged: 0, unheard: 0, failed: 0 },
      missed: 0,
      overlapped: 0,
      lateness: new Buckets(LATENESS),
      feedDuration: new Buckets(FEED_DURATION),
    };
    this.#bySchedule.set(schedule, counted);
    return counted;
  }
}

interface Counted {
  readonly label: string;
  readonly runs: Record<CountedRun['outcome'], number>;
  missed: number;
  overlapped: number;
  readonly lateness: Buckets;
  readonly feedDuration: Buckets;
}

interface Metric {
  readonly name: string;
  readonly type: 'counter' | 'histogram';
  readonly help: string;
  readonly lines: (counted: Counted, name: string) => string;
}

/** Series that have not happened are left out. */
const METRICS: readonly Metric[] = [
  {
    name: 'belfry_runs_total',
    type: 'counter',
    help: 'Runs of a schedule, by what came of them.',
    lines: ({ label, runs }, name) =>
      OUTCOMES.map((outcome) => counter(name, `${label},outcome="${outcome}"`, runs[outcome])).join(''),
  },
  {
    name: 'belfry_instants_missed_total',
    type: 'counter',
    help: 'Due instants that passed while nothing could run; at least, where some were too many to count.',
    lines: ({ label, missed }, name) => counter(name, label, missed),
  },
  {
    name: 'belfry_instants_overlapped_total',
    type: 'counter',
    help: 'Due instants left out because the feed was still being read.',
    lines: ({ label, overlapped }, name) => counter(name, label, overlapped),
  },
  {
    name: 'belfry_tick_lateness_seconds',
    type: 'histogram',
    help: 'How long after the instant it stands for a tick left; runs by hand are not in it.',
    lines: ({ label, lateness }, name) => lateness.lines(name, label),
  },
  {
    name: 'belfry_feed_duration_seconds',
    type: 'histogram',
    help: 'How long a feed took for a value, failures included.',
    lines: ({ label, feedDuration }, name) => feedDuration.lines(name, label),
  },
];

function counter(name: string, labels: string, value: number): string {
  return value === 0 ? '' : `${name}{${labels}} ${value}\n`;
}

/** A histogram: how many values lie at or below each bound. */
class Buckets {
  readonly #bounds: readonly number[];
  /** One for each bound, and the last for what is above them all; not cumulative. */
  readonly #counts: number[];
  #sum = 0;

  constructor(bounds: readonly number[]) {
    this.#bounds = bounds;
    this.#counts = Array(bounds.length + 1).fill(0);
  }

  observe(value: number): void {
    const index = this.#bounds.findIndex((bound) => value <= bound);
    const bucket = index === -1 ? this.#bounds.length : index;
    this.#counts[bucket] = (this.#counts[bucket] ?? 0) + 1;
    this.#sum += value;
  }

  lines(name: string, label: string): string {
    let count = 0;
    let text = '';
    for (const [index, here] of this.#counts.entries()) {
      count += here;
      text += `${name}_bucket{le="${this.#bounds[index] ?? '+Inf'}",${label}} ${count}\n`;
    }
    return count === 0 ? '' : `${text}${name}_sum{${label}} ${this.#sum}\n${name}_count{${label}} ${count}\n`;
  }
}

function escaped(label: string): string {
  return label.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n');
}

/** A clock that was set meanwhile must not make a histogram's sum shrink. */
function seconds(ms: number): number {
  return Math.max(ms, 0) / 1000;
}
