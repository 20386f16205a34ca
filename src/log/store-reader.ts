import { setImmediate as nextIteration } from 'node:timers/promises';
import type { Limits } from '../limits.ts';
import type { Ids } from './ids.ts';
import type { Message, Retention } from './log.ts';
import type { KeptMessage } from './room-histories.ts';
import type { IndexEntry, StoreFile } from './store-file.ts';

export interface ReaderSettings {
  /** A replay is cut to half of `maxBufferedBytes`, so that no more is read of a room. */
  readonly limits: Pick<Limits, 'maxBufferedBytes'>;
  retentionOf(room: string): Retention;
}

/** What is asked of a room. */
export interface SpanQuery {
  readonly room: string;
  /** Nothing at or below it is wanted; absent: the newest. */
  readonly position: number | undefined;
  readonly limit: number;
  /** Nothing above it is wanted: memory has that, `later` messages. */
  readonly from: number;
  readonly later: number;
}

/** Messages of one room, as the disk has them. */
export interface Span {
  /** Oldest first. */
  readonly messages: readonly KeptMessage[];
  /** The room has no other message above this position that may still be given. */
  readonly above: number;
  /** The newest position at which a message was lost; 0: none is known. */
  readonly gap: number;
  /** The room has none below `above` either. */
  readonly isAll: boolean;
}

export interface StoreReaderOptions {
  readonly file: StoreFile;
  readonly ids: Ids;
  readonly settings: { readonly current: ReaderSettings };
  readonly nowMs: () => number;
  readonly onDamaged: (what: string) => void;
}

/** After so many messages, about 2 ms, reading waits for the next iteration of the event loop. */
const MESSAGES_PER_SLICE = 300;

/** The same for data, since a message may have 64 KiB of it. */
const BYTES_PER_SLICE = 1_048_576;

/** Of the index, which is read in parts so that no cursor stays open while other work is done. */
const ENTRIES_PER_READ = 200;

/** Reads the messages of rooms backwards, within what may still be given of them. */
export class StoreReader {
  readonly #options: StoreReaderOptions;
  #read = 0;
  #bytes = 0;

  constructor(options: StoreReaderOptions) {
    this.#options = options;
  }

  /** Reads as far as is asked for. A damaged message is a gap: nothing before it is given. */
  async span({ room, position, limit, from, later }: SpanQuery): Promise<Span> {
    const { settings } = this.#options;
    const { messages: max } = settings.current.retentionOf(room);
    const gap = Math.min(this.#options.file.gapOf(room), from);
    // Below a gap no client resumes: it gets the newest, as without an id.
    const after = position !== undefined && position < gap ? undefined : position;
    const most = after === undefined ? Math.min(limit, max) : max;
    const maxBytes = settings.current.limits.maxBufferedBytes / 2;
    const oldestMs = this.#oldestMs(room);
    const newestFirst: KeptMessage[] = [];
    const span = (above: number, isAll: boolean) => ({ messages: newestFirst.reverse(), above, gap, isAll });
    let bytes = 0;
    for (const entry of this.#entries(room, from)) {
      if (after !== undefined && entry.position <= after) return span(after, false);
      const count = later + newestFirst.length;
      if (count >= max || entry.atMs < oldestMs) return span(entry.position, true);
      if (count >= most) return span(entry.position, false);
      const message = this.#message(entry.position, room);
      if (!message) return span(entry.position, true);
      bytes += message.bytes;
      if (bytes > maxBytes) return span(entry.position, false);
      newestFirst.push(message);
      if (this.#isSliceOver(message.bytes)) await nextIteration();
    }
    // What is lost above the oldest message is a gap, or still in memory.
    const oldest = newestFirst.at(-1)?.position ?? from + 1;
    return span(Math.min(this.#options.file.lostOf(room), oldest - 1), true);
  }

  /** How many messages of a room may still be given that are not above `from`, `max` at most; and the newest. */
  async count(room: string, from: number, max: number): Promise<{ count: number; newest?: Message }> {
    const oldestMs = this.#oldestMs(room);
    let count = 0;
    let newest: Message | undefined;
    for (const { position, atMs } of this.#entries(room, from)) {
      if (count >= max || atMs < oldestMs) break;
      newest ??= this.#message(position, room);
      count++;
      // An entry of the index takes a fifth of the time of a message.
      if (count % ENTRIES_PER_READ === 0 && this.#isSliceOver(0, ENTRIES_PER_READ / 5)) await nextIteration();
    }
    if (this.#isSliceOver(0, 1 + (count % ENTRIES_PER_READ) / 5)) await nextIteration();
    return { count, ...(newest && { newest }) };
  }

  /** Counts what was read. True: the event loop is to be let go. */
  #isSliceOver(bytes: number, messages = 1): boolean {
    this.#read += messages;
    this.#bytes += bytes;
    if (this.#read < MESSAGES_PER_SLICE && this.#bytes < BYTES_PER_SLICE) return false;
    [this.#read, this.#bytes] = [0, 0];
    return true;
  }

  /** The index of a room, newest first, not above `from`. */
  *#entries(room: string, from: number): Iterable<IndexEntry> {
    for (let upTo = from; upTo > 0; ) {
      const entries = this.#options.file.entries(room, upTo, ENTRIES_PER_READ);
      yield* entries;
      if (entries.length < ENTRIES_PER_READ) return;
      upTo = (entries.at(-1)?.position ?? 0) - 1;
    }
  }

  /** `undefined`: it is damaged, which is logged, or was removed since the index was read. */
  #message(position: number, room: string): KeptMessage | undefined {
    const { file, ids, onDamaged } = this.#options;
    const message = file.message(position, ids);
    if (!message && file.lostOf(room) < position) onDamaged(`the message ${ids.at(position)}`);
    return message;
  }

  /** Messages that were numbered before it are too old. */
  #oldestMs(room: string): number {
    return this.#options.nowMs() - this.#options.settings.current.retentionOf(room).ms;
  }
}
