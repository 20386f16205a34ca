import { STATUS_CODES } from 'node:http';
import type { Duplex } from 'node:stream';
import { problem } from '../access/problem.ts';

/**
 * Answers on a bare socket with a problem of RFC 9457 and ends it: for requests that no
 * `ServerResponse` was made for. Whoever goes on sending, or does not hang up, is not waited for.
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
  socket.once('finish', () => socket.destroy());
  // Bytes that nobody has read would turn the end into a reset, and the answer might be lost.
  socket.resume();
  socket.end(`HTTP/1.1 ${status} ${STATUS_CODES[status] ?? ''}\r\n${lines.join('')}\r\n${body}`);
}
