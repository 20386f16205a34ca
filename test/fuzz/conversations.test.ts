import { readdirSync, readFileSync } from 'node:fs';
import { setImmediate as nextTurn, setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, test, vi } from 'vitest';
import { BELFRY, fileWith, ready, type Server, start } from '../e2e/process.ts';
import { SocketGuest } from '../helpers/guest.ts';
import { handshake, request } from '../helpers/raw.ts';
import { casesOf, Random, SEED } from './cases.ts';
import { conversation } from './conversation.ts';
import type { Conversation, Step } from './script.ts';
import { speak } from './speak.ts';
import { report } from './watch.ts';

const CONVERSATIONS = casesOf('conversations');

const AT_ONCE = 50;
/** No conversation alone may hold the server's event loop longer in one turn. */
const MAX_HOLD_MS = 20;
/** A turn that is longer while many are held is looked into: each of them is held alone. */
const MAX_HOLD_TOGETHER_MS = 100;
/** The program, 32 MiB of frames for replays, little history, and garbage: conversations leave nothing else. */
const MOST_MIB = 400;
/** After so many conversations histories are full, and the growth of memory is looked at. */
const GROWN = 20_000;
const PATIENCE_MS = 5000;
/** Of a step, in characters. */
const LONGEST_SHOWN = 1000;
const STOOD_STILL = /the event loop stood still for (\d+) ms/;
const BAD_LINE = /failed|threw|could not|Warning/;

const CONFIG = {
  server: { heartbeatSeconds: 1, idleSeconds: 5, emptyRoomSeconds: 0.2, drainSeconds: 0 },
  rooms: [{ match: '*', publish: 'members' }],
  // What rooms keep grows up to this in the first 50,000 conversations, and must not hide what should not.
  limits: { totalHistoryBytes: 4 * 1024 * 1024 },
  schedules: [
    { name: 'clock', every: '200ms', rooms: ['witness', 'calm-*'], feed: { type: 'time' } },
    { name: 'other', every: '1s', rooms: ['wild-*'], feed: { type: 'message', data: 'x'.repeat(1000) } },
  ],
};

/** Before the event loop is watched. */
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

/**
 * Runs inside the server and watches its event loop once it is told to. A turn counts with the processor
 * time that it took: what other programs take from the server is no fault of the server.
 */
const PROBE = `import { readFileSync, writeSync } from 'node:fs';
  // Of the main thread alone, in nanoseconds.
  const cpuMs = () => Number(readFileSync('/proc/self/schedstat', 'latin1').split(' ')[0]) / 1e6;
  process.once('SIGUSR2', () => {
    let before = cpuMs();
    setInterval(() => {
      const now = cpuMs();
      const ms = Math.round(now - before);
      if (ms > ${MAX_HOLD_MS}) writeSync(2, 'the event loop stood still for ' + ms + ' ms\\n');
      before = now;
    }, 10).unref();
  });`;

describe('whole conversations with a real server', () => {
  test('end neither the process nor its ticks; sound ones get every answer', {
    timeout: 60_000 + CONVERSATIONS * 20,
  }, async () => {
    const [first, end] = range();
    const tried = new Counts();
    let watched = await Watched.start();
    for (let from = first; from < end; from += AT_ONCE) {
      const numbers = Array.from({ length: Math.min(AT_ONCE, end - from) }, (_, index) => from + index);
      const fault = await watched.hold(numbers, tried);
      if (fault === undefined) continue;
      // Alone, with a new server after each fault, until one is at fault by itself.
      for (const number of numbers) {
        watched = await watched.renewed();
        let alone = await watched.hold([number]);
        // Garbage is collected in one turn or another, but not in the same again.
        if (alone !== undefined && STOOD_STILL.test(alone)) alone = await watched.hold([number]);
        if (alone !== undefined) fail(number, alone);
      }
      watched = await watched.renewed();
      const again = await watched.hold(numbers);
      // A turn that is long once was that of a machine with more to do.
      if (again === undefined && STOOD_STILL.test(fault)) continue;
      fail(`${from}-${from + numbers.length - 1}`, `${fault} (none of them does it alone)`);
    }
    await watched.settle();
    report({ kind: 'conversations', cases: end - first, ...watched.measured });
    // What is too wrong to get anywhere tries nothing.
    if (end - first >= CONVERSATIONS) expect(tried.sound).toBeGreaterThan(CONVERSATIONS / 3);
  });
});

