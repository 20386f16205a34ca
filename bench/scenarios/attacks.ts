import { setTimeout as sleep } from 'node:timers/promises';
import { type Attacked, ATTACKS, WALLS } from '../attacks/list.ts';
import { freshLivez, longestLivez } from '../attacks/livez.ts';
import type { Bench, Subscribers } from '../harness/bench.ts';
import { type Belfry, type BelfryConfig, checkBelfry } from '../harness/belfry.ts';
import { numberOption, type Result, type Scenario } from '../harness/scenario.ts';
import { spread } from '../harness/statistics.ts';
import { Subscriber } from '../harness/subscriber.ts';

const WATCHERS = 1000;
const EVERY_MS = 1000;
const CLOCK = { name: 'clock', every: `${EVERY_MS}ms`, rooms: WALLS, feed: { type: 'time' } };
const LEAST_QUIET_SECONDS = 5;
const PREPARE_MS = 30_000;
const LOOK_MS = 50;
/** A server that has taken so many times the memory that it may is ended: the machine is needed for more. */
const MOST_TIMES = 3;
/** How long attackers may take to notice that their time is over, and a tick to arrive. */
const GRACE_MS = 10_000;
const LATE_TICK_MS = 1500;
const ENTER_TIMEOUT_MS = 2000;

/** What good clients and the operating system saw in one span of time. */
interface Phase {
  /** Ticks that were sent and that a good client did not get. */
  readonly missed: number;
  /** Due instants for which a good client got no tick, whether sent or not. */
  readonly absent: number;
  /** Good clients that have lost their connection. */
  readonly gone: number;
  /** From due until received, 99th percentile; 0 where no tick came. */
  readonly p99Ms: number;
  readonly livezMs: number;
  readonly fresh: string;
  readonly mostMiB: number;
  /** Of one core. */
  readonly cpu: number;
  /** The part of the time in which others had the processor: where it is large, the figures tell of the machine. */
  readonly waited: number;
}

const NOTHING: Phase = {
  missed: 0,
  absent: 0,
  gone: 0,
  p99Ms: 0,
  livezMs: 0,
  fresh: '0/0',
  mostMiB: 0,
  cpu: 0,
  waited: 0,
};

interface Outcome {
  readonly before: Phase;
  readonly during: Phase;
  readonly permittedMiB: number;
  readonly lived: boolean;
  readonly notes: readonly string[];
}

export const attacks: Scenario = {
  name: 'attacks',
  question: `Attacked while ${WATCHERS} watch a clock: what do they notice? (--seconds 10 --only h2c,joins)`,
  isLong: true,
  async *run(bench, options): AsyncGenerator<Result> {
    const seconds = numberOption(options, 'seconds', 10);
    const outcomes: Outcome[] = [];
    for (const attacked of chosen(options.only)) {
      const outcome = await attack(bench, attacked, seconds).catch((error) => neverReady(error, seconds));
      await bench.clear();
      outcomes.push(outcome);
      yield resultOf(attacked.name, outcome);
    }
    yield* totals(outcomes);
  },
};

function chosen(only: string | undefined): readonly Attacked[] {
  if (only === undefined) return ATTACKS;
  const names = only.split(',');
  const unknown = names.filter((name) => !ATTACKS.some((attack) => attack.name === name));
  if (unknown.length > 0) {
    const all = ATTACKS.map(({ name, says }) => `  ${name.padEnd(18)}${says}`).join('\n');
    throw new Error(`--only: there is no attack "${unknown.join('", "')}": there are\n${all}`);
  }
  return ATTACKS.filter(({ name }) => names.includes(name));
}

