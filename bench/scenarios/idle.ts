import type { Bench } from '../harness/bench.ts';
import { numberOption, type Scenario } from '../harness/scenario.ts';
import type { Server } from '../harness/server.ts';
import type { Transport } from '../harness/subscriber.ts';

/**
 * Connected before anything is measured: by then code is compiled, and the heap has grown to a size at
 * which what it frees in between does not make those that follow look cheaper.
 */
const WARM_UP = 2000;

export const idle: Scenario = {
  name: 'idle',
  question: 'An idle connection: what does it keep in memory? (--connections 10000)',
  async *run(bench, options) {
    const count = numberOption(options, 'connections', 10_000);
    const kib = async (server: Server, transport: Transport) => measure(bench, server, transport, count);
    for (const transport of ['websocket', 'sse'] as const) {
      const plain = await kib(await bench.baseline('plain'), transport);
      const ws = transport === 'websocket' && { ws: await kib(await bench.baseline('ws'), transport) };
      yield {
        what: `resident memory of one of ${count}, ${transport}`,
        unit: 'KiB',
        belfry: await kib(await bench.belfry(), transport),
        against: { plain, ...ws },
        target: ws ? 'at most 8.5 KiB' : 'at most 15 KiB',
      };
    }
  },
};

async function measure(bench: Bench, server: Server, transport: Transport, count: number): Promise<number> {
  const { port, cost } = server;
  const subscribers = bench.subscribers();
  await subscribers.call('subscribe', { transport, port, count: WARM_UP });
  const before = await cost.settledKiB();
  const more = count - WARM_UP;
  await subscribers.call('subscribe', { transport, port, count: more });
  const grownKiB = (await cost.settledKiB()) - before;
  await bench.clear();
  return grownKiB / more;
}
