import { serveCalls } from './remote.ts';
import { TICKED } from './server.ts';
import { type Spread, spread } from './statistics.ts';
import { Subscriber, type Transport } from './subscriber.ts';

export interface SubscribeOptions {
  readonly transport: Transport;
  readonly port: number;
  readonly count: number;
  /** They are spread evenly over this many rooms, `room-0` and so on; one by default. */
  readonly rooms?: number;
  /** What the rooms' names begin with; by default what the names of rooms with ticks begin with. */
  readonly prefix?: string;
  /** The number of the first one, where others were opened before. */
  readonly first?: number;
  /** How many connect at a time. */
  readonly atOnce?: number;
  /** Whether it is an error if some are refused; true by default. */
  readonly mustOpen?: boolean;
  /** Whether they read nothing, until `wake`. */
  readonly isStalled?: boolean;
  /** Whether to read the times of each event: it costs more than counting. */
  readonly readsTimes?: boolean;
  /** Whether each says that it comes through a proxy, from an address of its own. */
  readonly isForwarded?: boolean;
  /** Sent with each request. */
  readonly token?: string;
}

/** What was received since `watch` by the subscribers that read the times. */
export interface Seen {
  /** Of each tick: from `due` until `time`, in milliseconds. */
  readonly lateMs: readonly number[];
  /** Of each tick: from `due` until it was received, in milliseconds. */
  readonly receivedMs: readonly number[];
  /** Of each due instant: from `due` until its last tick was received by the last, in milliseconds. */
  readonly lastMs: readonly number[];
  /** How many due instants had a tick, added up over all subscribers. */
  readonly instants: number;
  /** Ticks whose `previous` is later than the newest `due` that the subscriber had: one was lost between. */
  readonly missed: number;
}

interface Member {
  readonly subscriber: Subscriber;
  /** The newest `due` that it has, in milliseconds since the epoch. */
  newestDue: number;
}

/**
 * Local ports are named, and lie below those that the operating system gives to others (32,768 and up): a
 * port that is bound to an address blocks them for every program of the machine, and for a minute more.
 */
const FIRST_PORT = 10_000;

/** The times of ticks whose `due` lies between two instants. */
class Recording {
  readonly #fromMs = Date.now();
  readonly #untilMs: number;
  readonly #lateMs: number[] = [];
  readonly #receivedMs: number[] = [];
  /** By due instant. */
  readonly #lastMs = new Map<number, number>();
  #instants = 0;
  #missed = 0;

  constructor(untilMs: number) {
    this.#untilMs = untilMs;
  }

  read(member: Member, bytes: Buffer, start: number, end: number): void {
    const time = instantAfter('"time":"', bytes, start, end);
    const due = instantAfter('"due":"', bytes, start, end);
    if (time === undefined || due === undefined) return;
    const previous = instantAfter('"previous":"', bytes, start, end);
    if (previous !== undefined && member.newestDue > 0 && previous > member.newestDue) this.#missed++;
    const isNew = due > member.newestDue;
    member.newestDue = Math.max(member.newestDue, due);
    if (due <= this.#fromMs || due > this.#untilMs) return;
    if (isNew) this.#instants++;
    const receivedMs = now() - due;
    this.#lateMs.push(time - due);
    this.#receivedMs.push(receivedMs);
    this.#lastMs.set(due, receivedMs);
  }

  get seen(): Seen {
    return {
      lateMs: this.#lateMs,
      receivedMs: this.#receivedMs,
      lastMs: [...this.#lastMs.values()],
      instants: this.#instants,
      missed: this.#missed,
    };
  }
}

let members: Member[] = [];
let batches = 0;
let events = 0;
let recording = new Recording(Number.POSITIVE_INFINITY);

function now(): number {
  return performance.timeOrigin + performance.now();
}

/** Of an instant, as the server writes it. */
const INSTANT_LENGTH = '2026-11-20T18:00:03.001Z'.length;

function instantAfter(key: string, bytes: Buffer, start: number, end: number): number | undefined {
  const found = bytes.indexOf(key, start);
  const from = found + key.length;
  if (found < 0 || from + INSTANT_LENGTH > end) return undefined;
  return Date.parse(bytes.toString('latin1', from, from + INSTANT_LENGTH));
}

/** A loopback address that no other batch has, and no other process of the bench. */
function address(batch: number): string {
  const part = (value: number) => (value % 250) + 1;
  return `127.${part(process.pid)}.${part(Math.floor(process.pid / 250))}.${part(batch)}`;
}

function openOne(options: SubscribeOptions, number: number, localAddress: string): Promise<void> {
  const { transport, port, first = 0, rooms = 1, prefix = TICKED, isStalled, readsTimes } = options;
  const subscriber = new Subscriber({
    transport,
    port,
    path: `/rooms/${prefix}-${(first + number) % rooms}`,
    from: { address: localAddress, port: FIRST_PORT + number },
    headers: [
      options.isForwarded ? `X-Forwarded-For: 198.18.${number >> 8}.${number & 255}\r\n` : '',
      options.token === undefined ? '' : `Authorization: Bearer ${options.token}\r\n`,
    ].join(''),
    ...(isStalled && { isStalled }),
    onEvent: (bytes, start, end) => {
      events++;
      if (readsTimes) recording.read(member, bytes, start, end);
    },
  });
  const member: Member = { subscriber, newestDue: 0 };
  members.push(member);
  return subscriber.opened;
}

const api = {
  /** How long all took, and each of them, in milliseconds; how many were refused. */
  subscribe: async (options: SubscribeOptions): Promise<{ ms: number; each: Spread; failed: number }> => {
    const { count, atOnce = 100, mustOpen = true } = options;
    const localAddress = address(batches++);
    const beganAt = now();
    const each: number[] = [];
    const failures: unknown[] = [];
    let next = 0;
    const openSome = async () => {
      while (next < count) {
        const openedAt = now();
        try {
          await openOne(options, next++, localAddress);
          each.push(now() - openedAt);
        } catch (error) {
          failures.push(error);
        }
      }
    };
    await Promise.all(Array.from({ length: Math.min(atOnce, count) }, openSome));
    if (failures.length > 0 && mustOpen) {
      throw new Error(`${failures.length} of ${count} were refused: ${failures[0]}`);
    }
    return { ms: now() - beganAt, each: spread(each), failed: failures.length };
  },
  /** How many events were received since the start. */
  received: () => events,
  /** Starts a new recording, of ticks due from now until that time, in milliseconds since the epoch. */
  watch: ({ untilMs = Number.POSITIVE_INFINITY }: { untilMs?: number } = {}) => {
    recording = new Recording(untilMs);
  },
  seen: () => recording.seen,
  /** How many are still connected, and of these how many have a tick that was due since the given time. */
  connected: ({ sinceMs = 0 }: { sinceMs?: number } = {}) => {
    const open = members.filter(({ subscriber }) => !subscriber.socket.closed);
    return { count: open.length, upToDate: open.filter(({ newestDue }) => newestDue >= sinceMs).length };
  },
  /** Stalled subscribers read again. */
  wake: () => {
    for (const { subscriber } of members) subscriber.wake();
  },
  close: () => {
    for (const { subscriber } of members) subscriber.socket.destroy();
    members = [];
  },
};

export type SubscribersApi = typeof api;

serveCalls(api);
