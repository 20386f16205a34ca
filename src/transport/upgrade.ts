import { EventEmitter } from 'node:events';
import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import { createNodeWebSocket } from '@hono/node-ws';
import type { Context, Hono } from 'hono';
import { WebSocket } from 'ws';
import type { CloseReason } from '../hub/close-reason.ts';
import type { WireFormat } from '../hub/frame.ts';
import type { Link } from './heartbeat.ts';
import { SocketSink } from './socket-sink.ts';
import { websocketFormat } from './wire.ts';

/** How long a peer may take to answer a close frame before its socket is cut. */
const CLOSE_TIMEOUT_MS = 3000;

/** How many reads a frame may come in: each piece that waits costs more than it holds. */
const MOST_READS = 256;

/**
 * How many fragments a message may have: one for so many of the bytes that it may be large, between these
 * two. All fragments of a message are taken in one turn, and empty ones are in no rate.
 */
const FRAGMENT_BYTES = 256;
const MOST_FRAGMENTS = 4096;
const LEAST_FRAGMENTS = 64;

/** RFC 6455, 5.5: a control frame carries 125 bytes, two of them the code. */
const LONGEST_REASON_BYTES = 123;

/** The subprotocol of ours; a token may stand beside it and is never sent back. */
const SUBPROTOCOL = 'belfry';

/** As much of the library's parser as is touched here; its types leave it out. */
interface Receiver {
  startLoop(callback: (error?: Error) => void): void;
  destroy(error: unknown): void;
}

/**
 * Takes frames apart, and ends this connection alone where the parser itself fails: `ws` 8.23 was seen
 * to throw a `TypeError` out of it (`this._mask[0]` of undefined), once in some 6,500 conversations of
 * the fuzzer, which would end the process.
 */
function guardedLoop(this: Receiver, callback: (error?: Error) => void): void {
  try {
    Object.getPrototypeOf(this).startLoop.call(this, callback);
  } catch (error) {
    this.destroy(error);
  }
}

/** A WebSocket of which one hears before it is closed, by whichever side or the library. */
export class ToldWebSocket extends WebSocket {
  /** Called once in place of closing it for a fault: whoever sets it closes with a code and a reason. */
  onFault: ((code: number) => void) | undefined;
  /** Called before the close frame leaves: nothing may be written behind it. */
  onClosing: (() => void) | undefined;
  #isTaken = false;

  /**
   * Nobody is heard who comes to listen after this: the helper would copy every message, and keep its
   * whole context for as long as the socket lives.
   */
  take(): void {
    this.#isTaken = true;
  }

  /** To be called when it is open: see `guardedLoop`. */
  guard(): void {
    // Made by the library when it opens, and not in its types.
    const { _receiver: receiver } = this as unknown as { readonly _receiver: Receiver };
    receiver.startLoop = guardedLoop;
  }

  override on(event: string | symbol, listener: (this: WebSocket, ...values: never[]) => void): this {
    // What is passed on belongs to the event as much as it did for whoever called.
    return this.#isTaken ? this : super.on(event, listener as () => void);
  }

  override close(code?: number, reason?: string | Buffer): void {
    const { onFault } = this;
    if (code !== undefined && reason === undefined && onFault) {
      this.onFault = undefined;
      onFault(code);
      return;
    }
    this.onClosing?.();
    super.close(code, reason);
  }
}

/** A request that was let in, with its socket. The request must have a valid WebSocket handshake. */
export interface Upgrade {
  readonly request: IncomingMessage;
  readonly socket: Duplex;
  readonly head: Buffer;
  readonly onOpen: (socket: ToldWebSocket) => void;
}

/**
 * What the library sees of a request: a handshake that it cannot but accept. It resolves the address
 * against a base and so reads "//[/../../rooms/lobby" otherwise than the gate did, and ends the
 * process over it; and nothing of the real request is kept alive by it.
 */
class Handshake {
  readonly method = 'GET';
  readonly url = '/';
  readonly headers: HandshakeHeaders;
  readonly onOpen: (socket: ToldWebSocket) => void;

  constructor({ headers }: IncomingMessage, onOpen: (socket: ToldWebSocket) => void) {
    const offered = headers['sec-websocket-protocol']?.split(',').map((name) => name.trim());
    this.headers = new HandshakeHeaders(
      headers['sec-websocket-key'] ?? '',
      // The library accepts what is offered first, which might be the token.
      offered?.includes(SUBPROTOCOL) ? SUBPROTOCOL : undefined,
    );
    this.onOpen = onOpen;
  }
}

/**
 * The headers that `ws` asks for by name. As getters they are no properties that a loop would find, so
 * the helper copies none of them into a `Headers` that nobody reads.
 */
class HandshakeHeaders {
  readonly #key: string;
  readonly #protocol: string | undefined;

  constructor(key: string, protocol: string | undefined) {
    this.#key = key;
    this.#protocol = protocol;
  }

  get upgrade(): string {
    return 'websocket';
  }

  get 'sec-websocket-version'(): string {
    return '13';
  }

