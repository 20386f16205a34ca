import type { Transport } from '../protocol/event.ts';
import type { JsonText, RoomEvent } from './event.ts';
import type { CurrentSettings } from './settings.ts';

export type { Transport };

/** The JSON of an event, as clients get it. */
export function eventText(event: RoomEvent): JsonText {
  return sizedText(event, 0).text;
}

/** An event as JSON, and how many bytes of UTF-8 that is. */
export interface SizedText {
  readonly text: JsonText;
  readonly bytes: number;
}

/** The JSON of an event with its size. `dataBytes`: the size of `data`, where it is known already. */
export function sizedText(
  event: RoomEvent,
  dataBytes = event.data === undefined ? 0 : Buffer.byteLength(event.data),
): SizedText {
  const { data, tick, ...head } = event;
  const headText = JSON.stringify(head);
  const tickText = tick && JSON.stringify(tick);
  // Room names, event names and ids are ASCII; the name that a client gave its device may not be.
  let bytes = head.from === undefined ? headText.length : Buffer.byteLength(headText);
  // `data` is JSON already and may be large. Only the head is cut, since cutting a joined string copies it.
  let text = headText.slice(0, -1);
  if (data !== undefined) {
    text += `,"data":${data}`;
    bytes += ',"data":'.length + dataBytes;
  }
  if (tickText !== undefined) {
    text += `,"tick":${tickText}`;
    bytes += ',"tick":'.length + tickText.length;
  }
  return { text: `${text}}`, bytes };
}

/** The JSON of one event for many rooms, which differs by the room's name alone. */
export function sizedTexts(event: Omit<RoomEvent, 'room' | 'id'>): (room: string) => SizedText {
  const { text, bytes } = sizedText(event);
  // Cut, and so copied, once for all rooms.
  const shared = text.slice(1);
  // A room's name is ASCII, with nothing that JSON would escape.
  return (room) => ({
    text: `{"room":"${room}",${shared}`,
    bytes: bytes + '"room":"",'.length + room.length,
  });
}

/** How events become the bytes of one transport. */
export interface WireFormat {
  readonly name: Transport;
  /** `id` goes where the transport wants it besides the text: SSE has a line for it. */
  encode(text: JsonText, id?: string): Buffer;
  /** How many bytes `encode` makes of JSON on one line that has `textBytes` bytes of UTF-8. */
  length(textBytes: number, id?: string): number;
}

/** A tick that a newer one may replace, and what its frame is encoded from when it has replaced others. */
interface Replaceable {
  readonly event: RoomEvent;
  readonly format: WireFormat;
}

/** The content of a frame that is encoded when it is first written. */
interface Unencoded {
  /** Bytes on the wire. */
  readonly length: number;
  encode(): Buffer;
}

/**
 * One event in one wire format. Connections that are sent the same event share the object. It is
 * encoded when it is first written, so that a tick for ten thousand rooms is encoded piece by piece
 * as it leaves, and what a client never reads is never encoded.
 */
export class Frame {
  /** Bytes on the wire. */
  readonly length: number;
  /**
   * What the frame keeps in memory while it waits, in bytes: less than `length` where its data is
   * kept by a schedule anyway.
   */
  readonly queuedBytes: number;
  readonly #replaceable: Replaceable | undefined;
  #content: Buffer | Unencoded;

  constructor(content: Buffer | Unencoded, replaceable?: Replaceable, queuedBytes = content.length) {
    this.length = content.length;
    this.queuedBytes = queuedBytes;
    this.#replaceable = replaceable;
    this.#content = content;
  }

