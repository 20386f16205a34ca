import type { BufferLimits } from './slow-consumers.ts';
import type { RoomEvent } from './event.ts';
import { Encoding, type EncodingOptions, type Frame, type WireFormat } from './frame.ts';

/**
 * What an event takes beside its bytes: objects, map entries, its text, and the rest of the pool that its
 * bytes hold on to. Measured with 40,000 ticks of 300 bytes; 500 let them take three times the bound below.
 */
const OVERHEAD_BYTES = 3000;

/** What the frames that are kept may take, in bytes: enough for twenty ticks of 10 KB in a hundred rooms. */
const MAX_BYTES = 32 * 1024 * 1024;

/** And this part of `totalBufferedBytes`, in which they are counted: connections need the rest. */
const MAX_PART = 1 / 8;

/**
 * Frames of events that are sent again to clients that join, so that a storm of them encodes each
 * event once per wire format. Those used first go first.
 */
export class ReplayFrames {
  readonly #encodings = new Map<RoomEvent, { encoding: Encoding; bytes: number }>();
  readonly #limits: Pick<BufferLimits, 'totalBufferedBytes'>;
  #bytes = 0;

  constructor(limits: Pick<BufferLimits, 'totalBufferedBytes'>) {
    this.#limits = limits;
  }

  /** What they take, in bytes. */
  get bytes(): number {
    return this.#bytes;
  }

  /** The frame of a message or a current tick, with `replay`. The same event gives the same frame. */
  of(event: RoomEvent, format: WireFormat, options?: EncodingOptions): Frame {
    const known = this.#encodings.get(event);
    if (known) return known.encoding.in(format);
    const replayed: RoomEvent = event.replay ? event : { ...event, replay: true };
    const encoding = new Encoding(replayed, options);
    const frame = encoding.in(format);
    this.#keep(event, encoding, frame.length + OVERHEAD_BYTES);
    return frame;
  }

  #keep(event: RoomEvent, encoding: Encoding, bytes: number): void {
    this.#encodings.set(event, { encoding, bytes });
    this.#bytes += bytes;
    const maxBytes = Math.min(MAX_BYTES, this.#limits.totalBufferedBytes * MAX_PART);
    for (const [oldest, kept] of this.#encodings) {
      if (this.#bytes <= maxBytes) return;
      this.#encodings.delete(oldest);
      this.#bytes -= kept.bytes;
    }
  }
}
