import { connect, type Socket } from 'node:net';
import { type FrameReader, StreamFrames, WebSocketFrames } from './frames.ts';

export type Transport = 'websocket' | 'sse';

export interface ClientOptions {
  readonly transport: Transport;
  readonly port: number;
  readonly path: string;
  /** An own end of the connection that nobody else has; by default one that the system gives. */
  readonly from?: { readonly address: string; readonly port: number };
  /** Lines of the request besides those that it needs, each with its line break. */
  readonly headers?: string;
  /** Reads nothing once it is in, until `wake`. */
  readonly stalls: boolean;
  /** Called with an event's place in the bytes: they are gone afterwards. */
  readonly onEvent: (bytes: Buffer, start: number, end: number) => void;
}

const HEADERS: Readonly<Record<Transport, string>> = {
  websocket:
    'Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==',
  sse: 'Accept: text/event-stream',
};

const STATUS: Readonly<Record<Transport, string>> = { websocket: 'HTTP/1.1 101', sse: 'HTTP/1.1 200' };

/** All sockets are read into this one: nothing is allocated for what comes in. */
const READ = Buffer.allocUnsafe(65_536);

/** A listener on a raw socket, who counts and forgets: a library would be the bottleneck. */
export class Client {
  readonly opened: Promise<void>;
  readonly #socket: Socket;
  readonly #frames: FrameReader;
  readonly #options: ClientOptions;
  #head = '';
  #isOpen = false;
  #isStalled: boolean;
  ended = false;

  constructor(options: ClientOptions) {
    this.#options = options;
    this.#isStalled = options.stalls;
    this.#frames = options.transport === 'websocket' ? new WebSocketFrames() : new StreamFrames();
    let opened = () => {};
    let refused = (_: Error) => {};
    this.opened = new Promise((resolve, reject) => {
      opened = resolve;
      refused = reject;
    });
    this.#socket = connect({
      host: '127.0.0.1',
      port: options.port,
      ...(options.from && { localAddress: options.from.address, localPort: options.from.port }),
      onread: {
        buffer: READ,
        callback: (length) => {
          const bytes = READ.subarray(0, length);
          if (this.#isOpen) this.#read(bytes);
          else this.#readHead(bytes, opened, refused);
          return !(this.#isOpen && this.#isStalled);
        },
      },
    });
    this.#socket.on('error', refused);
    this.#socket.on('close', () => {
      this.ended = true;
      refused(new Error('closed'));
    });
    const { path, port, transport, headers = '' } = options;
    const request = `GET ${path} HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\n${headers}${HEADERS[transport]}`;
    this.#socket.write(`${request}\r\n\r\n`);
  }

  wake(): void {
    this.#isStalled = false;
    this.#socket.resume();
  }

  close(): void {
    this.#socket.destroy();
  }

  #readHead(bytes: Buffer, opened: () => void, refused: (error: Error) => void): void {
    this.#head += bytes.toString('latin1');
    const end = this.#head.indexOf('\r\n\r\n');
    if (end < 0) return;
    const { transport } = this.#options;
    if (!this.#head.startsWith(STATUS[transport])) {
      refused(new Error(`answered ${this.#head.slice(0, 200)}`));
      return;
    }
    this.#isOpen = true;
    this.#read(Buffer.from(this.#head.slice(end + 4), 'latin1'));
    this.#head = '';
    opened();
  }

  #read(bytes: Buffer): void {
    this.#frames.read(bytes, (start, end) => this.#options.onEvent(bytes, start, end));
  }
}