async function attack(bench: Bench, attacked: Attacked, seconds: number): Promise<Outcome> {
  const config = { ...attacked.config, schedules: [CLOCK, ...(attacked.config?.schedules ?? [])] };
  const permittedMiB = await permittedMemory(config);
  const belfry = await bench.belfry(config, attacked.options);
  const { port } = belfry;
  const watchers = bench.subscribers();
  await watchers.call('subscribe', {
    transport: 'websocket',
    port,
    count: WATCHERS,
    prefix: 'wall',
    atOnce: 50,
    readsTimes: true,
    isForwarded: config.server !== undefined && 'trustProxy' in config.server,
  });
  const attackers = bench.attackers();
  await attackers.call('prepare', { name: attacked.name, port });
  await untilRooms(belfry, attacked.before?.rooms ?? 0);
  // The second in which they all came is not a quiet one.
  await sleep(2000);
  const quietSeconds = Math.max(Math.min(LEAST_QUIET_SECONDS, seconds), seconds / 4);
  const before = await measure(belfry, watchers, quietSeconds, permittedMiB);
  const done = attackers
    .call('attack', { name: attacked.name, port, seconds })
    .then((count) => `${count} times`, String);
  const entered = attacked.enters && enter(port, attacked.enters, seconds);
  const during = await measure(belfry, watchers, seconds, permittedMiB);
  const { exitCode, signalCode } = belfry.child;
  return {
    before,
    during,
    permittedMiB,
    lived: belfry.isAlive,
    notes: [
      await Promise.race([done, sleep(GRACE_MS, 'the attackers did not end')]),
      ...(belfry.isAlive ? [] : [`exit ${exitCode ?? signalCode}`]),
      ...(during.mostMiB > permittedMiB * MOST_TIMES ? ['ended by the bench: too much memory'] : []),
      ...(entered ? [`${attacked.enters}: ${await entered}`] : []),
    ],
  };
}

async function untilRooms(belfry: Belfry, wanted: number): Promise<void> {
  const endsAt = performance.now() + PREPARE_MS;
  for (let rooms = 0; rooms < wanted; rooms = await belfry.metric('belfry_rooms')) {
    if (performance.now() > endsAt) throw new Error(`only ${rooms} of ${wanted} rooms`);
    await sleep(100);
  }
}

/** Of a server that ended before the attack, or whose clients did not connect. */
function neverReady(error: unknown, seconds: number): Outcome {
  const [line = ''] = String(error).split('\n');
  return {
    before: NOTHING,
    during: { ...NOTHING, absent: WATCHERS * seconds, gone: WATCHERS, livezMs: Number.POSITIVE_INFINITY },
    permittedMiB: 1,
    lived: false,
    notes: [`not even attacked: ${line}`],
  };
}

/** How much memory the server may take with this configuration, in MiB, as `belfry check` says. */
async function permittedMemory(config: BelfryConfig): Promise<number> {
  const said = await checkBelfry(config);
  const figures = /at most (\d+) MiB beside the program's own (\d+) MiB/.exec(said);
  if (!figures) throw new Error(`belfry check tells no figure of memory:\n${said}`);
  return Number(figures[1]) + Number(figures[2]);
}

async function measure(
  belfry: Belfry,
  watchers: Subscribers,
  seconds: number,
  permittedMiB: number,
): Promise<Phase> {
  const ending = new AbortController();
  const livez = Promise.all([
    longestLivez(belfry.port, ending.signal),
    freshLivez(belfry.port, ending.signal),
  ]);
  const milliseconds = seconds * 1000;
  const [fromMs, untilMs] = [Date.now(), Date.now() + milliseconds];
  await watchers.call('watch', { untilMs });
  const before = costOf(belfry);
  let after = before;
  let mostMiB = 0;
  while (Date.now() < untilMs) {
    await sleep(LOOK_MS);
    const cost = costOf(belfry);
    if (!cost) continue;
    after = cost;
    mostMiB = Math.max(mostMiB, cost.mib);
    if (mostMiB > permittedMiB * MOST_TIMES) belfry.child.kill('SIGKILL');
  }
  ending.abort();
  const [livezMs, fresh] = await livez;
  await sleep(LATE_TICK_MS);
  const { missed, instants, receivedMs } = await watchers.call('seen');
  const { count } = await watchers.call('connected');
  const due = Math.floor(untilMs / EVERY_MS) - Math.floor(fromMs / EVERY_MS);
  return {
    missed,
    absent: due * WATCHERS - instants,
    gone: WATCHERS - count,
    p99Ms: receivedMs.length > 0 ? spread(receivedMs).p99 : 0,
    livezMs,
    fresh,
    mostMiB,
    cpu: ((after?.cpuMs ?? 0) - (before?.cpuMs ?? 0)) / milliseconds,
    waited: ((after?.waitedMs ?? 0) - (before?.waitedMs ?? 0)) / milliseconds,
  };
}

