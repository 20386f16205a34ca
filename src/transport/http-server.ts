import {
  createServer,
  IncomingMessage,
  maxHeaderSize,
  type RequestListener,
  type Server,
  type ServerResponse,
} from 'node:http';
import { type AddressInfo, Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import type { Slot } from '../access/connection-limits.ts';
import type { Clock } from '../clock.ts';
import { Refusal, type RefusalReason } from '../hub/errors.ts';
import { ignoreUpgrade, KEPT_HEADERS, Pipeline, type PipelineParts, type UnreadAnswers } from './pipeline.ts';
import { writeProblem } from './problem.ts';
import { isWebSocketUpgrade } from './upgrade.ts';

/** How long sockets may take to end by themselves once the server has stopped. */
const CLOSE_MS = 1000;

/** How long a peer may take nothing of an answer before its socket is cut. */
const UNREAD_MS = 30_000;

/** How long a request may take beyond its headers: a mebibyte at 17 KiB a second. */
const BODY_MS = 60_000;

/**
 * Deadlines are looked at so often, so that a socket outlives its own by a tenth at most. Node finds all
 * expired sockets in one go: the more often it looks, the fewer they are.
 */
const LOOKS_PER_DEADLINE = 10;
const LONGEST_LOOK_MS = 250;

/** So many expired sockets are answered and closed in one turn of the event loop, about 2 ms. */
const EXPIRED_PER_TURN = 32;

/** What happens for each socket while there are too many is logged once in this time. */
const QUIET_MS = 60_000;

/** What the listener reads of the configuration in force; `Infinity` is no limit. */
export interface ListenerSettings {
  readonly limits: {
    /** TCP sockets, whatever they are used for. */
    readonly sockets: number;
    /** From the first byte of a request, or from the beginning of the connection, to the end of the headers. */
    readonly headersSeconds: number;
  };
}

export interface ListenerParts {
  readonly request: RequestListener;
  /** Gets the requests for a WebSocket. */
  readonly upgrade: (request: IncomingMessage, socket: Duplex, head: Buffer) => void;
  readonly clock: Clock;
  readonly settings: { readonly current: ListenerSettings };
  /** Returns what to release when the socket has closed; `undefined`: its address has too many. */
  readonly takeSocket: (peerAddress: string | undefined) => Slot | undefined;
  readonly unread: UnreadAnswers;
  /** Hears why, each time that a socket or a request was turned away here. */
  readonly onRefused: (reason: RefusalReason) => void;
  /** Called when new sockets are closed because a limit is reached, once a minute. */
  readonly onCrowded: (detail: string) => void;
  readonly onFault: (what: string, error: unknown) => void;
  /** Default: 30 s. */
  readonly unreadMs?: number;
}

/** What is kept of an open socket. */
interface OpenSocket {
  readonly slot: Slot;
  /** What is answered on it; absent before the first request and after an upgrade. */
  pipeline: Pipeline | undefined;
}

/**
 * The TCP port and every socket on it, upgraded ones included, which Node's server forgets. Nothing
 * that happens on a socket throws into Node: what was not foreseen is reported and ends that socket.
 */
export class Listener {
  readonly #server: Server;
  readonly #parts: ListenerParts;
  readonly #pipelineParts: PipelineParts;
  readonly #sockets = new Map<Duplex, OpenSocket>();
  /** In place of Node's method on each socket: one function, since a socket has to be small. */
  readonly #destroySoon: (this: Socket) => void;
  readonly #saidAt = new Map<string, number>();
  /** Sockets that did not send a request in time and are not answered yet. */
  readonly #expired: Socket[] = [];

  constructor(parts: ListenerParts) {
    this.#parts = parts;
    const { unread, clock, unreadMs = UNREAD_MS } = parts;
    const answer = this.#answer.bind(this);
    this.#pipelineParts = { answer, unread, clock, unreadMs };
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
        Math.min(LONGEST_LOOK_MS, (limits().headersSeconds * 1000) / LOOKS_PER_DEADLINE),
      ),
      IncomingMessage: requestClass((socket) => this.#sockets.get(socket)?.pipeline?.takesMore ?? true),
    });
    this.#server = server;
    // Read by Node each time that it looks, so they follow a reload.
    Object.defineProperties(server, {
      maxConnections: { get: () => limits().sockets },
      headersTimeout: { get: () => headersMs(limits()) },
      requestTimeout: { get: () => (headersMs(limits()) === 0 ? 0 : headersMs(limits()) + BODY_MS) },
    });
    server.maxHeadersCount = KEPT_HEADERS;
    // Who sends all, and then the end of it, still gets the answers: not in Node's types.
    Object.assign(server, { httpAllowHalfOpen: true });

    // Before Node's own listener, which makes a parser. What it then finds is closed already.
    const onClose = function (this: Socket) {
      forget(this);
    };
    const forget = (socket: Socket) => this.#forget(socket);
    server.prependListener('connection', (socket: Socket) => this.#take(socket, onClose));
    server.on('drop', () => {
      parts.onRefused('full');
      this.#crowded('sockets', `all ${limits().sockets} sockets are taken (limits.sockets)`);
    });
    const request = ({ socket }: IncomingMessage, response: ServerResponse<IncomingMessage>) =>
      this.#safely(socket, () => this.#pipelineOf(socket).take(response));
    server.on('request', request);
    server.on('checkExpectation', request);
    for (const event of ['upgrade', 'connect']) {
      server.on(event, (incoming: IncomingMessage, socket: Duplex, head: Buffer) =>
        this.#safely(socket, () => this.#leaveHttp(incoming, socket, head)),
      );
    }
    server.on('clientError', (error, socket) => this.#safely(socket, () => this.#answerFault(error, socket)));
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

  /** Takes nobody any more; resolves when all sockets are gone, cut if they do not go. */
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

  /** Closed without a word where its address has too many: an answer would need the socket to stay. */
  #take(socket: Socket, onClose: () => void): void {
    const slot = this.#parts.takeSocket(socket.remoteAddress);
    if (!slot) {
      socket.destroy();
      this.#parts.onRefused('address');
      this.#crowded('address', `${socket.remoteAddress} has too many sockets (limits.connectionsPerAddress)`);
      return;
    }
    this.#sockets.set(socket, { slot, pipeline: undefined });
    socket.on('close', onClose);
  }

  #forget(socket: Socket): void {
    this.#sockets.get(socket)?.slot.release();
    this.#sockets.delete(socket);
  }

  #pipelineOf(socket: Socket): Pipeline {
    const open = this.#sockets.get(socket);
    if (open?.pipeline) return open.pipeline;
    const pipeline = new Pipeline(socket, this.#pipelineParts);
    if (open) open.pipeline = pipeline;
    socket.destroySoon = this.#destroySoon;
    return pipeline;
  }

  async #answer(
    request: IncomingMessage,
    response: ServerResponse & { req: IncomingMessage },
  ): Promise<void> {
    try {
      await this.#parts.request(request, response);
    } catch (error) {
      this.#onFault(error, request.socket);
    }
  }

  /** Node has stopped to read requests from this socket, and hands it out. */
  #leaveHttp(request: IncomingMessage, socket: Duplex, head: Buffer): void {
    // Nothing else is put into this server.
    if (!(socket instanceof Socket)) throw new TypeError('not a TCP socket');
    const open = this.#sockets.get(socket);
    const pipeline = open?.pipeline;
    if (pipeline && !pipeline.takesMore) {
      this.#parts.onRefused('rate');
      pipeline.dropRest();
    } else if (pipeline?.isBusy) this.#refused(upgradeBehind(request), (it) => pipeline.refuseUpgrade(it));
    else if (request.method === 'CONNECT') this.#refused(noProxy(), (it) => writeProblem(socket, it));
    else if (isWebSocketUpgrade(request)) {
      if (open) open.pipeline = undefined;
      this.#parts.upgrade(request, socket, head);
    } else ignoreUpgrade(request, socket, (response) => this.#pipelineOf(socket).take(response));
  }

  /** What is not HTTP is told so, behind the answers to what was. */
  #answerFault(error: NodeJS.ErrnoException, socket: Duplex): void {
    if (error.code === 'ECONNRESET' || !(socket instanceof Socket)) socket.destroy();
    // Node reports it again for each later read.
    else if (this.#sockets.get(socket)?.pipeline?.isEnding) return;
    else if (error.code === 'ERR_HTTP_REQUEST_TIMEOUT') this.#expire(socket);
    else this.#refuseMalformed(socket, refusalOf(error));
  }

  #expire(socket: Socket): void {
    this.#expired.push(socket);
    if (this.#expired.length === 1) setImmediate(() => this.#answerExpired());
  }

  /** Thousands of sockets may expire at the same moment: they are answered in slices. */
  #answerExpired(): void {
    for (const socket of this.#expired.splice(0, EXPIRED_PER_TURN)) {
      const refusal = new Refusal(408, 'the request did not come in time');
      this.#safely(socket, () => this.#refuseMalformed(socket, refusal));
    }
    if (this.#expired.length > 0) setImmediate(() => this.#answerExpired());
  }

  #refuseMalformed(socket: Socket, refusal: Refusal): void {
    // It may have gone since it expired.
    if (socket.destroyed) return;
    this.#refused(refusal, (it) => this.#pipelineOf(socket).refuseMalformed(it));
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

  /** The last line of defence: one socket ends, and not the process. */
  #safely(socket: Duplex, act: () => void): void {
    try {
      act();
    } catch (error) {
      this.#onFault(error, socket);
    }
  }

  #onFault(error: unknown, socket: Duplex): void {
    socket.destroy();
    this.#parts.onFault('a socket was cut, since a request on it could not be handled', error);
  }

  #crowded(kind: string, detail: string): void {
    this.#onceAMinute(kind, () => this.#parts.onCrowded(`${detail}: new ones are closed without an answer`));
  }

  #onceAMinute(kind: string, say: () => void): void {
    const now = this.#parts.clock.monotonic();
    if (now - (this.#saidAt.get(kind) ?? Number.NEGATIVE_INFINITY) < QUIET_MS) return;
    this.#saidAt.set(kind, now);
    say();
  }
}

/**
 * Node asks each request whether it is an upgrade, and then stops to read from the socket in the midst
 * of what has come. It is the one way to stop it: all that one read has brought would be parsed
 * otherwise, up to 3,640 requests, in 50 ms and 15 MB.
 */
function requestClass(takesMore: (socket: Socket) => boolean): typeof IncomingMessage {
  return class extends IncomingMessage {
    constructor(socket: Socket) {
      super(socket);
      if (!takesMore(socket)) Object.defineProperty(this, 'upgrade', { get: () => true, set: () => {} });
    }
  };
}

/** 0 is none for Node. */
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
