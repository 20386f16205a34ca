import type { Duplex } from 'node:stream';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { WebSocket } from 'ws';
import type { Entry } from '../access/admission.ts';
import { type MessageLimits, MessageRate } from '../access/rate-limits.ts';
import type { Clock } from '../clock.ts';
import { Refusal } from '../hub/errors.ts';
import type { WireFormat } from '../hub/frame.ts';
import { CLOSE, type CloseReason, closeReason } from '../protocol/close-reason.ts';
import type { ActionTable } from './action-table.ts';
import { Client, type ClientParts } from './client.ts';
import { websocketFormat } from './wire.ts';

/** How many lines of one client may wait for the one before them, until its socket is paused. */
const MAX_WAITING_LINES = 16;

/** What each read takes that waits for the rest of its frame, beside its bytes: measured with reads of one byte. */
const READ_BYTES = 750;

/** RFC 6455, 5.5: a control frame carries 125 bytes, two of them the code. */
const MAX_REASON_BYTES = 123;

/**
 * How fast a client may send WebSocket pings, and pongs that were not asked for. Not configurable: the
 * protocol needs none of them, and the server's own heartbeat is at most 10 a second.
 */
const CONTROL_FRAMES: MessageLimits = { messagesPerSecond: 10, messageBurst: 100 };

/** What WebSocket clients read of the configuration in force. */
export interface WebSocketSettings {
  readonly limits: MessageLimits & {
    /** With so many bytes of lines waiting a client is not read from. */
    readonly maxPayloadBytes: number;
    readonly maxBufferedBytes: number;
  };
}

export interface WebSocketClientParts extends ClientParts {
  readonly settings: { readonly current: WebSocketSettings };
  readonly clock: Clock;
  readonly actions: Pick<ActionTable, 'perform' | 'refuse'>;
}

/** Hears of everything that happens to one WebSocket. */
export interface WebSocketOwner {
  onMessage(data: Buffer, isBinary: boolean): void;
  onPing(data: Buffer): void;
  onPong(): void;
  /** In place of closing it for a fault: the owner closes with this code and a reason. */
  onFault(code: number): void;
  /** The close frame is about to leave, whichever side began: nothing may be written behind it. */
  onClosing(): void;
  onClose(): void;
}

/** As much of the library's parser as is touched here; its types leave it out. */
interface Receiver {
  /** The reads of a frame that is not complete, and their bytes. */
  readonly _buffers: readonly Buffer[];
  readonly _bufferedBytes: number;
  /** The frames of a message that is not complete, and their bytes. */
  readonly _fragments: readonly Buffer[];
  readonly _messageLength: number;
  startLoop(callback: (error?: Error) => void): void;
  destroy(error: unknown): void;
}

/**
 * Takes frames apart, and ends this connection alone where the parser itself fails: `ws` 8.23 was seen
 * to throw a `TypeError` out of it (`this._mask[0]` of undefined), once in some 6,500 conversations of
 * the fuzzer, which would end the process.
 */
function guardedLoop(this: Receiver, callback: (error?: Error) => void): void {
  try {
    Object.getPrototypeOf(this).startLoop.call(this, callback);
  } catch (error) {
    this.destroy(error);
  }
}

/** A WebSocket that calls one owner in place of any listeners. */
export class OwnedWebSocket extends WebSocket {
  #owner: WebSocketOwner | undefined;
  #isFaulty = false;

  /** To be called when it is open. */
  ownedBy(owner: WebSocketOwner): void {
    this.#owner = owner;
    this.#receiver.startLoop = guardedLoop;
  }

  /** What a message that is not complete keeps in memory. */
  get halfReceivedBytes(): number {
    const { _buffers, _bufferedBytes, _fragments, _messageLength } = this.#receiver;
    return _bufferedBytes + _messageLength + READ_BYTES * (_buffers.length + _fragments.length);
  }

