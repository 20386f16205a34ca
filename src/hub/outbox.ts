import { CLOSE, type CloseReason } from '../protocol/close-reason.ts';
import type { Flushable, FlushScheduler } from './flush-scheduler.ts';
import type { Batch, Frame, WireFormat } from './frame.ts';
import type { CurrentSettings } from './settings.ts';
import type { SlowConsumers, UnsentQueue } from './slow-consumers.ts';

/** What the hub needs of a socket; one implementation for each transport. */
export interface Sink {
  readonly format: WireFormat;
  /** Bytes that were written and that the operating system has not accepted yet. */
  readonly bufferedBytes: number;
  /** Whole frames only. Does nothing once the socket is gone. */
  write(bytes: Buffer): void;
  /** Calls back once when all that was written has been accepted; never, where the socket is gone first. */
  whenDrained(callback: () => void): void;
  /** Ends the connection after what was written; the peer may be gone already. */
  close(reason: CloseReason): void;
}

/** What all outboxes of a hub share. */
export interface OutboxContext {
  readonly settings: CurrentSettings;
  readonly scheduler: FlushScheduler;
  readonly slowConsumers: SlowConsumers;
  /** Called with the id of a connection whose socket threw: the socket cannot be used any more. */
  readonly onBroken: (connection: string, error: unknown) => void;
  /** Totals since start. */
  readonly totals: { events: number; bytes: number; conflated: number };
}

/** A batch of at most so many bytes is written whole, also where `conflateAboveBytes` is less. */
const SMALL_BATCH_BYTES = 4096;

/** A frame of so many bytes is written by itself: copying it costs more, and other sockets share its bytes. */
const LARGE_FRAME_BYTES = 4096;

/** A frame that waits for its socket, and how many older ticks it has replaced. */
interface Waiting {
  readonly frame: Frame;
  readonly replaced: number;
}

/** What an outbox keeps while its connection joins or its peer does not keep up. */
class Backlog {
  /** Frames that wait for `release`; set by `hold`. */
  held: Frame[] | undefined;
  heldBytes = 0;
  /**
   * Frames by the key of what they replace, in the order in which they will leave; set while the peer does
   * not keep up.
   */
  waiting: Map<unknown, Waiting> | undefined;
  waitingBytes = 0;
  /** Bytes of the peer's own lines that are not acted on yet. */
  inboundBytes = 0;
  /** Whether the sink will call back when it is empty; the next frames are written then. */
  isDraining = false;

  get bytes(): number {
    return this.waitingBytes + this.heldBytes + this.inboundBytes;
  }

  get isNeeded(): boolean {
    return this.waiting !== undefined || this.held !== undefined || this.inboundBytes > 0;
  }
}

/**
 * Bounded send queue of one connection: the only queue between an event and a socket. Frames leave in
 * the order in which they came, those of one event-loop iteration in one write. What is more than
 * `conflateAboveBytes`, and everything while the peer does not keep up, waits here, where a newer tick
 * takes the place of an older one and moves to the end.
 *
 *     push ─▶ batch ── flush ─▶ socket
 *               │ more than the socket should hold
 *               ▼
 *            waiting ── socket is empty ─▶ socket, piece by piece
 *
 * A tick touches all outboxes, so they have few fields: what is rare is in the backlog.
 */
export class Outbox implements Flushable, UnsentQueue {
  /** The connection's id. */
  readonly connection: string;
  readonly format: WireFormat;
  readonly #sink: Sink;
  readonly #context: OutboxContext;
  #batch: Batch | undefined;
  #backlog: Backlog | undefined;
  #isClosed = false;
  /** Events handed to the socket. */
  sent = 0;
  /** Ticks that a newer tick replaced. */
  conflated = 0;

  constructor(connection: string, sink: Sink, context: OutboxContext) {
    this.connection = connection;
    this.format = sink.format;
    this.#sink = sink;
    this.#context = context;
  }

  /**
   * What the operating system has not accepted yet: in the socket, in this iteration's batch, waiting or
   * held back; and the peer's own lines that wait.
   */
  get unsentBytes(): number {
    return (this.#batch?.length ?? 0) + this.#queuedBytes;
  }

  /** `unsentBytes` without the batch, which is written at the end of the iteration. */
  get #queuedBytes(): number {
    return this.#sink.bufferedBytes + (this.#backlog?.bytes ?? 0);
  }

