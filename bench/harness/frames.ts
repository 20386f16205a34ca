/** Finds the events in what a server sends, without looking at more of it than it must. */
export interface FrameReader {
  /** Calls back with where each whole or cut-off event begins and ends in the bytes. */
  read(bytes: Buffer, onEvent: (start: number, end: number) => void): void;
}

const TEXT = 1;

/** Frames of RFC 6455 from a server: no mask. An event counts when its header is there. */
export class WebSocketFrames implements FrameReader {
  /** What is left of the frame that is being read. */
  #skip = 0;
  /** A header that was cut in two. */
  #rest: Buffer | undefined;

  read(chunk: Buffer, onEvent: (start: number, end: number) => void): void {
    const bytes = this.#rest ? Buffer.concat([this.#rest, chunk]) : chunk;
    this.#rest = undefined;
    let at = this.#skip;
    while (at < bytes.length) {
      const length = lengthAt(bytes, at);
      if (length === undefined) {
        this.#rest = Buffer.from(bytes.subarray(at));
        at = bytes.length;
        break;
      }
      const start = at + length.header;
      const opcode = (bytes[at] ?? 0) & 0x0f;
      at = start + length.payload;
      if (opcode === TEXT) onEvent(start, Math.min(at, bytes.length));
    }
    this.#skip = at - bytes.length;
  }
}

/** Nothing where the header is not whole. */
function lengthAt(bytes: Buffer, at: number): { header: number; payload: number } | undefined {
  const short = bytes[at + 1];
  if (short === undefined) return undefined;
  if (short < 126) return { header: 2, payload: short };
  const header = short === 126 ? 4 : 10;
  if (at + header > bytes.length) return undefined;
  return { header, payload: short === 126 ? bytes.readUInt16BE(at + 2) : bytes.readUInt32BE(at + 6) };
}

const END = Buffer.from('\n\n');

/** Blocks of a server-sent events stream, chunk framing or not: an event counts when it has ended. */
export class StreamFrames implements FrameReader {
  #endedInBreak = false;

  read(bytes: Buffer, onEvent: (start: number, end: number) => void): void {
    let start = 0;
    if (this.#endedInBreak && bytes[0] === 0x0a) {
      onEvent(0, 0);
      start = 1;
    }
    for (let end = bytes.indexOf(END, start); end >= 0; end = bytes.indexOf(END, start)) {
      onEvent(start, end);
      start = end + END.length;
    }
    this.#endedInBreak = start < bytes.length && bytes.at(-1) === 0x0a;
  }
}
