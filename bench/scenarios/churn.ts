import { createHmac } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Belfry, BelfryConfig } from '../harness/belfry.ts';
import type { Subscribers } from '../harness/bench.ts';
import type { Inside } from '../harness/inside.ts';
import { numberOption, type Result, type Scenario } from '../harness/scenario.ts';

const SECRET = 'a secret of the bench, with 32 bytes and more';
const ROOMS = 50;
/** How many come in one round, and how many of them read nothing. */
const COMERS = 300;
const STALLED = 20;
const BROADCASTS = 30;
/** A stalled client is closed as too slow after a few of these. */
const LARGE_BYTES = 60_000;
/** Rounds before the first look, so that code is compiled, and histories and kept frames are at their bounds. */
const WARM_UP_ROUNDS = 30;
/** After the last client: rooms are forgotten after a second, idle sockets after the longest time limit, 5 s. */
const SETTLE_MS = 12_000;
/**
 * Rooms that are joined are new in each round. Their histories stay in memory until all histories together
 * are too large, or the room is asked for: the limit is so small that the first rounds reach it.
 */
const HISTORY = { history: 5, historySeconds: 5 };
const TOTAL_HISTORY_BYTES = 262_144;
/**
 * Frames that were replayed to a client stay, for others that join, until they take an eighth of this: 2 MiB.
 * With the default it is 32 MiB, which takes a hundred rounds to fill.
 */
const TOTAL_BUFFERED_BYTES = 16_777_216;
/**
 * What may be left: 2 MiB, or a tenth of the heap. Rounds differ in what is compiled and cached last; a leak
 * of 100 bytes for each of the 100,000 clients of ten minutes would be 10 MB.
 */
const MAX_HEAP_GROWTH_KIB = 2048;
const MAX_HEAP_RATIO = 1.1;

/** The configuration changes with each reload: a schedule, a rule and a limit. */
function config(round: number): BelfryConfig {
  const every = round % 2 === 0 ? '200ms' : '300ms';
  return {
    server: { emptyRoomSeconds: 1, drainSeconds: 1 },
    access: { secretEnv: 'BENCH_SECRET', leewaySeconds: 0 },
    rooms: [
      { match: 'churn-1*', publish: round % 2 === 0 ? 'members' : 'nobody', ...HISTORY },
      { match: '*', ...HISTORY },
    ],
    schedules: [
      { name: 'clock', every, feed: { type: 'time' } },
      { name: `round-${round % 3}`, every: '1s', feed: { type: 'message', data: round % 3 } },
    ],
    limits: {
      roomsPerConnection: 50 + (round % 2),
      slowSeconds: 1,
      maxBufferedBytes: 262_144,
      totalHistoryBytes: TOTAL_HISTORY_BYTES,
      totalBufferedBytes: TOTAL_BUFFERED_BYTES,
    },
  };
}

export const churn: Scenario = {
  name: 'churn',
  question:
    'Clients join, leave, stall and expire, with reloads and broadcasts: what stays of it? (--minutes 10)',
  isLong: true,
  async *run(bench, options) {
    const milliseconds = numberOption(options, 'minutes', 10) * 60_000;
    process.env.BENCH_SECRET = SECRET;
    const belfry = await bench.belfry(config(0), { looksInside: true });
    const comers = bench.subscribers();
    const stalled = bench.subscribers();
    let round = 0;
    for (; round < WARM_UP_ROUNDS; round++) await once(belfry, comers, stalled, round);
    const before = await settled(belfry);
    const first = round;
    const endsAt = performance.now() + milliseconds;
    while (performance.now() < endsAt) await once(belfry, comers, stalled, round++);
    const after = await settled(belfry);
    yield* results(before, after, round - first);
  },
};

/** Clients come and leave while messages are sent, and the configuration is replaced. */
async function once(belfry: Belfry, comers: Subscribers, stalled: Subscribers, round: number): Promise<void> {
  const { port } = belfry;
  const transport = round % 2 === 0 ? 'websocket' : 'sse';
  const common = { port, rooms: ROOMS, mustOpen: false } as const;
  // Every third crowd has a token that ends while they are connected.
  const token = round % 3 === 0 ? tokenFor(`user-${round}`, 1) : undefined;
  await comers.call('subscribe', {
    ...{ ...common, transport, count: COMERS, prefix: `churn-${round}`, atOnce: 50 },
    ...(token !== undefined && { token }),
  });
  const count = STALLED;
  await stalled.call('subscribe', {
    ...common,
    transport: 'websocket',
    count,
    prefix: 'still',
    isStalled: true,
  });
  for (let sent = 0; sent < BROADCASTS; sent++) {
    await belfry.broadcast(
      sent % 3 === 0 ? `churn-${round}-*` : 'still-*',
      sent % 3 === 0 ? 200 : LARGE_BYTES,
    );
  }
  await belfry.reload(config(round + 1));
  await belfry.request('DELETE', `/admin/rooms/churn-${round}-1?lock=1s`).catch(() => {});
  await sleep(token === undefined ? 200 : 1500);
  await comers.call('close');
  await stalled.call('close');
}

async function settled(belfry: Belfry): Promise<Inside> {
  // The same configuration at both looks.
  await belfry.reload(config(0));
  await sleep(SETTLE_MS);
  return belfry.inside();
}

function* results(before: Inside, after: Inside, rounds: number): Generator<Result> {
  const clients = rounds * (COMERS + STALLED);
  yield {
    what: `heap after ${clients} clients in ${rounds} rounds`,
    unit: 'KiB',
    belfry: after.heapKiB,
    against: { before: before.heapKiB },
    target: `at most ${MAX_HEAP_RATIO} × before or ${MAX_HEAP_GROWTH_KIB} KiB more: ${verdict(
      after.heapKiB <= Math.max(before.heapKiB * MAX_HEAP_RATIO, before.heapKiB + MAX_HEAP_GROWTH_KIB),
    )}`,
  };
  yield {
    what: 'memory of buffers and native objects',
    unit: 'KiB',
    belfry: after.externalKiB,
    against: { before: before.externalKiB },
    target: `at most ${MAX_HEAP_GROWTH_KIB} KiB more: ${verdict(
      after.externalKiB <= before.externalKiB + MAX_HEAP_GROWTH_KIB,
    )}`,
  };
  for (const kind of new Set([...Object.keys(before.resources), ...Object.keys(after.resources)])) {
    const [was, is] = [before.resources[kind] ?? 0, after.resources[kind] ?? 0];
    yield {
      what: `open: ${kind}`,
      belfry: is,
      against: { before: was },
      target: `the same: ${verdict(is === was)}`,
    };
  }
}

const verdict = (holds: boolean) => (holds ? 'yes' : 'NO');

/** A token of this user for every room, that ends after so many seconds. */
function tokenFor(sub: string, seconds: number): string {
  const part = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url');
  const claims = { sub, rooms: '*', exp: Math.ceil(Date.now() / 1000) + seconds };
  const signed = `${part({ alg: 'HS256', typ: 'JWT' })}.${part(claims)}`;
  return `${signed}.${createHmac('sha256', SECRET).update(signed).digest('base64url')}`;
}
