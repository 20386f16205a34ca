import { readdirSync, readFileSync } from 'node:fs';
import { setImmediate as nextTurn, setTimeout as sleep } from 'node:timers/promises';
import { expect, vi } from 'vitest';
import { BELFRY, fileWith, ready, type Server, start } from '../e2e/process.ts';
import { SocketGuest } from '../helpers/guest.ts';
import { handshake, request } from '../helpers/raw.ts';
import { heapMiB, heldMs, PROBE_ARGS } from './probe.ts';
import type { Conversation } from './script.ts';
import { speak } from './speak.ts';

/** The program, 32 MiB of frames for replays, little history, and garbage: cases leave nothing else. */
const MOST_MIB = 400;
const PATIENCE_MS = 5000;
/** On a machine that is busy with other programs garbage is collected in several seconds. */
const GC_MS = 30_000;
const WARM_UPS = 50;
const BAD_LINE = /failed|threw|could not|Warning/;

const CONFIG = {
  server: { heartbeatSeconds: 1, idleSeconds: 5, emptyRoomSeconds: 0.2, drainSeconds: 0 },
  rooms: [{ match: '*', publish: 'members' }],
  limits: {
    // Full after a tenth of the cases: what rooms keep must not hide what should not stay.
    totalHistoryBytes: 524_288,
    // Frames that were replayed stay until they count an eighth of this; with the default 32 MiB.
    totalBufferedBytes: 16_777_216,
    // All cases come from one address.
    connectsPerSecond: 0,
    connectsPerSecondPerAddress: 0,
  },
  schedules: [
    { name: 'clock', every: '200ms', rooms: ['witness', 'calm-*'], feed: { type: 'time' } },
    { name: 'other', every: '1s', rooms: ['wild-*'], feed: { type: 'message', data: 'x'.repeat(1000) } },
  ],
};

/** What is not compiled yet is several times as slow, and tells nothing. */
const WARM_UP: Conversation = {
  isSound: true,
  steps: [
    { say: request('/rooms/warm').repeat(8) + request('/livez').repeat(8) },
    { answers: 16, replies: 0 },
    { say: handshake('/rooms/warm') },
    { answers: 17, replies: 0 },
    { leaves: 'end' },
  ],
};

/** Tries a case on the server; resolves to what was wrong with the server's part of it. */
export type Case = (server: Watched) => Promise<string | undefined>;

/** What was seen while cases were tried at once. */
export interface Seen {
  readonly fault?: string;
  /** The longest hold of the event loop; 0 where it was permitted and not the longest of all so far. */
  readonly heldMs: number;
}

/** A server in a process of its own, and a client that only listens to it. */
export class Watched {
  readonly port: number;
  readonly token: string;
  readonly #server: Server;
  readonly #witness: SocketGuest;
  readonly #descriptors: number;
  #longestMs = 0;
  #code: number | string | undefined;
  #isFaulty = false;

  private constructor(server: Server, witness: SocketGuest) {
    this.#server = server;
    this.port = Number(new URL(server.url).port);
    this.token = server.token;
    this.#witness = witness;
    this.#descriptors = this.#openDescriptors();
    void server.ended.then((code) => {
      this.#code = code;
    });
  }

  static async start(): Promise<Watched> {
    const args = [...PROBE_ARGS, BELFRY, 'serve', '--port', '0', '--config', fileWith(CONFIG)];
    const server = await ready(start(process.execPath, args));
    const witness = new SocketGuest(`${server.url}/rooms/witness`);
    await witness.event('hello');
    const watched = new Watched(server, witness);
    await Promise.all(Array.from({ length: WARM_UPS }, () => speak(watched.port, WARM_UP)));
    await watched.heapMiB();
    server.stderr.all.length = 0;
    return watched;
  }

  /** The longest hold of all, of many cases at once too. */
  get longestMs(): number {
    return this.#longestMs;
  }

