import { once } from 'node:events';
import { createServer, type IncomingMessage, type RequestListener, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { onTestFinished, vi } from 'vitest';

/** A busy machine takes its time; a free one never needs it. */
export const PATIENCE = { timeout: 10_000 };

/** A real HTTP server on a free port of loopback, gone after the test. */
export class Upstream {
  readonly requests: IncomingMessage[] = [];
  /** Connections that are open now. */
  open = 0;
  readonly #server: Server;

  private constructor(server: Server) {
    this.#server = server;
  }

  static async start(answer: RequestListener, host = '127.0.0.1'): Promise<Upstream> {
    const server = createServer();
    const upstream = new Upstream(server);
    server.on('request', (request, response) => {
      upstream.requests.push(request);
      answer(request, response);
    });
    server.on('connection', (socket) => {
      upstream.open += 1;
      socket
        .on('error', () => {})
        .on('close', () => {
          upstream.open -= 1;
        });
    });
    server.listen(0, host);
    await once(server, 'listening');
    onTestFinished(() => {
      server.closeAllConnections();
      server.close();
    });
    return upstream;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port; // a TCP server has a port
  }

  url(path = '/', host = '127.0.0.1'): string {
    return `http://${host}:${this.port}${path}`;
  }

  /** Resolves when so many requests have arrived. */
  async asked(count = 1): Promise<void> {
    await vi.waitUntil(() => this.requests.length >= count, PATIENCE);
  }

  /** Resolves when nobody is connected any more. */
  async left(): Promise<void> {
    await vi.waitUntil(() => this.open === 0, PATIENCE);
  }
}
