import type { Bench } from '../harness/bench.ts';
import { numberOption, type Result, type Scenario } from '../harness/scenario.ts';
import type { Server } from '../harness/server.ts';
import { median } from '../harness/statistics.ts';
import type { Transport } from '../harness/subscriber.ts';

/**
 * Connected before anything is measured: by then code is compiled, and the heap has grown to a size at
 * which what it frees in between does not make those that follow look cheaper.
 */
const WARM_UP = 2000;

/** How many times all of them connect: the heap grows with the first time, which costs more. */
const TIMES = 5;

interface IdleCost {
  readonly kib: number;
  readonly acceptMicros: number;
}

export const idle: Scenario = {
  name: 'idle',
  question: 'An idle connection: what does it keep in memory, and what did accepting it cost?',
  async *run(bench, options): AsyncGenerator<Result> {
    const count = numberOption(options, 'connections', 10_000);
    for (const transport of ['websocket', 'sse'] as const) {
      const isWebSocket = transport === 'websocket';
      const plain = await measure(bench, await bench.baseline('plain'), transport, count);
      const ws = isWebSocket ? await measure(bench, await bench.baseline('ws'), transport, count) : undefined;
      const ours = await measure(bench, await bench.belfry(), transport, count);
      yield {
        what: `resident memory of one of ${count}, ${transport}`,
        unit: 'KiB',
        belfry: ours.kib,
        against: { plain: plain.kib, ...(ws && { ws: ws.kib }) },
        target: isWebSocket ? 'at most 8.5 KiB' : 'at most 15 KiB',
      };
      yield {
        what: `accepting one, ${transport}: server CPU, median of ${TIMES} times ${count}`,
        unit: 'µs',
        belfry: ours.acceptMicros,
        against: { plain: plain.acceptMicros, ...(ws && { ws: ws.acceptMicros }) },
        ...(isWebSocket && { target: 'at most 1.0 × plain' }),
      };
    }
  },
};

async function measure(
  bench: Bench,
  { port, cost }: Server,
  transport: Transport,
  count: number,
): Promise<IdleCost> {
  const subscribers = bench.subscribers();
  const accept = async (more: number) => {
    const before = cost.cpuMs();
    await subscribers.call('subscribe', { transport, port, count: more });
    return ((cost.cpuMs() - before) * 1000) / more;
  };
  await accept(WARM_UP);
  const before = await cost.settledKiB();
  const more = count - WARM_UP;
  const micros = [await accept(more)];
  const after = await cost.settledKiB();
  while (micros.length < TIMES) {
    await subscribers.call('close');
    await cost.settledKiB();
    micros.push(await accept(count));
  }
  await bench.clear();
  return { kib: (after - before) / more, acceptMicros: median(micros) };
}
