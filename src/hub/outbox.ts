import type { CloseReason } from './close-reason.ts';
import type { Frame, WireFormat } from './frame.ts';
import type { Batch, Flushable, Turn } from './turn.ts';

/** What the hub needs of a socket; one implementation for each transport. */
export interface Sink {
  readonly format: WireFormat;
  /** Bytes that the peer has not taken yet. */
  readonly bufferedBytes: number;
  /** Whole frames only. Does nothing once the socket is gone. */
  write(bytes: Buffer): void;
  /** Ends the connection after what was written; the peer may be gone already. */
  close(reason: CloseReason): void;
}

/**
 * What one connection is owed: the only queue between an event and a socket. Frames leave in the
 * order in which they came, those of one turn in one write.
 */
export class Outbox implements Flushable {
  readonly #sink: Sink;
  readonly #turn: Turn;
  #batch: Batch | undefined;
  #held: Frame[] | undefined;
  #open = true;
  /** Events handed to the socket. */
  sent = 0;

  constructor(sink: Sink, turn: Turn) {
    this.#sink = sink;
    this.#turn = turn;
  }

  get format(): WireFormat {
    return this.#sink.format;
  }

  get bufferedBytes(): number {
    return this.#sink.bufferedBytes;
  }

  push(frame: Frame): void {
    if (this.#held) {
      this.#held.push(frame);
    } else if (this.#open) {
      if (!this.#batch) {
        this.#batch = this.#turn.start;
        this.#turn.flushLater(this);
      }
      this.#batch = this.#batch.with(frame);
    }
  }

  /** From here on frames wait, until `release` says what comes before them. */
  hold(): void {
    this.#held ??= [];
  }

  release(first: readonly Frame[]): void {
    const held = this.#held ?? [];
    this.#held = undefined;
    for (const frame of first) this.push(frame);
    for (const frame of held) this.push(frame);
  }

  flush(): void {
    const batch = this.#batch;
    if (!batch) return;
    this.#batch = undefined;
    this.sent += batch.count;
    this.#sink.write(batch.bytes());
  }

  /** Writes what is owed, `last` behind it, and ends the connection. Does nothing the second time. */
  close(reason: CloseReason, last: Frame): void {
    if (!this.#open) return;
    this.release([]);
    this.push(last);
    this.flush();
    this.#open = false;
    this.#sink.close(reason);
  }

  /** The socket is gone: what is owed is dropped. */
  discard(): void {
    this.#open = false;
    this.#held = undefined;
    this.#batch = undefined;
  }
}
