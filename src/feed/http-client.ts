import http, { type IncomingHttpHeaders, type IncomingMessage, type RequestOptions } from 'node:http';
import https from 'node:https';
import { Duplex, type Readable } from 'node:stream';
import { FeedError } from './feed.ts';
import type { HostGuard } from './host-guard.ts';

export type Headers = Readonly<Record<string, string>>;

export interface Question {
  /** Without user and password. */
  readonly url: URL;
  readonly method: 'GET' | 'POST';
  /** For the origin of `url`; of these only `KEPT_HEADERS` go to another one. */
  readonly headers: Headers;
  /** More headers, for the URL at the end of the redirects. */
  validators(url: URL): Headers;
  /** How many bytes a connection may carry, headers and framing included. */
  readonly maxConnectionBytes: number;
}

export interface Answer {
  /** The URL that answered: another one where there were redirects. */
  readonly url: URL;
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: Readable;
}

const MAX_REDIRECTS = 5;
const REDIRECTS: ReadonlySet<number> = new Set([301, 302, 303, 307, 308]);

/** Headers that a redirect to another origin keeps. Any other may hold a secret, whatever its name. */
const KEPT_HEADERS = new Set(['accept', 'accept-encoding', 'accept-language', 'user-agent']);

/** Answers of status 1xx announce another one; there is no use in many. */
const MAX_INTERIM_ANSWERS = 10;

const MAX_URL_CHARACTERS = 200;

/** A URL for messages: without its secret parts, and cut, since an upstream decides its length. */
export const safeUrl = (url: URL): string => `${url.origin}${url.pathname}`.slice(0, MAX_URL_CHARACTERS);

/**
 * Sends a request, follows redirects, and gives the answer to `use`. Nothing of it outlives the promise:
 * each request has a connection of its own, because a feed is never told when it is used for the last
 * time. `guard` says where connections and redirects may lead.
 */
export async function request<Value>(
  question: Question,
  guard: HostGuard,
  signal: AbortSignal,
  use: (answer: Answer) => Promise<Value>,
): Promise<Value> {
  const { lookup } = guard;
  let { url, method, headers } = question;
  for (let redirects = 0; ; redirects++) {
    const all = { ...headers, ...question.validators(url) };
    const response = await send(url, { method, headers: all, lookup, signal }, question.maxConnectionBytes);
    try {
      const { statusCode: status = 0, headers: answered } = response;
      const { location } = answered;
      if (!REDIRECTS.has(status) || location === undefined)
        return await use({ url, status, headers: answered, body: response });

      if (redirects === MAX_REDIRECTS)
        throw new FeedError(
          'http-status',
          `more than ${MAX_REDIRECTS} redirects, the last from ${safeUrl(url)}`,
        );
      const next = redirected(url, location, guard);
      // Once dropped, headers stay so: a redirect back does not get the secrets again.
      if (next.origin !== url.origin)
        headers = Object.fromEntries(Object.entries(headers).filter(([name]) => KEPT_HEADERS.has(name)));
      if (status < 307) method = 'GET';
      url = next;
    } finally {
      response.destroy();
    }
  }
}

function send(url: URL, options: RequestOptions, maxBytes: number): Promise<IncomingMessage> {
  const isSecure = url.protocol === 'https:';
  const agent = isSecure ? new https.Agent() : new http.Agent();
  const connect = agent.createConnection.bind(agent);
  agent.createConnection = (...args) => {
    const socket = connect(...args);
    return socket && new PacedSocket(socket, maxBytes);
  };
  return new Promise((resolve, reject) => {
    let answer: IncomingMessage | undefined;
    let interimAnswers = 0;
    const request = (isSecure ? https : http)
      .request(url, { ...options, agent })
      .on('information', () => {
        interimAnswers += 1;
        const message = `more than ${MAX_INTERIM_ANSWERS} interim answers (status 1xx), and no other`;
        if (interimAnswers > MAX_INTERIM_ANSWERS) request.destroy(new FeedError('failed', message));
      })
      .on('response', (response) => {
        // Where the body is read its errors are heard; where it is not they do not matter.
        answer = response.on('error', () => {});
        resolve(response);
      })
      .on('error', (error) => {
        // Without this the error of a body that breaks off would be "aborted" and nothing more.
        answer?.destroy(error);
        reject(error);
      })
      // On an answer of 101 Node emits only 'close': no 'response', no 'error'. After either of those this
      // reject does nothing.
      .on('close', () => reject(new FeedError('unreachable', 'the connection was closed without an answer')));
    request.end();
  });
}

/** Throws where a redirect must not lead. Names are looked up, and checked, on connecting. */
function redirected(from: URL, location: string, guard: HostGuard): URL {
  const url = URL.canParse(location, from.href) ? new URL(location, from) : undefined;
  if (url?.protocol !== 'http:' && url?.protocol !== 'https:')
    throw new FeedError('refused', `${safeUrl(from)} redirects to what is not an http:// or https:// URL`);
  url.username = '';
  url.password = '';
  guard.check(url);
  return url;
}

/**
 * How much is parsed in one turn of the event loop. Node would give the parser up to 2 MB in one turn, and
 * a hostile upstream can make that a hundred thousand answers or chunks: 16 KiB of those take some 5 ms.
 */
const PIECE_BYTES = 16_384;

/**
 * Reads a connection in pieces, one per turn of the event loop. Destroys it with a `FeedError` after
 * `maxBytes` in all: content, headers, interim answers and chunk framing included. Writes pass through
 * unchanged.
 */
export class PacedSocket extends Duplex {
  readonly #socket: Duplex;
  readonly #maxBytes: number;
  #bytes = 0;
  /** The reader asked for more than there was. */
  #isWaiting = false;

  constructor(socket: Duplex, maxBytes: number) {
    super({ readableHighWaterMark: PIECE_BYTES });
    this.#socket = socket;
    this.#maxBytes = maxBytes;
    socket
      .on('readable', () => {
        if (!this.#isWaiting) return;
        this.#isWaiting = false;
        this.#readPiece();
      })
      .on('end', () => this.push(null))
      .on('error', (error) => this.destroy(error))
      // After its end the rest of what it sent may still be buffered here.
      .on('close', () => socket.readableEnded || this.destroy());
  }

  override _read(): void {
    setImmediate(() => this.#readPiece());
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: (error?: Error | null) => void): void {
    this.#socket.write(chunk, done);
  }

  override _final(done: () => void): void {
    this.#socket.end(done);
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    this.#socket.destroy();
    done(error);
  }

  #readPiece(): void {
    if (this.destroyed) return;
    const piece: Buffer | null = this.#socket.read(Math.min(PIECE_BYTES, this.#socket.readableLength));
    if (!piece) {
      this.#isWaiting = true;
      return;
    }
    this.#bytes += piece.length;
    if (this.#bytes <= this.#maxBytes) this.push(piece);
    else
      this.destroy(
        new FeedError('too-large', `more than ${this.#maxBytes} bytes were sent, and no end came`),
      );
  }
}
