import { setTimeout as sleep } from 'node:timers/promises';
import { clocks } from '../harness/belfry.ts';
import type { BaselineName, Bench, Subscribers } from '../harness/bench.ts';
import { numberOption, type Result, type Scenario } from '../harness/scenario.ts';
import type { Server } from '../harness/server.ts';
import { median } from '../harness/statistics.ts';
import type { Transport } from '../harness/subscriber.ts';

/** How many subscribers at either end have the times of their events read. */
const TIMED = 50;

/** A server and how its subscribers connect. */
interface Contender {
  /** By default Belfry itself. */
  readonly baseline?: BaselineName;
  /** Of its figures, beside those of Belfry. */
  readonly label: string;
  readonly transport?: Transport;
}

/** A question about ticks to many subscribers. */
interface Question {
  readonly name: string;
  readonly question: string;
  readonly connections: number;
  readonly everyMs: number;
  /** How many ticks are due at each instant. */
  readonly ticks?: number;
  /** The instants of one measurement. */
  readonly instants: number;
  /** How the subscribers of Belfry connect. */
  readonly transport?: Transport;
  readonly against: readonly Contender[];
  /** Whether it is asked once more with subscribers that leave the processors to the server. */
  readonly asksTwice?: boolean;
  readonly cpuTarget: string;
  readonly lastTarget?: string;
}

const PLAIN: Contender = { baseline: 'plain', label: 'plain' };

const QUESTIONS: readonly Question[] = [
  {
    name: 'tick',
    question: 'One tick to many: what does a frame cost, and when has the last client got it?',
    ...{ connections: 10_000, everyMs: 500, instants: 8 },
    against: [PLAIN, { baseline: 'ws', label: 'ws' }],
    asksTwice: true,
    cpuTarget: 'at most 0.80 × plain, 1.10 × ws',
    lastTarget: 'at most 0.9 × plain',
  },
  {
    name: 'burst',
    question: 'Twenty schedules are due at once: what does a frame cost?',
    ...{ connections: 2000, everyMs: 2000, ticks: 20, instants: 4 },
    against: [PLAIN],
    cpuTarget: 'at most 0.14 × plain',
  },
  {
    name: 'sse',
    question: 'SSE beside WebSocket: does a frame cost the same on both?',
    ...{ connections: 5000, everyMs: 1000, instants: 5 },
    transport: 'sse',
    against: [{ baseline: 'plain', label: 'plain streamSSE', transport: 'sse' }, { label: 'WebSocket' }],
    cpuTarget: 'at most 1.1 × WebSocket',
  },
];

export const fanouts: readonly Scenario[] = QUESTIONS.map((question) => ({
  name: question.name,
  question: `${question.question} (--connections ${question.connections} --rooms 1 --rounds 3)`,
  async *run(bench, options) {
    const rounds = numberOption(options, 'rounds', 3);
    const rooms = numberOption(options, 'rooms', 1);
    const connections = numberOption(options, 'connections', question.connections);
    for (const isLowPriority of question.asksTwice ? [false, true] : [false]) {
      yield* measure(bench, { ...question, rounds, rooms, connections, isLowPriority });
      await bench.clear();
    }
  },
}));

interface Plan extends Question {
  readonly rounds: number;
  readonly rooms: number;
  readonly isLowPriority: boolean;
}

/** All servers in turn, several rounds, so that all see the same machine. */
async function* measure(bench: Bench, plan: Plan): AsyncGenerator<Result> {
  const { transport = 'websocket', connections, ticks = 1, isLowPriority } = plan;
  const belfry = await Fanout.open(bench, plan, { label: 'belfry', transport });
  const others: Fanout[] = [];
  for (const contender of plan.against) others.push(await Fanout.open(bench, plan, contender));
  for (let round = 0; round < plan.rounds; round++) {
    for (const fanout of [belfry, ...others]) await fanout.measure();
  }
  const figures = (of: (fanout: Fanout) => number) => ({
    belfry: of(belfry),
    against: Object.fromEntries(others.map((fanout) => [fanout.label, of(fanout)])),
  });
  const [sent, last] = ticks === 1 ? ['one tick', 'it'] : [`${ticks} ticks at once`, `all ${ticks}`];
  const readers = isLowPriority ? '; readers leave the cores to the server' : '';
  yield {
    what: `${sent} to ${connections}, ${transport}: server CPU${readers}`,
    unit: 'µs/frame',
    ...figures(({ cpuMicros }) => median(cpuMicros)),
    target: plan.cpuTarget,
  };
  yield {
    what: `due until the last client has ${last}${readers}`,
    unit: 'ms',
    ...figures(({ lastMs }) => median(lastMs)),
    ...(plan.lastTarget && { target: plan.lastTarget }),
  };
}

/**
 * Ticks of one server to many subscribers. The first and the last subscribers have a process of their own:
 * whichever end a server begins at, one of them is the last to get an event.
 */
class Fanout {
  readonly label: string;
  /** Of each measurement: server CPU for each event received, in microseconds. */
  readonly cpuMicros: number[] = [];
  /** Of each measurement: from the due instant until the last subscriber has the event, in milliseconds. */
  readonly lastMs: number[] = [];
  readonly #plan: Plan;
  readonly #server: Server;
  readonly #timed: Subscribers;
  readonly #others: Subscribers;

  private constructor(label: string, plan: Plan, server: Server, timed: Subscribers, others: Subscribers) {
    this.label = label;
    this.#plan = plan;
    this.#server = server;
    this.#timed = timed;
    this.#others = others;
  }

  static async open(bench: Bench, plan: Plan, { baseline, label, transport = 'websocket' }: Contender) {
    const { everyMs, ticks = 1, connections, rooms, isLowPriority } = plan;
    const server = baseline
      ? await bench.baseline(baseline, { everyMs, ticks })
      : await bench.belfry({ schedules: clocks(ticks, everyMs) });
    const common = { transport, port: server.port, rooms };
    const [timed, others] = [bench.subscribers(), bench.subscribers({ isLowPriority })];
    await timed.call('subscribe', { ...common, count: TIMED, readsTimes: true });
    await others.call('subscribe', { ...common, count: connections - 2 * TIMED, first: TIMED });
    await timed.call('subscribe', { ...common, count: TIMED, first: connections - TIMED, readsTimes: true });
    return new Fanout(label, plan, server, timed, others);
  }

  /** From the middle between two instants to the middle between two others, when nothing is under way. */
  async measure(): Promise<void> {
    const { everyMs, instants } = this.#plan;
    const { cost } = this.#server;
    await this.#server.startTicks();
    // The first tick after a pause comes with a `status`, and is not counted.
    await this.#untilMiddle();
    await sleep(everyMs);
    await this.#untilMiddle();
    await this.#timed.call('watch');
    const cpuMs = cost.cpuMs();
    const events = await this.#received();
    await sleep(everyMs * instants);
    const usedMs = cost.cpuMs() - cpuMs;
    this.cpuMicros.push((usedMs * 1000) / ((await this.#received()) - events));
    this.lastMs.push(median((await this.#timed.call('seen')).lastMs));
    await this.#server.stopTicks();
    await sleep(everyMs / 2);
  }

  async #received(): Promise<number> {
    const counts = [this.#timed, this.#others].map((subscribers) => subscribers.call('received'));
    return (await Promise.all(counts)).reduce((total, count) => total + count);
  }

  #untilMiddle(): Promise<void> {
    const { everyMs } = this.#plan;
    const phase = Date.now() % everyMs;
    return sleep((everyMs * 1.5 - phase) % everyMs);
  }
}
