import { connect, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { Subscriber } from '../harness/subscriber.ts';

/** Makes an attack for some time; resolves to how much was done: requests, frames or connections. */
export type Attack = (place: { readonly port: number; readonly seconds: number }) => Promise<number>;

/** Counts what was done; returns how much before. */
export type Count = (times?: number) => number;

interface Opening {
  readonly socket: Socket;
  readonly isOpen: Promise<boolean>;
}

interface KeepOptions {
  readonly connections: number;
  /** How many are being opened at a time; by default all. */
  readonly atOnce?: number;
  /** The least time from opening a connection until its replacement; `Infinity`: none is replaced. */
  readonly everyMs?: number;
}

/** The pause before a replacement: an attack is bounded in rate as well as in time. */
const PAUSE_MS = 20;
/** So many connections share an address of the loopback network, so that ports do not run out. */
const PER_ADDRESS = 1000;
const CHUNK_BYTES = 65_536;

/** All sockets are read into this one: nothing is kept. */
const READ = Buffer.allocUnsafe(65_536);

let addresses = 0;

function nextAddress(): string {
  const number = Math.floor(addresses++ / PER_ADDRESS);
  return `127.77.${(Math.floor(number / 250) % 250) + 1}.${(number % 250) + 1}`;
}

/** Lets so many in at a time; the others wait in order. */
class Gate {
  readonly #waiting: (() => void)[] = [];
  #free: number;

  constructor(size: number) {
    this.#free = size;
  }

  async enter(): Promise<void> {
    if (this.#free > 0) this.#free--;
    else await new Promise<void>((resolve) => this.#waiting.push(resolve));
  }

  leave(): void {
    const next = this.#waiting.shift();
    if (next) next();
    else this.#free++;
  }
}

/** Keeps connections until the time is over: one that is closed, by whichever side, is replaced. */
function keep(
  open: (port: number, number: number) => Opening,
  use: (socket: Socket, count: Count) => void,
  { connections, atOnce = connections, everyMs = 0 }: KeepOptions,
): Attack {
  return async ({ port, seconds }) => {
    const endsAt = performance.now() + seconds * 1000;
    let opened = 0;
    let done = 0;
    const count: Count = (times = 1) => {
      done += times;
      return done - times;
    };
    const gate = new Gate(atOnce);
    const keepOne = async () => {
      for (;;) {
        await gate.enter();
        const againAt = performance.now() + everyMs;
        const leftMs = endsAt - performance.now();
        if (leftMs <= 0) return gate.leave();
        const { socket, isOpen } = open(port, opened++);
        const closed = new Promise((resolve) => socket.once('close', resolve));
        const over = setTimeout(() => socket.destroy(), leftMs);
        if (await isOpen) use(socket, count);
        else socket.destroy();
        gate.leave();
        await closed;
        clearTimeout(over);
        await sleep(Math.max(Math.min(againAt, endsAt) - performance.now(), PAUSE_MS));
      }
    };
    await Promise.all(Array.from({ length: connections }, keepOne));
    return done;
  };
}

function dial(port: number, reads = true): Opening {
  const socket = connect({
    host: '127.0.0.1',
    port,
    localAddress: nextAddress(),
    onread: { buffer: READ, callback: () => reads },
  });
  if (!reads) socket.pause();
  socket.on('error', () => {});
  const isOpen = new Promise<boolean>((resolve) => {
    socket.once('connect', () => resolve(true));
    socket.once('close', () => resolve(false));
  });
  return { socket, isOpen };
}

/** Sends this once on each connection, if anything. `{n}` in it is a new number each time. */
export function send(text: string, options: KeepOptions): Attack {
  const use = (socket: Socket, count: Count) => {
    socket.write(text.replaceAll('{n}', String(count())));
  };
  return keep((port) => dial(port), use, options);
}

/** Sends this byte by byte, one a second. */
export function trickle(text: string, options: KeepOptions): Attack {
  const use = (socket: Socket, count: Count) => {
    let sent = 0;
    const timer = setInterval(() => {
      if (sent < text.length) socket.write(text.charAt(sent++));
      count();
    }, 1000);
    socket.once('close', () => clearInterval(timer));
  };
  return keep((port) => dial(port), use, options);
}

/** Sends this and resets the connection, without waiting for an answer. */
export function sendAndReset(text: string, options: KeepOptions): Attack {
  const use = (socket: Socket, count: Count) => {
    count();
    socket.write(text, () => socket.resetAndDestroy());
  };
  return keep((port) => dial(port), use, options);
}

interface PipelineOptions extends KeepOptions {
  readonly reads?: boolean;
  /** Sends so much on each connection and no more. */
  readonly mostBytes?: number;
}

/** Sends requests one behind the other for as long as the socket takes them. */
export function pipeline(
  request: string,
  { reads = true, mostBytes = Infinity, ...options }: PipelineOptions,
): Attack {
  const perChunk = Math.ceil(Math.min(CHUNK_BYTES, mostBytes) / request.length);
  const chunk = Buffer.from(request.repeat(perChunk));
  const use = (socket: Socket, count: Count, sentBytes = 0) => {
    if (sentBytes >= mostBytes || !socket.writable) return;
    count(perChunk);
    const goOn = () => use(socket, count, sentBytes + chunk.length);
    if (socket.write(chunk)) setImmediate(goOn);
    else socket.once('drain', goOn);
  };
  return keep((port) => dial(port, reads), use, options);
}

interface WebSocketOptions extends KeepOptions {
  readonly reads?: boolean;
  readonly headers?: string;
  /** What each does once it is open; by default nothing. */
  readonly use?: (socket: Socket, count: Count) => void;
}

/** `{n}` in the path is the number of the connection. */
export function webSockets(
  path: string,
  { reads = true, headers = '', use = (_socket, count) => count(), ...options }: WebSocketOptions,
): Attack {
  const open = (port: number, number: number) => {
    const { socket, opened } = new Subscriber({
      transport: 'websocket',
      port,
      path: path.replaceAll('{n}', String(number)),
      headers,
      from: { address: nextAddress() },
      isStalled: !reads,
    });
    return { socket, isOpen: opened.then(() => true).catch(() => false) };
  };
  return keep(open, use, options);
}
