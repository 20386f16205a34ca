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
}

/** An event on its way to many: its text is written once, its bytes once for each wire format. */
export class Encoding {
  readonly #event: RoomEvent;
  #text: JsonText | undefined;
  readonly #frames = new Map<WireFormat, Frame>();

  constructor(event: RoomEvent) {
    this.#event = event;
  }

  in(format: WireFormat): Frame {
    let frame = this.#frames.get(format);
    if (!frame) {
      this.#text ??= eventText(this.#event);
      frame = { bytes: format.encode(this.#text, this.#event.id) };
      this.#frames.set(format, frame);
    }
    return frame;
  }
}