  get bytes(): Buffer {
    if (!Buffer.isBuffer(this.#content)) this.#content = this.#content.encode();
    return this.#content;
  }

  /**
   * Of two waiting frames with the same key the newer replaces the older; `undefined`: the frame replaces
   * none.
   */
  get key(): string | undefined {
    const event = this.#replaceable?.event;
    return event && `${event.room} ${event.tick?.schedule}`;
  }

  /** The bytes of a tick that has replaced `count` older ticks; its field `conflated` says how many. */
  replacing(count: number): Buffer {
    if (!this.#replaceable || count === 0) return this.bytes;
    const { event, format } = this.#replaceable;
    return format.encode(eventText({ ...event, conflated: count }), event.id);
  }
}

/**
 * The frames that a connection is sent in one event-loop iteration, as a chain from the last to the
 * first. Connections that are sent the same frames in the same order share the chain, and so one joined
 * buffer: twenty events to two thousand members are joined once and written once each.
 */
export class Batch {
  readonly count: number;
  /** Bytes on the wire, of all frames. */
  readonly length: number;
  readonly last: Frame;
  readonly #before: Batch | undefined;
  #joined: Buffer | undefined;
  /** The batch with the frame that most connections get next; the map holds the batches with other frames. */
  #next: Batch | undefined;
  #branches: Map<Frame, Batch> | undefined;

  constructor(frame: Frame, before?: Batch) {
    this.last = frame;
    this.#before = before;
    this.count = before ? before.count + 1 : 1;
    this.length = before ? before.length + frame.length : frame.length;
  }

  with(frame: Frame): Batch {
    if (this.#next?.last === frame) return this.#next;
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

  /** All frames, from the first to the last. */
  frames(): Frame[] {
    const frames: Frame[] = [];
    let batch: Batch | undefined = this;
    while (batch) {
      frames.push(batch.last);
      batch = batch.#before;
    }
    return frames.reverse();
  }

  /** All frames in one buffer. */
  bytes(): Buffer {
    if (this.count === 1) return this.last.bytes;
    this.#joined ??= Buffer.concat(this.frames().map(({ bytes }) => bytes));
    return this.#joined;
  }
}

/** About what a tick's frame has beside its data: its length is estimated, since it is not encoded yet. */
const HEAD_BYTES = 300;

/** What a replayed tick takes in memory until it is encoded: its head, and its place in a queue. */
const REPLAY_BYTES = 640;

export interface EncodingOptions {
  /** Whether a tick may be replaced by a newer one where the client is slow. Default: false. */
  readonly mayConflate?: boolean;
  /** The event as JSON, where it is known already. */
  readonly sized?: SizedText | undefined;
  /** Whether the schedule keeps the data anyway, so that a queue need not count it. Default: false. */
  readonly isDataKept?: boolean;
}

/** Encodes an event for many connections: its text once, its bytes once for each wire format. */
export class Encoding {
  readonly #event: RoomEvent;
  readonly #options: EncodingOptions;
  #sized: SizedText | undefined;
  /** Nearly all members of a room use the same transport. */
  #lastFormat: WireFormat | undefined;
  #lastFrame: Frame | undefined;
  #frames: Map<WireFormat, Frame> | undefined;

  constructor(event: RoomEvent, options: EncodingOptions = {}) {
    this.#event = event;
    this.#options = options;
    this.#sized = options.sized;
  }

  in(format: WireFormat): Frame {
    if (format === this.#lastFormat && this.#lastFrame) return this.#lastFrame;
    if (this.#lastFormat && this.#lastFrame) {
      this.#frames ??= new Map();
      this.#frames.set(this.#lastFormat, this.#lastFrame);
    }
    this.#lastFormat = format;
    this.#lastFrame = this.#frames?.get(format) ?? this.#frame(format);
    return this.#lastFrame;
  }

  #frame(format: WireFormat): Frame {
    const event = this.#event;
    const { mayConflate, isDataKept } = this.#options;
    const length = isDataKept
      ? HEAD_BYTES + Buffer.byteLength(event.data ?? '')
      : format.length(this.#text.bytes, event.id);
    return new Frame(
      { length, encode: () => format.encode(this.#text.text, event.id) },
      event.tick && mayConflate ? { event, format } : undefined,
      isDataKept ? Math.min(length, REPLAY_BYTES) : length,
    );
  }

  /** Made when it is first needed: many replayed ticks are replaced before they are sent. */
  get #text(): SizedText {
    this.#sized ??= sizedText(this.#event);
    return this.#sized;
  }
}

/**
 * What an event takes in memory beside its bytes: objects, map entries, its text, and the rest of the pool
 * that its bytes keep. Measured with 40,000 ticks of 300 bytes; with 500 they took three times the bound below.
 */
const OVERHEAD_BYTES = 3000;

/** What the frames that are kept may take, in bytes: enough for twenty ticks of 10 KB in a hundred rooms. */
const MAX_REPLAY_BYTES = 32 * 1024 * 1024;

/** Kept frames also count towards `totalBufferedBytes`, and may take this part: connections need the rest. */
const MAX_REPLAY_PART = 1 / 8;

/**
 * Frames of events that are sent again to clients that join, so that a storm of joins encodes each
 * event once per wire format. The frame that was made first is dropped first.
 */
export class ReplayFrames {
  readonly #encodings = new Map<RoomEvent, { encoding: Encoding; bytes: number }>();
  readonly #settings: CurrentSettings;
  /**
   * Goes on where the last dropped event was: a new iterator would pass the places of all events that were
   * dropped before, 5,000 of them for each new frame.
   */
  #oldestFirst = this.#encodings.keys();
  #bytes = 0;

  constructor(settings: CurrentSettings) {
    this.#settings = settings;
  }

  /** What the kept frames take, in bytes. */
  get bytes(): number {
    return this.#bytes;
  }

  /** The frame of a message or a current tick, with `replay`. The same event gives the same frame. */
  of(event: RoomEvent, format: WireFormat, options?: EncodingOptions): Frame {
    const known = this.#encodings.get(event);
    if (known) return known.encoding.in(format);
    const encoding = new Encoding(event.replay ? event : { ...event, replay: true }, options);
    const frame = encoding.in(format);
    this.#keep(event, encoding, frame.length + OVERHEAD_BYTES);
    return frame;
  }

  #keep(event: RoomEvent, encoding: Encoding, bytes: number): void {
    this.#encodings.set(event, { encoding, bytes });
    this.#bytes += bytes;
    const { totalBufferedBytes } = this.#settings.current.limits;
    const maxBytes = Math.min(MAX_REPLAY_BYTES, totalBufferedBytes * MAX_REPLAY_PART);
    while (this.#bytes > maxBytes) this.#dropOldest();
  }

  #dropOldest(): void {
    const { value: oldest } = this.#oldestFirst.next();
    const kept = oldest && this.#encodings.get(oldest);
    if (kept) {
      this.#encodings.delete(oldest);
      this.#bytes -= kept.bytes;
    } else {
      this.#oldestFirst = this.#encodings.keys();
    }
  }
}
