import { connect, type Socket } from 'node:net';
import { type FrameReader, StreamFrames, WebSocketFrames } from './frames.ts';

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
  /** Gets an event's place in bytes that are overwritten afterwards. */
  readonly onEvent?: (bytes: Buffer, start: number, end: number) => void;
}

const HEADERS: Readonly<Record<Transport, string>> = {
  websocket:
    'Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==',
  sse: 'Accept: text/event-stream',
};

const STATUS: Readonly<Record<Transport, string>> = { websocket: 'HTTP/1.1 101', sse: 'HTTP/1.1 200' };

/** All sockets are read into this one: nothing is allocated for what comes in. */
const READ = Buffer.allocUnsafe(65_536);

/** A client on a raw socket that finds events and keeps nothing: a library would be the bottleneck. */
export class Subscriber {
  readonly socket: Socket;
  /** Rejects where it is refused, or closed before. */
  readonly opened: Promise<void>;
  readonly #options: SubscriberOptions;
  readonly #frames: FrameReader;
  #head = '';
  #isOpen = false;
  #isStalled: boolean;
  #onOpen: () => void = () => {};
  #onRefused: (error: Error) => void = () => {};

  constructor(options: SubscriberOptions) {
    const { path, port, transport, from, headers = '', isStalled = false } = options;
    this.#options = options;
    this.#isStalled = isStalled;
    this.#frames = transport === 'websocket' ? new WebSocketFrames() : new StreamFrames();
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
      `GET ${path} HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\n${headers}${HEADERS[transport]}\r\n\r\n`,
    );
  }

  wake(): void {
    this.#isStalled = false;
    this.socket.resume();
  }

  /** Answers whether to go on reading. */
  #onRead(bytes: Buffer): boolean {
    if (this.#isOpen) this.#readEvents(bytes);
    else this.#readHead(bytes);
    return !(this.#isOpen && this.#isStalled);
  }

  #readHead(bytes: Buffer): void {
    this.#head += bytes.toString('latin1');
    const end = this.#head.indexOf('\r\n\r\n');
    if (end < 0) return;
    if (!this.#head.startsWith(STATUS[this.#options.transport])) {
      this.#onRefused(new Error(`answered ${this.#head.slice(0, 200)}`));
      return;
    }
    this.#isOpen = true;
    this.#readEvents(Buffer.from(this.#head.slice(end + 4), 'latin1'));
    this.#head = '';
    this.#onOpen();
  }

  #readEvents(bytes: Buffer): void {
    const { onEvent } = this.#options;
    this.#frames.read(bytes, (start, end) => onEvent?.(bytes, start, end));
  }
}