  get #receiver(): Receiver {
    // Made by the library when it opens, and not in its types.
    return (this as unknown as { readonly _receiver: Receiver })._receiver;
  }

  /** The helper would copy every message, and keep its whole context for as long as the socket lives. */
  override on(): this {
    return this;
  }

  override emit(event: string | symbol, ...values: never[]): boolean {
    const owner = this.#owner;
    if (!owner) return false;
    switch (event) {
      case 'message':
        owner.onMessage(...(values as unknown as [Buffer, boolean])); // as the library emits it
        break;
      case 'ping':
        owner.onPing(...(values as unknown as [Buffer])); // likewise
        break;
      case 'pong':
        owner.onPong();
        break;
      case 'close':
        owner.onClose();
        break;
    }
    return true;
  }

  override close(code?: number, reason?: string | Buffer): void {
    // The library gives no reason where it closes for a fault.
    if (code !== undefined && reason === undefined && this.#owner && !this.#isFaulty) {
      this.#isFaulty = true;
      this.#owner.onFault(code);
      return;
    }
    this.#owner?.onClosing();
    super.close(code, reason);
  }
}

/** One line of a client. */
interface Line {
  readonly text: string;
  /** As it was received: a string does not tell its size. */
  readonly bytes: number;
  readonly receivedAtMs: number;
  /** Set where it is not to be acted on. */
  readonly refusal: Refusal | undefined;
}

/**
 * Owner of one open WebSocket. Its lines are acted on one after the other, the first when the join is over.
 * A client that sends faster than it is answered, or than it reads its answers, is not read from meanwhile.
 */
export class WebSocketClient extends Client<WebSocketClientParts> implements WebSocketOwner {
  readonly #websocket: OwnedWebSocket;
  /** Those that wait, in their order; made with the first one, since most clients only listen. */
  #lines: Line[] | undefined;
  /** Of the lines that wait, and of the one that is acted on. */
  #lineBytes = 0;
  /** Of a message that was not complete at the last look. */
  #halfReceivedBytes = 0;
  /** From the beginning: nothing is acted on before the join is over. */
  #isWorking = true;
  /** Whether the peer has begun to close: its lines from before are still acted on. */
  #isLeaving = false;
  #performed = 0;
  /** Made with the first line. */
  #rate: MessageRate | undefined;
  /** Made with the first ping. */
  #controls: MessageRate | undefined;

  /** `websocket` has just opened on `socket`. */
  constructor(websocket: OwnedWebSocket, socket: Duplex, entry: Entry, parts: WebSocketClientParts) {
    super(socket, entry, parts);
    this.#websocket = websocket;
    websocket.ownedBy(this);
    void this.#open(entry);
  }

  get format(): WireFormat {
    return websocketFormat;
  }

  override get isPaused(): boolean {
    return this.#websocket.isPaused;
  }

  ping(): void {
    this.#websocket.ping();
  }

