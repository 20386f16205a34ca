import { connect } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { giveWay } from '../contest.ts';
import type { Seen, WatchersApi } from '../attacks/api.ts';
import { type Attacked, ATTACKS } from '../attacks/list.ts';
import { Livez } from '../attacks/livez.ts';
import type { Remote } from '../remote.ts';
import { type Figure, Table } from '../report.ts';
import { type BelfryConfig, BelfryServer } from '../servers/belfry.ts';
import type { Stage } from '../stage.ts';
import { numberFlag, type Question } from './question.ts';

const WATCHERS = 1000;
const ROOM = 'wall';
const CLOCK = { name: 'clock', every: '1s', rooms: [ROOM], feed: { type: 'time' } };
const LEAST_QUIET_SECONDS = 5;
/** How long what is there before the attack may take to come. */
const BEFORE_SECONDS = { join: 30, others: 4 };
const LOOK_MS = 50;
/** A server that has taken so many times what it may is ended: the machine is needed for more. */
const MOST_TIMES = 3;
/** How long attackers may take to notice that their time is over, and a tick to arrive. */
const GRACE_MS = 10_000;
const LATE_TICK_MS = 1500;
const ENTER_TIMEOUT_MS = 2000;

interface Phase {
  readonly seen: Seen;
  readonly livezMs: number;
  readonly fresh: string;
  readonly mostMiB: number;
  /** Of one core. */
  readonly cpu: number;
  /** The part of the time in which others had the processor: where it is much, the row tells of the machine. */
  readonly waited: number;
  readonly stopped: boolean;
}

interface Row {
  readonly quiet: Phase;
  readonly attacked: Phase;
  readonly permittedMiB: number;
  readonly lived: boolean;
  readonly note: string;
}

const COLUMNS = [
  ['attack', 16],
  ['lived', -5],
  ['missed', -7],
  ['absent', -7],
  ['gone', -5],
  ['p99 before', -10],
  ['p99', -8],
  ['ratio', -6],
  ['livez max', -9],
  ['fresh', -7],
  ['MiB', -6],
  ['of check', -8],
  ['CPU before', -10],
  ['CPU', -5],
  ['waited', -6],
  ['notes', 0],
] as const;

/**
 * The attackers have the lowest priority: on two cores they must not win by taking those of the good
 * clients, who would see them late on an idle server too. What the server does for them it does at its own.
 */
