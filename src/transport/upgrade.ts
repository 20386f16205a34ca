import { EventEmitter } from 'node:events';
import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import { createNodeWebSocket, type NodeWebSocket } from '@hono/node-ws';
import type { Context, Hono } from 'hono';
import type { Caller, Entry, Target } from '../access/admission.ts';
import { Refusal, type RefusalReason, reasonOf, shown } from '../hub/errors.ts';
import { headFault } from './pipeline.ts';
import { writeProblem } from './problem.ts';
import { OwnedWebSocket, type WebSocketOwner } from './websocket.ts';

/** RFC 6455, 4.1: 16 bytes in Base64. */
const KEY = /^[+/0-9A-Za-z]{22}==$/;
/** RFC 7230, 3.2.6: a token, and lists of them. */
const TOKENS = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+(?:[ \t]*,[ \t]*[!#$%&'*+\-.^_`|~0-9A-Za-z]+)*$/;
const VERSION = '13';

/** The subprotocol of ours; a token may stand beside it and is never sent back. */
const SUBPROTOCOL = 'belfry';

/** A request of an admitted client, with a valid WebSocket handshake. */
export interface Upgrade {
  readonly request: IncomingMessage;
  readonly socket: Duplex;
  readonly head: Buffer;
  readonly entry: Entry;
}

export interface UpgradeGateParts {
  /** Throws a `Refusal`. */
  readonly enter: (caller: Caller) => Entry;
  /** Gets sound requests of admitted clients, in the same turn; what their entries hold is its own. */
  readonly accept: (upgrade: Upgrade) => void;
  /** Hears why, each time that a problem was answered instead. */
  readonly onRefused: (reason: RefusalReason) => void;
  readonly onFault: (what: string, error: unknown) => void;
}

/**
 * What stands between the server's `upgrade` event and the WebSocket library: every fault of a handshake is
 * answered here, with headers and a problem body, and only what the library can take goes on. Synchronous
 * throughout, so that no client can vanish half-way.
 */
export function upgradeGate({ enter, accept, onRefused, onFault }: UpgradeGateParts) {
  return (request: IncomingMessage, socket: Duplex, head: Buffer): void => {
    // Without a listener a reset would end the process.
    socket.on('error', destroyThis);
    // On another program's server Node's listener may be handed a socket on which an answer is unfinished.
    if (hasUnfinishedAnswer(socket)) {
      onRefused('input');
      socket.destroy();
      return;
    }
    let entry: Entry;
    try {
      checkHandshake(request);
      entry = enter(new UpgradeCaller(request));
    } catch (error) {
      if (!(error instanceof Refusal)) onFault('an upgrade request could not be answered', error);
      onRefused(reasonOf(error));
      writeProblem(socket, error);
      return;
    }
    try {
      accept({ request, socket, head, entry });
    } catch (error) {
      // Thrown on, it would end the process.
      lose(socket, entry);
      onFault('a WebSocket could not be opened', error);
    }
  };
}

function lose(socket: Duplex, { slot, reservation }: Entry): void {
  socket.destroy();
  slot.release();
  reservation.release();
}

function destroyThis(this: Duplex): void {
  this.destroy();
}

/** Node has no other way to ask: it keeps the response that a socket belongs to in this property. */
function hasUnfinishedAnswer(socket: Duplex & { readonly _httpMessage?: unknown }): boolean {
  return Boolean(socket._httpMessage);
}

/** The request as access control sees it. Its constructor throws a 400 `Refusal` for an address that is none. */
class UpgradeCaller implements Caller {
  readonly url: Target;
  readonly #request: IncomingMessage;

  constructor(request: IncomingMessage) {
    this.url = targetOf(request.url ?? '');
    this.#request = request;
  }

  get peerAddress(): string | undefined {
    return this.#request.socket.remoteAddress;
  }

  header(name: string): string | undefined {
    const value = this.#request.headers[name];
    return Array.isArray(value) ? value.join(', ') : value;
  }
}

/** The address of one room and nothing else, which most clients ask for: `URL` would change nothing in it. */
const PLAIN_TARGET = /^\/rooms\/[0-9A-Za-z][0-9A-Za-z._:-]*$/;
const NO_QUERY = new URLSearchParams();

/** RFC 9112, 3.2: a path with its query, or a whole address. */
function targetOf(target: string): Target {
  if (PLAIN_TARGET.test(target)) return { pathname: target, searchParams: NO_QUERY };
  try {
    // Put behind an authority, not resolved against one: "//x" is a path here, not a host.
    return target.startsWith('/') ? new URL(`http://localhost${target}`) : new URL(target);
  } catch {
    throw new Refusal(400, `${shown(target)} is not an address: ask for /rooms/{room}`);
  }
}

function checkHandshake(request: IncomingMessage): void {
  const fault = headFault(request);
  if (fault) throw fault;
  const { headers, method } = request;
  if (!isWebSocketUpgrade(request)) {
    throw new Refusal(400, `cannot upgrade to ${shownHeader(headers.upgrade)}: only to websocket`);
  }
  if (method !== 'GET') {
    throw new Refusal(405, `a WebSocket is opened with GET, not ${method}`, { headers: { Allow: 'GET' } });
  }
  const version = headers['sec-websocket-version'];
  if (version !== VERSION) {
    throw new Refusal(426, `Sec-WebSocket-Version is ${shownHeader(version)}: send ${VERSION}`, {
      headers: { 'Sec-WebSocket-Version': VERSION, Upgrade: 'websocket' },
    });
  }
  const key = headers['sec-websocket-key'];
  if (key === undefined || !KEY.test(key)) {
    throw new Refusal(400, `Sec-WebSocket-Key is ${shownHeader(key)}: send 16 bytes in Base64`);
  }
  const protocols = headers['sec-websocket-protocol'];
  if (protocols !== undefined && !(TOKENS.test(protocols) && areDistinct(protocols))) {
    throw new Refusal(400, 'Sec-WebSocket-Protocol is not a list of different tokens: send "belfry"');
  }
}

function areDistinct(list: string): boolean {
  const names = list.split(',').map((name) => name.trim());
  return new Set(names).size === names.length;
}

function shownHeader(header: string | undefined): string {
  return header === undefined ? 'missing' : shown(header);
}

/** Whether a request asks for what a room's address can be upgraded to. */
export function isWebSocketUpgrade({ headers }: IncomingMessage): boolean {
  return headers.upgrade?.toLowerCase() === 'websocket';
}

// The library, @hono/node-ws with ws below it. It ends the process or keeps memory for ever where a request
// is malformed, builds a Request, Headers and a context for each connection and keeps them, and accepts
// whatever subprotocol is offered first: so it gets a made-up request after the checks above, and a
// WebSocket that has an owner instead of listeners.

/** How long a peer may take to answer a close frame before its socket is cut. */
const CLOSE_TIMEOUT_MS = 3000;

/**
 * In how many reads a frame may come, and in how many frames a message: one for so many of the bytes that it
 * may be large, between these two. Each costs some 750 bytes while it waits for the rest, all frames of a
 * message are taken in one iteration of the event loop, and empty ones are in no rate.
 */
const PIECE_BYTES = 256;
const MAX_PIECES = 4096;
const MIN_PIECES = 64;

/** What upgrades read of the configuration in force. */
export interface UpgradeSettings {
  readonly limits: { readonly maxPayloadBytes: number };
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
  /** Until it is over. */
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

  /** `own` makes the owner, from now on responsible for the socket and the entry. */
  open(websocket: OwnedWebSocket, own: UpgradeParts['own']): void {
    if (!this.#upgrade || !own(websocket, this.#upgrade)) return;
    this.#isOpen = true;
    // The library listens in place of the gate.
    this.#upgrade.socket.off('error', destroyThis);
  }

  /** Writes what was held back; where it has not opened, ends the socket and releases the entry. */
  finish(): void {
    if (!this.#upgrade) return;
    const { socket, entry } = this.#upgrade;
    this.#upgrade = undefined;
    socket.uncork();
    if (!this.#isOpen) lose(socket, entry);
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
    return VERSION;
  }

  get 'sec-websocket-key'(): string {
    return this.#key;
  }

  get 'sec-websocket-protocol'(): string | undefined {
    return this.#protocol;
  }
}

export interface UpgradeParts {
  readonly settings: { readonly current: UpgradeSettings };
  /**
   * Makes the owner of a WebSocket that has just opened, which calls `ownedBy`. Where there is none, or it
   * throws, the WebSocket is cut.
   */
  readonly own: (websocket: OwnedWebSocket, upgrade: Upgrade) => WebSocketOwner | undefined;
  readonly onFault: (what: string, error: unknown) => void;
}

/**
 * Turns upgrade requests into open WebSockets, through `@hono/node-ws`. Nothing else touches that library.
 */
export function websocketUpgrades({ settings, own, onFault }: UpgradeParts): (upgrade: Upgrade) => void {
  const server = new EventEmitter();
  const req = { header: () => 'websocket', url: 'ws://localhost/' };
  // The library asks a Hono app with a `Request` built for it, and needs back only that its own middleware
  // ran, which reads nothing of the context but these. So it gets just that, at half the cost.
  const app = {
    request: (_url: URL, _init: RequestInit, env: object) =>
      helper.upgradeWebSocket({ env, req } as unknown as Context, {}),
  };
  // Of the app the library calls `request` only.
  const helper: NodeWebSocket = createNodeWebSocket({ app: app as unknown as Hono });
  Object.assign(helper.wss.options, {
    // One frame of a socket in a turn: the receiver would otherwise take apart all that came in one read,
    // up to 10,000 pings, while everything else waits.
    allowSynchronousEvents: false,
    // Whether a ping is answered is for its owner to say, which knows how many there were.
    autoPong: false,
    perMessageDeflate: false,
    closeTimeout: CLOSE_TIMEOUT_MS,
    WebSocket: OwnedWebSocket,
  });
  // As `clientTracking: false` does where the server is made: it would keep a set and listen to each.
  Object.assign(helper.wss, { clients: undefined });
  const maxPayloadBytes = () => settings.current.limits.maxPayloadBytes;
  const maxPieces = () =>
    Math.floor(Math.min(Math.max(maxPayloadBytes() / PIECE_BYTES, MIN_PIECES), MAX_PIECES));
  // `ws` reads them at each upgrade, and takes 0 for no limit.
  Object.defineProperties(helper.wss.options, {
    maxPayload: { get: () => (Number.isFinite(maxPayloadBytes()) ? maxPayloadBytes() : 0) },
    maxFragments: { get: maxPieces },
    maxBufferedChunks: { get: maxPieces },
  });
  // Sooner than the helper's `onOpen`, which follows some microtasks later.
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
  /** The handshake and the first events leave in one write, unless the join takes longer than a turn. */
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
