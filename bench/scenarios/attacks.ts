import { setTimeout as sleep } from 'node:timers/promises';
import { ATTACKS, type Attacked, WALLS } from '../attacks/list.ts';
import { answeredLivez, longestLivez } from '../attacks/livez.ts';
import { type Belfry, type BelfryConfig, checkBelfry } from '../harness/belfry.ts';
import type { Bench, Subscribers } from '../harness/bench.ts';
import { numberOption, type Result, type Scenario } from '../harness/scenario.ts';
import { Cost } from '../harness/server.ts';
import { spread } from '../harness/statistics.ts';
import { Subscriber } from '../harness/subscriber.ts';

const WATCHERS = 1000;
const EVERY_MS = 1000;
const CLOCK = { name: 'clock', every: `${EVERY_MS}ms`, rooms: WALLS, feed: { type: 'time' } };
/** As long as the attack where that is short: a percentile of more ticks is a later one. */
const MAX_QUIET_SECONDS = 15;
const PREPARE_MS = 30_000;
const LOOK_MS = 50;
/** A server that takes so many times the memory that it may is ended: the machine is needed for more. */
const MAX_MEMORY_TIMES = 3;
/** How long attackers may take to notice that their time is over. */
const GRACE_MS = 10_000;
const LATE_TICK_MS = 1500;
const ENTER_TIMEOUT_MS = 2000;

/** What good clients and the operating system saw in one span of time. */
interface Phase {
  /** Ticks that were sent and that a good client did not get. */
  readonly missed: number;
  /** Due instants for which a good client got no tick, whether sent or not. */
  readonly absent: number;
  /** Good clients that lost their connection. */
  readonly gone: number;
  /** From due until received, 99th percentile; 0 where no tick came. */
  readonly p99Ms: number;
  readonly livezMs: number;
  /** Of requests on new connections. */
  readonly answered: string;
  readonly maxMiB: number;
  /** Of one core. */
  readonly cpu: number;
  /** The part of the time in which others had the processor: where it is large, the figures tell of the machine. */
  readonly waited: number;
  /** The same of the process that the good clients are in. */
  readonly readersWaited: number;
}

interface Outcome {
  readonly before: Phase;
  readonly during: Phase;
  readonly permittedMiB: number;
  readonly survived: boolean;
  readonly notes: readonly string[];
}

export const attacks: Scenario = {
  name: 'attacks',
  question: `Attacked while ${WATCHERS} watch a clock: what do they notice? (--seconds 10 --only h2c,joins)`,
  isLong: true,
  async *run(bench, options) {
    const seconds = numberOption(options, 'seconds', 10);
    const outcomes: Outcome[] = [];
    for (const attacked of chosen(options.only)) {
      const outcome = await attack(bench, attacked, seconds).catch((error) => notReady(error, seconds));
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
    const all = ATTACKS.map(({ name, does }) => `  ${name.padEnd(18)}${does}`).join('\n');
    throw new Error(`--only: there is no attack "${unknown.join('", "')}"; known:\n${all}`);
  }
  return ATTACKS.filter(({ name }) => names.includes(name));
}

async function attack(bench: Bench, attacked: Attacked, seconds: number): Promise<Outcome> {
  const { name, before: preparation, enters } = attacked;
  const config = { ...attacked.config, schedules: [CLOCK, ...(attacked.config?.schedules ?? [])] };
  const permittedMiB = await permittedMemory(config);
  const belfry = await bench.belfry(config, attacked.options);
  const { port, child } = belfry;
  const watchers = bench.subscribers();
  await watchers.call('subscribe', {
    ...{ transport: 'websocket', port, count: WATCHERS, prefix: 'wall', atOnce: 50, readsTimes: true },
    isForwarded: config.server !== undefined && 'trustProxy' in config.server,
  });
  const attackers = bench.attackers();
  await attackers.call('prepare', { name, port });
  await untilRooms(belfry, preparation?.rooms ?? 0);
  // The second in which they all came is not a quiet one.
  await sleep(2000);
  const quietSeconds = Math.max(Math.min(seconds, MAX_QUIET_SECONDS), seconds / 4);
  const before = await measure(belfry, watchers, quietSeconds, permittedMiB);
  const done = attackers.call('attack', { name, port, seconds }).then((count) => `${count} times`, String);
  const entered = enters && enter(port, enters, seconds);
  const during = await measure(belfry, watchers, seconds, permittedMiB);
  const notes = [await Promise.race([done, sleep(GRACE_MS, 'the attackers did not end')])];
  if (!belfry.isAlive) notes.push(`exit ${child.exitCode ?? child.signalCode}`);
  if (during.maxMiB > permittedMiB * MAX_MEMORY_TIMES) notes.push('ended by the bench: too much memory');
  if (entered) notes.push(`${enters}: ${await entered}`);
  return { before, during, permittedMiB, survived: belfry.isAlive, notes };
}

async function untilRooms(belfry: Belfry, wanted: number): Promise<void> {
  const endsAt = performance.now() + PREPARE_MS;
  for (let rooms = 0; rooms < wanted; rooms = await belfry.metric('belfry_rooms')) {
    if (performance.now() > endsAt) throw new Error(`only ${rooms} of ${wanted} rooms`);
    await sleep(100);
  }
}

/** Of a server that ended before the attack, or whose clients did not connect. */
function notReady(error: unknown, seconds: number): Outcome {
  const before = {
    missed: 0,
    absent: 0,
    gone: 0,
    p99Ms: 0,
    livezMs: 0,
    answered: '0/0',
    maxMiB: 0,
    cpu: 0,
    waited: 0,
    readersWaited: 0,
  };
  const during = { ...before, absent: WATCHERS * seconds, gone: WATCHERS, livezMs: Number.POSITIVE_INFINITY };
  const notes = [`failed before the attack: ${String(error).split('\n')[0]}`];
  return { before, during, permittedMiB: 1, survived: false, notes };
}

/** How much memory the server may take with this configuration, in MiB, as `belfry check` says. */
async function permittedMemory(config: BelfryConfig): Promise<number> {
  const said = await checkBelfry(config);
  const figures = /at most (\d+) MiB beside the program's own (\d+) MiB/.exec(said);
  if (!figures) throw new Error(`belfry check prints no figure of memory:\n${said}`);
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
    answeredLivez(belfry.port, ending.signal),
  ]);
  const milliseconds = seconds * 1000;
  const [fromMs, untilMs] = [Date.now(), Date.now() + milliseconds];
  await watchers.call('watch', { untilMs });
  const before = costOf(belfry);
  const readers = new Cost(watchers.child.pid ?? 0);
  const readersBeforeMs = readers.waitedMs();
  let after = before;
  let maxMiB = 0;
  while (Date.now() < untilMs) {
    await sleep(LOOK_MS);
    after = costOf(belfry) ?? after;
    maxMiB = Math.max(maxMiB, after?.mib ?? 0);
    if (maxMiB > permittedMiB * MAX_MEMORY_TIMES) belfry.child.kill('SIGKILL');
  }
  const readersWaited = (readers.waitedMs() - readersBeforeMs) / milliseconds;
  ending.abort();
  const [livezMs, answered] = await livez;
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
    answered,
    maxMiB,
    cpu: ((after?.cpuMs ?? 0) - (before?.cpuMs ?? 0)) / milliseconds,
    waited: ((after?.waitedMs ?? 0) - (before?.waitedMs ?? 0)) / milliseconds,
    readersWaited,
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
  const path = `/rooms/${room}`;
  const { socket, opened } = new Subscriber({ transport: 'websocket', port, path, headers });
  const answered = opened.then(() => 'joined', String);
  const answer = await Promise.race([answered, sleep(ENTER_TIMEOUT_MS, 'no answer')]);
  socket.destroy();
  return answer;
}

