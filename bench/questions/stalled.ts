import { setTimeout as sleep } from 'node:timers/promises';
import type { Fates } from '../load/api.ts';
import type { Cost } from '../servers/cost.ts';
import type { Stage } from '../stage.ts';
import type { Spread } from '../statistics.ts';
import { numberFlag, type Question } from './question.ts';

const COUNT = 2000;
const STALLED = 100;
const EVERY_MS = 1000;
/** Twenty events a second, as they come in a building full of feeds: all at the whole second. */
const TICKS = 20;
/** What the operating system holds for a peer that does not read is several MiB: these fill it. */
const BROADCASTS = 200;
const BROADCAST_BYTES = 50 * 1024;
const BETWEEN_BROADCASTS_MS = 200;
const ROOM = 'room-0';

interface Outcome {
  readonly grownMiB: number;
  /** By those who read, from the instant that a tick was due. */
  readonly received: Spread;
  /** Of those who stalled, when they read again. */
  readonly fates: Fates;
  /** Closed with 4101, by the server's own count: a socket that is full has no place for a close frame. */
  readonly closedAsTooSlow: number;
}

interface Server {
  readonly port: number;
  readonly cost: Cost;
  readonly broadcast: () => Promise<void>;
  readonly closedAsTooSlow: () => Promise<number>;
}

export const stalled: Question = {
  name: 'stalled',
  asks: 'Some stop reading: what does it cost in memory, and what do the others notice? (--seconds 8)',
  async ask(stage, flags) {
    const seconds = numberFlag(flags, 'seconds', 8);
    const healthy = await withBelfry(stage, false, seconds);
    const ours = await withBelfry(stage, true, seconds);
    const theirs = await withPlain(stage, true, seconds);
    return [
      {
        what: `memory grew by at most, ${STALLED} of ${COUNT} stalled`,
        unit: 'MiB',
        belfry: ours.grownMiB,
        plain: theirs.grownMiB,
        target: `below ${STALLED} times twice maxBufferedBytes: ${2 * STALLED} MiB`,
      },
      { what: 'the same, nobody stalled', unit: 'MiB', belfry: healthy.grownMiB },
      { what: 'of those who stalled: closed with 4101', unit: '', belfry: ours.closedAsTooSlow },
      {
        what: 'of those who stalled: have the newest tick when they wake',
        unit: '',
        belfry: ours.fates.upToDate,
        plain: theirs.fates.upToDate,
        target: `${STALLED} with those who were closed`,
      },
      {
        what: 'due until received by the others, 99th percentile; ratio to nobody stalled',
        unit: 'ms',
        belfry: ours.received.p99,
        plain: theirs.received.p99,
        ratio: ours.received.p99 / healthy.received.p99,
        target: 'ratio at most 1.2',
      },
    ];
  },
};

async function withBelfry(stage: Stage, stalls: boolean, seconds: number): Promise<Outcome> {
  const schedules = Array.from({ length: TICKS }, (_, index) => ({
    name: `clock-${index}`,
    every: `${EVERY_MS}ms`,
    feed: { type: 'time' },
  }));
  const belfry = await stage.belfry({ schedules });
  const { port, cost } = belfry;
  const data = 'x'.repeat(BROADCAST_BYTES);
  const broadcast = () => belfry.admin('POST', '/broadcast', { rooms: ROOM, data });
  const closedAsTooSlow = () => belfry.metric('belfry_closes_total{code="4101"}');
  return measure({ port, cost, broadcast, closedAsTooSlow }, stage, stalls, seconds);
}

async function withPlain(stage: Stage, stalls: boolean, seconds: number): Promise<Outcome> {
  const { remote, port, cost } = await stage.plain();
  await remote.call('tick', { everyMs: EVERY_MS, ticks: TICKS });
  const broadcast = () => remote.call('broadcast', { room: ROOM, bytes: BROADCAST_BYTES });
  return measure({ port, cost, broadcast, closedAsTooSlow: async () => 0 }, stage, stalls, seconds);
}

/** Ticks for some time, then large broadcasts besides; all of it to everybody. */
async function measure(server: Server, stage: Stage, stalls: boolean, seconds: number): Promise<Outcome> {
  const { port, cost, broadcast } = server;
  const [others, some] = [stage.load(), stage.load()];
  const common = { transport: 'websocket', port } as const;
  await others.call('open', { ...common, count: COUNT - STALLED, times: true });
  await some.call('open', { ...common, count: STALLED, stalls });
  await sleep(2000);
  await others.call('times');
  const before = cost.residentKiB();
  let most = before;
  const look = setInterval(() => {
    most = Math.max(most, cost.residentKiB());
  }, 100);
  await sleep(seconds * 1000);
  for (let number = 0; number < BROADCASTS; number++) {
    await broadcast();
    await sleep(BETWEEN_BROADCASTS_MS);
  }
  clearInterval(look);
  const { all: received } = await others.call('times');
  await some.call('wake');
  await sleep(3 * EVERY_MS);
  const fates = await some.call('fates', { sinceMs: Date.now() - 2 * EVERY_MS });
  const closedAsTooSlow = await server.closedAsTooSlow();
  await stage.clear();
  return { grownMiB: (most - before) / 1024, received, fates, closedAsTooSlow };
}
