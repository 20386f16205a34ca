import type { Duplex } from 'node:stream';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { type MessageLimits, MessageRate } from '../access/rate-limits.ts';
import { CLOSE, type CloseReason, closeReason } from '../hub/close-reason.ts';
import type { Connection } from '../hub/connection.ts';
import { Refusal } from '../hub/errors.ts';
import type { ActionTable } from './actions.ts';
import type { ToldWebSocket } from './upgrade.ts';

/** How many lines of one client may wait for the one before them, until its socket is paused. */
const MOST_WAITING = 16;

/** One line of the client, in the order in which they came. */
interface Line {
  readonly text: string;
  /** As it was received: a string does not tell its size. */
  readonly bytes: number;
  readonly receivedAtMs: number;
  /** Set where it is not to be acted on. */
  readonly refusal: Refusal | undefined;
}

export interface SessionParts {
  readonly actions: ActionTable;
  /** Milliseconds since the epoch. */
  readonly now: () => number;
  readonly onSeen: (connection: Connection) => void;
  /** Answers whether the pong was asked for. */
  readonly onPong: (connection: Connection) => boolean;
  readonly onGone: (connection: Connection) => void;
  readonly close: (connection: Connection, reason: CloseReason) => void;
  readonly limits: MessageLimits;
  /** The same for pings, and for pongs that were not asked for. */
  readonly controls: MessageLimits;
  /** With so many bytes of lines waiting a client is not read from; asked anew each time. */
  readonly maxWaitingBytes: () => number;
  /**
   * Backpressure: asked once before each line is acted on. Where it answers a promise, the client is not
   * read from, and the line waits until it resolves. Must not reject.
   */
  readonly ready?: () => Promise<void> | undefined;
}

/**
 * Listens to an open WebSocket: its lines are acted on one after the other, the first when
 * `joined` is settled. A client that sends faster than it is answered, or than it reads its answers,
 * is not read from meanwhile.
 */
export function listen(
  websocket: ToldWebSocket,
  socket: Duplex,
  connection: Connection,
  joined: Promise<void>,
  parts: SessionParts,
): void {
  const session = new Session(websocket, socket, connection, parts);
  websocket.on('message', (data: Buffer, isBinary: boolean) => session.received(data, isBinary));
  // What the library finds fault with it would close without a word.
  websocket.onFault = (code) => parts.close(connection, closeReason(code));
  websocket.on('ping', (data: Buffer) => session.pinged(data));
  websocket.on('pong', () => session.ponged());
  // What follows it is `close`.
  websocket.on('error', () => {});
  websocket.onClosing = () => session.closing();
  websocket.on('close', () => parts.onGone(connection));
  void joined.then(() => session.work());
}

/** The lines of one client, from the socket to the actions. */
class Session {
  readonly #websocket: ToldWebSocket;
  readonly #socket: Duplex;
  readonly #connection: Connection;
  readonly #parts: SessionParts;
  readonly #waiting: Line[] = [];
  /** Of the lines that wait, and of the one that is acted on. */
  #waitingBytes = 0;
  /** From the beginning: nothing is acted on before the join is settled. */
  #isWorking = true;
  /** Whether the peer has said goodbye: its lines from before are still acted on. */
  #isLeaving = false;
  #performed = 0;
  /** Made with the first line: most clients only listen. */
  #rate: MessageRate | undefined;
  /** Made with the first ping: most clients send none. */
  #controls: MessageRate | undefined;

  constructor(websocket: ToldWebSocket, socket: Duplex, connection: Connection, parts: SessionParts) {
    this.#websocket = websocket;
    this.#socket = socket;
    this.#connection = connection;
    this.#parts = parts;
  }