  /** This one, or another where it is at fault. */
  async renewed(): Promise<Watched> {
    if (!this.#isFaulty) return this;
    this.#server.child.kill('SIGKILL');
    await this.#server.ended;
    return Watched.start();
  }

  /** Tries these cases at once. */
  async hold(cases: readonly Case[]): Promise<Seen> {
    const faults = await Promise.all(cases.map((one) => one(this)));
    const dead = await this.#lives();
    if (dead !== undefined) await Promise.race([this.#server.ended, sleep(PATIENCE_MS)]);
    const longestMs = this.#held();
    const fault = this.#end() ?? this.#said() ?? dead ?? faults.find((one) => one) ?? this.#memory();
    this.#isFaulty ||= fault !== undefined;
    return { heldMs: longestMs, ...(fault !== undefined && { fault }) };
  }

  /** What is on the heap, and in buffers, after garbage was collected. */
  async heapMiB(): Promise<number> {
    const { child, stderr } = this.#server;
    child.kill('SIGUSR2');
    const line = await stderr.find((said) => heapMiB(said) !== undefined, GC_MS);
    stderr.all.splice(stderr.all.indexOf(line), 1);
    return heapMiB(line) ?? 0;
  }

  /** Fails where something is left of clients that are gone. */
  async settle(): Promise<void> {
    const look = async (path: string): Promise<{ items: unknown[] }> => {
      const headers = { authorization: `Bearer ${this.token}` };
      // The admin API's lists look like this.
      return (await fetch(`${this.#server.url}/admin${path}`, { headers })).json() as Promise<{
        items: unknown[];
      }>;
    };
    const askedAt = Date.now();
    await this.#witness.next(({ tick }) => tick !== undefined && Date.parse(tick.due) > askedAt);
    await vi.waitFor(async () => expect((await look('/connections')).items).toHaveLength(1), 10_000);
    await vi.waitFor(
      async () => expect((await look('/rooms')).items).toMatchObject([{ name: 'witness' }]),
      10_000,
    );
    // `fetch` keeps a connection or two.
    await vi.waitFor(() => expect(this.#openDescriptors()).toBeLessThan(this.#descriptors + 10), 10_000);
    this.#held();
    expect(this.#end() ?? this.#said()).toBeUndefined();
  }

  #end(): string | undefined {
    if (this.#code === undefined) return undefined;
    const { stdout, stderr } = this.#server;
    return `the server ended with ${this.#code}: ${[...stdout.all.filter(isBad), ...stderr.all].join('\n')}`;
  }

  /** Takes the lines of the probe from what the process has said. */
  #held(): number {
    const { all } = this.#server.stderr;
    const lines = all.splice(0);
    all.push(...lines.filter((line) => heldMs(line) === undefined));
    const longest = Math.max(0, ...lines.map((line) => heldMs(line) ?? 0));
    this.#longestMs = Math.max(this.#longestMs, longest);
    return longest;
  }

  /** A bad line of the log, or anything on standard error. */
  #said(): string | undefined {
    const { stdout, stderr } = this.#server;
    const said = stdout.all.find(isBad) ?? stderr.all.join('\n');
    stdout.all.length = 0;
    stderr.all.length = 0;
    return said ? `the server said: ${said}` : undefined;
  }

  /** Whether it still answers, and the client that only listens is still there. */
  async #lives(): Promise<string | undefined> {
    const status = await fetch(`${this.#server.url}/livez`, {
      signal: AbortSignal.timeout(PATIENCE_MS),
    }).then((answer) => answer.status, String);
    // Lines that were written before the answer are read by then.
    await nextTurn();
    if (status !== 200) return `/livez: ${status}`;
    const { readyState, OPEN } = this.#witness.socket;
    return readyState === OPEN ? undefined : 'a client that only listened lost its connection';
  }

  #memory(): string | undefined {
    const status = readFileSync(`/proc/${this.#server.pid}/status`, 'utf8');
    const mib = Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1]) / 1024;
    return mib > MOST_MIB ? `the server uses ${Math.round(mib)} MiB of memory` : undefined;
  }

  #openDescriptors(): number {
    return readdirSync(`/proc/${this.#server.pid}/fd`).length;
  }
}

/** Whether a line of the log says that something went wrong. */
function isBad(line: string): boolean {
  return BAD_LINE.test(line) || JSON.parse(line).level >= 50;
}
