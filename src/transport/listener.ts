import { createServer, type IncomingMessage, type RequestListener, type Server } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import type { Clock } from '../clock.ts';

/** How long sockets may take to end by themselves once the server has stopped. */
const FAREWELL_MS = 1000;

export interface ListenerParts {
  readonly request: RequestListener;
  readonly upgrade: (request: IncomingMessage, socket: Duplex, head: Buffer) => void;
  readonly clock: Clock;
}

/** The TCP port and every socket on it, upgraded ones included, which Node's server forgets. */
export class Listener {
  readonly #server: Server;
  readonly #clock: Clock;
  readonly #sockets = new Set<Socket>();

  constructor({ request, upgrade, clock }: ListenerParts) {
    this.#clock = clock;
    this.#server = createServer(request);
    this.#server.on('upgrade', upgrade);
    this.#server.on('connection', (socket: Socket) => {
      this.#sockets.add(socket);
      socket.on('close', () => this.#sockets.delete(socket));
    });
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
    for (const socket of this.#sockets) socket.destroy();
  }
}
