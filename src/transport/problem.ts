import { STATUS_CODES } from 'node:http';
import type { Duplex } from 'node:stream';
import { Refusal } from '../hub/errors.ts';
import { SECURITY_HEADERS } from './security-headers.ts';

/** An HTTP answer that says what went wrong, ready for a `Response` or a bare socket. */
export interface Problem {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  /** JSON of RFC 9457, with a newline at its end. */
  readonly body: string;
}

/** The answer for an error that is no `Refusal`. */
const UNEXPECTED = new Refusal(500, 'the server failed here; its log says why');

/**
 * Formats an error as a problem of RFC 9457, for every HTTP answer of the server. An error that is no
 * `Refusal` becomes a 500 that reveals nothing; the caller logs it.
 */
export function problem(error: unknown): Problem {
  const refusal = error instanceof Refusal ? error : UNEXPECTED;
  const { status, title, message: detail, details } = refusal;
  const headers: Record<string, string> = {
    ...SECURITY_HEADERS,
    'Content-Type': 'application/problem+json',
    'Cache-Control': 'no-store',
    ...details.headers,
  };
  const { errors, retryAfterMs } = details;
  if (retryAfterMs !== undefined)
    headers['Retry-After'] = String(Math.max(1, Math.ceil(retryAfterMs / 1000)));
  return {
    status,
    headers,
    body: `${JSON.stringify({ type: 'about:blank', title, status, detail, errors, retryAfterMs })}\n`,
  };
}

/** The same as a `Response`. */
export function problemResponse(error: unknown): Response {
  const { status, headers, body } = problem(error);
  // The `Response` of @hono/node-server, which it puts in the place of Node's by default, keeps for HEAD only
  // the headers it was made with: this object, to which a route may add.
  return new Response(body, { status, headers: new Headers(headers) });
}

/** How long a peer may take to read the last bytes and to close its side, before its socket is cut. */
const END_MS = 3000;

/**
 * Answers on a bare socket with a problem of RFC 9457 and ends it: for requests without a `ServerResponse`.
 * A peer that goes on sending would lose the answer if the socket were closed at once (RFC 9112, 9.6), so
 * what it sends is dropped for a while.
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
  dropRest(socket);
  socket.end(`HTTP/1.1 ${status} ${STATUS_CODES[status] ?? ''}\r\n${lines.join('')}\r\n${body}`);
}

/** How much a peer may send behind its last answer: reading more would cost too much. */
const MAX_DROPPED_BYTES = 65_536;

/**
 * Reads and drops what a peer still sends, and destroys the socket where that is too much. With unread bytes
 * the socket would end with a reset, and answers might be lost.
 */
export function dropRest(socket: Duplex): void {
  let leftBytes = MAX_DROPPED_BYTES;
  socket.on('data', (bytes: Buffer) => {
    leftBytes -= bytes.length;
    if (leftBytes < 0) socket.destroy();
  });
  socket.resume();
}

/**
 * Destroys a socket that is ending, where its peer does not end it in time. Not with `Socket.setTimeout`,
 * which each byte from the peer sets back.
 */
export function destroySoon(socket: Duplex): void {
  const timer = setTimeout(() => socket.destroy(), END_MS);
  timer.unref();
  socket.once('close', () => clearTimeout(timer));
}