/** `FUZZ_CASE=812` or `FUZZ_CASE=800-899`: these alone. */
function range(): [first: number, end: number] {
  const only = process.env.FUZZ_CASE;
  if (!only) return [0, CONVERSATIONS];
  const [, first, last = first] = /^(\d{1,9})(?:-(\d{1,9}))?$/.exec(only) ?? [];
  if (first === undefined)
    throw new Error(`FUZZ_CASE is "${only}": set it to a number or to two, as 800-899`);
  return [Number(first), Number(last) + 1];
}

/** Each case has a seed of its own, so that it is the same whatever ran before. */
function conversationOf(number: number, token: string): Conversation {
  return conversation(new Random(Math.imul(SEED, 1_000_003) + number), token);
}

function fail(which: number | string, why: string): never {
  const again = `FUZZ_SEED=${SEED} FUZZ_CASE=${which} npx vitest run test/fuzz/conversations.test.ts`;
  const steps = typeof which === 'number' ? shown(conversationOf(which, '<token>').steps) : [];
  throw new Error([`case ${which}: ${why}`, `again: ${again}`, ...steps].join('\n'));
}

/** A line for each step; what is said in pieces is put together, since the numbers of the case tell the rest. */
function shown(steps: readonly Step[]): string[] {
  const shorter: (Step | { readonly say: string; readonly pieces: number })[] = [];
  for (const step of steps) {
    const last = shorter.at(-1);
    if (last === undefined || !('say' in last) || !('say' in step || 'turns' in step)) shorter.push(step);
    else if ('say' in step) {
      const pieces = 'pieces' in last ? last.pieces + 1 : 2;
      shorter.splice(-1, 1, { say: last.say + step.say, pieces });
    }
  }
  return shorter.map((step) => {
    const text = JSON.stringify(step);
    const more = text.length - LONGEST_SHOWN;
    return `  ${more > 0 ? `${text.slice(0, LONGEST_SHOWN)}… and ${more} characters` : text}`;
  });
}

/** Whether a line of the log says that something went wrong. */
function isBad(line: string): boolean {
  return BAD_LINE.test(line) || JSON.parse(line).level >= 50;
}

class Counts {
  sound = 0;
  all = 0;
}

/** A server in a process of its own, and a client that hears it ring. */
class Watched {
  readonly #server: Server;
  readonly #port: number;
  readonly #witness: SocketGuest;
  readonly #descriptors: number;
  #lines: number;
  #longestMs = 0;
  /** Set once the histories of rooms and the code that is compiled have grown. */
  #mibBefore: number | undefined;
  #held = 0;
  #code: number | string | undefined;
  #fault: string | undefined;

  private constructor(server: Server, witness: SocketGuest) {
    this.#server = server;
    this.#port = Number(new URL(server.url).port);
    this.#witness = witness;
    this.#lines = server.stderr.all.length;
    this.#descriptors = this.#openDescriptors();
    void server.ended.then((code) => {
      this.#code = code;
    });
  }

