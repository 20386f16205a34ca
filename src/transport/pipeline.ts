import { type IncomingMessage, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import type { Cancel, Clock } from '../clock.ts';
import { Refusal, shown } from '../hub/errors.ts';
import type { UnreadAnswer } from '../hub/slow-consumers.ts';
import { dropRest, writeProblem } from './problem.ts';
import { headBytes } from './request-head.ts';

/** How many requests of one socket may wait for the answer before them. Clients pipeline a few, if any. */
const MAX_WAITING = 16;

/**
 * How many bytes the heads of waiting requests may take. The request that exceeds this is accepted, and none
 * behind it.
 */
const MAX_WAITING_HEAD_BYTES = 16_384;

/** How long a refusal may wait for the answers before it, until the socket is cut instead. */
const REFUSAL_WAIT_MS = 5000;

/** How long the answers to accepted requests may take, where the rest is not read. */
const LAST_ANSWERS_MS = 30_000;

/** How long a client may take to close its side behind the last answer. */
const CLIENT_CLOSE_MS = 3000;

/** Knows the answers that a client is slow to read. Both calls do nothing the second time. */
export interface UnreadAnswers {
  add(answer: UnreadAnswer): void;
  remove(answer: UnreadAnswer): void;
}

export interface PipelineParts {
  /** Answers a request. A promise that it returns resolves when all is written, or a stream has begun. */
  readonly request: (request: IncomingMessage, response: Answer) => unknown;
  readonly unread: UnreadAnswers;
  readonly clock: Clock;
  readonly onFault: (what: string, error: unknown) => void;
  /** After so long without a byte in either direction Node's server emits `timeout` for the socket. */
  readonly unreadMs: number;
}

/** An answer, with its request as `req`. */
type Answer = ServerResponse<IncomingMessage>;

interface Waiting {
  readonly answer: Answer;
  readonly headBytes: number;
}

/**
 * The requests of one socket: one is answered at a time, the others wait. Node parses all that one
 * read brings, up to 64 KiB of requests, and would start every one of them; their answers would then be
 * kept whole for a client that reads none. RFC 9112, 9.3.2 lets a server close behind any answer.
 *
 * ```
 *   parsed ─▶ waiting (at most 16, and 16 KiB) ─▶ current ─▶ finished, when the peer has read it ─▶ next
 *                 └─ one too many: the rest is not read, and the last that waits ends the connection
 * ```
 */
export class Pipeline implements UnreadAnswer {
  readonly #socket: Socket;
  readonly #parts: PipelineParts;
  #current: Answer | undefined;
  /**
   * The answer to the newest request that was accepted: a fault of the parser may be in the body of that
   * request.
   */
  #newest: Answer | undefined;
  readonly #waiting: Waiting[] = [];
  #waitingHeadBytes = 0;
  /** Written behind the answers. */
  #refusal: Refusal | undefined;
  /** No more requests are accepted. */
  #isEnding = false;
  /** The last answer has been written, and the server's side of the socket is closed. */
  #isAnswered = false;

  constructor(socket: Socket, parts: PipelineParts) {
    this.#socket = socket;
    this.#parts = parts;
  }

  /** Whether an answer is unfinished. */
  get isBusy(): boolean {
    return this.#current !== undefined || this.#waiting.length > 0;
  }

  /** Whether another request is accepted. None is behind a stream, which ends the connection. */
  get acceptsMore(): boolean {
    if (!this.isBusy) return !this.#isEnding;
    if (this.#isEnding || this.#isStreaming) return false;
    return this.#waiting.length < MAX_WAITING && this.#waitingHeadBytes < MAX_WAITING_HEAD_BYTES;
  }

  /** Whether no request is accepted any more, so that what comes needs no answer. */
  get isEnding(): boolean {
    return this.#isEnding;
  }

  get unsentBytes(): number {
    return this.#socket.writableLength;
  }

  cut(): void {
    this.#socket.destroy();
  }

  /** Answers a request when all before it are answered; at once, if there are none. */
  accept(answer: Answer): void {
    if (!this.acceptsMore) return;
    this.#newest = answer;
    if (this.isBusy) this.#wait(answer);
    else this.#start(answer);
  }

  #wait(answer: Answer): void {
    // Frees memory: Node parsed the headers to look for `Expect`, and parses them again when they are read.
    Object.assign(answer.req, { headers: undefined });
    const bytes = headBytes(answer.req);
    this.#waiting.push({ answer, headBytes: bytes });
    this.#waitingHeadBytes += bytes;
  }

  /** Stops reading, for a request that is not accepted. Node must have released the socket. */
  dropRest(): void {
    const last = this.#waiting.at(-1);
    if (this.#isAnswered) {
      this.#listenInPlaceOfNode();
      return;
    }
    if (!last) {
      this.cut();
      return;
    }
    this.#isEnding = true;
    this.#listenInPlaceOfNode();
    last.answer.shouldKeepAlive = false;
    this.#cutAfter(LAST_ANSWERS_MS);
  }

  /**
   * Refuses what came behind the accepted requests and ends the connection, once these are answered: the
   * client would read an earlier refusal as an answer to one of them.
   */
  refuse(refusal: Refusal): void {
    if (this.#isStreaming) {
      this.cut();
      return;
    }
    this.#isEnding = true;
    if (!this.isBusy) {
      writeProblem(this.#socket, refusal);
      return;
    }
    this.#refusal = refusal;
    this.#cutAfter(REFUSAL_WAIT_MS);
  }

  /**
   * Answers a request to upgrade to something else than a WebSocket (`h2c`, as `curl --http2` asks) as if it
   * had not asked, which RFC 9110, 7.8 lets a server do; then the connection ends, since Node has stopped
   * reading requests from it. For the same reason a body cannot be read: such a request is a 400. No answer may
   * be unfinished on the socket.
   */
  ignoreUpgrade(request: IncomingMessage): void {
    const { headers } = request;
    if (headers['transfer-encoding'] !== undefined || Number(headers['content-length'] ?? 0) > 0) {
      const what = `cannot upgrade to ${shown(headers.upgrade ?? '')}`;
      writeProblem(this.#socket, new Refusal(400, `${what}: send what has a body without Upgrade`));
      return;
    }
    const answer = new ServerResponse(request);
    answer.shouldKeepAlive = false;
    answer.assignSocket(this.#socket);
    answer.on('finish', () => this.#socket.end(() => this.cut()));
    this.#listenInPlaceOfNode();
    this.#socket.on('end', () => this.cut());
    this.#socket.on('timeout', () => {
      if (this.unsentBytes > 0) this.cut();
    });
    // The end of the socket shows only while the socket is read.
    this.#socket.resume();
    this.accept(answer);
  }

  /** As `refuse`, for an upgrade: Node has released the socket. */
  refuseUpgrade(refusal: Refusal): void {
    this.#listenInPlaceOfNode();
    this.refuse(refusal);
  }

  /** Refuses what Node could not parse: the rest of the newest request, or what came behind it. */
  refuseMalformed(refusal: Refusal): void {
    const newest = this.#newest;
    if (!newest || newest.req.complete) this.refuse(refusal);
    else if (this.#waiting.at(-1)?.answer === newest) {
      // The bytes of its head need not be subtracted, since no more requests are accepted.
      this.#waiting.pop();
      this.refuse(refusal);
    } else if (newest.headersSent) this.cut();
    else {
      this.#isEnding = true;
      writeProblem(this.#socket, refusal);
    }
  }

  get #isStreaming(): boolean {
    return this.#current !== undefined && isStream(this.#current);
  }

  #start(answer: Answer): void {
    this.#current = answer;
    // A timer costs 300 bytes, and most answers are finished before: a stream and a WebSocket get none.
    setImmediate(() => {
      if (this.#current === answer && !this.#isStreaming) this.#socket.setTimeout(this.#parts.unreadMs);
    });
    answer.on('close', () => this.#onClose());
    void this.#write(answer);
  }

  /** Never rejects. */
  async #write(answer: Answer): Promise<void> {
    const { request, unread, onFault } = this.#parts;
    try {
      await request(answer.req, answer);
    } catch (error) {
      this.cut();
      onFault('a socket was cut, since a request on it could not be answered', error);
      return;
    }
    if (isStream(answer)) {
      // The requests would wait for as long as the stream lasts, and the stream ends the connection.
      if (this.#waiting.length > 0) this.cut();
    } else if (answer.writableEnded && !answer.writableFinished && this.unsentBytes > 0) {
      unread.add(this);
    }
  }

  #onClose(): void {
    this.#parts.unread.remove(this);
    this.#current = undefined;
    // In an iteration of its own: one read brings up to 17 requests, and other sockets wait as well.
    if (this.#waiting.length > 0) setImmediate(() => this.#startNext());
    else this.#endWithRefusal();
  }

  /**
   * For Node to call when the answer that ends the connection has been written. A socket that is closed while
   * its client still sends is reset, and the client may never read its answers: so the client's side stays
   * open for a while, and what comes is dropped (RFC 9112, 9.6).
   */
  endSoon(): void {
    this.#isEnding = true;
    this.#isAnswered = true;
    this.#socket.end();
    dropRest(this.#socket);
    this.#cutAfter(CLIENT_CLOSE_MS);
  }

  #startNext(): void {
    if (!this.#socket.writable) {
      this.#waiting.length = 0;
      return;
    }
    const next = this.#waiting.shift();
    if (next) {
      this.#waitingHeadBytes -= next.headBytes;
      this.#start(next.answer);
    }
    // The request that waited was malformed, and removed.
    else this.#endWithRefusal();
  }

  #endWithRefusal(): void {
    if (this.#refusal && this.#socket.writable) writeProblem(this.#socket, this.#refusal);
  }

  #listenInPlaceOfNode(): void {
    // Without a listener a reset would end the process.
    this.#socket.on('error', () => this.cut());
    // Nothing is read before the last answer: a client might send a gigabyte a second.
    if (!this.#isAnswered) this.#socket.pause();
    this.#socket.on('drain', () => this.#current?.emit('drain'));
  }

  #cutAfter(ms: number): void {
    const cancel: Cancel = this.#parts.clock.after(ms, () => this.cut());
    this.#socket.once('close', cancel);
  }
}

/** An answer without an end, which takes the connection with it: server-sent events. */
function isStream({ headersSent, writableEnded, shouldKeepAlive }: Answer): boolean {
  return headersSent && !writableEnded && !shouldKeepAlive;
}
