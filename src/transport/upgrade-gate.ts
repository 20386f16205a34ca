import type { IncomingMessage } from 'node:http';
import { STATUS_CODES } from 'node:http';
import type { Duplex } from 'node:stream';
import type { Admission, Caller } from '../access/admit.ts';
import { problem } from '../access/problem.ts';
import { Refusal } from '../hub/refusal.ts';

/** RFC 6455, 4.1: 16 bytes in Base64. */
const KEY = /^[+/0-9A-Za-z]{22}==$/;
/** RFC 7230, 3.2.6: a token, and lists of them. */
const TOKENS = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+(?:[ \t]*,[ \t]*[!#$%&'*+\-.^_`|~0-9A-Za-z]+)*$/;
const VERSION = '13';

export interface GateParts {
  /** Throws a `Refusal`. */
  readonly admit: (caller: Caller) => Admission;
  /** Gets sound requests of somebody who was let in, in the same turn. */
  readonly accept: (request: IncomingMessage, socket: Duplex, head: Buffer, admission: Admission) => void;
  readonly onFault: (what: string, error: unknown) => void;
}

/**
 * What stands between the listener's `upgrade` event and the WebSocket library: every fault of a
 * handshake is answered here, with headers and a problem body, and only what the library can take
 * goes on. Synchronous throughout, so that no client can vanish half-way.
 */
export function upgradeGate({ admit, accept, onFault }: GateParts) {
  return (request: IncomingMessage, socket: Duplex, head: Buffer): void => {
    // Without a listener a reset would end the process.
    socket.on('error', () => socket.destroy());
    let admission: Admission;
    try {
      checkHandshake(request);
      admission = admit(callerOf(request));
    } catch (error) {
      if (!(error instanceof Refusal)) onFault('an upgrade request could not be answered', error);
      refuse(socket, error);
      return;
    }
    if (socket.destroyed || !socket.writable) return;
    accept(request, socket, head, admission);
  };
}

/** The request as access control sees it. Throws a 400 `Refusal` for an address that is none. */
export function callerOf(request: IncomingMessage): Caller {
  return {
    url: targetOf(request.url ?? ''),
    header: (name) => {
      const value = request.headers[name];
      return Array.isArray(value) ? value.join(', ') : value;
    },
    remoteAddress: request.socket.remoteAddress ?? '',
  };
}

/** RFC 9112, 3.2: a path with its query, or a whole address. */
function targetOf(target: string): URL {
  try {
    // Put behind an authority, not resolved against one: "//x" is a path here, not a host.
    return target.startsWith('/') ? new URL(`http://localhost${target}`) : new URL(target);
  } catch {
    throw new Refusal(
      400,
      `${JSON.stringify(target.slice(0, 200))} is not an address: ask for /rooms/{room}`,
    );
  }
}

function checkHandshake(request: IncomingMessage): void {
  const { headers, method } = request;
  if (headers.upgrade?.toLowerCase() !== 'websocket') {
    throw new Refusal(400, `cannot upgrade to ${JSON.stringify(headers.upgrade)}: only to websocket`);
  }
  if (method !== 'GET') {
    throw new Refusal(405, `a WebSocket is opened with GET, not ${method}`, { headers: { Allow: 'GET' } });
  }
  if (headers['sec-websocket-version'] !== VERSION) {
    const version = headers['sec-websocket-version'];
    throw new Refusal(
      426,
      `Sec-WebSocket-Version is ${JSON.stringify(version) ?? 'missing'}: send ${VERSION}`,
      {
        headers: { 'Sec-WebSocket-Version': VERSION, Upgrade: 'websocket' },
      },
    );
  }
  if (!KEY.test(headers['sec-websocket-key'] ?? '')) {
    const key = headers['sec-websocket-key'];
    throw new Refusal(
      400,
      `Sec-WebSocket-Key is ${JSON.stringify(key?.slice(0, 80)) ?? 'missing'}: send 16 bytes in Base64`,
    );
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

function refuse(socket: Duplex, error: unknown): void {
  if (!socket.writable) {
    socket.destroy();
    return;
  }
  const { status, headers, body } = problem(error);
  const lines = Object.entries({
    Connection: 'close',
    'Content-Length': String(Buffer.byteLength(body)),
    Vary: 'Accept, Origin',
    ...headers,
  }).map(([name, value]) => `${name}: ${value}\r\n`);
  socket.end(`HTTP/1.1 ${status} ${STATUS_CODES[status] ?? ''}\r\n${lines.join('')}\r\n${body}`);
  // Whoever goes on sending is not waited for.
  socket.resume();
}
