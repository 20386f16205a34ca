import { setImmediate as nextIteration } from 'node:timers/promises';
import type { Clock } from '../clock.ts';
import type { JsonText } from '../hub/event.ts';
import type {
  Appended,
  Entry,
  History,
  Kept,
  Log,
  Message,
  Position,
  RecordChange,
  RecordKind,
} from './log.ts';
import {
  type HistorySettings,
  type KeptMessage,
  numbered,
  RoomHistories,
  RoomHistory,
} from './room-histories.ts';
import { notOpened, Store } from './store.ts';
import { StoreError } from './store-error.ts';
import { type EncodedMessage, encodeMessage, type StoreFile } from './store-file.ts';
import { StorePositions } from './store-positions.ts';
import { type ReaderSettings, StoreReader } from './store-reader.ts';
import { StoreTrimmer } from './store-trimmer.ts';
import { dataBytesOf, StoreWriter } from './store-writer.ts';

export type LmdbLogSettings = HistorySettings & ReaderSettings;

export interface LmdbLogOptions {
  /** Absolute. */
  readonly folder: string;
  /** The size to which the folder is kept: see `StoreTrimmer`. */
  readonly maxBytes: number;
  readonly clock: Clock;
  /** The snapshot in force, which a reload replaces. */
  readonly settings: { readonly current: LmdbLogSettings };
  /** Called with what is damaged. */
  readonly onFault: (what: string, error: unknown) => void;
}

/** After so many messages, about 3 ms, an append or a read waits for the next iteration of the event loop. */
const MESSAGES_PER_SLICE = 500;

/** The same for data, since a message may have 64 KiB of it. */
const BYTES_PER_SLICE = 1_048_576;

/** While more than that waits for the disk, nothing more is taken. */
const MAX_PENDING_BYTES = 33_554_432;

/** What a client asks of one room. */
interface Request {
  readonly room: string;
  /** An id was given. */
  readonly isAsked: boolean;
  /** That of the id, where the log knows it. */
  readonly position: number | undefined;
  readonly limit: number;
}

interface Opened {
  readonly store: Store;
  readonly positions: StorePositions;
  readonly reader: StoreReader;
  readonly trimmer: StoreTrimmer;
  readonly writer: StoreWriter;
}

/**
 * The log on disk, with the newest messages in memory too. Delivery does not wait for the disk: a message
 * is numbered, kept in memory and handed to LMDB, whose own thread commits what came in one iteration of
 * the event loop as one transaction. What memory no longer has is read from the disk.
 */
export class LmdbLog implements Log {
  readonly #options: LmdbLogOptions;
  #histories: RoomHistories;
  #opened: Opened | undefined;
  /** From the monotonic clock to the log's own: the wall clock of the start, which nobody steps. */
  #offsetMs = 0;
  /** Resolves when LMDB has got all appends; never rejects. */
  #handedOver: Promise<unknown> = Promise.resolve();
  /** Appends that are not on the disk yet; they never reject. */
  readonly #pending = new Set<Promise<void>>();
  #pendingBytes = 0;
  /** By room, the read of it that began last; they never reject. */
  readonly #reads = new Map<string, Promise<void>>();

  constructor(options: LmdbLogOptions) {
    this.#options = options;
    this.#histories = new RoomHistories(options.settings);
  }

  async open(): Promise<void> {
    const { folder, clock, settings } = this.#options;
    const store = await Store.open(folder, clock);
    try {
      const { file } = store;
      const positions = await StorePositions.open(file);
      this.#histories = new RoomHistories(settings);
      // After a clock that was ahead time stands still: no message is older than the one before it.
      this.#offsetMs = Math.max(clock.now(), file.newestAtMs()) - clock.monotonic();
      this.#opened = { store, positions, ...this.#parts(store, positions) };
      this.#opened.trimmer.start();
    } catch (error) {
      await store.close();
      throw notOpened(folder, error);
    }
  }

