import { CLOSE, type CloseReason } from './close-reason.ts';
import type { Flushable, FlushScheduler } from './flush-scheduler.ts';
import type { Batch, Frame, WireFormat } from './frame.ts';
import type { SlowConsumers } from './slow-consumers.ts';

/** What the hub needs of a socket; one implementation for each transport. */
export interface Sink {
  readonly format: WireFormat;
  /** Bytes that were written and that the operating system has not taken yet. */
  readonly bufferedBytes: number;
  /** Whole frames only. Does nothing once the socket is gone. */
  write(bytes: Buffer): void;
  /** Calls back once when all that was written has been taken; never, where the socket is gone first. */
  whenTaken(callback: () => void): void;
  /** Ends the connection after what was written; the peer may be gone already. */
  close(reason: CloseReason): void;
}

/** What all outboxes of a hub share. */
export interface Delivering {
  readonly turn: FlushScheduler;
  readonly congestion: SlowConsumers;
  /** Hears of a socket that threw: it is of no use any more, and nobody else's concern. */
  readonly onBroken: (connection: string, error: unknown) => void;
  /** Totals since start. */
  readonly totals: { events: number; bytes: number; conflated: number };
}

/**
 * A batch below this is written whole without a look at `conflateAboveBytes`, which is asked for in a
 * settings object: nearly every batch is one small frame.
 */
const SMALL_BATCH_BYTES = 4096;

/** From here on a frame is written by itself: copying it would cost more, and others share its bytes. */
const LARGE_FRAME_BYTES = 4096;

/** A frame that waits for its socket, and how many older ones it has replaced. */
interface Waiting {
  readonly frame: Frame;
  readonly replaced: number;
}

/**
 * Bounded send queue of one connection: the only queue between an event and a socket. Frames leave in
 * the order in which they came, those of one turn in one write. What is more than
 * `conflateAboveBytes`, and everything while the peer does not keep up, waits here, where a newer tick
 * takes the place of an older one and moves to the end.
 *
 *     push ─▶ batch ── flush ─▶ socket
 *               │ more than the socket should hold
 *               ▼
 *            waiting ── socket is empty ─▶ socket, piece by piece
 */
export class Outbox implements Flushable {
  readonly connection: string;
  readonly #sink: Sink;
  readonly #delivering: Delivering;
  #batch: Batch | undefined;
  #batchBytes = 0;
  #held: Frame[] | undefined;
  #heldBytes = 0;
  /** In the order in which they will leave; set while the peer does not keep up. */
  #waiting: Map<unknown, Waiting> | undefined;
  #waitingBytes = 0;
  /** Whether the sink will call back when it is empty, and the next piece follows then. */
  #isDraining = false;
  #isOpen = true;
  /** Events handed to the socket. */
  sent = 0;
  /** Ticks that a newer one replaced. */
  conflated = 0;
  #inboundBytes = 0;

  constructor(connection: string, sink: Sink, delivering: Delivering) {
    this.connection = connection;
    this.#sink = sink;
    this.#delivering = delivering;
  }

  get format(): WireFormat {
    return this.#sink.format;
  }

  /**
   * What the operating system has not taken yet: in the socket, in this turn's batch, waiting or held
   * back; and what waits of the peer's own lines.
   */
  get unsentBytes(): number {
    return this.#batchBytes + this.#queuedBytes;
  }