  static async start(): Promise<Watched> {
    const probe = `data:text/javascript,${encodeURIComponent(PROBE)}`;
    const args = ['--import', probe, BELFRY, 'serve', '--port', '0', '--config', fileWith(CONFIG)];
    const server = await ready(start(process.execPath, args));
    const witness = new SocketGuest(`${server.url}/rooms/witness`);
    await witness.event('hello');
    const watched = new Watched(server, witness);
    // What is not compiled yet is several times as slow, and tells nothing.
    await Promise.all(Array.from({ length: AT_ONCE }, () => speak(watched.#port, WARM_UP)));
    server.child.kill('SIGUSR2');
    return watched;
  }

  /** The longest turn while many were held, and by how much the process has grown. */
  get measured(): { longestMs: number; growthMiB: number } {
    const mib = this.#residentMiB();
    return { longestMs: this.#longestMs, growthMiB: mib - (this.#mibBefore ?? mib) };
  }

  /** This one, or another where it is at fault. */
  async renewed(): Promise<Watched> {
    if (this.#fault === undefined) return this;
    this.#server.child.kill('SIGKILL');
    await this.#server.ended;
    return Watched.start();
  }

  /** Holds these conversations at once; resolves to what was at fault. */
  async hold(numbers: readonly number[], counts = new Counts()): Promise<string | undefined> {
    const conversations = numbers.map((number) => conversationOf(number, this.#server.token));
    const faults = await Promise.all(
      conversations.map(async (one, index) => {
        const fault = await speak(this.#port, one);
        counts.all++;
        if (one.isSound) counts.sound++;
        return fault && `case ${numbers[index]}: ${fault}`;
      }),
    );
    const dead = await this.#lives();
    if (dead !== undefined) await Promise.race([this.#server.ended, sleep(PATIENCE_MS)]);
    const standstill = this.#standstill(numbers.length > 1 ? MAX_HOLD_TOGETHER_MS : MAX_HOLD_MS);
    this.#fault = this.#end() ?? this.#said() ?? dead ?? faults.find((fault) => fault) ?? this.#memory();
    this.#held += numbers.length;
    if (this.#held >= GROWN) this.#mibBefore ??= this.#residentMiB();
    return this.#fault ?? standstill;
  }

  /** Fails where something is left of those who are gone. */
  async settle(): Promise<void> {
    const look = async (path: string): Promise<{ items: unknown[] }> => {
      const headers = { authorization: `Bearer ${this.#server.token}` };
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
    this.#standstill(Number.POSITIVE_INFINITY);
    expect(this.#end() ?? this.#said()).toBeUndefined();
  }

  #end(): string | undefined {
    if (this.#code === undefined) return undefined;
    const { stdout, stderr } = this.#server;
    const said = [...stdout.all.filter(isBad), ...stderr.all.slice(this.#lines)];
    return `the server ended with ${this.#code}: ${said.join('\n')}`;
  }

  /** Takes the turns from what the process has said; the first that was longer. */
  #standstill(maxMs: number): string | undefined {
    const { all } = this.#server.stderr;
    const lines = all.splice(this.#lines);
    all.push(...lines.filter((line) => !STOOD_STILL.test(line)));
    const longest = Math.max(0, ...lines.map((line) => Number(STOOD_STILL.exec(line)?.[1] ?? 0)));
    this.#longestMs = Math.max(this.#longestMs, longest);
    return longest > maxMs ? `the event loop stood still for ${longest} ms` : undefined;
  }

  /** A bad line of the log, or anything on standard error. */
  #said(): string | undefined {
    const { stdout, stderr } = this.#server;
    const bad = stdout.all.find(isBad);
    const said = bad ?? stderr.all.slice(this.#lines).join('\n');
    stdout.all.length = 0;
    this.#lines = stderr.all.length;
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
    const mib = this.#residentMiB();
    return mib > MOST_MIB ? `the server uses ${Math.round(mib)} MiB of memory` : undefined;
  }

  #residentMiB(): number {
    const status = readFileSync(`/proc/${this.#server.pid}/status`, 'utf8');
    return Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1]) / 1024;
  }

  #openDescriptors(): number {
    return readdirSync(`/proc/${this.#server.pid}/fd`).length;
  }
}