/** All that is known of one attack, in one line. */
function resultOf(name: string, { before, during, permittedMiB, survived, notes }: Outcome): Result {
  const { missed, absent, gone, livezMs, answered, maxMiB } = during;
  const part = (value: number) => value.toFixed(2);
  return {
    what: `${name}: due until received, 99th percentile`,
    unit: 'ms',
    belfry: during.p99Ms,
    against: { before: before.p99Ms },
    note: [
      survived ? 'survived' : 'DIED',
      `missed ${missed}`,
      `absent ${absent}`,
      `gone ${gone}`,
      `/livez at most ${livezMs.toFixed(1)} ms, on new connections ${answered}`,
      `${maxMiB.toFixed(0)} MiB (${part(maxMiB / permittedMiB)} of check)`,
      `CPU ${part(before.cpu)} before, ${part(during.cpu)}`,
      `waited ${part(before.waited)} before, ${part(during.waited)}`,
      `readers waited ${part(before.readersWaited)} before, ${part(during.readersWaited)}`,
      ...notes,
    ].join(', '),
  };
}

function totals(outcomes: readonly Outcome[]): Result[] {
  const sum = (of: 'missed' | 'absent' | 'gone') =>
    outcomes.reduce((total, { during }) => total + during[of], 0);
  const most = (of: (outcome: Outcome) => number) => Math.max(...outcomes.map(of));
  const ratio = most(({ before, during }) => (before.p99Ms > 0 ? during.p99Ms / before.p99Ms : 0));
  const lines: readonly [what: string, figure: number, target: string][] = [
    [
      'attacks that the process survived',
      outcomes.filter(({ survived }) => survived).length,
      `all ${outcomes.length}`,
    ],
    ['missed: ticks sent that a good client did not get', sum('missed'), '0'],
    ['absent: due instants without a tick, all clients', sum('absent'), '0'],
    ['gone: good clients that lost their connection', sum('gone'), '0'],
    ['due until received, 99th percentile to the same before, maximum', ratio, 'at most 2'],
    ['longest answer of /livez, in milliseconds', most(({ during }) => during.livezMs), 'at most 250'],
    [
      'memory, as a part of what check says, maximum',
      most((all) => all.during.maxMiB / all.permittedMiB),
      'at most 1.2',
    ],
  ];
  return lines.map(([what, belfry, target]) => ({ what, belfry, target }));
}
