import type { Duplex } from 'node:stream';
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Admission, AdmittedClient } from '../access/admission.ts';
import { type MessageLimits, MessageRate } from '../access/rate-limits.ts';
import type { Clock } from '../clock.ts';
import { Refusal } from '../hub/errors.ts';
import type { WireFormat } from '../hub/frame.ts';
import type { Limits } from '../limits.ts';
import { CLOSE, type CloseReason, closeReason } from '../protocol/close-reason.ts';
import type { ActionTable } from './action-table.ts';
import { Client, type ClientParts } from './client.ts';
import { type OwnedWebSocket, type UpgradeParts, type WebSocketOwner, websocketUpgrades } from './node-ws.ts';
import { UpgradeGate, type UpgradeGateParts } from './upgrade-gate.ts';

/** A client's socket is paused while so many of its lines wait for the line before them. */
const MAX_WAITING_LINES = 16;

/** RFC 6455, 5.5: a control frame carries 125 bytes, two of them the code. */
const MAX_REASON_BYTES = 123;

/**
 * How fast a client may send WebSocket pings, and pongs that answer no ping. Not configurable: the
 * protocol needs none of them, and the server's own heartbeat is at most 10 a second.
 */
const CONTROL_FRAMES: MessageLimits = { messagesPerSecond: 10, messageBurst: 100 };

/** What WebSocket clients read of the configuration in force. */
export interface WebSocketSettings {
  /** A client's socket is paused while `maxPayloadBytes` of its lines wait. */
  readonly limits: MessageLimits & Pick<Limits, 'maxPayloadBytes' | 'maxBufferedBytes'>;
}

export interface WebSocketClientParts extends ClientParts {
  readonly settings: { readonly current: WebSocketSettings };
  readonly clock: Clock;
  readonly actions: Pick<ActionTable, 'perform' | 'refuse'>;
}

/** One line of a client. */
interface Line {
  readonly text: string;
  /** The size of the line in UTF-8, as it was received. */
  readonly bytes: number;
  readonly receivedAtMs: number;
  /** Set where the reply is this refusal, in place of the action. */
  readonly refusal: Refusal | undefined;
}

/**
 * Owner of one open WebSocket. Its lines are acted on one after the other, the first when the join is over.
 * The socket of a client that sends faster than it is answered, or reads its replies too slowly, is paused.
 */
export class WebSocketClient extends Client<WebSocketClientParts> implements WebSocketOwner {
  readonly #websocket: OwnedWebSocket;
  /** The queue of lines; made with the first line, since most clients only listen. */
  #lines: Line[] | undefined;
  /** Bytes of the lines in the queue, and of the line that is acted on. */
  #lineBytes = 0;
  /** Bytes of an incomplete message, when the heartbeat last looked. */
  #incompleteBytes = 0;
  /** True at first, so that no line is acted on before the join is over. */
  #isWorking = true;
  /** Whether the close frame is on its way: the lines in the queue are still acted on. */
  #isLeaving = false;
  #performed = 0;
  /** Made with the first line. */
  #rate: MessageRate | undefined;
  /** Made with the first ping. */
  #controls: MessageRate | undefined;