  /** A client may leave a message half sent for as long as it answers pings: it is counted meanwhile. */
  countReceived(): void {
    // At most half of what one connection may have unsent: a slow upload alone is no slow consumer.
    const maxBytes = this.parts.settings.current.limits.maxBufferedBytes / 2;
    const bytes = Math.min(this.#websocket.halfReceivedBytes, maxBytes);
    if (bytes === this.#halfReceivedBytes) return;
    this.#halfReceivedBytes = bytes;
    this.#count(0);
  }

  close(reason: CloseReason): void {
    this.#websocket.close(reason.code, closeText(reason));
  }

  onMessage(data: Buffer, isBinary: boolean): void {
    this.parts.heartbeat.seen(this);
    if (this.connection.closed) return;
    if (isBinary) {
      this.parts.hub.close(this.connection, CLOSE.unsupported);
      return;
    }
    const refusal = this.#tooSoon();
    if (this.connection.closed) return;
    const bytes = data.length;
    this.#lines ??= [];
    this.#halfReceivedBytes = 0;
    this.#lines.push({ text: data.toString(), bytes, receivedAtMs: this.parts.clock.now(), refusal });
    this.#count(bytes);
    if (this.#isFull(1) || this.#hasUnread) this.#websocket.pause();
    if (!this.#isWorking) void this.#work(this.#lines);
  }

  /** Not every ping has to be answered (RFC 6455, 5.5.3): only what keeps to a rate and is read. */
  onPing(data: Buffer): void {
    this.parts.heartbeat.seen(this);
    if (this.#takesControl() && !this.socket.writableNeedDrain) this.#websocket.pong(data);
  }

  onPong(): void {
    if (!this.parts.heartbeat.ponged(this)) this.#takesControl();
  }

  onFault(code: number): void {
    this.parts.hub.close(this.connection, closeReason(code));
  }

  onClosing(): void {
    this.connection.outbox.discard();
    this.#isLeaving = true;
    if (!this.#isWorking) this.disconnect();
  }

  onClose(): void {
    this.end();
  }

  async #open(entry: Entry): Promise<void> {
    await this.join(entry);
    if (this.#lines) await this.#work(this.#lines);
    else this.#rest();
  }

  /** Acts on the lines that wait, one after the other. Never rejects. */
  async #work(lines: Line[]): Promise<void> {
    this.#isWorking = true;
    for (let line = lines.shift(); line; line = lines.shift()) {
      const busy = this.parts.hub.ready();
      if (busy) {
        this.#websocket.pause();
        await busy;
      }
      if (this.connection.closed) break;
      await this.#perform(line);
      // Replies leave at the end of the turn; one that is never over would collect them without end.
      if (++this.#performed % MAX_WAITING_LINES === 0) await nextTurn();
      while (this.#hasUnread) {
        await taken(this.socket);
        // What waits is written at the end of a turn, which must not wait for this.
        await nextTurn();
      }
      this.#count(-line.bytes);
      if (!this.#isFull(1 / 2)) this.#websocket.resume();
    }
    lines.length = 0;
    this.#rest();
  }

  /** No line waits. */
  #rest(): void {
    this.#isWorking = false;
    if (this.#isLeaving) this.disconnect();
    // Also where it was closed: the peer's answer to the close frame is still to be read.
    if (this.#websocket.isPaused) this.#websocket.resume();
  }

  async #perform({ text, receivedAtMs, refusal }: Line): Promise<void> {
    if (refusal) this.parts.actions.refuse(this.connection, text, refusal);
    else await this.parts.actions.perform(this.connection, text, receivedAtMs);
  }

  /** What is wrong with a line that came too soon; closes the connection where it has gone too far. */
  #tooSoon(): Refusal | undefined {
    const { limits } = this.parts.settings.current;
    const now = this.parts.clock.monotonic();
    this.#rate ??= new MessageRate();
    const verdict = this.#rate.take(limits, now);
    if (verdict === 'accepted') return undefined;
    if (verdict === 'close') this.parts.hub.close(this.connection, CLOSE.tooMany);
    const waitMs = Math.ceil(this.#rate.waitMs(limits, now));
    return new Refusal(429, `too many messages (limits.messagesPerSecond): wait ${waitMs} ms`);
  }

  /** Whether a control frame is within its rate; closes the connection where it has gone too far. */
  #takesControl(): boolean {
    if (this.connection.closed) return false;
    this.#controls ??= new MessageRate();
    const verdict = this.#controls.take(CONTROL_FRAMES, this.parts.clock.monotonic());
    if (verdict === 'close') this.parts.hub.close(this.connection, CLOSE.tooMany);
    return verdict === 'accepted';
  }

  /** The bytes of lines that wait, or are not complete, are a part of what the connection keeps in memory. */
  #count(bytes: number): void {
    this.#lineBytes += bytes;
    this.connection.outbox.waitForPeer(this.#lineBytes + this.#halfReceivedBytes);
  }

  /** Whether as much waits as may, or that part of it. */
  #isFull(part: number): boolean {
    const lines = this.#lines?.length ?? 0;
    const { maxPayloadBytes } = this.parts.settings.current.limits;
    return lines >= part * MAX_WAITING_LINES || this.#lineBytes >= part * maxPayloadBytes;
  }

  /** Whether the peer has yet to read what it was sent. */
  get #hasUnread(): boolean {
    const isOpen = this.socket.writable && !this.connection.closed;
    return isOpen && (this.socket.writableNeedDrain || this.connection.outbox.isBehind);
  }
}

/** Resolves when the operating system has taken what was written, or the socket is gone. */
function taken(socket: Duplex): Promise<void> {
  return new Promise((resolve) => socket.write('', () => resolve()));
}

/** As much of the reason as a close frame carries, cut between two characters. */
export function closeText({ reason }: CloseReason): string {
  const bytes = Buffer.from(reason);
  if (bytes.length <= MAX_REASON_BYTES) return reason;
  let end = MAX_REASON_BYTES;
  // Bytes of the form 10xxxxxx continue a character that began before them.
  while (end > 0 && ((bytes[end] ?? 0) & 0b1100_0000) === 0b1000_0000) end--;
  return bytes.subarray(0, end).toString();
}