export const attacks: Question = {
  name: 'attacks',
  asks: `Attacked while ${WATCHERS} watch a clock: who notices? (--seconds 10 --only h2c,joins)`,
  isLong: true,
  async ask(stage, flags): Promise<Figure[]> {
    const seconds = numberFlag(flags, 'seconds', 10);
    const rows: Row[] = [];
    const table = new Table(COLUMNS);
    for (const attacked of chosen(flags.only)) {
      const row = await run(stage, attacked, seconds).catch((error) => neverReady(error, seconds));
      await stage.clear();
      rows.push(row);
      table.print(cells(attacked, row));
    }
    return figures(rows);
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

async function run(stage: Stage, attacked: Attacked, seconds: number): Promise<Row> {
  const { config, permittedMiB, note } = await checked(attacked.config ?? {});
  const belfry = await stage.belfry(config, attacked.process);
  const { port } = belfry;
  const watchers = stage.watchers();
  const isProxy = config.server !== undefined && 'trustProxy' in config.server;
  await watchers.call('open', { port, count: WATCHERS, room: ROOM, isProxy });
  const attackers = stage.attackers();
  giveWay(attackers);
  for (const attack of attacked.before ?? []) {
    const seconds = attack.kind === 'join' ? BEFORE_SECONDS.join : BEFORE_SECONDS.others;
    const count = await attackers.call('attack', { attack, place: { port, seconds } });
    if (attack.kind === 'join' && count < attack.connections) throw new Error(`only ${count} joined before`);
  }
  // The second in which they all came is not a quiet one.
  await sleep(2000);
  const quiet = await measure(
    belfry,
    watchers,
    Math.max(Math.min(LEAST_QUIET_SECONDS, seconds), seconds / 4),
    permittedMiB,
  );
  const done = attackers
    .call('attack', { attack: attacked.attack, place: { port, seconds } })
    .then((count) => `${count} times`, String);
  const entering = attacked.enters === undefined ? undefined : enter(port, attacked.enters, seconds);
  const phase = await measure(belfry, watchers, seconds, permittedMiB);
  const entered = await entering;
  const count = await Promise.race([done, sleep(GRACE_MS, 'attackers did not end')]);
  const { exitCode, signalCode } = belfry.child;
  const notes = [
    note,
    count,
    phase.stopped
      ? 'ended by the bench: too much memory'
      : !belfry.isAlive && `exit ${exitCode ?? signalCode}`,
    entered && `${attacked.enters}: ${entered}`,
  ];
  return {
    quiet,
    attacked: phase,
    permittedMiB,
    lived: belfry.isAlive,
    note: notes.filter((text) => text).join(', '),
  };
}

/** Of a server that has ended before the attack, or that did not come so far. */
function neverReady(error: unknown, seconds: number): Row {
  const lost: Phase = {
    seen: { missed: 0, absent: WATCHERS * seconds, gone: WATCHERS },
    livezMs: Number.POSITIVE_INFINITY,
    fresh: '0/0',
    mostMiB: 0,
    cpu: 0,
    waited: 0,
    stopped: false,
  };
  const [said = ''] = String(error).split('\n');
  return { quiet: lost, attacked: lost, permittedMiB: 1, lived: false, note: `not even attacked: ${said}` };
}

/** The configuration with the clock of the good clients, and what `check` says that it may take. */
async function checked(
  config: BelfryConfig,
): Promise<{ config: BelfryConfig; permittedMiB: number; note: string }> {
  const full = { ...config, schedules: [CLOCK, ...(config.schedules ?? [])] };
  const said = await BelfryServer.check(full).catch((error: Error & { stderr?: string }) => error);
  if (said instanceof Error) {
    // A server from before this limit is attacked as well.
    if (!said.stderr?.includes('"sockets"')) throw said;
    const { limits: _, ...unlimited } = config;
    return { ...(await checked(unlimited)), note: 'without limits.sockets' };
  }
  const figures = /at most (\d+) MiB beside the program's own (\d+) MiB/.exec(said);
  if (!figures) throw new Error(`belfry check tells no figure of memory:\n${said}`);
  return { config: full, permittedMiB: Number(figures[1]) + Number(figures[2]), note: '' };
}

async function measure(
  belfry: BelfryServer,
  watchers: Remote<WatchersApi>,
  seconds: number,
  permittedMiB: number,
): Promise<Phase> {
  const livez = new Livez(belfry.port);
  const cost = new Costs(belfry, permittedMiB * MOST_TIMES);
  await watchers.call('begin');
  const endsAt = performance.now() + seconds * 1000;
  while (performance.now() < endsAt) {
    await sleep(LOOK_MS);
    cost.look();
  }
  const untilMs = Date.now();
  const { longestMs, fresh, freshAnswered } = livez.end();
  await sleep(LATE_TICK_MS);
  const seen = await watchers.call('end', { untilMs });
  return {
    seen,
    livezMs: longestMs,
    fresh: `${freshAnswered}/${fresh}`,
    mostMiB: cost.mostMiB,
    cpu: cost.cpuMs / (seconds * 1000),
    waited: cost.waitedMs / (seconds * 1000),
    stopped: cost.stopped,
  };
}

/** Memory and processor time of a server that may end at any moment. */
class Costs {
  readonly #belfry: BelfryServer;
  readonly #endAboveMiB: number;
  readonly #cpuBeforeMs: number;
  readonly #waitedBeforeMs: number;
  mostMiB = 0;
  cpuMs = 0;
  waitedMs = 0;
  stopped = false;

  constructor(belfry: BelfryServer, endAboveMiB: number) {
    this.#belfry = belfry;
    this.#endAboveMiB = endAboveMiB;
    this.#cpuBeforeMs = belfry.isAlive ? belfry.cost.cpuMs() : 0;
    this.#waitedBeforeMs = belfry.isAlive ? belfry.cost.waitedMs() : 0;
  }

  look(): void {
    const { cost, child, isAlive } = this.#belfry;
    if (!isAlive) return;
    try {
      const mib = cost.residentKiB() / 1024;
      if (Number.isNaN(mib)) return;
      this.mostMiB = Math.max(this.mostMiB, mib);
      this.cpuMs = cost.cpuMs() - this.#cpuBeforeMs;
      this.waitedMs = cost.waitedMs() - this.#waitedBeforeMs;
    } catch {
      // It has ended since, and its exit is not told yet.
    }
    if (this.mostMiB < this.#endAboveMiB || this.stopped) return;
    this.stopped = true;
    child.kill('SIGKILL');
  }
}

/** Enters a room from an address that nobody else has, shortly before the time is over; resolves to the status. */
async function enter(port: number, room: string, seconds: number): Promise<string> {
  await sleep(seconds * 1000 - ENTER_TIMEOUT_MS);
  return new Promise((resolve) => {
    const socket = connect({ port, host: '127.0.0.1' });
    socket.setTimeout(ENTER_TIMEOUT_MS, () => socket.destroy());
    socket.write(
      `GET /rooms/${room} HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Forwarded-For: 198.51.100.9\r\nConnection: Upgrade\r\n` +
        'Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n',
    );
    socket.on('data', (bytes) => {
      resolve(bytes.toString('latin1', 'HTTP/1.1 '.length, 'HTTP/1.1 101'.length));
      socket.destroy();
    });
    socket.on('error', () => {});
    socket.on('close', () => resolve('no answer'));
  });
}

function ratioOf({ quiet, attacked }: Row): number | undefined {
  const [before, after] = [quiet.seen.p99Ms, attacked.seen.p99Ms];
  return before && after && after / before;
}

const partOf = ({ attacked, permittedMiB }: Row) => attacked.mostMiB / permittedMiB;

function cells({ name }: Attacked, row: Row): readonly (string | number | undefined)[] {
  const { quiet, attacked, lived, note } = row;
  const { missed, absent, gone, p99Ms } = attacked.seen;
  return [
    name,
    lived ? 'yes' : 'no',
    missed,
    absent,
    gone,
    quiet.seen.p99Ms,
    p99Ms,
    ratioOf(row),
    attacked.livezMs,
    attacked.fresh,
    attacked.mostMiB,
    partOf(row),
    quiet.cpu,
    attacked.cpu,
    attacked.waited,
    note,
  ];
}

function figures(rows: readonly Row[]): Figure[] {
  const sum = (of: (seen: Seen) => number) =>
    rows.reduce((total, { attacked }) => total + of(attacked.seen), 0);
  // A server that has ended at once has no figures.
  const most = (of: (row: Row) => number | undefined) => Math.max(...rows.map((row) => of(row) ?? 0));
  return [
    { what: 'attacks', unit: '', belfry: rows.length },
    {
      what: 'attacks that the process survived',
      unit: '',
      belfry: rows.filter(({ lived }) => lived).length,
      target: 'all',
    },
    {
      what: 'missed: ticks sent that a good client did not get',
      unit: '',
      belfry: sum(({ missed }) => missed),
      target: '0',
    },
    {
      what: 'absent: instants without a tick, all clients',
      unit: '',
      belfry: sum(({ absent }) => absent),
      target: '0',
    },
    {
      what: 'gone: good clients that lost their connection',
      unit: '',
      belfry: sum(({ gone }) => gone),
      target: '0',
    },
    {
      what: 'due until received, 99th percentile to the same before, at most',
      unit: '',
      belfry: most(ratioOf),
      target: 'at most 2',
    },
    {
      what: 'longest answer of /livez',
      unit: 'ms',
      belfry: most(({ attacked }) => attacked.livezMs),
      target: 'at most 250',
    },
    {
      what: 'most memory, as a part of what check says',
      unit: '',
      belfry: most(partOf),
      target: 'at most 1.2',
    },
  ];
}
