// Belfry opens WebSockets with @hono/node-ws 1.3.1, which has `ws` below it. As it is, that library
// - ends the process over some malformed requests ("GET //"), and over a client that resets early;
// - keeps some malformed requests in memory for ever;
// - accepts whichever subprotocol is offered first, which might be a token, and has no size limits;
// - builds a `Request`, its headers and a context for each connection, and keeps them.
// So `UpgradeGate` answers every faulty or refused request before, with headers and a problem body, and
// without anything asynchronous, in which a client could vanish. `websocketUpgrades` then shows the library
// a made-up request that it cannot but accept. The WebSocket that comes out has one owner and no listeners.
// Nothing outside of this file touches the library.

import { EventEmitter } from 'node:events';
import { createNodeWebSocket, type NodeWebSocket } from '@hono/node-ws';
import type { Context, Hono } from 'hono';
import { WebSocket } from 'ws';
import type { Limits } from '../limits.ts';
import { WEBSOCKET_VERSION } from './request-head.ts';
import { abandon, destroyThis, type Upgrade } from './upgrade-gate.ts';

/** The subprotocol of Belfry; a token may stand beside it and is never sent back. */
const SUBPROTOCOL = 'belfry';

/** How long a peer may take to answer a close frame before its socket is cut. */
const CLOSE_TIMEOUT_MS = 3000;

/**
 * A frame may come in as many reads, and a message in as many frames, as its maximum size has pieces of
 * `PIECE_BYTES`, within these bounds. Each costs some 750 bytes while it waits for the rest, all frames of a
 * message are taken in one iteration of the event loop, and empty ones count in no rate.
 */
const PIECE_BYTES = 256;
const MAX_PIECES = 4096;
const MIN_PIECES = 64;

/**
 * What the library sees of a request, so that it can refuse nothing and keeps nothing of the real one alive.
 * The address is made up too: the library resolves it against a base, and ends the process over
 * "//[/../../rooms/lobby", which the gate can read.
 */
class Handshake {
  readonly method = 'GET';
  readonly url = '/';
  readonly headers: HandshakeHeaders;
  /** Set until `finish`. */
  #upgrade: Upgrade | undefined;
  #isOpen = false;

  constructor(upgrade: Upgrade) {
    const { headers } = upgrade.request;
    const offered = headers['sec-websocket-protocol']?.split(',').map((name) => name.trim());
    this.headers = new HandshakeHeaders(
      headers['sec-websocket-key'] ?? '',
      // The library accepts what is offered first, which might be the token.
      offered?.includes(SUBPROTOCOL) ? SUBPROTOCOL : undefined,
    );
    this.#upgrade = upgrade;
  }

