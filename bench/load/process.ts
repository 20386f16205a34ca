import { serveCalls } from '../remote.ts';
import { distribution, spread } from '../statistics.ts';
import type { LoadApi, OpenOptions, Wave } from './api.ts';
import { Client } from './client.ts';

const TIME = '"time":"';
const DUE = '"due":"';
/** Of an instant, as the server writes it. */
const INSTANT_LENGTH = '2026-11-20T18:00:03.001Z'.length;

/**
 * Ports are named here, below those that the operating system gives to others (32,768 and up): a port
 * that is bound to an address blocks them for every program of the machine, and for a minute more.
 */
const FIRST_PORT = 10_000;

let clients: Client[] = [];
let batches = 0;
let events = 0;
let bytes = 0;
let everyMs = Number.POSITIVE_INFINITY;
const waves = new Map<number, { events: number; lastMs: number }>();
/** Of those who may stall. */
const newestDue = new Map<Client, number>();
let late: number[] = [];
let all: number[] = [];
let firstDue = Number.POSITIVE_INFINITY;
let lastDue = Number.NEGATIVE_INFINITY;

function now(): number {
  return performance.timeOrigin + performance.now();
}

function count(_chunk: Buffer, start: number, end: number): void {
  events++;
  bytes += end - start;
  if (everyMs === Number.POSITIVE_INFINITY) return;
  const at = now();
  const number = Math.floor(at / everyMs);
  const wave = waves.get(number) ?? { events: 0, lastMs: 0 };
  wave.events++;
  wave.lastMs = at - number * everyMs;
  waves.set(number, wave);
}

function countWithTimes(chunk: Buffer, start: number, end: number): void {
  count(chunk, start, end);
  const at = now();
  const time = instantBehind(TIME, chunk, start, end);
  const due = instantBehind(DUE, chunk, start, end);
  if (time === undefined || due === undefined) return;
  firstDue = Math.min(firstDue, due);
  lastDue = Math.max(lastDue, due);
  late.push(time - due);
  all.push(at - due);
}

/** As `count`, and remembers how far a client has come. */
function follow(client: Client, chunk: Buffer, start: number, end: number): void {
  count(chunk, start, end);
  const due = instantBehind(DUE, chunk, start, end);
  if (due !== undefined) newestDue.set(client, due);
}

function instantBehind(key: string, chunk: Buffer, start: number, end: number): number | undefined {
  const found = chunk.indexOf(key, start);
  const from = found + key.length;
  if (found < 0 || from + INSTANT_LENGTH > end) return undefined;
  return Date.parse(chunk.toString('latin1', from, from + INSTANT_LENGTH));
}

/** A loopback address that no other batch has, and no other process of the bench. */
function address(batch: number): string {
  const part = (value: number) => (value % 250) + 1;
  return `127.${part(process.pid)}.${part(Math.floor(process.pid / 250))}.${part(batch)}`;
}

async function open(options: OpenOptions) {
  const { transport, port, count: wanted, first = 0, rooms = 1, prefix = 'room', atOnce = 100 } = options;
  const from = address(batches++);
  const startedAt = now();
  const each: number[] = [];
  const followed = options.stalls !== undefined;
  const hear = options.times ? countWithTimes : count;
  let next = 0;
  let failed = 0;
  let failure: unknown;
  const openSome = async () => {
    while (next < wanted) {
      const number = next++;
      const began = now();
      const client: Client = new Client({
        transport,
        port,
        path: `/rooms/${prefix}-${(first + number) % rooms}`,
        from: { address: from, port: FIRST_PORT + number },
        stalls: options.stalls ?? false,
        onEvent: followed ? (...event) => follow(client, ...event) : hear,
      });
      clients.push(client);
      try {
        await client.opened;
        each.push(now() - began);
      } catch (error) {
        failed++;
        failure = error;
      }
    }
  };
  await Promise.all(Array.from({ length: Math.min(atOnce, wanted) }, openSome));
  if (failed > 0 && !options.mayFail) throw new Error(`${failed} of ${wanted} did not get in: ${failure}`);
  return { ms: now() - startedAt, each: spread(each), failed };
}

serveCalls<LoadApi>({
  open,
  received: () => ({ events, bytes }),
  watchWaves: (options) => {
    everyMs = options.everyMs;
    waves.clear();
  },
  waves: () => {
    // The first and the one that is under way are not whole.
    const whole: Wave[] = [...waves.values()].slice(1, -1);
    waves.clear();
    return whole;
  },
  times: () => {
    const times = { late: spread(late), lateness: distribution(late), all: spread(all), firstDue, lastDue };
    late = [];
    all = [];
    firstDue = Number.POSITIVE_INFINITY;
    lastDue = Number.NEGATIVE_INFINITY;
    return times;
  },
  wake: () => {
    for (const client of clients) client.wake();
  },
  fates: ({ sinceMs }) => ({
    upToDate: clients.filter((client) => !client.ended && (newestDue.get(client) ?? 0) >= sinceMs).length,
  }),
  closeAll: () => {
    for (const client of clients) client.close();
    clients = [];
  },
});