  /** The same without this turn's batch, which is written when the turn is over. */
  get #queuedBytes(): number {
    return this.#sink.bufferedBytes + this.#waitingBytes + this.#heldBytes + this.#inboundBytes;
  }

  /** Whether the peer does not keep up. */
  get isBehind(): boolean {
    return this.#waiting !== undefined;
  }

  push(frame: Frame): void {
    if (!this.#isOpen) return;
    if (this.#held) {
      this.#held.push(frame);
      this.#heldBytes += frame.queuedBytes;
      this.#watch(frame.queuedBytes);
    } else if (this.#waiting) {
      this.#wait(this.#waiting, frame);
      this.#delivering.congestion.grew(frame.queuedBytes);
    } else {
      const { turn } = this.#delivering;
      if (!this.#batch) turn.flushLater(this);
      this.#batch = this.#batch ? this.#batch.with(frame) : turn.batchOf(frame);
      this.#batchBytes += frame.length;
      // What is too much for one write waits at once, so that newer ticks replace older ones meanwhile.
      if (this.#batchBytes > SMALL_BATCH_BYTES && this.#batch.count > 1 && !this.#fitsSocket)
        this.#queueBatch();
    }
  }

  /** So many bytes of the peer's lines wait until it reads its replies: they count like unsent ones. */
  waitForPeer(inboundBytes: number): void {
    if (!this.#isOpen) return;
    const grown = inboundBytes - this.#inboundBytes;
    this.#inboundBytes = inboundBytes;
    this.#watch(grown);
  }

  /** From here on frames are kept back, until `release` says what comes before them. */
  hold(): void {
    this.#held ??= [];
  }

  release(first: readonly Frame[]): void {
    if (!this.#isOpen) return;
    const held = this.#held ?? [];
    this.#forgetHeld();
    for (const frame of first) this.push(frame);
    for (const frame of held) this.push(frame);
  }

  flush(): number {
    const batch = this.#batch;
    if (batch) {
      const bytes = this.#batchBytes;
      if (!this.#waiting && this.#keepsUp && (bytes <= SMALL_BATCH_BYTES || this.#fitsSocket)) {
        this.#batch = undefined;
        this.#batchBytes = 0;
        this.#write(batch.bytes(), batch.count);
        return bytes;
      }
      this.#queueBatch();
    }
    if (!this.#waiting || this.#isDraining) return 0;
    const { totals } = this.#delivering;
    const { bytes: before } = totals;
    this.#drain();
    return totals.bytes - before;
  }

  /**
   * Writes what is queued and `last` behind it, and ends the connection; for one that is too slow, or has
   * more queued than a connection may have unsent, `last` alone. What is held back never leaves: it belongs behind messages
   * that are not here yet, and a client that came back with the id of one of them would miss those for
   * ever. Does nothing the second time.
   */
  close(reason: CloseReason, last: Frame): void {
    if (!this.#isOpen) return;
    this.#forgetHeld();
    if (this.#batch) this.#queueBatch();
    const { maxBufferedBytes } = this.#delivering.congestion.limits;
    const isFarBehind = this.#sink.bufferedBytes + this.#waitingLength() > maxBufferedBytes;
    if (isFarBehind || reason.code === CLOSE.tooSlow.code) this.#forgetWaiting();
    if (this.#waiting) this.#writeWaiting(Number.POSITIVE_INFINITY);
    this.#write(last.bytes, 1);
    this.discard();
    this.#use(() => this.#sink.close(reason));
  }

  /** The socket is gone, or about to be: what is queued is dropped. */
  discard(): void {
    this.#isOpen = false;
    this.#inboundBytes = 0;
    this.#batch = undefined;
    this.#batchBytes = 0;
    this.#held = undefined;
    this.#heldBytes = 0;
    this.#waiting = undefined;
    this.#waitingBytes = 0;
    this.#delivering.congestion.remove(this);
  }

  /** Asked for each write, so a limit is looked up only where something waits at all. */
  get #keepsUp(): boolean {
    const { bufferedBytes } = this.#sink;
    return bufferedBytes === 0 || bufferedBytes <= this.#delivering.congestion.limits.conflateAboveBytes;
  }

  /** Whether the batch is no more than a socket should hold. */
  get #fitsSocket(): boolean {
    return this.#batchBytes <= this.#delivering.congestion.limits.conflateAboveBytes;
  }

  #write(bytes: Buffer, events: number): void {
    const { totals, congestion } = this.#delivering;
    this.sent += events;
    totals.events += events;
    totals.bytes += bytes.length;
    this.#use(() => this.#sink.write(bytes));
    const { bufferedBytes } = this.#sink;
    if (bufferedBytes === 0 || !this.#isOpen) return;
    congestion.add(this);
    congestion.grew(Math.min(bufferedBytes, bytes.length));
  }

  /** What was to leave in this turn waits for its place in the socket. */
  #queueBatch(): void {
    const frames = this.#batch?.frames() ?? [];
    this.#batch = undefined;
    this.#batchBytes = 0;
    this.#waiting ??= new Map();
    const before = this.#waitingBytes;
    for (const frame of frames) this.#wait(this.#waiting, frame);
    this.#watch(this.#waitingBytes - before);
  }

  #wait(waiting: Map<unknown, Waiting>, frame: Frame): void {
    const key = frame.key ?? Symbol();
    const older = waiting.get(key);
    if (older) {
      waiting.delete(key);
      this.#waitingBytes -= older.frame.queuedBytes;
      this.conflated++;
      this.#delivering.totals.conflated++;
    }
    waiting.set(key, { frame, replaced: older ? older.replaced + 1 : 0 });
    this.#waitingBytes += frame.queuedBytes;
  }

  /** The socket gets as much as may wait in it; the rest stays where it can be replaced. */
  #drain(): void {
    this.#isDraining = false;
    if (!this.#waiting) return;
    const { conflateAboveBytes } = this.#delivering.congestion.limits;
    const { bufferedBytes } = this.#sink;
    if (bufferedBytes === 0 || bufferedBytes < conflateAboveBytes) {
      this.#writeWaiting(Math.max(conflateAboveBytes - bufferedBytes, 1));
    }
    if (this.#waiting?.size === 0) {
      this.#forgetWaiting();
    } else if (this.#waiting) {
      this.#isDraining = true;
      this.#use(() => this.#sink.whenTaken(() => this.#onTaken()));
    }
  }

  /** The socket has room again. */
  #onTaken(): void {
    this.#isDraining = false;
    const { turn, congestion } = this.#delivering;
    if (this.#waiting) turn.refill(this, congestion.limits.conflateAboveBytes);
  }

  #writeWaiting(bytes: number): void {
    let joined: Buffer[] = [];
    let length = 0;
    const writeJoined = () => {
      const [only, ...others] = joined;
      if (only) this.#write(others.length === 0 ? only : Buffer.concat(joined), joined.length);
      joined = [];
    };
    for (const [key, { frame, replaced }] of this.#waiting ?? []) {
      if (length >= bytes) break;
      const part = frame.replacing(replaced);
      length += part.length;
      this.#waitingBytes -= frame.queuedBytes;
      this.#waiting?.delete(key);
      if (part.length < LARGE_FRAME_BYTES) {
        joined.push(part);
        continue;
      }
      writeJoined();
      this.#write(part, 1);
    }
    writeJoined();
  }

  /** What waits, in bytes on the wire. */
  #waitingLength(): number {
    let length = 0;
    for (const { frame } of this.#waiting?.values() ?? []) length += frame.length;
    return length;
  }

  #forgetHeld(): void {
    this.#held = undefined;
    this.#heldBytes = 0;
    this.#watch(0);
  }

  #forgetWaiting(): void {
    this.#waiting = undefined;
    this.#waitingBytes = 0;
    this.#watch(0);
  }

  /** What is queued here is counted, whichever side it waits for: the peer or the log. */
  #watch(grownBytes: number): void {
    if (!this.#isOpen) return;
    const { congestion } = this.#delivering;
    if (this.#queuedBytes === 0 && !this.#waiting) {
      congestion.remove(this);
      return;
    }
    congestion.add(this);
    if (grownBytes > 0) congestion.grew(grownBytes);
  }

  /** A socket that throws must not end the round in which others get theirs. */
  #use(act: () => void): void {
    try {
      act();
    } catch (error) {
      this.#delivering.onBroken(this.connection, error);
    }
  }
}
