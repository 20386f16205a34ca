import type { Transport } from './entries.ts';
import { eventText, type JsonText, type RoomEvent } from './event.ts';

/** How events become the bytes of one transport; a value that `transport/` owns. */
export interface WireFormat {
  readonly name: Transport;
  /** `id` goes where the transport wants it besides the text: SSE has a line for it. */
  encode(text: JsonText, id?: string): Buffer;
}

/** A tick of which only the newest matters to who is slow. */
interface Replaceable {
  readonly event: RoomEvent;
  readonly format: WireFormat;
}

/** One event in one wire format. Connections that are owed the same event share the object. */
export class Frame {
  readonly bytes: Buffer;
  readonly #replaceable: Replaceable | undefined;
  #alone: Batch | undefined;

  constructor(bytes: Buffer, replaceable?: Replaceable) {
    this.bytes = bytes;
    this.#replaceable = replaceable;
  }

  /** Of two frames with the same key only the newer one matters; `undefined`: each of them does. */
  get key(): string | undefined {
    const event = this.#replaceable?.event;
    return event && `${event.room} ${event.tick?.schedule}`;
  }

  /** The bytes when it stands for `count` older frames as well. */
  replacing(count: number): Buffer {
    if (!this.#replaceable || count === 0) return this.bytes;
    const { event, format } = this.#replaceable;
    return format.encode(eventText({ ...event, conflated: count }), event.id);
  }

  /** The chain that it begins, one for all who are owed it first. */
  get alone(): Batch {
    this.#alone ??= new Batch(this);
    return this.#alone;
  }
}

/**
 * The frames that a connection is owed in one turn, as a chain from the first to the last.
 * Connections that are owed the same frames in the same order stand at the same link, and so share
 * one joined buffer: twenty events to two thousand members are joined once and written once each.
 */
export class Batch {
  readonly count: number;
  readonly #frame: Frame;
  readonly #before: Batch | undefined;
  #joined: Buffer | undefined;
  /** What most connections get next; the map holds the others. */
  #next: Batch | undefined;
  #branches: Map<Frame, Batch> | undefined;

  constructor(frame: Frame, before?: Batch) {
    this.#frame = frame;
    this.#before = before;
    this.count = before ? before.count + 1 : 1;
  }

  with(frame: Frame): Batch {
    if (this.#next && this.#next.#frame === frame) return this.#next;
    const known = this.#branches?.get(frame);
    if (known) return known;
    const batch = new Batch(frame, this);
    if (this.#next) {
      this.#branches ??= new Map();
      this.#branches.set(frame, batch);
    } else {
      this.#next = batch;
    }
    return batch;
  }

  frames(): Frame[] {
    const frames: Frame[] = [];
    let link: Batch | undefined = this;
    while (link) {
      frames.push(link.#frame);
      link = link.#before;
    }
    return frames.reverse();
  }

  /** All frames of the chain in one buffer. */
  bytes(): Buffer {
    if (this.count === 1) return this.#frame.bytes;
    this.#joined ??= Buffer.concat(this.frames().map(({ bytes }) => bytes));
    return this.#joined;
  }
}

/** An event on its way to many: its text is written once, its bytes once for each wire format. */
export class Encoding {
  readonly #event: RoomEvent;
  readonly #mayConflate: boolean;
  #text: JsonText | undefined;
  /** Nearly everybody in a room uses the same transport. */
  #lastFormat: WireFormat | undefined;
  #lastFrame: Frame | undefined;
  #frames: Map<WireFormat, Frame> | undefined;

  /**
   * `mayConflate`: whether a tick may be replaced by a newer one where the peer is slow. `text`: the
   * event as JSON, where somebody has it already.
   */
  constructor(event: RoomEvent, mayConflate = false, text?: JsonText) {
    this.#event = event;
    this.#mayConflate = mayConflate;
    this.#text = text;
  }

  in(format: WireFormat): Frame {
    if (format === this.#lastFormat && this.#lastFrame) return this.#lastFrame;
    if (this.#lastFormat && this.#lastFrame) {
      this.#frames ??= new Map();
      this.#frames.set(this.#lastFormat, this.#lastFrame);
    }
    this.#lastFormat = format;
    this.#lastFrame = this.#frames?.get(format) ?? this.#encode(format);
    return this.#lastFrame;
  }

  #encode(format: WireFormat): Frame {
    const event = this.#event;
    this.#text ??= eventText(event);
    const bytes = format.encode(this.#text, event.id);
    return event.tick && this.#mayConflate ? new Frame(bytes, { event, format }) : new Frame(bytes);
  }
}
