import { setTimeout as sleep } from 'node:timers/promises';
import type { Belfry, BelfryConfig } from '../harness/belfry.ts';
import type { Bench } from '../harness/bench.ts';
import { numberOption, type Result, type Scenario } from '../harness/scenario.ts';
import { median } from '../harness/statistics.ts';
import type { Transport } from '../harness/subscriber.ts';

/** Connected, or refused, before anything is measured, so that code is compiled. */
const WARM_UP = 3000;
const AT_ONCE = 100;
/** For what a server still does for clients after they have its answer, or are gone. */
const SETTLE_MS = 4000;
const DRAIN_SECONDS = 120;

/** A state in which a server refuses, and what brings it about. */
interface State {
  readonly name: string;
  readonly config: BelfryConfig;
  /** How many are connected before. */
  readonly residents?: number;
  readonly enter?: (belfry: Belfry) => void;
}

const STATES: readonly State[] = [
  { name: 'full', config: { limits: { connections: 1 } }, residents: 1 },
  { name: 'too fast', config: { limits: { connectsPerSecond: 1 } } },
  {
    name: 'draining',
    config: { server: { drainSeconds: DRAIN_SECONDS } },
    // The server is there as long as it has not closed them all.
    residents: 200,
    enter: ({ child }) => void child.kill('SIGTERM'),
  },
];

export const refused: Scenario = {
  name: 'refused',
  question:
    'What does a refused client cost, and an accepted one that leaves? (--connections 5000 --rounds 3)',
  async *run(bench, options) {
    const count = numberOption(options, 'connections', 5000);
    const rounds = numberOption(options, 'rounds', 3);
    for (const transport of ['websocket', 'sse'] as const) {
      const accepted = await cost(bench, transport, { count, rounds });
      for (const state of STATES) {
        const belfry = await cost(bench, transport, { count, rounds, state });
        yield {
          what: `server CPU per ${transport} refused while ${state.name}`,
          unit: 'µs',
          belfry,
          against: { accepted },
        } satisfies Result;
      }
    }
  },
};

/** The processor time of the server for each client, in microseconds, from its connect until it is gone. */
async function cost(
  bench: Bench,
  transport: Transport,
  { count, rounds, state }: { count: number; rounds: number; state?: State },
): Promise<number> {
  const belfry = await bench.belfry(state?.config);
  const { port } = belfry;
  const [residents, others] = [bench.subscribers(), bench.subscribers()];
  await residents.call('subscribe', { transport, port, count: state?.residents ?? 0 });
  state?.enter?.(belfry);
  const come = async (clients: number) => {
    const before = belfry.cost.cpuMs();
    await others.call('subscribe', { transport, port, count: clients, atOnce: AT_ONCE, mustOpen: false });
    await others.call('close');
    await sleep(SETTLE_MS);
    return ((belfry.cost.cpuMs() - before) * 1000) / clients;
  };
  await come(WARM_UP);
  const micros: number[] = [];
  for (let round = 0; round < rounds; round++) micros.push(await come(count));
  await bench.clear();
  return median(micros);
}
