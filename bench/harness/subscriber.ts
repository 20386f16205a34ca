import { connect, type Socket } from 'node:net';

export type Transport = 'websocket' | 'sse';

export interface SubscriberOptions {
  readonly transport: Transport;
  readonly port: number;
  readonly path: string;
  /** The local address and port; by default what the system gives. */
  readonly from?: { readonly address: string; readonly port?: number };
  /** More lines of the request, each with its line break. */
  readonly headers?: string | undefined;
  /** Reads nothing once it is open, until `wake`. */
  readonly isStalled?: boolean;
  readonly onEvent?: OnEvent;
}

/** Gets an event's place in bytes that are overwritten afterwards; the event may be cut off at the end. */
export type OnEvent = (bytes: Buffer, start: number, end: number) => void;

/** Finds the events in what a server sends, without looking at more of it than it must. */
type Reader = (bytes: Buffer, onEvent: OnEvent) => void;

interface Protocol {
  readonly headers: string;
  readonly status: string;
  readonly reader: () => Reader;
}

const PROTOCOLS: Readonly<Record<Transport, Protocol>> = {
  websocket: {
    headers:
      'Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==',
    status: 'HTTP/1.1 101',
    reader: webSocketFrames,
  },
  sse: { headers: 'Accept: text/event-stream', status: 'HTTP/1.1 200', reader: streamBlocks },
};

/** All sockets are read into this one: nothing is allocated for what comes in. */
const READ = Buffer.allocUnsafe(65_536);

/** A client on a raw socket that finds events and keeps nothing: a library would be the bottleneck. */
export class Subscriber {
  readonly socket: Socket;
  /** Rejects where it is refused, or closed before. */
  readonly opened: Promise<void>;
  readonly #status: string;
  readonly #read: Reader;
  readonly #onEvent: OnEvent;
  #head = '';
  #isOpen = false;
  #isStalled: boolean;
  #onOpen: () => void = () => {};
  #onRefused: (error: Error) => void = () => {};

  constructor(options: SubscriberOptions) {
    const { path, port, transport, from, isStalled = false, onEvent = () => {} } = options;
    const { headers, status, reader } = PROTOCOLS[transport];
    this.#status = status;
    this.#read = reader();
    this.#onEvent = onEvent;
    this.#isStalled = isStalled;
    this.socket = connect({
      host: '127.0.0.1',
      port,
      ...(from && { localAddress: from.address }),
      ...(from?.port && { localPort: from.port }),
      onread: { buffer: READ, callback: (length) => this.#onRead(READ.subarray(0, length)) },
    });
    this.opened = new Promise((resolve, reject) => {
      this.#onOpen = resolve;
      this.#onRefused = reject;
    });
    this.socket.on('error', (error) => this.#onRefused(error));
    this.socket.on('close', () => this.#onRefused(new Error('closed')));
    this.socket.write(
      `GET ${path} HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\n${options.headers ?? ''}${headers}\r\n\r\n`,
    );
  }

  wake(): void {
    this.#isStalled = false;
    this.socket.resume();
  }

  /** Answers whether to go on reading. */
  #onRead(bytes: Buffer): boolean {
    if (this.#isOpen) this.#read(bytes, this.#onEvent);
    else this.#readHead(bytes);
    return !(this.#isOpen && this.#isStalled);
  }

  #readHead(bytes: Buffer): void {
    this.#head += bytes.toString('latin1');
    const end = this.#head.indexOf('\r\n\r\n');
    if (end < 0) return;
    if (!this.#head.startsWith(this.#status)) {
      this.#onRefused(new Error(`answered ${this.#head.slice(0, 200)}`));
      return;
    }
    this.#isOpen = true;
    this.#read(Buffer.from(this.#head.slice(end + 4), 'latin1'), this.#onEvent);
    this.#head = '';
    this.#onOpen();
  }
}

const TEXT = 1;

/** Frames of RFC 6455 from a server: no mask. An event counts when its header is there. */
function webSocketFrames(): Reader {
  /** What is left of the frame that is being read. */
  let skip = 0;
  /** A header that was cut in two. */
  let rest: Buffer | undefined;
  return (chunk, onEvent) => {
    const bytes = rest ? Buffer.concat([rest, chunk]) : chunk;
    rest = undefined;
    let at = skip;
    while (at < bytes.length) {
      const short = bytes[at + 1] ?? 0;
      const header = short < 126 ? 2 : short === 126 ? 4 : 10;
      if (at + header > bytes.length) {
        rest = Buffer.from(bytes.subarray(at));
        at = bytes.length;
        break;
      }
      const start = at + header;
      const isText = ((bytes[at] ?? 0) & 0x0f) === TEXT;
      at =
        start +
        (header === 2 ? short : header === 4 ? bytes.readUInt16BE(at + 2) : bytes.readUInt32BE(at + 6));
      if (isText) onEvent(bytes, start, Math.min(at, bytes.length));
    }
    skip = at - bytes.length;
  };
}

const END = Buffer.from('\n\n');

/** Blocks of a server-sent events stream, chunk framing or not: an event counts when it has ended. */
function streamBlocks(): Reader {
  let endedInBreak = false;
  return (bytes, onEvent) => {
    let start = 0;
    if (endedInBreak && bytes[0] === 0x0a) {
      onEvent(bytes, 0, 0);
      start = 1;
    }
    for (let end = bytes.indexOf(END, start); end >= 0; end = bytes.indexOf(END, start)) {
      onEvent(bytes, start, end);
      start = end + END.length;
    }
    endedInBreak = start < bytes.length && bytes.at(-1) === 0x0a;
  };
}
