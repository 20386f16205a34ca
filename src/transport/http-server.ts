import { createServer, IncomingMessage, maxHeaderSize, type Server, type ServerResponse } from 'node:http';
import { type AddressInfo, Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import type { ConnectionLimiter, Slot } from '../access/connection-limits.ts';
import { Refusal, type RefusalReason } from '../hub/errors.ts';
import type { Limits } from '../limits.ts';
import { Pipeline, type PipelineParts } from './pipeline.ts';
import { writeProblem } from './problem.ts';
import { isWebSocketUpgrade, KEPT_HEADERS } from './request-head.ts';

/** How long sockets may take to end by themselves once the server has stopped. */
const CLOSE_MS = 1000;

/** How long a peer may read nothing of an answer before its socket is cut. */
const UNREAD_MS = 30_000;

/** How long the body of a request may take after its headers: a mebibyte at 17 KiB a second. */
const BODY_MS = 60_000;

/**
 * Node looks for expired sockets so many times in the time that they have, so that a socket outlives its
 * deadline by a tenth at most. Each look finds all sockets that have expired since the look before: the more
 * often Node looks, the fewer these are.
 */
const LOOKS_PER_DEADLINE = 10;
const MAX_LOOK_MS = 250;

/** So many expired sockets are answered and closed in one iteration of the event loop, about 2 ms. */
const MAX_EXPIRED_PER_ITERATION = 32;

/** A warning that every new socket would cause is logged once in this time. */
const QUIET_MS = 60_000;

/** What the listener reads of the configuration in force. */
export interface ListenerSettings {
  /** `headersSeconds`: from the first byte of a request, or from the beginning of the connection. */
  readonly limits: Pick<Limits, 'sockets' | 'headersSeconds'>;
}

export interface ListenerParts extends Omit<PipelineParts, 'unreadMs'> {
  /** Called with each request for a WebSocket. */
  readonly upgrade: (request: IncomingMessage, socket: Duplex, head: Buffer) => void;
  readonly settings: { readonly current: ListenerSettings };
  readonly connections: Pick<ConnectionLimiter, 'takeSocket'>;
  /** Called with the reason of each socket or request that is refused here. */
  readonly onRefused: (reason: RefusalReason) => void;
  /** Called once a minute while new sockets are closed because a limit is reached. */
  readonly onCrowded: (detail: string) => void;
  /** Default: 30 s. */
  readonly unreadMs?: number;
}

interface OpenSocket {
  readonly slot: Slot;
  /** The requests of the socket and their answers; absent before the first request and after an upgrade. */
  pipeline: Pipeline | undefined;
}

/**
 * The TCP port and every socket on it, with the upgraded ones, of which Node's server keeps no list. An
 * unexpected error on a socket ends that socket alone.
 */
export class Listener {
  readonly #server: Server;
  readonly #parts: ListenerParts & PipelineParts;
  readonly #sockets = new Map<Duplex, OpenSocket>();
  /** Replaces Node's method on each socket. One function for all of them takes less memory. */
  readonly #destroySoon: (this: Socket) => void;
  readonly #loggedAt = new Map<string, number>();
  /** Sockets that did not send a request in time and are not answered yet. */
  readonly #expired: Socket[] = [];

  constructor(parts: ListenerParts) {
    this.#parts = { unreadMs: UNREAD_MS, ...parts };
    const pipelineOf = (socket: Socket) => this.#pipelineOf(socket);
    this.#destroySoon = function () {
      pipelineOf(this).endSoon();
    };
    const limits = () => parts.settings.current.limits;
    const server = createServer({
      // Node's own answer to a missing `Host` has no body.
      requireHostHeader: false,
      // The one setting that Node reads only when it begins to listen.
      connectionsCheckingInterval: Math.ceil(
        Math.min(MAX_LOOK_MS, (limits().headersSeconds * 1000) / LOOKS_PER_DEADLINE),
      ),
      IncomingMessage: requestClass((socket) => this.#sockets.get(socket)?.pipeline?.acceptsMore ?? true),
    });
    this.#server = server;
    // Node reads these times at each look, so they follow a reload.
    Object.defineProperties(server, {
      maxConnections: { get: () => limits().sockets },
      headersTimeout: { get: () => headersMs(limits()) },
      requestTimeout: { get: () => (headersMs(limits()) === 0 ? 0 : headersMs(limits()) + BODY_MS) },
    });
    server.maxHeadersCount = KEPT_HEADERS;
    // A client that has ended its side still gets its answers. Not in Node's types.
    Object.assign(server, { httpAllowHalfOpen: true });

    // Before Node's own listener, which makes a parser: a refused socket is closed by then and gets none.
    const release = (socket: Socket) => this.#release(socket);
    const onClose = function (this: Socket) {
      release(this);
    };
    server.prependListener('connection', (socket: Socket) => this.#take(socket, onClose));
    server.on('drop', () => {
      parts.onRefused('full');
      this.#crowded('sockets', `all ${limits().sockets} sockets are taken (limits.sockets)`);
    });
    const request = ({ socket }: IncomingMessage, response: ServerResponse<IncomingMessage>) =>
      this.#guard(socket, () => this.#pipelineOf(socket).accept(response));
    server.on('request', request);
    server.on('checkExpectation', request);
    for (const event of ['upgrade', 'connect']) {
      server.on(event, (incoming: IncomingMessage, socket: Duplex, head: Buffer) =>
        this.#guard(socket, () => this.#leaveHttp(incoming, socket, head)),
      );
    }
    server.on('clientError', (error, socket) => this.#guard(socket, () => this.#answerFault(error, socket)));
    server.on('timeout', (socket: Socket) => this.#onIdle(socket));
  }

  /** Rejects with Node's error where the address cannot be had. */
  listen(host: string, port: number): Promise<AddressInfo> {
    return new Promise((resolve, reject) => {
      this.#server.once('error', reject);
      this.#server.listen(port, host, () => {
        this.#server.off('error', reject);
        // No descriptor is left for a new socket: open ones stay, and later ones are accepted again.
        this.#server.on('error', (error) =>
          this.#onceAMinute('accept', () =>
            this.#parts.onFault('new connections cannot be accepted: raise the limit of open files', error),
          ),
        );
        const address = this.#server.address();
        if (address === null || typeof address === 'string') reject(new Error('not a TCP address'));
        else resolve(address);
      });
    });
  }

  /** Accepts no more sockets. Resolves when all are closed: cut, where they are still open after a second. */
  close(): Promise<void> {
    if (!this.#server.listening) return Promise.resolve();
    return new Promise((resolve) => {
      const cancel = this.#parts.clock.after(CLOSE_MS, () => this.cut());
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

  /**
   * A socket too many of an address is closed without an answer, since an answer would need the socket to
   * stay.
   */
  #take(socket: Socket, onClose: () => void): void {
    const slot = this.#parts.connections.takeSocket(socket.remoteAddress);
    if (!slot) {
      socket.destroy();
      this.#parts.onRefused('address');
      this.#crowded('address', `${socket.remoteAddress} has too many sockets (limits.connectionsPerAddress)`);
      return;
    }
    this.#sockets.set(socket, { slot, pipeline: undefined });
    socket.on('close', onClose);
  }

  #release(socket: Socket): void {
    this.#sockets.get(socket)?.slot.release();
    this.#sockets.delete(socket);
  }

  #pipelineOf(socket: Socket): Pipeline {
    const open = this.#sockets.get(socket);
    if (open?.pipeline) return open.pipeline;
    const pipeline = new Pipeline(socket, this.#parts);
    if (open) open.pipeline = pipeline;
    socket.destroySoon = this.#destroySoon;
    return pipeline;
  }

  /** Node has stopped reading requests from this socket, because one asks for an upgrade or a tunnel. */
  #leaveHttp(request: IncomingMessage, socket: Duplex, head: Buffer): void {
    // This server listens on TCP only.
    if (!(socket instanceof Socket)) throw new TypeError('not a TCP socket');
    const open = this.#sockets.get(socket);
    const pipeline = open?.pipeline;
    if (pipeline && !pipeline.acceptsMore) {
      this.#parts.onRefused('rate');
      pipeline.dropRest();
    } else if (pipeline?.isBusy)
      this.#refused(upgradeBehind(request), (refusal) => pipeline.refuseUpgrade(refusal));
    else if (request.method === 'CONNECT')
      this.#refused(noProxy(), (refusal) => writeProblem(socket, refusal));
    else if (isWebSocketUpgrade(request)) {
      if (open) open.pipeline = undefined;
      this.#parts.upgrade(request, socket, head);
    } else this.#pipelineOf(socket).ignoreUpgrade(request);
  }

  /** Refuses what Node could not parse, behind the answers to the requests before it. */
  #answerFault(error: NodeJS.ErrnoException, socket: Duplex): void {
    if (error.code === 'ECONNRESET' || !(socket instanceof Socket)) socket.destroy();
    // Node reports the fault again for each later read.
    else if (this.#sockets.get(socket)?.pipeline?.isEnding) return;
    else if (error.code === 'ERR_HTTP_REQUEST_TIMEOUT') this.#expire(socket);
    else this.#refuseMalformed(socket, refusalOf(error));
  }

  #expire(socket: Socket): void {
    this.#expired.push(socket);
    if (this.#expired.length === 1) setImmediate(() => this.#answerExpired());
  }

  /** In slices, since thousands of sockets may expire at the same moment. */
  #answerExpired(): void {
    for (const socket of this.#expired.splice(0, MAX_EXPIRED_PER_ITERATION)) {
      const refusal = new Refusal(408, 'the request did not come in time');
      this.#guard(socket, () => this.#refuseMalformed(socket, refusal));
    }
    if (this.#expired.length > 0) setImmediate(() => this.#answerExpired());
  }

  #refuseMalformed(socket: Socket, refusal: Refusal): void {
    // The socket may have closed since it expired.
    if (socket.destroyed) return;
    this.#refused(refusal, () => this.#pipelineOf(socket).refuseMalformed(refusal));
  }

  #refused(refusal: Refusal, write: (refusal: Refusal) => void): void {
    this.#parts.onRefused(refusal.reason);
    write(refusal);
  }

  /** Neither side has sent anything for a while. An answer that is not ready yet is not the peer's fault. */
  #onIdle(socket: Socket): void {
    const pipeline = this.#sockets.get(socket)?.pipeline;
    if (socket.writableLength > 0 || (pipeline && !pipeline.isBusy)) socket.destroy();
  }

  /** An error in `act` ends the socket, not the process. */
  #guard(socket: Duplex, act: () => void): void {
    try {
      act();
    } catch (error) {
      socket.destroy();
      this.#parts.onFault('a socket was cut, since a request on it could not be handled', error);
    }
  }

  #crowded(kind: string, detail: string): void {
    this.#onceAMinute(kind, () => this.#parts.onCrowded(`${detail}: new ones are closed without an answer`));
  }

  #onceAMinute(kind: string, log: () => void): void {
    const now = this.#parts.clock.monotonic();
    if (now - (this.#loggedAt.get(kind) ?? Number.NEGATIVE_INFINITY) < QUIET_MS) return;
    this.#loggedAt.set(kind, now);
    log();
  }
}