/** Nothing of a server that has ended. */
function costOf({ cost }: Belfry): { mib: number; cpuMs: number; waitedMs: number } | undefined {
  try {
    const mib = cost.residentKiB() / 1024;
    return Number.isNaN(mib) ? undefined : { mib, cpuMs: cost.cpuMs(), waitedMs: cost.waitedMs() };
  } catch {
    return undefined;
  }
}

/** Joins a room from an address of its own, shortly before the time is over; resolves to the answer. */
async function enter(port: number, room: string, seconds: number): Promise<string> {
  await sleep(seconds * 1000 - ENTER_TIMEOUT_MS);
  const headers = 'X-Forwarded-For: 198.51.100.9\r\n';
  const { socket, opened } = new Subscriber({
    transport: 'websocket',
    port,
    path: `/rooms/${room}`,
    headers,
  });
  const answered = opened.then(() => 'joined', String);
  const answer = await Promise.race([answered, sleep(ENTER_TIMEOUT_MS, 'no answer')]);
  socket.destroy();
  return answer;
}

/** All that is known of one attack, in one line. */
function resultOf(name: string, { before, during, permittedMiB, lived, notes }: Outcome): Result {
  const { missed, absent, gone, livezMs, fresh, mostMiB } = during;
  const part = (value: number) => value.toFixed(2);
  return {
    what: `${name}: due until received, 99th percentile`,
    unit: 'ms',
    belfry: during.p99Ms,
    against: { before: before.p99Ms },
    note: [
      lived ? 'lived' : 'DIED',
      `missed ${missed}`,
      `absent ${absent}`,
      `gone ${gone}`,
      `/livez at most ${livezMs.toFixed(1)} ms`,
      `fresh ${fresh}`,
      `${mostMiB.toFixed(0)} MiB (${part(mostMiB / permittedMiB)} of check)`,
      `CPU ${part(before.cpu)} before, ${part(during.cpu)}`,
      `waited ${part(during.waited)}`,
      ...notes,
    ].join(', '),
  };
}

function totals(outcomes: readonly Outcome[]): Result[] {
  const sum = (of: (during: Phase) => number) =>
    outcomes.reduce((total, { during }) => total + of(during), 0);
  const most = (of: (outcome: Outcome) => number) => Math.max(...outcomes.map(of));
  const survived = outcomes.filter(({ lived }) => lived).length;
  const ratio = most(({ before, during }) => (before.p99Ms > 0 ? during.p99Ms / before.p99Ms : 0));
  const livezMs = most(({ during }) => during.livezMs);
  const memory = most(({ during, permittedMiB }) => during.mostMiB / permittedMiB);
  const line = (what: string, belfry: number, target: string) => ({ what, belfry, target });
  return [
    line('attacks that the process survived', survived, `all ${outcomes.length}`),
    line(
      'missed: ticks sent that a good client did not get',
      sum(({ missed }) => missed),
      '0',
    ),
    line(
      'absent: due instants without a tick, all clients',
      sum(({ absent }) => absent),
      '0',
    ),
    line(
      'gone: good clients that lost their connection',
      sum(({ gone }) => gone),
      '0',
    ),
    line('due until received, 99th percentile to the same before, at most', ratio, 'at most 2'),
    line('longest answer of /livez, in milliseconds', livezMs, 'at most 250'),
    line('most memory, as a part of what check says', memory, 'at most 1.2'),
  ];
}
