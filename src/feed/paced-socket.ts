import { Duplex } from 'node:stream';
import { FeedError } from './reason.ts';

/**
 * So much is parsed in one turn of the event loop. Node would hand the parser up to 2 MB in one turn, and
 * a hostile upstream can make that a hundred thousand answers or chunks: 16 KiB of those take some 5 ms.
 */
const PIECE_BYTES = 16_384;

/**
 * A connection whose bytes come in pieces, one in each turn of the event loop, and not more of them than
 * `mostBytes`: then it is destroyed with a `FeedError`. What is written goes through as it is. The bound is
 * on what an upstream sends besides the content, such as interim answers and the frames of chunks.
 */
export class PacedSocket extends Duplex {
  readonly #socket: Duplex;
  readonly #mostBytes: number;
  #bytes = 0;
  /** Whether more is wanted than there was. */
  #waiting = false;

  constructor(socket: Duplex, mostBytes: number) {
    super({ readableHighWaterMark: PIECE_BYTES });
    this.#socket = socket;
    this.#mostBytes = mostBytes;
    socket
      .on('readable', () => {
        if (!this.#waiting) return;
        this.#waiting = false;
        this.#handOn();
      })
      .on('end', () => this.push(null))
      .on('error', (error) => this.destroy(error))
      // After its end the rest of what it sent may still wait here.
      .on('close', () => socket.readableEnded || this.destroy());
  }

  override _read(): void {
    setImmediate(() => this.#handOn());
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: (error?: Error | null) => void): void {
    this.#socket.write(chunk, done);
  }

  override _final(done: () => void): void {
    this.#socket.end(done);
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    this.#socket.destroy();
    done(error);
  }

  #handOn(): void {
    if (this.destroyed) return;
    const piece: Buffer | null = this.#socket.read(Math.min(PIECE_BYTES, this.#socket.readableLength));
    if (!piece) {
      this.#waiting = true;
      return;
    }
    this.#bytes += piece.length;
    if (this.#bytes <= this.#mostBytes) this.push(piece);
    else
      this.destroy(
        new FeedError('too-large', `more than ${this.#mostBytes} bytes were sent, and no end came`),
      );
  }
}
