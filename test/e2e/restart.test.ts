import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, onTestFinished, test, vi } from 'vitest';
import { WebSocket } from 'ws';
import { wsWire } from '../../src/cli/ws-wire.ts';
import { type ClientState, ReconnectingClient } from '../../src/client/reconnecting-client.ts';
import type { OpenWire } from '../../src/client/wire.ts';
import { streamWire, webSocketWire } from '../../src/client/wires.ts';
import { DOCUMENTED, freePort, NGINX, startNginx } from './nginx.ts';
import { belfry, fileWith, ready, type Server } from './process.ts';

/** `npm run restart-storm -- --clients 5000` sets it. */
const CLIENTS = Number(process.env.RESTART_CLIENTS ?? 90);
/** The small dose has a limit that is small as well, so that it counts. */
const PER_SECOND = process.env.RESTART_CLIENTS === undefined ? 50 : 1000;
const DRAIN_SECONDS = process.env.RESTART_CLIENTS === undefined ? 1 : 5;
/** So much later than they were told they may be back: their own processor is busy as well. */
const GRACE_MS = 2000;
/** The next process behind nginx is so late that the first clients to come back find none. */
const DOWN_MS = 2500;
const TIMEOUT_MS = 60_000 + CLIENTS * 20;
const PAGE_LOOKS_AGAIN_MS = 60_000;
const env = { BELFRY_ADMIN_TOKEN: 'an-operators-token' };

/** The client of `belfry watch`, and the page's over both transports. */
const KINDS: readonly { readonly openWire: OpenWire; readonly lookAgainMs?: number }[] = [
  { openWire: wsWire(undefined) },
  { openWire: webSocketWire(undefined, WebSocket), lookAgainMs: PAGE_LOOKS_AGAIN_MS },
  { openWire: streamWire(), lookAgainMs: PAGE_LOOKS_AGAIN_MS },
];

/** One client, and what became of it. */
class Guest {
  /** When it was told to come back at the latest, on this machine's clock. */
  toldMs = 0;
  /** When it was connected, the last time. */
  backAtMs = 0;
  attempts = 0;
  badGateways = 0;
  /** States in which the server had sent it away for good. */
  endings: ClientState[] = [];
  isBack = false;
  readonly client: ReconnectingClient;

  constructor(address: URL, number: number) {
    const kind = KINDS[number % KINDS.length];
    if (!kind) throw new Error('no such client');
    this.client = new ReconnectingClient({
      address: () => address,
      ...kind,
      listener: {
        onState: (state) => this.#onState(state),
        onReceived: ({ event }) => {
          if (event !== 'hello') return;
          this.isBack = true;
          this.backAtMs = Date.now();
        },
        onMalformed: () => {},
      },
    });
    this.client.connect();
  }

  #onState(state: ClientState): void {
    if (state.name === 'connecting') this.attempts++;
    if (state.name === 'closed') this.endings.push(state);
    if (state.name !== 'waiting') return;
    this.isBack = false;
    const { ending, delayMs } = state;
    if (ending.how === 'refused' && ending.status === 502) this.badGateways++;
    const isTold = ending.how === 'closed' ? ending.closing : ending.how === 'refused' && ending.retryAfterMs;
    if (isTold) this.toldMs = Date.now() + delayMs;
  }
}

/** A server on a port that stays the same, and those who watch it. */
class House {
  readonly #port: number;
  readonly #config: string;
  readonly #address: URL;
  #server: Server | undefined;
  guests: Guest[] = [];