  /** Whether the peer does not keep up. */
  get isBehind(): boolean {
    return this.#backlog?.waiting !== undefined;
  }

  push(frame: Frame): void {
    if (this.#isClosed) return;
    const backlog = this.#backlog;
    if (backlog?.held) {
      backlog.held.push(frame);
      backlog.heldBytes += frame.queuedBytes;
      this.#watch(frame.queuedBytes);
    } else if (backlog?.waiting) {
      this.#wait(backlog, backlog.waiting, frame);
      this.#context.slowConsumers.grew(frame.queuedBytes);
    } else if (this.#batch) {
      this.#batch = this.#batch.with(frame);
      // What is too much for one write waits at once, so that newer ticks replace older ticks meanwhile.
      if (!this.#fitsSocket(this.#batch)) this.#queueBatch(this.#batch);
    } else {
      const { scheduler } = this.#context;
      scheduler.flushLater(this);
      this.#batch = scheduler.batchOf(frame);
    }
  }

  /** So many bytes of the peer's lines wait until the peer reads its replies: they count like unsent bytes. */
  waitForPeer(inboundBytes: number): void {
    if (this.#isClosed) return;
    this.#backlog ??= new Backlog();
    const grownBytes = inboundBytes - this.#backlog.inboundBytes;
    this.#backlog.inboundBytes = inboundBytes;
    this.#watch(grownBytes);
  }

  /** From here on frames are held back until `release`. */
  hold(): void {
    if (this.#isClosed) return;
    this.#backlog ??= new Backlog();
    this.#backlog.held ??= [];
  }

  /** Sends `first`, and behind it what was held back. */
  release(first: readonly Frame[]): void {
    if (this.#isClosed) return;
    const backlog = this.#backlog;
    const held = backlog?.held ?? [];
    if (backlog?.held) {
      backlog.held = undefined;
      backlog.heldBytes = 0;
      this.#watch(0);
    }
    for (const frame of first) this.push(frame);
    for (const frame of held) this.push(frame);
  }

  flush(): number {
    const batch = this.#batch;
    if (batch) {
      if (!this.isBehind && this.#keepsUp && this.#fitsSocket(batch)) {
        this.#batch = undefined;
        this.#write(batch.bytes(), batch.count);
        return batch.length;
      }
      this.#queueBatch(batch);
    }
    return this.#backlog?.waiting && !this.#backlog.isDraining ? this.#drain() : 0;
  }

  /**
   * Writes what is queued and `last` behind it, and ends the connection; for one that is too slow, or has
   * more queued than a connection may have unsent, `last` alone. What is held back never leaves: it belongs
   * behind messages of the log that are not read yet. A client that came back with the id of a message that
   * was held back would never get those before it. Does nothing the second time.
   */
  close(reason: CloseReason, last: Frame): void {
    if (this.#isClosed) return;
    if (this.#batch) this.#queueBatch(this.#batch);
    this.#isClosed = true;
    let queuedBytes = this.#sink.bufferedBytes;
    for (const { frame } of this.#backlog?.waiting?.values() ?? []) queuedBytes += frame.length;
    const isFarBehind = queuedBytes > this.#context.settings.current.limits.maxBufferedBytes;
    if (!isFarBehind && reason.code !== CLOSE.tooSlow.code) this.#writeWaiting(Number.POSITIVE_INFINITY);
    this.#write(last.bytes, 1);
    this.discard();
    this.#use(() => this.#sink.close(reason));
  }

  /** The socket is gone, or about to be: drops what is queued. */
  discard(): void {
    this.#isClosed = true;
    this.#batch = undefined;
    this.#backlog = undefined;
    this.#context.slowConsumers.remove(this);
  }

  /** Asked for each write: mostly nothing waits in the socket, and the settings are not read. */
  get #keepsUp(): boolean {
    const { bufferedBytes } = this.#sink;
    return bufferedBytes === 0 || bufferedBytes <= this.#context.settings.current.limits.conflateAboveBytes;
  }

  /** Whether the batch is no more than a socket should hold. */
  #fitsSocket({ length }: Batch): boolean {
    return length <= SMALL_BATCH_BYTES || length <= this.#context.settings.current.limits.conflateAboveBytes;
  }

  #write(bytes: Buffer, events: number): void {
    const { totals, slowConsumers } = this.#context;
    this.sent += events;
    totals.events += events;
    totals.bytes += bytes.length;
    try {
      this.#sink.write(bytes);
    } catch (error) {
      this.#context.onBroken(this.connection, error);
    }
    const { bufferedBytes } = this.#sink;
    if (bufferedBytes === 0 || this.#isClosed) return;
    slowConsumers.add(this, Math.min(bufferedBytes, bytes.length));
  }

  /** Moves the frames of this iteration's batch to those that wait for the socket. */
  #queueBatch(batch: Batch): void {
    this.#batch = undefined;
    this.#backlog ??= new Backlog();
    const backlog = this.#backlog;
    backlog.waiting ??= new Map();
    const beforeBytes = backlog.waitingBytes;
    for (const frame of batch.frames()) this.#wait(backlog, backlog.waiting, frame);
    this.#watch(backlog.waitingBytes - beforeBytes);
  }

  #wait(backlog: Backlog, waiting: Map<unknown, Waiting>, frame: Frame): void {
    const key = frame.key ?? Symbol();
    const older = waiting.get(key);
    if (older) {
      waiting.delete(key);
      backlog.waitingBytes -= older.frame.queuedBytes;
      this.conflated++;
      this.#context.totals.conflated++;
    }
    waiting.set(key, { frame, replaced: older ? older.replaced + 1 : 0 });
    backlog.waitingBytes += frame.queuedBytes;
  }

  /** The socket gets as much as may wait in it; the rest stays where it can be replaced. */
  #drain(): number {
    const { conflateAboveBytes } = this.#context.settings.current.limits;
    const { bufferedBytes } = this.#sink;
    const hasSpace = bufferedBytes === 0 || bufferedBytes < conflateAboveBytes;
    const bytes = hasSpace ? this.#writeWaiting(Math.max(conflateAboveBytes - bufferedBytes, 1)) : 0;
    // A write that failed may have closed the connection.
    const backlog = this.#backlog;
    if (backlog?.waiting?.size === 0) {
      backlog.waiting = undefined;
      backlog.waitingBytes = 0;
      this.#watch(0);
    } else if (backlog?.waiting) {
      backlog.isDraining = true;
      this.#use(() => this.#sink.whenDrained(() => this.#onDrained()));
    }
    return bytes;
  }

  #onDrained(): void {
    const backlog = this.#backlog;
    if (!backlog) return;
    backlog.isDraining = false;
    const { scheduler, settings } = this.#context;
    if (backlog.waiting) scheduler.refill(this, settings.current.limits.conflateAboveBytes);
  }

  /** Writes frames until they are `maxBytes` or more; returns how many bytes it wrote. */
  #writeWaiting(maxBytes: number): number {
    const backlog = this.#backlog;
    const waiting = backlog?.waiting;
    if (!waiting) return 0;
    let joined: Buffer[] = [];
    let length = 0;
    const writeJoined = () => {
      const [only, ...others] = joined;
      if (only) this.#write(others.length === 0 ? only : Buffer.concat(joined), joined.length);
      joined = [];
    };
    for (const [key, { frame, replaced }] of waiting) {
      if (length >= maxBytes) break;
      const part = frame.replacing(replaced);
      length += part.length;
      backlog.waitingBytes -= frame.queuedBytes;
      waiting.delete(key);
      if (part.length < LARGE_FRAME_BYTES) {
        joined.push(part);
        continue;
      }
      writeJoined();
      this.#write(part, 1);
    }
    writeJoined();
    return length;
  }

  /** To be called when what is queued has changed: while there is something, it counts as unsent. */
  #watch(grownBytes: number): void {
    const { slowConsumers } = this.#context;
    if (this.#backlog && !this.#backlog.isNeeded) this.#backlog = undefined;
    if (this.#queuedBytes === 0 && !this.isBehind) slowConsumers.remove(this);
    else slowConsumers.add(this, grownBytes);
  }

  /** A socket that throws must not keep a flush from the other sockets. */
  #use(act: () => void): void {
    try {
      act();
    } catch (error) {
      this.#context.onBroken(this.connection, error);
    }
  }
}