  /** The owner that `own` makes is responsible for the socket and the client's slots from now on. */
  open(websocket: OwnedWebSocket, own: MakeOwner): void {
    if (!this.#upgrade || !own(websocket, this.#upgrade)) return;
    this.#isOpen = true;
    // The library listens in place of the gate.
    this.#upgrade.socket.off('error', destroyThis);
  }

  /**
   * Writes what the socket has held back. Where the WebSocket has not opened, ends the socket and releases
   * the client's slots.
   */
  finish(): void {
    if (!this.#upgrade) return;
    const { socket, entry } = this.#upgrade;
    this.#upgrade = undefined;
    socket.uncork();
    if (!this.#isOpen) abandon(socket, entry);
  }
}

/**
 * The headers that `ws` asks for by name. As getters they are not found by a loop over properties, so the
 * library does not copy them into a `Headers` object that is never read.
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
    return WEBSOCKET_VERSION;
  }

  get 'sec-websocket-key'(): string {
    return this.#key;
  }

  get 'sec-websocket-protocol'(): string | undefined {
    return this.#protocol;
  }
}

/**
 * Makes the owner of a WebSocket that has just opened, which calls `ownedBy`. Where there is none, or this
 * throws, the WebSocket is cut.
 */
export type MakeOwner = (websocket: OwnedWebSocket, upgrade: Upgrade) => WebSocketOwner | undefined;

export interface UpgradeParts {
  readonly settings: { readonly current: { readonly limits: Pick<Limits, 'maxPayloadBytes'> } };
  readonly onFault: (what: string, error: unknown) => void;
}

/** Turns upgrade requests into open WebSockets. */
export function websocketUpgrades(
  { settings, onFault }: UpgradeParts,
  own: MakeOwner,
): (upgrade: Upgrade) => void {
  const server = new EventEmitter();
  const req = { header: () => 'websocket', url: 'ws://localhost/' };
  // The library asks a Hono app, with a `Request` built for it, only to have its own middleware run, which
  // reads nothing of the context but these. Running that middleware alone takes half of the time.
  const app = {
    request: (_url: URL, _init: RequestInit, env: object) =>
      helper.upgradeWebSocket({ env, req } as unknown as Context, {}),
  };
  // Of the app the library calls `request` only.
  const helper: NodeWebSocket = createNodeWebSocket({ app: app as unknown as Hono });
  Object.assign(helper.wss.options, {
    // One frame of a socket in an iteration of the event loop: the receiver would otherwise parse all that
    // came in one read, up to 10,000 pings, while everything else waits.
    allowSynchronousEvents: false,
    // The owner answers pings, within a rate.
    autoPong: false,
    perMessageDeflate: false,
    closeTimeout: CLOSE_TIMEOUT_MS,
    WebSocket: OwnedWebSocket,
  });
  // As `clientTracking: false` does at construction: `ws` would keep a set and listen to each WebSocket.
  Object.assign(helper.wss, { clients: undefined });
  const maxPayloadBytes = () => settings.current.limits.maxPayloadBytes;
  const maxPieces = () =>
    Math.floor(Math.min(Math.max(maxPayloadBytes() / PIECE_BYTES, MIN_PIECES), MAX_PIECES));
  // `ws` reads the limits at each upgrade, and takes 0 for no limit.
  Object.defineProperties(helper.wss.options, {
    maxPayload: { get: () => (Number.isFinite(maxPayloadBytes()) ? maxPayloadBytes() : 0) },
    maxFragments: { get: maxPieces },
    maxBufferedChunks: { get: maxPieces },
  });
  // Earlier than the library's `onOpen`, which follows some microtasks later.
  helper.wss.on('connection', (websocket: OwnedWebSocket, handshake: unknown) => {
    // Nothing else is handed to the library.
    if (!(handshake instanceof Handshake)) return;
    try {
      handshake.open(websocket, own);
    } catch (error) {
      onFault('a WebSocket could not be opened', error);
    }
  });
  // The library only ever adds a listener for `upgrade`, which any emitter takes.
  helper.injectWebSocket(server as unknown as Parameters<typeof helper.injectWebSocket>[0]);

  let opening: Handshake[] = [];
  /** In the next iteration, so that the handshake and the first events of a quick join leave in one write. */
  const finishLater = () => {
    const opened = opening;
    opening = [];
    setImmediate(() => {
      for (const handshake of opened) handshake.finish();
    });
  };
  return (upgrade) => {
    const { socket, head } = upgrade;
    const handshake = new Handshake(upgrade);
    if (opening.length === 0) setImmediate(finishLater);
    opening.push(handshake);
    socket.cork();
    // A client that has hung up already would never open.
    if (socket.readable && socket.writable) server.emit('upgrade', handshake, socket, head);
  };
}

/** What each read of an incomplete frame takes beside its bytes, measured with reads of one byte. */
const READ_BYTES = 750;

/** Is called with everything that happens to one WebSocket. */
export interface WebSocketOwner {
  onMessage(data: Buffer, isBinary: boolean): void;
  onPing(data: Buffer): void;
  onPong(): void;
  /** The library would close for a protocol fault: the owner is to close with this code and a reason. */
  onFault(code: number): void;
  /** Before the close frame is sent, whichever side began: nothing may be written behind it. */
  onClosing(): void;
  onClose(): void;
}

/** The parts of the parser of `ws` that are used here; its types leave them out. */
interface Receiver {
  /** The reads of an incomplete frame, and their bytes. */
  readonly _buffers: readonly Buffer[];
  readonly _bufferedBytes: number;
  /** The frames of an incomplete message, and their bytes. */
  readonly _fragments: readonly Buffer[];
  readonly _messageLength: number;
  startLoop(callback: (error?: Error) => void): void;
  destroy(error: unknown): void;
}

/**
 * Parses frames, and ends this connection alone where the parser throws. `ws` 8.23 was seen to throw a
 * `TypeError` (`this._mask[0]` of undefined), once in some 6,500 conversations of the fuzzer, which would
 * end the process.
 */
function guardedLoop(this: Receiver, callback: (error?: Error) => void): void {
  try {
    Object.getPrototypeOf(this).startLoop.call(this, callback);
  } catch (error) {
    this.destroy(error);
  }
}

/** A WebSocket that calls one owner in place of listeners. */
export class OwnedWebSocket extends WebSocket {
  #owner: WebSocketOwner | undefined;
  #isFaulty = false;

  /** To be called when it is open. */
  ownedBy(owner: WebSocketOwner): void {
    this.#owner = owner;
    this.#receiver.startLoop = guardedLoop;
  }

  /** What an incomplete message keeps in memory. */
  get incompleteBytes(): number {
    const { _buffers, _bufferedBytes, _fragments, _messageLength } = this.#receiver;
    return _bufferedBytes + _messageLength + READ_BYTES * (_buffers.length + _fragments.length);
  }

  get #receiver(): Receiver {
    // Made by the library when it opens, and not in its types.
    return (this as unknown as { readonly _receiver: Receiver })._receiver;
  }

  /** Takes no listeners: those of the library copy every message and keep a context for each connection. */
  override on(): this {
    return this;
  }

  override emit(event: string | symbol, ...values: never[]): boolean {
    const owner = this.#owner;
    if (!owner) return false;
    // With the values that the library emits.
    if (event === 'message') owner.onMessage(...(values as unknown as [Buffer, boolean]));
    else if (event === 'ping') owner.onPing(...(values as unknown as [Buffer]));
    else if (event === 'pong') owner.onPong();
    else if (event === 'close') owner.onClose();
    return true;
  }

  override close(code?: number, reason?: string | Buffer): void {
    // The library gives no reason where it closes for a fault.
    if (code !== undefined && reason === undefined && this.#owner && !this.#isFaulty) {
      this.#isFaulty = true;
      this.#owner.onFault(code);
      return;
    }
    this.#owner?.onClosing();
    super.close(code, reason);
  }
}
