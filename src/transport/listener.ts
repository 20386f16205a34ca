import {
  createServer,
  type IncomingMessage,
  maxHeaderSize,
  type RequestListener,
  type Server,
  type ServerResponse,
} from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import type { Clock } from '../clock.ts';
import { Refusal } from '../hub/refusal.ts';
import { ignoreUpgrade, isWebSocketUpgrade } from './ignored-upgrade.ts';
import { writeProblem } from './raw-problem.ts';

/** How long sockets may take to end by themselves once the server has stopped. */
const FAREWELL_MS = 1000;

export interface ListenerParts {
  readonly request: RequestListener;
  /** Gets the requests for a WebSocket. */
  readonly upgrade: (request: IncomingMessage, socket: Duplex, head: Buffer) => void;
  readonly clock: Clock;
}

/** The TCP port and every socket on it, upgraded ones included, which Node's server forgets. */
export class Listener {
  readonly #server: Server;
  readonly #clock: Clock;
  /** Each socket with the newest response on it. */
  readonly #sockets = new Map<Duplex, ServerResponse | undefined>();

  constructor({ request, upgrade, clock }: ListenerParts) {
    this.#clock = clock;
    // Node's own answer to a missing `Host` has no body.
    this.#server = createServer({ requireHostHeader: false }, request);
    this.#server.on('connection', (socket: Socket) => {
      this.#sockets.set(socket, undefined);
      socket.on('close', () => this.#sockets.delete(socket));
    });
    this.#server.prependListener('request', ({ socket }, response) => this.#sockets.set(socket, response));
    this.#server.on('upgrade', (incoming, socket, head) => {
      if (isWebSocketUpgrade(incoming)) upgrade(incoming, socket, head);
      else ignoreUpgrade(incoming, socket, request);
    });
    this.#server.on('clientError', (error, socket) => this.#answerFault(error, socket));
  }

  /** Rejects with Node's error where the address cannot be had. */
  listen(host: string, port: number): Promise<AddressInfo> {
    return new Promise((resolve, reject) => {
      this.#server.once('error', reject);
      this.#server.listen(port, host, () => {
        this.#server.off('error', reject);
        const address = this.#server.address();
        if (address === null || typeof address === 'string') reject(new Error('not a TCP address'));
        else resolve(address);
      });
    });
  }

  /** Takes nobody any more; resolves when all sockets are gone, cut if they do not go. */
  close(): Promise<void> {
    if (!this.#server.listening) return Promise.resolve();
    return new Promise((resolve) => {
      const cancel = this.#clock.after(FAREWELL_MS, () => this.cut());
      this.#server.close(() => {
        cancel();
        resolve();
      });
      this.#server.closeIdleConnections();
    });
  }

  /** Cuts every socket now. */
  cut(): void {
    for (const socket of this.#sockets.keys()) socket.destroy();
  }

  /** What is not HTTP is told so, unless it comes in the middle of an answer. */
  #answerFault(error: NodeJS.ErrnoException, socket: Duplex): void {
    const response = this.#sockets.get(socket);
    if (error.code === 'ECONNRESET' || (response?.headersSent && !response.writableFinished))
      socket.destroy();
    else writeProblem(socket, refusalOf(error));
  }
}

function refusalOf({ code, message }: NodeJS.ErrnoException): Refusal {
  switch (code) {
    case 'HPE_HEADER_OVERFLOW':
      return new Refusal(431, `the headers are too large: at most ${maxHeaderSize} bytes with the address`);
    case 'HPE_CHUNK_EXTENSIONS_OVERFLOW':
      return new Refusal(413, 'the chunk extensions are too large');
    case 'ERR_HTTP_REQUEST_TIMEOUT':
      return new Refusal(408, 'the request did not come in time');
    default:
      return new Refusal(400, `this is not HTTP/1.1: ${message}`);
  }
}