  received(data: Buffer, isBinary: boolean): void {
    this.#parts.onSeen(this.#connection);
    if (this.#connection.closed) return;
    if (isBinary) {
      this.#parts.close(this.#connection, CLOSE.unsupported);
      return;
    }
    const refusal = this.#tooSoon();
    if (this.#connection.closed) return;
    const bytes = data.length;
    this.#waiting.push({ text: data.toString(), bytes, receivedAtMs: this.#parts.now(), refusal });
    this.#count(bytes);
    if (this.#isFull(1) || isOwed(this.#connection, this.#socket)) this.#websocket.pause();
    if (!this.#isWorking) void this.work();
  }

  /** Not every ping has to be answered (RFC 6455, 5.5.3): only what keeps to a rate and is read. */
  pinged(data: Buffer): void {
    this.#parts.onSeen(this.#connection);
    if (this.#takesControl() && !this.#socket.writableNeedDrain) this.#websocket.pong(data);
  }

  ponged(): void {
    if (!this.#parts.onPong(this.#connection)) this.#takesControl();
  }

  /** The peer is leaving, or is sent away: nothing is to be written any more. */
  closing(): void {
    this.#connection.outbox.discard();
    this.#isLeaving = true;
    if (!this.#isWorking) this.#parts.onGone(this.#connection);
  }

  /** Acts on the lines that wait, one after the other. Never rejects. */
  async work(): Promise<void> {
    this.#isWorking = true;
    for (let line = this.#waiting.shift(); line; line = this.#waiting.shift()) {
      const busy = this.#parts.ready?.();
      if (busy) {
        this.#websocket.pause();
        await busy;
      }
      if (this.#connection.closed) break;
      await this.#perform(line);
      // Replies leave at the end of the turn; one that is never over would collect them without end.
      if (++this.#performed % MOST_WAITING === 0) await nextTurn();
      while (isOwed(this.#connection, this.#socket)) {
        await taken(this.#socket);
        // What waits is written at the end of a turn, which must not wait for this.
        await nextTurn();
      }
      this.#count(-line.bytes);
      if (!this.#isFull(1 / 2)) this.#websocket.resume();
    }
    this.#waiting.length = 0;
    this.#isWorking = false;
    if (this.#isLeaving) this.#parts.onGone(this.#connection);
    // Also where it was closed: the peer's answer to the close frame is still to be read.
    this.#websocket.resume();
  }

  async #perform({ text, receivedAtMs, refusal }: Line): Promise<void> {
    if (refusal) this.#parts.actions.refuse(this.#connection, text, refusal);
    else await this.#parts.actions.perform(this.#connection, text, receivedAtMs);
  }

  /** What is wrong with a line that came too soon; ends the connection where it has gone too far. */
  #tooSoon(): Refusal | undefined {
    this.#rate ??= new MessageRate(this.#parts.limits);
    const verdict = this.#rate.take();
    if (verdict === 'close') this.#parts.close(this.#connection, CLOSE.tooMany);
    return verdict === 'taken' ? undefined : tooFast(this.#rate.waitMs);
  }

  /** Whether a control frame is within its rate; ends the connection where it has gone too far. */
  #takesControl(): boolean {
    if (this.#connection.closed) return false;
    this.#controls ??= new MessageRate(this.#parts.controls);
    const verdict = this.#controls.take();
    if (verdict === 'close') this.#parts.close(this.#connection, CLOSE.tooMany);
    return verdict === 'taken';
  }

  /** The bytes of waiting lines are a part of what the connection keeps in memory. */
  #count(bytes: number): void {
    this.#waitingBytes += bytes;
    this.#connection.outbox.waitForPeer(this.#waitingBytes);
  }

  /** Whether as much waits as may, or that part of it. */
  #isFull(part: number): boolean {
    return (
      this.#waiting.length >= part * MOST_WAITING ||
      this.#waitingBytes >= part * this.#parts.maxWaitingBytes()
    );
  }
}

function tooFast(waitMs: number): Refusal {
  return new Refusal(429, `too many messages (limits.messagesPerSecond): wait ${Math.ceil(waitMs)} ms`);
}

/** Whether the peer has yet to read what it was sent. */
function isOwed(connection: Connection, socket: Duplex): boolean {
  const isOpen = socket.writable && !connection.closed;
  return isOpen && (socket.writableNeedDrain || connection.outbox.isBehind);
}

/** Resolves when the operating system has taken what was written, or the socket is gone. */
function taken(socket: Duplex): Promise<void> {
  return new Promise((resolve) => socket.write('', () => resolve()));
}
