import type { Frame } from './frame.ts';

/** Something that has bytes to write at the end of the turn. */
export interface Flushable {
  flush(): void;
}

/**
 * The frames that a connection is owed in this turn, as a chain from the first to the last.
 * Connections that are owed the same frames in the same order stand at the same link, and so share
 * one joined buffer: twenty events to two thousand members are joined once and written once each.
 */
export class Batch {
  readonly #before: Batch | undefined;
  readonly frame: Frame | undefined;
  readonly count: number;
  #bytes: Buffer | undefined;
  /** What most connections get next; the map holds the others. */
  #next: Batch | undefined;
  #branches: Map<Frame, Batch> | undefined;

  constructor(before?: Batch, frame?: Frame) {
    this.#before = before;
    this.frame = frame;
    this.count = before ? before.count + 1 : 0;
  }

  with(frame: Frame): Batch {
    if (this.#next?.frame === frame) return this.#next;
    const known = this.#branches?.get(frame);
    if (known) return known;
    const batch = new Batch(this, frame);
    if (this.#next) {
      this.#branches ??= new Map();
      this.#branches.set(frame, batch);
    } else {
      this.#next = batch;
    }
    return batch;
  }

  /** All frames of the chain in one buffer. */
  bytes(): Buffer {
    if (!this.#bytes) {
      const parts: Buffer[] = [];
      for (let link: Batch | undefined = this; link?.frame; link = link.#before) parts.push(link.frame.bytes);
      this.#bytes = parts.length === 1 && parts[0] ? parts[0] : Buffer.concat(parts.reverse());
    }
    return this.#bytes;
  }
}

/**
 * One turn of the event loop: whoever has something to write says so once and is called when the
 * turn is over, so that all that became due in it leaves in one write for each socket.
 */
export class Turn {
  #start = new Batch();
  #waiting: Flushable[] = [];

  /** Where the chains of this turn begin. */
  get start(): Batch {
    return this.#start;
  }

  flushLater(outbox: Flushable): void {
    if (this.#waiting.push(outbox) === 1) setImmediate(() => this.#end());
  }

  #end(): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    this.#start = new Batch();
    for (const outbox of waiting) outbox.flush();
  }
}
