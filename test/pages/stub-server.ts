import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { getRequestListener } from '@hono/node-server';
import { type WebSocket, WebSocketServer } from 'ws';
import { createPages, page } from '../../src/pages/pages.ts';
import { pageHeaders } from '../../src/transport/security-headers.ts';

/** A connection of the page. */
export interface StubConnection {
  readonly transport: 'websocket' | 'sse';
  /** As asked for, query included. */
  readonly url: string;
  /** The subprotocols that it offered. */
  readonly protocols: string | undefined;
  readonly authorization: string | undefined;
  /** Objects that it sent. */
  readonly sent: { readonly action?: string; readonly data?: unknown }[];
  /** The code that it closed with, once it has. */
  readonly closed: Promise<number>;
  send(object: unknown): void;
  end(code: number, reason?: string): void;
}

/** A refused connection: what the room's address answers to everything but the page. */
export interface Refusing {
  readonly status: number;
  readonly headers?: Record<string, string>;
  readonly detail: string;
}

/** Serves the pages and speaks the contract of a room as it is told to. */
export class StubServer {
  refusing: Refusing | undefined;
  /** What `/page` says of publishing. */
  publish: { readonly allowed: boolean; readonly detail?: string } = { allowed: true };
  /** Stripped from each path, as a proxy would. */
  prefix = '';
  readonly #connections: StubConnection[] = [];
  readonly #awaiting: ((connection: StubConnection) => void)[] = [];
  readonly #pages = getRequestListener(createPages().fetch, { overrideGlobalObjects: false });
  readonly #sockets = new WebSocketServer({ noServer: true });
  readonly #server = createServer((request, response) => void this.#answer(request, response));

  async start(): Promise<void> {
    this.#server.on('upgrade', (request, socket, head) => {
      if (this.refusing)
        return socket.end(`HTTP/1.1 ${this.refusing.status} No\r\nConnection: close\r\n\r\n`);
      this.#sockets.handleUpgrade(request, socket, head, (open) =>
        this.#add(socketConnection(request, open)),
      );
    });
    this.#server.listen(0, '127.0.0.1');
    await once(this.#server, 'listening');
  }

  get origin(): string {
    // It listens on TCP.
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  /** The next connection, or one that was not asked for yet. */
  connection(): Promise<StubConnection> {
    const waiting = this.#connections.shift();
    return waiting ? Promise.resolve(waiting) : new Promise((resolve) => this.#awaiting.push(resolve));
  }

  /** Connections that were not asked for. */
  get unexpected(): number {
    return this.#connections.length;
  }

  async stop(): Promise<void> {
    for (const socket of this.#sockets.clients) socket.terminate();
    this.#server.closeAllConnections();
    this.#server.close();
    await once(this.#server, 'close');
  }

  #add(connection: StubConnection): void {
    const first = this.#awaiting.shift();
    if (first) first(connection);
    else this.#connections.push(connection);
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const accept = request.headers.accept ?? '';
    request.url = request.url?.slice(this.prefix.length) ?? '/';
    if (request.url.startsWith('/page?')) {
      const rooms = [{ room: 'lobby', theme: 'auto', schedules: [], publish: this.publish }];
      return void response.end(JSON.stringify({ rooms }));
    }
    if (!request.url.startsWith('/rooms/')) return this.#pages(request, response);
    if (accept.startsWith('text/html')) {
      const answer = page('inspector', 1, pageHeaders("'self'"));
      response.writeHead(200, Object.fromEntries(answer.headers)).end(await answer.text());
    } else if (this.refusing) {
      const { status, headers, detail } = this.refusing;
      response.writeHead(status, { 'Content-Type': 'application/problem+json', ...headers });
      response.end(JSON.stringify({ status, title: 'Refused', detail }));
    } else if (accept === 'text/event-stream') {
      response.writeHead(200, { 'Content-Type': 'text/event-stream' }).flushHeaders();
      this.#add(streamConnection(request, response));
    } else response.end('{}');
  }
}

function socketConnection(request: IncomingMessage, socket: WebSocket): StubConnection {
  const sent: StubConnection['sent'] = [];
  socket.on('message', (data) => sent.push(JSON.parse(data.toString())));
  return {
    transport: 'websocket',
    url: request.url ?? '',
    protocols: request.headers['sec-websocket-protocol'],
    authorization: request.headers.authorization,
    sent,
    closed: new Promise((resolve) => socket.on('close', resolve)),
    send: (object) => socket.send(JSON.stringify(object)),
    end: (code, reason) => (code === 1006 ? socket.terminate() : socket.close(code, reason)),
  };
}

function streamConnection(request: IncomingMessage, response: ServerResponse): StubConnection {
  return {
    transport: 'sse',
    url: request.url ?? '',
    protocols: undefined,
    authorization: request.headers.authorization,
    sent: [],
    closed: new Promise((resolve) => response.on('close', () => resolve(1006))),
    send: (object) => response.write(`data: ${JSON.stringify(object)}\n\n`),
    end: () => response.end(),
  };
}

/** The tick of a 3 s clock that is due `step` ticks after 18:00:00. */
export function tick(step: number, more: { previousStep?: number; data?: unknown; schedule?: string } = {}) {
  const due = (at: number) => new Date(Date.UTC(2026, 10, 20, 18) + at * 3000).toISOString();
  return {
    room: 'lobby',
    event: 'time',
    time: due(step),
    data: more.data ?? {
      iso: due(step),
      timezone: 'Europe/Berlin',
      local: due(step).replace('T18', 'T19').replace('Z', '+01:00'),
    },
    tick: {
      schedule: more.schedule ?? 'clock',
      due: due(step),
      previous: due(more.previousStep ?? step - 1),
      next: due(step + 1),
      seq: 598_399_200 + step,
    },
  };
}

export const hello = (resumed: boolean | null = null) => ({
  id: 'k3f9-41',
  event: 'hello',
  time: '2026-11-20T18:00:00.000Z',
  data: {
    connection: 'a-1',
    rooms: ['lobby'],
    server: 'stub',
    heartbeatSeconds: 25,
    resumed: { lobby: resumed },
  },
});

export const message = (position: number, data: unknown, more: object = {}) => ({
  id: `k3f9-${position}`,
  room: 'lobby',
  event: 'message',
  time: '2026-11-20T18:00:04.120Z',
  data,
  ...more,
});

export const closing = (code: number, reason: string, retryAfterMs?: number) => ({
  event: 'closing',
  data: { code, reason, reconnect: retryAfterMs !== undefined, retryAfterMs },
});
