import type { CloseReason } from './close-reason.ts';
import type { Congestion } from './congestion.ts';
import type { Batch, Frame, WireFormat } from './frame.ts';
import type { Flushable, Turn } from './turn.ts';

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
  readonly turn: Turn;
  readonly congestion: Congestion;
  /** Hears of a socket that threw: it is of no use any more, and nobody else's concern. */
  readonly onBroken: (connection: string, error: unknown) => void;
  /** Totals since start. */
  readonly totals: { events: number; bytes: number; conflated: number };
}

/** A frame that waits for its socket, and how many older ones it has replaced. */
interface Waiting {
  readonly frame: Frame;
  readonly replaced: number;
}

/**
 * What one connection is owed: the only queue between an event and a socket. Frames leave in the
 * order in which they came, those of one turn in one write. While the peer does not keep up they
 * wait here, where a newer tick takes the place of an older one and moves to the end.
 */
export class Outbox implements Flushable {
  readonly connection: string;
  readonly #sink: Sink;
  readonly #delivering: Delivering;
  #batch: Batch | undefined;
  #held: Frame[] | undefined;
  #heldBytes = 0;
  /** In the order in which they will leave; set while the peer does not keep up. */
  #waiting: Map<unknown, Waiting> | undefined;
  #waitingBytes = 0;
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

  /** What is owed and was not taken by the operating system yet, and what waits of the peer itself. */
  get unsentBytes(): number {
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
      this.#heldBytes += frame.bytes.length;
      this.#watch();
    } else if (this.#waiting) {
      this.#wait(this.#waiting, frame);
    } else {
      if (!this.#batch) this.#delivering.turn.flushLater(this);
      this.#batch = this.#batch ? this.#batch.with(frame) : frame.alone;
    }
  }

  /** So many bytes of the peer's lines wait until it reads its replies: they count like what is owed. */
  waitForPeer(inboundBytes: number): void {
    if (!this.#isOpen) return;
    this.#inboundBytes = inboundBytes;
    this.#watch();
  }

  /** From here on frames are kept back, until `release` says what comes before them. */
  hold(): void {
    this.#held ??= [];
  }

  release(first: readonly Frame[]): void {
    const held = this.#held ?? [];
    this.#forgetHeld();
    for (const frame of first) this.push(frame);
    for (const frame of held) this.push(frame);
  }

  flush(): void {
    const batch = this.#batch;
    if (!batch) return;
    this.#batch = undefined;
    if (this.#keepsUp) {
      this.#write(batch.bytes(), batch.count);
    } else {
      this.#fallBehind(batch.frames());
    }
  }

  /**
   * Writes what is owed and `last` behind it, and ends the connection; where more is owed than a
   * connection may be, `last` alone. What is held back never leaves: it belongs behind messages that
   * are not here yet, and whoever came back with the id of one of them would miss those for ever.
   * Does nothing the second time.
   */
  close(reason: CloseReason, last: Frame): void {
    if (!this.#isOpen) return;
    this.#forgetHeld();
    if (this.unsentBytes > this.#delivering.congestion.limits.maxBufferedBytes) this.#forgetWaiting();
    this.push(last);
    this.flush();
    if (this.#waiting) this.#writeWaiting(Number.POSITIVE_INFINITY);
    this.discard();
    this.#use(() => this.#sink.close(reason));
  }

  /** The socket is gone, or about to be: what is owed is dropped. */
  discard(): void {
    this.#isOpen = false;
    this.#inboundBytes = 0;
    this.#batch = undefined;
    this.#forgetHeld();
    this.#forgetWaiting();
  }

  /** Asked for each write, so a limit is looked up only where something waits at all. */
  get #keepsUp(): boolean {
    const { bufferedBytes } = this.#sink;
    return bufferedBytes === 0 || bufferedBytes <= this.#delivering.congestion.limits.conflateAboveBytes;
  }

  #write(bytes: Buffer, events: number): void {
    const { totals } = this.#delivering;
    this.sent += events;
    totals.events += events;
    totals.bytes += bytes.length;
    this.#use(() => this.#sink.write(bytes));
  }

  #fallBehind(frames: readonly Frame[]): void {
    const waiting = new Map<unknown, Waiting>();
    this.#waiting = waiting;
    for (const frame of frames) this.#wait(waiting, frame);
    this.#watch();
    this.#use(() => this.#sink.whenTaken(() => this.#onTaken()));
  }

  #wait(waiting: Map<unknown, Waiting>, frame: Frame): void {
    const key = frame.key ?? Symbol();
    const older = waiting.get(key);
    if (older) {
      waiting.delete(key);
      this.#waitingBytes -= older.frame.bytes.length;
      this.conflated++;
      this.#delivering.totals.conflated++;
    }
    waiting.set(key, { frame, replaced: older ? older.replaced + 1 : 0 });
    this.#waitingBytes += frame.bytes.length;
  }

  /** The socket is empty: it gets as much as may wait in it, the rest stays where it can be replaced. */
  #onTaken(): void {
    if (!this.#waiting) return;
    const { limits } = this.#delivering.congestion;
    this.#writeWaiting(Math.max(limits.conflateAboveBytes, 1));
    if (this.#waiting?.size === 0) this.#forgetWaiting();
    else if (this.#waiting) this.#use(() => this.#sink.whenTaken(() => this.#onTaken()));
  }

  #writeWaiting(bytes: number): void {
    const parts: Buffer[] = [];
    let length = 0;
    for (const [key, { frame, replaced }] of this.#waiting ?? []) {
      if (length >= bytes) break;
      const part = frame.replacing(replaced);
      parts.push(part);
      length += part.length;
      this.#waitingBytes -= frame.bytes.length;
      this.#waiting?.delete(key);
    }
    if (parts.length > 0) this.#write(Buffer.concat(parts), parts.length);
  }

  #forgetHeld(): void {
    this.#held = undefined;
    this.#heldBytes = 0;
    this.#watch();
  }

  #forgetWaiting(): void {
    this.#waiting = undefined;
    this.#waitingBytes = 0;
    this.#watch();
  }

  /** What waits here is watched over, whichever side it waits for: the peer or the log. */
  #watch(): void {
    const { congestion } = this.#delivering;
    if (this.#waiting || this.#held?.length || this.#inboundBytes > 0) congestion.add(this);
    else congestion.remove(this);
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
