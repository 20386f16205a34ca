import { setTimeout as sleep } from 'node:timers/promises';
import type { Bench } from '../harness/bench.ts';
import { numberOption, type Result, type Scenario } from '../harness/scenario.ts';
import type { Server } from '../harness/server.ts';
import { median, type Spread, spread } from '../harness/statistics.ts';

const COUNT = 5000;
const RESIDENTS = 100;
const EVERY_MS = 100;
/** Connected and closed before anything is measured, so that code is compiled. */
const WARM_UP = 1000;
/** For what a server still does for clients after they have its answer, or are gone. */
const SETTLE_MS = 2000;

export const storm: Scenario = {
  name: 'storm',
  question:
    'Thousands connect at once: what does it cost, and what do connected clients notice? (--connections 10000)',
  async *run(bench, options): AsyncGenerator<Result> {
    const clock = { name: 'clock', every: `${EVERY_MS}ms`, feed: { type: 'time' }, rooms: ['inside-*'] };
    const ours = await withResidents(bench, await bench.belfry({ schedules: [clock] }));
    const baseline = await bench.baseline('plain');
    await baseline.ticks({ everyMs: EVERY_MS, prefix: 'inside' }).start();
    const plain = await withResidents(bench, baseline);
    const line = (what: string, unit: string, of: (storm: Storm) => number): Result => {
      return { what, unit, belfry: of(ours), against: { plain: of(plain) } };
    };
    yield line(`${COUNT} connect at once: until all are connected`, 'ms', ({ ms }) => ms);
    yield line('of them, the 99th percentile', 'ms', ({ each }) => each.p99);
    yield line('of them, failed', '', ({ failed }) => failed);
    yield line('server CPU for each of them', 'µs', ({ cpuMicros }) => cpuMicros);
    yield line(
      `due until received by ${RESIDENTS} connected before, 99th percentile`,
      'ms',
      ({ received }) => received.p99,
    );
    yield* accepting(bench, numberOption(options, 'connections', 10_000), numberOption(options, 'rounds', 3));
  },
};

interface Storm {
  readonly ms: number;
  readonly each: Spread;
  readonly failed: number;
  readonly cpuMicros: number;
  /** By those connected before, from the instant that a tick was due. */
  readonly received: Spread;
}

async function withResidents(bench: Bench, { port, cost }: Server): Promise<Storm> {
  const [many, residents] = [bench.subscribers(), bench.subscribers()];
  const common = { transport: 'websocket', port } as const;
  await many.call('subscribe', { ...common, count: WARM_UP });
  await many.call('close');
  await residents.call('subscribe', { ...common, count: RESIDENTS, prefix: 'inside', readsTimes: true });
  await sleep(1000);
  await residents.call('watch');
  const before = cost.cpuMs();
  const subscribed = await many.call('subscribe', {
    ...common,
    count: COUNT,
    atOnce: COUNT,
    mustOpen: false,
  });
  const cpuMicros = ((cost.cpuMs() - before) * 1000) / COUNT;
  const { receivedMs } = await residents.call('seen');
  await bench.clear();
  return { ...subscribed, cpuMicros, received: spread(receivedMs) };
}

/** The same storm on three servers in turn, with no other clients and nothing sent: medians of the rounds. */
async function* accepting(bench: Bench, count: number, rounds: number): AsyncGenerator<Result> {
  const [belfry, plain, ws] = [
    await bench.belfry(),
    await bench.baseline('plain'),
    await bench.baseline('ws'),
  ];
  const subscribers = bench.subscribers();
  /** Server CPU for each of them, in microseconds. */
  const connect = async ({ port, cost }: Server, clients = count) => {
    const before = cost.cpuMs();
    await subscribers.call('subscribe', { transport: 'websocket', port, count: clients, atOnce: clients });
    await sleep(SETTLE_MS);
    const usedMs = cost.cpuMs() - before;
    await subscribers.call('close');
    await sleep(SETTLE_MS);
    return (usedMs * 1000) / clients;
  };
  for (const server of [belfry, plain, ws]) await connect(server, WARM_UP);
  const micros = { belfry: [] as number[], plain: [] as number[], ws: [] as number[] };
  for (let round = 0; round < rounds; round++) {
    micros.belfry.push(await connect(belfry));
    micros.plain.push(await connect(plain));
    micros.ws.push(await connect(ws));
  }
  yield {
    what: `${count} connect at once, no ticks: server CPU per accepted WebSocket`,
    unit: 'µs',
    belfry: median(micros.belfry),
    against: { plain: median(micros.plain), ws: median(micros.ws) },
    target: 'at most 1.0 × plain',
  };
}