  constructor(port: number, address: string) {
    this.#port = port;
    this.#address = new URL(address);
    this.#config = fileWith({
      server: { port, drainSeconds: DRAIN_SECONDS, trustProxy: ['127.0.0.1'] },
      // All of them come from one address.
      limits: { connectsPerSecond: PER_SECOND, connectionsPerAddress: 0, connectsPerSecondPerAddress: 0 },
    });
  }

  async open(): Promise<void> {
    this.#server = await ready(belfry(['serve', '--config', this.#config], { env }), { env });
  }

  invite(count: number): void {
    this.guests = Array.from({ length: count }, (_, number) => new Guest(this.#address, number));
  }

  /** Resolves when all of them are connected. */
  async full(): Promise<void> {
    await vi.waitUntil(() => this.guests.every(({ isBack }) => isBack), {
      timeout: TIMEOUT_MS,
      interval: 50,
    });
  }

  /** As a service manager does it: the new process is started when the old one has ended, or `downMs` later. */
  async restart(downMs: number): Promise<void> {
    process.kill(this.#server?.pid ?? 0, 'SIGTERM');
    expect(await this.#server?.ended).toBe(0);
    await sleep(downMs);
    await this.open();
  }

  /** When the server has accepted each of them, by its own clock. */
  async connects(): Promise<number[]> {
    const connects: number[] = [];
    let cursor: string | null = null;
    do {
      const query = new URLSearchParams({ limit: '1000', ...(cursor !== null && { cursor }) });
      const answer = await fetch(`http://127.0.0.1:${this.#port}/admin/connections?${query}`, {
        headers: { authorization: `Bearer ${env.BELFRY_ADMIN_TOKEN}` },
      });
      const { items, next } = (await answer.json()) as {
        items: { connectedAt: string }[];
        next: string | null;
      };
      connects.push(...items.map(({ connectedAt }) => Date.parse(connectedAt)));
      cursor = next;
    } while (cursor !== null);
    return connects.sort((a, b) => a - b);
  }

  async close(): Promise<void> {
    await Promise.all(this.guests.map(({ client }) => client.close()));
  }
}

/** The largest number of instants in any second. */
function mostInASecond(instants: readonly number[]): number {
  const sorted = instants.toSorted((a, b) => a - b);
  let [most, first] = [0, 0];
  for (const [index, atMs] of sorted.entries()) {
    while ((sorted[first] ?? 0) <= atMs - 1000) first++;
    most = Math.max(most, index - first + 1);
  }
  return most;
}

async function restarted(house: House, downMs = 0): Promise<void> {
  onTestFinished(() => house.close());
  await house.open();
  const cameMs = Date.now();
  house.invite(CLIENTS);
  await house.full();
  report('all came', Date.now() - cameMs, house, await house.connects());
  const stoppedMs = Date.now();
  await house.restart(downMs);
  const readyMs = Date.now();
  report('the new process was ready', Date.now() - stoppedMs, house);
  await house.full();
  const connects = await house.connects();
  report('all were back', Date.now() - stoppedMs, house, connects);
  expect(connects).toHaveLength(CLIENTS);
  expect(mostInASecond(connects)).toBeLessThanOrEqual(PER_SECOND);
  expect(house.guests.flatMap(({ endings }) => endings)).toEqual([]);
  const toldMs = house.guests.map((guest) => guest.toldMs);
  // Those that come before the process is ready back off: no longer than twice the time that they have tried.
  const triedMs = Math.max(readyMs - Math.min(...toldMs), 0);
  const lastBackMs = Math.max(...house.guests.map(({ backAtMs }) => backAtMs));
  const dueMs = Math.max(Math.max(...toldMs), triedMs === 0 ? 0 : readyMs + 2 * triedMs + 1000);
  expect(lastBackMs).toBeLessThanOrEqual(dueMs + GRACE_MS);
}

function report(what: string, ms: number, { guests }: House, connects?: readonly number[]): void {
  if (process.env.RESTART_CLIENTS === undefined) return;
  const attempts = guests.reduce((sum, guest) => sum + guest.attempts, 0);
  const most = connects && `, at most ${mostInASecond(connects)} in a second`;
  const seen = mostInASecond(guests.map(({ backAtMs }) => backAtMs));
  console.log(`${what} after ${ms} ms, ${attempts} attempts${most ?? ''}, ${seen} as they saw it`);
}

describe(`${CLIENTS} clients of a server that is restarted`, () => {
  test('are back by themselves when it said, none faster than the limit', {
    timeout: 2 * TIMEOUT_MS,
  }, async () => {
    const port = await freePort();
    await restarted(new House(port, `http://127.0.0.1:${port}/rooms/lobby`));
  });

  test.skipIf(NGINX === undefined)(
    'are so behind nginx as well, which answers 502 meanwhile',
    {
      timeout: 2 * TIMEOUT_MS,
    },
    async () => {
      const [port, proxy] = [await freePort(), await freePort()];
      await startNginx(proxy, DOCUMENTED.replace('127.0.0.1:8080', `127.0.0.1:${port}`));
      const house = new House(port, `http://127.0.0.1:${proxy}/rooms/lobby`);
      await restarted(house, DOWN_MS);
      expect(house.guests.some(({ badGateways }) => badGateways > 0)).toBe(true);
    },
  );
});
