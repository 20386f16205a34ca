import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import type { Caller, Entry } from '../access/admission.ts';
import { Refusal, type RefusalReason, reasonOf, shown } from '../hub/errors.ts';
import { isWebSocketUpgrade } from './ignored-upgrade.ts';
import { writeProblem } from './raw-problem.ts';
import { headFault } from './request-head.ts';

/** RFC 6455, 4.1: 16 bytes in Base64. */
const KEY = /^[+/0-9A-Za-z]{22}==$/;
/** RFC 7230, 3.2.6: a token, and lists of them. */
const TOKENS = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+(?:[ \t]*,[ \t]*[!#$%&'*+\-.^_`|~0-9A-Za-z]+)*$/;
const VERSION = '13';

export interface GateParts {
  /** Throws a `Refusal`. */
  readonly enter: (caller: Caller) => Entry;
  /** Gets sound requests of somebody who was let in, in the same turn. */
  readonly accept: (request: IncomingMessage, socket: Duplex, head: Buffer, entry: Entry) => void;
  /** Hears why, each time that a problem was answered instead. */
  readonly onRefused: (reason: RefusalReason) => void;
  readonly onFault: (what: string, error: unknown) => void;
}

/**
 * What stands between the listener's `upgrade` event and the WebSocket library: every fault of a
 * handshake is answered here, with headers and a problem body, and only what the library can take
 * goes on. Synchronous throughout, so that no client can vanish half-way.
 */
export function upgradeGate({ enter, accept, onRefused, onFault }: GateParts) {
  return (request: IncomingMessage, socket: Duplex, head: Buffer): void => {
    // Without a listener a reset would end the process.
    socket.on('error', () => socket.destroy());
    // On another program's server Node's listener may be handed a socket on which an answer is unfinished.
    if (hasUnfinishedAnswer(socket)) {
      onRefused('input');
      socket.destroy();
      return;
    }
    let entry: Entry;
    try {
      checkHandshake(request);
      entry = enter(callerOf(request));
    } catch (error) {
      if (!(error instanceof Refusal)) onFault('an upgrade request could not be answered', error);
      onRefused(reasonOf(error));
      writeProblem(socket, error);
      return;
    }
    entry.seat.leaveWith(socket);
    try {
      // Who has hung up already would never open.
      if (socket.readable && socket.writable) accept(request, socket, head, entry);
      else socket.destroy();
    } catch (error) {
      // Thrown on, it would end the process.
      socket.destroy();
      onFault('a WebSocket could not be opened', error);
    }
  };
}

/** Node has no other way to ask: it keeps the response that a socket belongs to in this property. */
function hasUnfinishedAnswer(socket: Duplex & { readonly _httpMessage?: unknown }): boolean {
  return Boolean(socket._httpMessage);
}

/** The request as access control sees it. Throws a 400 `Refusal` for an address that is none. */
export function callerOf(request: IncomingMessage): Caller {
  return {
    url: targetOf(request.url ?? ''),
    header: (name) => {
      const value = request.headers[name];
      return Array.isArray(value) ? value.join(', ') : value;
    },
    peerAddress: request.socket.remoteAddress,
  };
}

/** RFC 9112, 3.2: a path with its query, or a whole address. */
function targetOf(target: string): URL {
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