  /** `websocket` has just opened on `socket`. */
  constructor(websocket: OwnedWebSocket, socket: Duplex, entry: AdmittedClient, parts: WebSocketClientParts) {
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

  /** A client may leave a message incomplete for as long as it answers pings, so its bytes are counted. */
  countReceived(): void {
    // At most half of what one connection may have unsent: a slow upload alone is no slow consumer.
    const maxBytes = this.parts.settings.current.limits.maxBufferedBytes / 2;
    const bytes = Math.min(this.#websocket.incompleteBytes, maxBytes);
    if (bytes === this.#incompleteBytes) return;
    this.#incompleteBytes = bytes;
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
    const refusal = this.#rateRefusal();
    if (this.connection.closed) return;
    const bytes = data.length;
    this.#lines ??= [];
    this.#incompleteBytes = 0;
    this.#lines.push({ text: data.toString(), bytes, receivedAtMs: this.parts.clock.now(), refusal });
    this.#count(bytes);
    if (this.#isFull(1) || this.#hasUnread) this.#websocket.pause();
    if (!this.#isWorking) void this.#work(this.#lines);
  }

  /** Pings above the rate, and those of a client that does not read, get no pong (RFC 6455, 5.5.3). */
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

  async #open(entry: AdmittedClient): Promise<void> {
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
      // Replies leave at the end of an iteration of the event loop, which a long queue must let come.
      if (++this.#performed % MAX_WAITING_LINES === 0) await nextTurn();
      while (this.#hasUnread) {
        await written(this.socket);
        // The send queue is written at the end of an iteration, which must not wait for this client.
        await nextTurn();
      }
      this.#count(-line.bytes);
      if (!this.#isFull(1 / 2)) this.#websocket.resume();
    }
    lines.length = 0;
    this.#rest();
  }

  /** To be called when no line waits any more. */
  #rest(): void {
    this.#isWorking = false;
    if (this.#isLeaving) this.disconnect();
    // Also where the connection was closed: the peer's answer to the close frame is still to be read.
    if (this.#websocket.isPaused) this.#websocket.resume();
  }

  async #perform({ text, receivedAtMs, refusal }: Line): Promise<void> {
    if (refusal) this.parts.actions.refuse(this.connection, text, refusal);
    else await this.parts.actions.perform(this.connection, text, receivedAtMs);
  }

  /** Counts a line. Returns the 429 for a line above the rate; closes the connection far above the rate. */
  #rateRefusal(): Refusal | undefined {
    const { limits } = this.parts.settings.current;
    const now = this.parts.clock.monotonic();
    this.#rate ??= new MessageRate();
    const verdict = this.#rate.take(limits, now);
    if (verdict === 'accepted') return undefined;
    if (verdict === 'close') this.parts.hub.close(this.connection, CLOSE.tooMany);
    const waitMs = Math.ceil(this.#rate.waitMs(limits, now));
    return new Refusal(429, `too many messages (limits.messagesPerSecond): wait ${waitMs} ms`);
  }

  /**
   * Counts a control frame. Returns whether it is within the rate; closes the connection far above the rate.
   */
  #takesControl(): boolean {
    if (this.connection.closed) return false;
    this.#controls ??= new MessageRate();
    const verdict = this.#controls.take(CONTROL_FRAMES, this.parts.clock.monotonic());
    if (verdict === 'close') this.parts.hub.close(this.connection, CLOSE.tooMany);
    return verdict === 'accepted';
  }

  /** Adds to the bytes of lines. Bytes of lines and of an incomplete message count as unsent bytes do. */
  #count(bytes: number): void {
    this.#lineBytes += bytes;
    this.connection.outbox.waitForPeer(this.#lineBytes + this.#incompleteBytes);
  }

  /** Whether the queue is filled to that part of its bounds; 1: completely. */
  #isFull(part: number): boolean {
    const lines = this.#lines?.length ?? 0;
    const { maxPayloadBytes } = this.parts.settings.current.limits;
    return lines >= part * MAX_WAITING_LINES || this.#lineBytes >= part * maxPayloadBytes;
  }

  /** Whether the peer has not read everything that it was sent. */
  get #hasUnread(): boolean {
    const isOpen = this.socket.writable && !this.connection.closed;
    return isOpen && (this.socket.writableNeedDrain || this.connection.outbox.isBehind);
  }
}

/** Resolves when everything before was handed to the operating system, or the socket is gone. */
function written(socket: Duplex): Promise<void> {
  return new Promise((resolve) => socket.write('', () => resolve()));
}

export interface WebSocketGateParts {
  readonly admission: Pick<Admission, 'isOpen' | 'enter'>;
  readonly clients: WebSocketClientParts & UpgradeParts;
  readonly onRefused: UpgradeGateParts['onRefused'];
}

/** The gate of a server whose WebSockets each get a `WebSocketClient`. */
export function webSocketGate({ admission, clients, onRefused }: WebSocketGateParts): UpgradeGate {
  const accept = websocketUpgrades(clients, (websocket, { socket, entry }) =>
    // The server may have been stopped since the client was admitted.
    admission.isOpen ? new WebSocketClient(websocket, socket, entry, clients) : undefined,
  );
  return new UpgradeGate({ admission, accept, onRefused, onFault: clients.onFault });
}

/** As much of the reason as a close frame can carry, cut between two characters. */
export function closeText({ reason }: CloseReason): string {
  const bytes = Buffer.from(reason);
  if (bytes.length <= MAX_REASON_BYTES) return reason;
  let end = MAX_REASON_BYTES;
  // Bytes of the form 10xxxxxx continue a character that began before them.
  while (end > 0 && ((bytes[end] ?? 0) & 0b1100_0000) === 0b1000_0000) end--;
  return bytes.subarray(0, end).toString();
}

const FIN_AND_TEXT = 0x81;
/** Up to here a length fits in the second byte; 126 and 127 say that 2 or 8 bytes follow. */
const MAX_IN_7_BITS = 125;
const MAX_IN_16_BITS = 0xffff;

/**
 * A whole text frame of RFC 6455, section 5.2. A server's frames carry no mask, so the same bytes
 * serve every socket.
 */
export const websocketFormat: WireFormat = {
  name: 'websocket',
  length: (textBytes) => headerLength(textBytes) + textBytes,
  encode(text) {
    const length = Buffer.byteLength(text);
    const header = headerLength(length);
    const frame = Buffer.allocUnsafe(header + length);
    frame[0] = FIN_AND_TEXT;
    if (header === 2) {
      frame[1] = length;
    } else if (header === 4) {
      frame[1] = 126;
      frame.writeUInt16BE(length, 2);
    } else {
      frame[1] = 127;
      frame.writeBigUInt64BE(BigInt(length), 2);
    }
    frame.write(text, header, 'utf8');
    return frame;
  },
};

function headerLength(textBytes: number): number {
  if (textBytes <= MAX_IN_7_BITS) return 2;
  return textBytes <= MAX_IN_16_BITS ? 4 : 10;
}