  #parts(store: Store, positions: StorePositions) {
    const { file, space } = store;
    const { ids } = positions;
    const { settings, clock, maxBytes, onFault } = this.#options;
    const nowMs = () => this.#nowMs;
    const onDamaged = (what: string) => this.#damaged(what);
    const reader = new StoreReader({ file, ids, settings, nowMs, onDamaged });
    const trimmer = new StoreTrimmer({
      file,
      space,
      settings,
      clock,
      maxBytes,
      onFault,
      nowMs,
      position: () => positions.newest,
    });
    return { reader, trimmer, writer: new StoreWriter(store, trimmer) };
  }

  async close(): Promise<void> {
    if (!this.#opened) return;
    const { store, positions, trimmer } = this.#opened;
    await trimmer.stop();
    this.#opened = undefined;
    await this.#settled();
    try {
      await positions.close();
    } finally {
      await store.close();
    }
  }

  async head(): Promise<Position> {
    const { newest, ids } = this.#open.positions;
    return { position: newest, id: ids.at(newest) };
  }

  idAt(position: number): string {
    return this.#open.positions.ids.at(position);
  }

  positionOf(id: string): number | undefined {
    const { newest, ids } = this.#open.positions;
    return ids.positionOf(id, newest);
  }

  append(
    entries: readonly Entry[],
    changesOf?: (messages: readonly Message[]) => readonly RecordChange[],
  ): Promise<Appended> {
    if (this.#pendingBytes > MAX_PENDING_BYTES) {
      const mib = Math.round(this.#pendingBytes / 1_048_576);
      return Promise.reject(new StoreError(`${mib} MiB wait for the disk already, which is too slow`));
    }
    const bytes = dataBytesOf(entries);
    this.#pendingBytes += bytes;
    // In the order of the calls, also where one of them waits for space.
    const appended = this.#handedOver.then(() => this.#append(entries, bytes, changesOf));
    this.#handedOver = appended.catch(() => {
      this.#pendingBytes -= bytes;
    });
    const settled = appended.then(({ stored }) => stored).catch(() => {});
    this.#pending.add(settled);
    void settled.then(() => this.#pending.delete(settled));
    return appended;
  }

  async records(kind: RecordKind): Promise<ReadonlyMap<string, JsonText>> {
    await this.#settled();
    const records = new Map<string, JsonText>();
    for (const [key, value] of this.#open.store.file.records(kind)) {
      if (value === undefined) this.#damaged(`the record ${kind} "${key}"`);
      else records.set(key, value);
    }
    return records;
  }

  async since(
    rooms: readonly string[],
    id: string | undefined,
    limitOf: (room: string) => number,
  ): Promise<ReadonlyMap<string, History>> {
    const position = id === undefined ? undefined : this.positionOf(id);
    const histories = new Map<string, History>();
    const reads: Request[] = [];
    for (const room of rooms) {
      const history = this.#historyOf(room);
      const request = { room, isAsked: id !== undefined, position, limit: limitOf(room) };
      // Also where it is read below, so that the rooms are in the order of the call.
      histories.set(room, history.since(request.isAsked, position, request.limit));
      if (history.isShortOf(position, request.limit)) reads.push(request);
    }
    if (reads.length > 0) await this.#settled();
    for (const request of reads) histories.set(request.room, await this.#readAlone(request));
    return histories;
  }

  async kept(rooms: readonly string[]): Promise<ReadonlyMap<string, Kept>> {
    await this.#settled();
    const kept = new Map<string, Kept>();
    for (const room of rooms) {
      const history = this.#histories.get(room, this.#nowMs);
      const { messages: max } = this.#options.settings.current.retentionOf(room);
      const inMemory = history?.messages.length ?? 0;
      const newest: Message | undefined = history?.messages.at(-1);
      const isShort = !history || history.isShortOf(undefined, max);
      const older = isShort
        ? await this.#open.reader.count(room, this.#missingUpTo(history), max - inMemory)
        : { count: 0 };
      kept.set(room, { ...older, ...(newest && { newest }), count: inMemory + older.count });
    }
    return kept;
  }

  async #append(
    entries: readonly Entry[],
    dataBytes: number,
    changesOf: (messages: readonly Message[]) => readonly RecordChange[] = () => [],
  ): Promise<Appended> {
    const { store, positions, writer } = this.#open;
    await positions.reserve(entries.length);
    const growth = await writer.takeSpace(entries.length, dataBytes);
    const atMs = this.#nowMs;
    const messages: KeptMessage[] = [];
    const encoded: EncodedMessage[] = [];
    let sliceBytes = 0;
    for (const message of numbered(entries, atMs, () => positions.next())) {
      const { position, event } = message;
      messages.push(message);
      if (event.room !== undefined) {
        // What no history keeps is not stored: its position is reserved, and not given again.
        encoded.push({ position, room: event.room, atMs, value: encodeMessage(event, atMs) });
        this.#histories.add(event.room, message, position - 1);
      }
      sliceBytes += message.bytes;
      if (messages.length % MESSAGES_PER_SLICE === 0 || sliceBytes > BYTES_PER_SLICE) {
        sliceBytes = 0;
        await nextIteration();
      }
    }
    const { committed } = await writer.put(encoded, changesOf(messages), growth);
    const ended = committed.finally(() => {
      this.#pendingBytes -= dataBytes;
    });
    positions.reserveAhead();
    return { messages, stored: this.#stored(ended, messages, store.file) };
  }

  /** Rejects with why it could not be stored; the messages are lost then. */
  async #stored(committed: Promise<void>, messages: readonly KeptMessage[], file: StoreFile): Promise<void> {
    try {
      await committed;
    } catch (error) {
      for (const { position, event } of messages) {
        if (event.room === undefined) continue;
        this.#histories.lose(event.room, position);
        file.lose(event.room, position);
      }
      throw error;
    }
  }

  /** Resolves when all appends that have begun are on the disk, or have failed. */
  async #settled(): Promise<void> {
    if (this.#pending.size > 0) await Promise.all(this.#pending);
  }

  /** Reads when no other read of the room is under way: two of them would put it into memory twice. */
  #readAlone(request: Request): Promise<History> {
    const { room } = request;
    const read = (this.#reads.get(room) ?? Promise.resolve()).then(() => this.#read(request));
    const ended: Promise<void> = read
      .then(
        () => {},
        () => {},
      )
      .then(() => {
        if (this.#reads.get(room) === ended) this.#reads.delete(room);
      });
    this.#reads.set(room, ended);
    return read;
  }

  async #read({ room, isAsked, position, limit }: Request): Promise<History> {
    const history = this.#historyOf(room);
    // The read before may have had it all.
    if (!history.isShortOf(position, limit)) return history.since(isAsked, position, limit);
    const later = [...history.messages];
    const from = this.#missingUpTo(history);
    const { expired } = history;
    const span = await this.#open.reader.span({ room, position, limit, from, later: later.length });
    this.#histories.restore(room, history, span.messages, { ...span, upTo: from }, this.#nowMs);
    const messages = [...span.messages, ...later];
    if (position !== undefined && position >= Math.max(span.above, span.gap, history.gap, expired)) {
      return { resumed: true, messages: messages.filter((message) => message.position > position) };
    }
    return { resumed: isAsked ? false : null, messages: limit > 0 ? messages.slice(-limit) : [] };
  }

  /** One that memory does not have yet is kept there as soon as it has messages. */
  #historyOf(room: string): RoomHistory {
    return this.#histories.get(room, this.#nowMs) ?? new RoomHistory(this.#open.positions.newest);
  }

  #damaged(what: string): void {
    const path = this.#opened?.store.file.path;
    this.#options.onFault(`${what} in ${path} is damaged`, undefined);
  }

  /** The newest position below what memory has. */
  #missingUpTo(history: RoomHistory | undefined): number {
    return (history?.messages[0]?.position ?? this.#open.positions.newest + 1) - 1;
  }

  get #open(): Opened {
    if (!this.#opened) throw new Error('the log is not open');
    return this.#opened;
  }

  get #nowMs(): number {
    return this.#options.clock.monotonic() + this.#offsetMs;
  }
}
