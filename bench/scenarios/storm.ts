import { setTimeout as sleep } from 'node:timers/promises';
import { clocks } from '../harness/belfry.ts';
import type { Bench } from '../harness/bench.ts';
import { numberOption, type Result, type Scenario } from '../harness/scenario.ts';
import { type Server, TICKED } from '../harness/server.ts';
import { median, spread } from '../harness/statistics.ts';

const RESIDENTS = 100;
const EVERY_MS = 100;
/** Connected and closed before anything is measured, so that code is compiled. */
const WARM_UP = 1000;
/** For what a server still does for clients after they have its answer, or are gone. */
const SETTLE_MS = 2000;
/** The rooms of those that connect at once get no ticks. */
const STORM = { transport: 'websocket', prefix: 'storm' } as const;

export const storm: Scenario = {
  name: 'storm',
  question:
    'Thousands connect at once: what does it cost, and what do others notice? (--connections 10000 --rounds 3)',
  async *run(bench, options) {
    const count = numberOption(options, 'connections', 10_000);
    yield await accepting(bench, count, numberOption(options, 'rounds', 3));
    await bench.clear();
    const ours = await noticed(bench, await bench.belfry({ schedules: clocks(1, EVERY_MS) }), count);
    const plain = await noticed(bench, await bench.baseline('plain', { everyMs: EVERY_MS }), count);
    const figures: readonly [what: string, unit: string, of: (outcome: Outcome) => number][] = [
      [`${count} connect at once: until all are connected`, 'ms', ({ ms }) => ms],
      ['of them, the 99th percentile', 'ms', ({ p99Ms }) => p99Ms],
      ['of them, refused', '', ({ failed }) => failed],
      [
        `due until received by ${RESIDENTS} connected before, 99th percentile`,
        'ms',
        ({ receivedMs }) => receivedMs,
      ],
    ];
    for (const [what, unit, of] of figures)
      yield { what, unit, belfry: of(ours), against: { plain: of(plain) } };
  },
};

/** The same storm on three servers in turn, with no other clients and nothing sent. */
async function accepting(bench: Bench, count: number, rounds: number): Promise<Result> {
  const subscribers = bench.subscribers();
  const contenders = [
    { server: await bench.belfry(), micros: [] as number[] },
    { server: await bench.baseline('plain'), micros: [] as number[] },
    { server: await bench.baseline('ws'), micros: [] as number[] },
  ] as const;
  /** Resolves to the server's CPU for each of them, in microseconds. */
  const connect = async ({ port, cost }: Server, clients: number) => {
    const before = cost.cpuMs();
    await subscribers.call('subscribe', { ...STORM, port, count: clients, atOnce: clients });
    await sleep(SETTLE_MS);
    const usedMs = cost.cpuMs() - before;
    await subscribers.call('close');
    await sleep(SETTLE_MS);
    return (usedMs * 1000) / clients;
  };
  for (const { server } of contenders) await connect(server, WARM_UP);
  for (let round = 0; round < rounds; round++) {
    for (const { server, micros } of contenders) micros.push(await connect(server, count));
  }
  const [belfry, plain, ws] = contenders;
  return {
    what: `${count} connect at once, no ticks: server CPU per accepted WebSocket`,
    unit: 'µs',
    belfry: median(belfry.micros),
    against: { plain: median(plain.micros), ws: median(ws.micros) },
    target: 'at most 1.0 × plain',
  };
}

interface Outcome {
  /** Until all are connected. */
  readonly ms: number;
  readonly p99Ms: number;
  readonly failed: number;
  /** By those connected before, from the instant that a tick was due, 99th percentile. */
  readonly receivedMs: number;
}

/** One storm while others get ticks. */
async function noticed(bench: Bench, server: Server, count: number): Promise<Outcome> {
  const { port } = server;
  const [many, residents] = [bench.subscribers(), bench.subscribers()];
  await many.call('subscribe', { ...STORM, port, count: WARM_UP });
  await many.call('close');
  await server.startTicks();
  await residents.call('subscribe', { ...STORM, port, prefix: TICKED, count: RESIDENTS, readsTimes: true });
  await sleep(1000);
  await residents.call('watch');
  const { ms, each, failed } = await many.call('subscribe', {
    ...{ ...STORM, port, count, atOnce: count },
    mustOpen: false,
  });
  const { receivedMs } = await residents.call('seen');
  await bench.clear();
  return { ms, p99Ms: each.p99, failed, receivedMs: spread(receivedMs).p99 };
}