/**
 * Makes Node take a request for an upgrade where no more are accepted: then its parser stops in the middle
 * of what has come. Without this all that came in one read would be parsed, up to 3,640 requests, in
 * 50 ms and 15 MB; Node has no other way to stop the parser.
 */
function requestClass(acceptsMore: (socket: Socket) => boolean): typeof IncomingMessage {
  return class extends IncomingMessage {
    constructor(socket: Socket) {
      super(socket);
      if (!acceptsMore(socket)) Object.defineProperty(this, 'upgrade', { get: () => true, set: () => {} });
    }
  };
}

/** For Node 0 means no limit. */
function headersMs({ headersSeconds }: ListenerSettings['limits']): number {
  return Number.isFinite(headersSeconds) ? Math.max(1, Math.round(headersSeconds * 1000)) : 0;
}

function upgradeBehind({ method }: IncomingMessage): Refusal {
  const what = method === 'CONNECT' ? 'CONNECT' : 'an upgrade';
  return new Refusal(400, `${what} cannot be pipelined behind another request: give it its own connection`);
}

function noProxy(): Refusal {
  return new Refusal(405, 'CONNECT does nothing here: this is no proxy', { headers: { Allow: 'GET, HEAD' } });
}

function refusalOf({ code, message }: NodeJS.ErrnoException): Refusal {
  switch (code) {
    case 'HPE_HEADER_OVERFLOW':
      return new Refusal(431, `the headers are too large: at most ${maxHeaderSize} bytes with the address`);
    case 'HPE_CHUNK_EXTENSIONS_OVERFLOW':
      return new Refusal(413, 'the chunk extensions are too large');
    default:
      return new Refusal(400, `this is not HTTP/1.1: ${message}`);
  }
}
