import { setTimeout as sleep } from 'node:timers/promises';
import type { Bench, Subscribers } from './bench.ts';
import type { Ticks } from './server.ts';
import { median } from './statistics.ts';
import type { SubscribeOptions } from './subscribers.ts';

/** How many subscribers are watched at either end. */
const WATCHED = 50;

export interface FanoutOptions extends Omit<SubscribeOptions, 'port' | 'first'> {
  /** The time between two ticks. */
  readonly everyMs: number;
  /** Whether all but the watched subscribers read with the lowest priority. */
  readonly isLowPriority?: boolean;
}

/**
 * Ticks of one server to many subscribers, and what they cost. The first and the last subscribers have
 * a process of their own: whichever end a server begins at, one of them is the last to get an event.
 */
export class Fanout {
  readonly #ticks: Ticks;
  readonly #everyMs: number;
  readonly #watched: Subscribers;
  readonly #others: Subscribers;
  readonly #cpuMicros: number[] = [];
  readonly #lastMs: number[] = [];

  private constructor(ticks: Ticks, everyMs: number, watched: Subscribers, others: Subscribers) {
    this.#ticks = ticks;
    this.#everyMs = everyMs;
    this.#watched = watched;
    this.#others = others;
  }

  static async open(bench: Bench, ticks: Ticks, options: FanoutOptions): Promise<Fanout> {
    const { everyMs, isLowPriority = false, count, ...rest } = options;
    const common = { ...rest, port: ticks.server.port };
    const [watched, others] = [bench.subscribers(), bench.subscribers({ isLowPriority })];
    await watched.call('subscribe', { ...common, count: WATCHED, readsTimes: true });
    await others.call('subscribe', { ...common, count: count - 2 * WATCHED, first: WATCHED });
    await watched.call('subscribe', { ...common, count: WATCHED, first: count - WATCHED, readsTimes: true });
    return new Fanout(ticks, everyMs, watched, others);
  }

  /** Server CPU for each event received, in microseconds: the median of the measurements. */
  get cpuMicros(): number {
    return median(this.#cpuMicros);
  }

  /** From the due instant until the last subscriber has the event, in milliseconds. */
  get lastMs(): number {
    return median(this.#lastMs);
  }

  /** From the middle between two ticks to the middle between two others, when nothing is under way. */
  async measure(ticks: number): Promise<void> {
    const { cost } = this.#ticks.server;
    await this.#ticks.start();
    // The first tick after a pause comes with a `status`, and is not counted.
    await this.#untilMiddle();
    await sleep(this.#everyMs);
    await this.#untilMiddle();
    await this.#watched.call('watch');
    const cpuMs = cost.cpuMs();
    const events = await this.#received();
    await sleep(this.#everyMs * ticks);
    const usedMs = cost.cpuMs() - cpuMs;
    this.#cpuMicros.push((usedMs * 1000) / ((await this.#received()) - events));
    this.#lastMs.push(median((await this.#watched.call('seen')).lastMs));
    await this.#ticks.stop();
    await sleep(this.#everyMs / 2);
  }

  async #received(): Promise<number> {
    const [watched, others] = await Promise.all([
      this.#watched.call('received'),
      this.#others.call('received'),
    ]);
    return watched + others;
  }

  #untilMiddle(): Promise<void> {
    const phase = Date.now() % this.#everyMs;
    const half = this.#everyMs / 2;
    return sleep(phase < half ? half - phase : this.#everyMs + half - phase);
  }
}

/** Measures one after the other, several rounds, so that all see the same machine. */
export async function measureInTurn(
  fanouts: readonly Fanout[],
  { rounds, ticks }: { rounds: number; ticks: number },
): Promise<void> {
  for (let round = 0; round < rounds; round++) {
    for (const fanout of fanouts) await fanout.measure(ticks);
  }
}
