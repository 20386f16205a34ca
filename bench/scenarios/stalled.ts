import { setTimeout as sleep } from 'node:timers/promises';
import { clocks } from '../harness/belfry.ts';
import type { Bench } from '../harness/bench.ts';
import { numberOption, type Result, type Scenario } from '../harness/scenario.ts';
import { type Server, TICKED } from '../harness/server.ts';
import { spread } from '../harness/statistics.ts';

const COUNT = 2000;
const STALLED = 100;
const EVERY_MS = 1000;
/** Twenty events a second, all at the whole second, as in a building full of feeds. */
const TICKS = 20;
/** The operating system holds several MiB for a peer that does not read: these fill it. */
const BROADCASTS = 200;
const BROADCAST_BYTES = 50 * 1024;
const BETWEEN_BROADCASTS_MS = 200;

interface Outcome {
  readonly grownMiB: number;
  /** By the others: due until received, 99th percentile. */
  readonly receivedMs: number;
  /** How many stalled clients are connected and have the newest tick once they read again. */
  readonly upToDate: number;
}

export const stalled: Scenario = {
  name: 'stalled',
  question: 'Some stop reading: what does it cost in memory, and what do the others notice? (--seconds 8)',
  async *run(bench, options): AsyncGenerator<Result> {
    const seconds = numberOption(options, 'seconds', 8);
    const schedules = clocks(TICKS, EVERY_MS);
    const healthy = await measure(bench, await bench.belfry({ schedules }), false, seconds);
    await bench.clear();
    const belfry = await bench.belfry({ schedules });
    const ours = await measure(bench, belfry, true, seconds);
    // By the server's own count: a socket that is full has no place for a close frame.
    const closed = await belfry.metric('belfry_closes_total{code="4101"}');
    await bench.clear();
    const baseline = await bench.baseline('plain', { everyMs: EVERY_MS, ticks: TICKS });
    const plain = await measure(bench, baseline, true, seconds);
    yield {
      what: `memory grew by at most, ${STALLED} of ${COUNT} stalled`,
      unit: 'MiB',
      belfry: ours.grownMiB,
      against: { plain: plain.grownMiB, 'none stalled': healthy.grownMiB },
      target: `below ${STALLED} times twice maxBufferedBytes: ${2 * STALLED} MiB`,
    };
    yield {
      what: 'stalled clients that have the newest tick once they read again',
      belfry: ours.upToDate,
      against: { plain: plain.upToDate },
      target: `${STALLED} with the ${closed} closed with 4101`,
    };
    yield {
      what: 'due until received by the others, 99th percentile',
      unit: 'ms',
      belfry: ours.receivedMs,
      against: { plain: plain.receivedMs, 'none stalled': healthy.receivedMs },
      target: 'at most 1.2 × none stalled',
    };
  },
};

/** Ticks for some time, then large broadcasts besides, all of it to all clients. */
async function measure(bench: Bench, server: Server, isStalled: boolean, seconds: number): Promise<Outcome> {
  const { port, cost } = server;
  await server.startTicks();
  const [others, some] = [bench.subscribers(), bench.subscribers()];
  const common = { transport: 'websocket', port, readsTimes: true } as const;
  await others.call('subscribe', { ...common, count: COUNT - STALLED });
  await some.call('subscribe', { ...common, count: STALLED, isStalled });
  await sleep(2000);
  await others.call('watch');
  const before = cost.residentKiB();
  let most = before;
  const look = setInterval(() => {
    most = Math.max(most, cost.residentKiB());
  }, 100);
  await sleep(seconds * 1000);
  for (let number = 0; number < BROADCASTS; number++) {
    await server.broadcast(`${TICKED}-0`, BROADCAST_BYTES);
    await sleep(BETWEEN_BROADCASTS_MS);
  }
  clearInterval(look);
  const { receivedMs } = await others.call('seen');
  await some.call('wake');
  await sleep(3 * EVERY_MS);
  const { upToDate } = await some.call('connected', { sinceMs: Date.now() - 2 * EVERY_MS });
  return { grownMiB: (most - before) / 1024, receivedMs: spread(receivedMs).p99, upToDate };
}
