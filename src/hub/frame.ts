import type { Transport } from './entries.ts';
import { eventText, type JsonText, type RoomEvent } from './event.ts';

/** How events become the bytes of one transport; a value that `transport/` owns. */
export interface WireFormat {
  readonly name: Transport;
  /** `id` goes where the transport wants it besides the text: SSE has a line for it. */
  encode(text: JsonText, id?: string): Buffer;
}

/** One event in one wire format. Connections that are owed the same event share the object. */
export interface Frame {
  readonly bytes: Buffer;
  /** Set where a newer frame of the same kind may take this one's place before it has left. */
  readonly conflation?: Conflation;
}

export interface Conflation {
  /** Of two frames with the same key only the newer one matters. */
  readonly key: string;
  /** The frame's bytes when it stands for `count` older ones as well. */
  bytesFor(count: number): Buffer;
}

/** An event on its way to many: its text is written once, its bytes once for each wire format. */
export class Encoding {
  readonly #event: RoomEvent;
  readonly #mayConflate: boolean;
  #text: JsonText | undefined;
  /** Nearly everybody in a room uses the same transport. */
  #lastFormat: WireFormat | undefined;
  #lastFrame: Frame | undefined;
  readonly #frames = new Map<WireFormat, Frame>();

  /** `mayConflate`: whether a tick may be replaced by a newer one where the peer is slow. */
  constructor(event: RoomEvent, mayConflate = false) {
    this.#event = event;
    this.#mayConflate = mayConflate;
  }

  in(format: WireFormat): Frame {
    if (format === this.#lastFormat && this.#lastFrame) return this.#lastFrame;
    const frame = this.#frames.get(format) ?? this.#encode(format);
    this.#frames.set(format, frame);
    this.#lastFormat = format;
    this.#lastFrame = frame;
    return frame;
  }

  #encode(format: WireFormat): Frame {
    const event = this.#event;
    this.#text ??= eventText(event);
    const bytes = format.encode(this.#text, event.id);
    if (!event.tick || !this.#mayConflate) return { bytes };
    const key = `${event.room} ${event.tick.schedule}`;
    const bytesFor = (count: number) => format.encode(eventText({ ...event, conflated: count }));
    return { bytes, conflation: { key, bytesFor } };
  }
}