  get 'sec-websocket-key'(): string {
    return this.#key;
  }

  get 'sec-websocket-protocol'(): string | undefined {
    return this.#protocol;
  }
}

/**
 * Turns an upgrade request into an open WebSocket, through `@hono/node-ws`. Nothing else touches
 * that library, which ends the process or keeps memory for ever where a request is malformed: see
 * the upgrade gate, which lets only sound ones come here.
 */
export function websocketUpgrades(options: {
  /** Asked anew at each upgrade. */
  maxPayloadBytes: () => number;
  onFault: (what: string, error: unknown) => void;
}): (upgrade: Upgrade) => void {
  const server = new EventEmitter();
  /** Of which the library reads nothing, once its middleware ran. */
  const nothing = new Response();

  // The library asks a Hono app with a `Request` built for it, and takes a few microtasks; all it
  // needs back is that its own middleware ran. So it gets just that, at half the cost.
  const app = {
    async request(_url: URL, _init: RequestInit, env: { incoming: Handshake }): Promise<Response> {
      const context = { env, req: { header: () => 'websocket', url: 'ws://localhost/' } };
      // Of the context the middleware reads `env`, `req.header('upgrade')` and `req.url` only.
      await middleware(context as unknown as Context, async () => {});
      return nothing;
    },
  };
  // Of the app the library calls `request` only.
  const helper = createNodeWebSocket({ app: app as unknown as Hono });
  Object.assign(helper.wss.options, {
    // One frame of a socket in a turn: the receiver would otherwise take apart all that came in one read,
    // up to 10,000 pings, while everything else waits.
    allowSynchronousEvents: false,
    // Whether a ping is answered is for the session to say, which knows how many there were.
    autoPong: false,
    clientTracking: false,
    perMessageDeflate: false,
    closeTimeout: CLOSE_TIMEOUT_MS,
    maxBufferedChunks: MOST_READS,
    WebSocket: ToldWebSocket,
  });
  // `ws` reads them at each upgrade, and takes 0 for no limit.
  Object.defineProperties(helper.wss.options, {
    maxPayload: {
      get: () => (Number.isFinite(options.maxPayloadBytes()) ? options.maxPayloadBytes() : 0),
    },
    maxFragments: {
      get: () =>
        Math.floor(
          Math.min(Math.max(options.maxPayloadBytes() / FRAGMENT_BYTES, LEAST_FRAGMENTS), MOST_FRAGMENTS),
        ),
    },
  });
  const middleware = helper.upgradeWebSocket((context) => ({
    onOpen(_event, { raw }) {
      // Made with the class that is set below.
      if (!(raw instanceof ToldWebSocket)) return;
      const { onOpen }: Handshake = context.env.incoming;
      try {
        raw.guard();
        onOpen(raw);
        raw.take();
      } catch (error) {
        options.onFault('a WebSocket could not be opened', error);
        raw.terminate();
      }
    },
  }));
  // The library only ever adds a listener for `upgrade`, which any emitter takes.
  helper.injectWebSocket(server as unknown as Parameters<typeof helper.injectWebSocket>[0]);

  return ({ request, socket, head, onOpen }) => {
    // The handshake and the first events leave in one write, unless the join takes longer than a turn.
    socket.cork();
    setImmediate(() => setImmediate(() => socket.uncork()));
    server.emit('upgrade', new Handshake(request, onOpen), socket, head);
  };
}

/** What the heartbeat needs of a WebSocket. */
export class WebSocketLink implements Link {
  readonly #websocket: WebSocket;
  readonly #socket: Duplex;

  constructor(websocket: WebSocket, socket: Duplex) {
    this.#websocket = websocket;
    this.#socket = socket;
  }

  ping(): void {
    this.#websocket.ping();
  }

  get isPaused(): boolean {
    return this.#websocket.isPaused;
  }

  get takenBytes(): number {
    // Every socket of Node counts; of another stream it is known at least when what waits changes.
    const written = 'bytesWritten' in this.#socket ? Number(this.#socket.bytesWritten) : 0;
    return written - this.#socket.writableLength;
  }
}

/** Past the library, which has nothing to add to a frame without mask and deflate. */
export class WebSocketSink extends SocketSink {
  readonly #websocket: WebSocket;

  constructor(websocket: WebSocket, socket: Duplex) {
    super(socket);
    this.#websocket = websocket;
  }

  get format(): WireFormat {
    return websocketFormat;
  }

  close(reason: CloseReason): void {
    this.#websocket.close(reason.code, closeText(reason));
  }
}

/** As much of the reason as a close frame carries, cut between two characters. */
export function closeText({ reason }: CloseReason): string {
  const bytes = Buffer.from(reason);
  if (bytes.length <= LONGEST_REASON_BYTES) return reason;
  let end = LONGEST_REASON_BYTES;
  // Bytes of the form 10xxxxxx continue a character that began before them.
  while (end > 0 && ((bytes[end] ?? 0) & 0b1100_0000) === 0b1000_0000) end--;
  return bytes.subarray(0, end).toString();
}
