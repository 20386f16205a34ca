import { type IncomingMessage, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import type { Cancel, Clock } from '../clock.ts';
import { Refusal, shown } from '../hub/errors.ts';
import type { UnreadAnswer } from '../hub/slow-consumers.ts';
import { dropRest, writeProblem } from './problem.ts';

/** How many requests of one socket may wait for the answer before them. Clients pipeline a few, if any. */
const MAX_WAITING = 16;

/** How many bytes the heads of these may take. The one that exceeds it is taken, and none behind it. */
const MAX_WAITING_HEAD_BYTES = 16_384;

/** How long the answers before a refusal may take until the socket is cut instead. */
const REFUSAL_WAIT_MS = 5000;

/** The same for the requests that were taken where the rest was not. */
const LAST_ANSWERS_MS = 30_000;

/** How long a client may take to close its side behind the last answer. */
const CLIENT_CLOSE_MS = 3000;

/** Hears of unread answers while they are unread. Both calls do nothing the second time. */
export interface UnreadAnswers {
  add(answer: UnreadAnswer): void;
  remove(answer: UnreadAnswer): void;
}

export interface PipelineParts {
  /** Answers a request. Never throws, and resolves when all of the answer has been written. */
  readonly answer: (request: IncomingMessage, response: Answer) => Promise<void>;
  readonly unread: UnreadAnswers;
  readonly clock: Pick<Clock, 'after'>;
  /** After so long without a byte in either direction Node's server emits `timeout` for the socket. */
  readonly unreadMs: number;
}

/** The answer to a request, which names its request. */
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
 *   parsed ─▶ waiting (at most 16, and 16 KiB) ─▶ current ─▶ finished, when the peer has taken it ─▶ next
 *                 └─ one too many: the rest is not read, and the last that waits ends the connection
 * ```
 */
export class Pipeline implements UnreadAnswer {
  readonly #socket: Socket;
  readonly #parts: PipelineParts;
  #current: Answer | undefined;
  /** To the newest request that was accepted: a fault of the parser may be one of its body. */
  #newest: Answer | undefined;
  readonly #waiting: Waiting[] = [];
  #waitingHeadBytes = 0;
  /** Written behind the answers. */
  #refusal: Refusal | undefined;
  /** Nothing more is taken. */
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

  /** Whether another request will be answered. Nothing ever is behind a stream, which ends the connection. */
  get takesMore(): boolean {
    if (!this.isBusy) return !this.#isEnding;
    if (this.#isEnding || this.#isStreaming) return false;
    return this.#waiting.length < MAX_WAITING && this.#waitingHeadBytes < MAX_WAITING_HEAD_BYTES;
  }

  /** Whether nothing more is taken for good, so that what comes needs no answer. */
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
  take(answer: Answer): void {
    if (!this.takesMore) return;
    this.#newest = answer;
    if (this.isBusy) this.#wait(answer);
    else this.#start(answer);
  }

  #wait(answer: Answer): void {
    // Node has parsed them to look for `Expect`, and parses them again when they are read.
    Object.assign(answer.req, { headers: undefined });
    const bytes = headBytes(answer.req);
    this.#waiting.push({ answer, headBytes: bytes });
    this.#waitingHeadBytes += bytes;
  }

  /** Reads no more, where a request came although nothing more is taken. Node must have let go of the socket. */
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
   * Refuses what came behind the requests that were taken, and ends the connection: as soon as they are
   * answered, so that nobody takes the refusal for an answer to one of them.
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

  /** The same for an upgrade, for which Node has let go of the socket. */
  refuseUpgrade(refusal: Refusal): void {
    this.#listenInPlaceOfNode();
    this.refuse(refusal);
  }

  /** Refuses what could not be parsed: either the rest of the newest request, or what came behind it. */
  refuseMalformed(refusal: Refusal): void {
    const newest = this.#newest;
    if (!newest || newest.req.complete) this.refuse(refusal);
    else if (this.#waiting.at(-1)?.answer === newest) {
      // Nothing more is taken, so that its bytes count no more.
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
    void this.#parts.answer(answer.req, answer).then(() => this.#onWritten(answer));
  }

  #onWritten(answer: Answer): void {
    if (isStream(answer)) {
      // They would wait for as long as the stream lasts, and in vain.
      if (this.#waiting.length > 0) this.cut();
    } else if (answer.writableEnded && !answer.writableFinished && this.unsentBytes > 0) {
      this.#parts.unread.add(this);
    }
  }

  #onClose(): void {
    this.#parts.unread.remove(this);
    this.#current = undefined;
    // In a turn of its own: one read brings up to 17 requests, and others wait as well.
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
    // The one that waited was malformed.
    else this.#endWithRefusal();
  }

  #endWithRefusal(): void {
    if (this.#refusal && this.#socket.writable) writeProblem(this.#socket, this.#refusal);
  }

  #listenInPlaceOfNode(): void {
    // Without a listener a reset would end the process.
    this.#socket.on('error', () => this.cut());
    // What comes is not read before the last answer: a client might send a gigabyte a second.
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

/**
 * Answers a request to upgrade to something else (`h2c`, as `curl --http2` asks) as if it had not
 * asked, which RFC 9110, 7.8 lets a server do; then the connection ends, since Node has stopped to
 * read requests from it. For the same reason a body cannot be read: such a request is a 400. No answer
 * may be unfinished on the socket.
 */
export function ignoreUpgrade(
  request: IncomingMessage,
  socket: Socket,
  answer: (response: ServerResponse<IncomingMessage>) => void,
): void {
  const { headers } = request;
  if (headers['transfer-encoding'] !== undefined || Number(headers['content-length'] ?? 0) > 0) {
    const what = `cannot upgrade to ${shown(headers.upgrade ?? '')}`;
    writeProblem(socket, new Refusal(400, `${what}: send what has a body without Upgrade`));
    return;
  }
  const response = new ServerResponse(request);
  response.shouldKeepAlive = false;
  response.assignSocket(socket);
  response.on('finish', () => socket.end(() => socket.destroy()));
  // What Node did for the socket until it handed it over. Without the first a reset would end the process.
  socket.on('error', destroy);
  socket.on('drain', () => response.emit('drain'));
  socket.on('end', destroy);
  socket.on('timeout', () => {
    if (socket.writableLength > 0) socket.destroy();
  });
  socket.resume();
  answer(response);
}

function destroy(this: Socket): void {
  this.destroy();
}

/**
 * How many headers a request may have. Each takes about 100 bytes of heap beside its characters: 900 of
 * three characters, 8 KB on the wire, took 110 KB, and 64 KB while only half of the head had come.
 */
const MAX_HEADERS = 100;

/** For Node, which drops the others in silence, an `Origin` perhaps: one more, so that these are seen. */
export const KEPT_HEADERS = MAX_HEADERS + 1;

/** Of a string on the heap, and of the place it has in an array, beside its characters. */
const STRING_BYTES = 32;

/** About how many bytes of memory the head of a request takes. */
export function headBytes({ url = '', rawHeaders }: IncomingMessage): number {
  return rawHeaders.reduce((bytes, { length }) => bytes + STRING_BYTES + length, url.length);
}

/**
 * What is wrong with the head of a request that Node's parser lets pass, on whatever way it goes on:
 * for the values that decide who may come in must not be ambiguous.
 */
export function headFault(request: IncomingMessage): Refusal | undefined {
  const { rawHeaders, httpVersion, httpVersionMajor } = request;
  if (httpVersionMajor > 1) {
    return new Refusal(505, `HTTP/${httpVersion} is not spoken here: send HTTP/1.1`, { reason: 'input' });
  }
  if (rawHeaders.length > 2 * MAX_HEADERS) {
    return new Refusal(431, `there are too many headers: at most ${MAX_HEADERS}`);
  }
  if (countHosts(rawHeaders) > 1) return new Refusal(400, 'there are two Host headers: send one');
  const { expect } = request.headers;
  // HTTP/1.0 knows no expectations.
  if (expect === undefined || request.httpVersionMinor < 1 || /100-continue/i.test(expect)) return undefined;
  return new Refusal(417, `Expect is ${shown(expect)}: only 100-continue can be expected`);
}

function countHosts(rawHeaders: readonly string[]): number {
  let count = 0;
  for (let at = 0; at < rawHeaders.length; at += 2) {
    const name = rawHeaders[at] ?? '';
    if (name.length === 4 && name.toLowerCase() === 'host') count++;
  }
  return count;
}
