import { STATUS_CODES } from 'node:http';
import type { Duplex } from 'node:stream';
import { problem } from './problem.ts';

/** How long a peer may take to read the last bytes for it, and to close its side, before its socket is cut. */
const FAREWELL_MS = 3000;

/**
 * Answers on a bare socket with a problem of RFC 9457 and ends it: for requests that no
 * `ServerResponse` was made for. A peer that goes on sending would lose the answer if the socket were
 * closed at once (RFC 9112, 9.6), so what it sends is dropped for a while.
 */
export function writeProblem(socket: Duplex, error: unknown): void {
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
  // Without a listener a reset would end the process.
  socket.on('error', () => socket.destroy());
  destroySoon(socket);
  socket.resume();
  socket.end(`HTTP/1.1 ${status} ${STATUS_CODES[status] ?? ''}\r\n${lines.join('')}\r\n${body}`);
}

/**
 * Destroys a socket that is ending, should its peer not let it. `Socket.setTimeout` would not do: each
 * byte that the peer sends sets it back.
 */
export function destroySoon(socket: Duplex): void {
  const timer = setTimeout(() => socket.destroy(), FAREWELL_MS);
  timer.unref();
  socket.once('close', () => clearTimeout(timer));
}
