import { randomBytes } from 'node:crypto';
import { setImmediate as nextIteration } from 'node:timers/promises';
import type { Clock } from '../clock.ts';
import type { JsonText } from '../hub/event.ts';
import { Ids } from './ids.ts';
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
  memoryOf,
  RoomHistories,
  RoomHistory,
} from './room-histories.ts';
import { notOpened, Store } from './store.ts';
import { StoreError } from './store-error.ts';
import { type EncodedMessage, encodeMessage, type StoreFile } from './store-file.ts';
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

/** Positions are reserved so far ahead that no append has to wait for it. A crash skips the rest of them. */
const RESERVED_AHEAD = 100_000;

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
  readonly ids: Ids;
  readonly reader: StoreReader;
  readonly trimmer: StoreTrimmer;
  readonly writer: StoreWriter;
}

/**
 * The log on disk, with the newest messages in memory too. Delivery does not wait for the disk: a message
 * is numbered, kept in memory and handed to LMDB, whose own thread commits what came in one iteration of
 * the event loop as one transaction. What memory no longer has is read from the disk.
 *
 * No position is given twice, although clients may have seen positions that never reached the disk:
 * only those are used that were reserved there before. After a crash the log goes on above them.
 */
export class LmdbLog implements Log {
  readonly #options: LmdbLogOptions;
  #histories: RoomHistories;
  #opened: Opened | undefined;
  #position = 0;
  /** Positions up to this one are reserved on the disk. */
  #reserved = 0;
  /** What is being reserved; rejects where it cannot be. */
  #reserving: Promise<void> | undefined;
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
      const state = file.readState();
      const epoch = !state || state.isCopy ? randomBytes(5).toString('hex') : state.epoch;
      const reserved = state?.reserved ?? 0;
      this.#histories = new RoomHistories(settings);
      this.#position = reserved;
      this.#reserved = reserved + RESERVED_AHEAD;
      await file.putState({ epoch, reserved: this.#reserved });
      // After a clock that was ahead time stands still: no message is older than the one before it.
      this.#offsetMs = Math.max(clock.now(), file.newestAtMs()) - clock.monotonic();
      this.#opened = { store, ...this.#parts(store, new Ids(epoch)) };
      this.#opened.trimmer.start();
    } catch (error) {
      await store.close();
      throw notOpened(folder, error);
    }
  }

  #parts(store: Store, ids: Ids) {
    const { file, space } = store;
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
      position: () => this.#position,
    });
    return { ids, reader, trimmer, writer: new StoreWriter(store, trimmer) };
  }

  async close(): Promise<void> {
    if (!this.#opened) return;
    const { store, ids, trimmer } = this.#opened;
    await trimmer.stop();
    this.#opened = undefined;
    await this.#settled();
    try {
      await store.file.putState({ epoch: ids.epoch, reserved: this.#position });
    } finally {
      await store.close();
    }
  }

  async head(): Promise<Position> {
    return { position: this.#position, id: this.idAt(this.#position) };
  }

  idAt(position: number): string {
    return this.#open.ids.at(position);
  }

  positionOf(id: string): number | undefined {
    return this.#open.ids.positionOf(id, this.#position);
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
    const { store, ids, writer } = this.#open;
    while (this.#position + entries.length > this.#reserved) await this.#reserve(entries.length);
    const growth = await writer.takeSpace(entries.length, dataBytes);
    const atMs = this.#nowMs;
    const messages: KeptMessage[] = [];
    const encoded: EncodedMessage[] = [];
    let data: string | undefined;
    let bytes = 0;
    let sliceBytes = 0;
    for (const entry of entries) {
      // A broadcast to many rooms is many entries with the same data.
      if (entry.data !== data) bytes = memoryOf(entry.data);
      data = entry.data;
      const position = ++this.#position;
      const id = ids.at(position);
      const message = { position, id, event: { id, ...entry }, atMs, bytes };
      messages.push(message);
      if (entry.room !== undefined) {
        // What no history keeps is not stored: its position is reserved, and not given again.
        encoded.push({ position, room: entry.room, atMs, value: encodeMessage(message.event, atMs) });
        this.#histories.add(entry.room, message, position - 1);
      }
      sliceBytes += bytes;
      if (messages.length % MESSAGES_PER_SLICE === 0 || sliceBytes > BYTES_PER_SLICE) {
        sliceBytes = 0;
        await nextIteration();
      }
    }
    const { committed } = await writer.put(encoded, changesOf(messages), growth);
    const ended = committed.finally(() => {
      this.#pendingBytes -= dataBytes;
    });
    if (this.#reserved - this.#position < RESERVED_AHEAD / 2) void this.#reserve(0).catch(() => {});
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

  /** Reserves positions for so many more messages than now. */
  #reserve(count: number): Promise<void> {
    this.#reserving ??= this.#putReserved(this.#position + count + RESERVED_AHEAD).finally(() => {
      this.#reserving = undefined;
    });
    return this.#reserving;
  }

  async #putReserved(reserved: number): Promise<void> {
    const { store, ids } = this.#open;
    await store.file.putState({ epoch: ids.epoch, reserved });
    this.#reserved = reserved;
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
    return this.#histories.get(room, this.#nowMs) ?? new RoomHistory(this.#position);
  }

  #damaged(what: string): void {
    const path = this.#opened?.store.file.path;
    this.#options.onFault(`${what} in ${path} is damaged`, undefined);
  }

  /** The newest position below what memory has. */
  #missingUpTo(history: RoomHistory | undefined): number {
    return (history?.messages[0]?.position ?? this.#position + 1) - 1;
  }

  get #open(): Opened {
    if (!this.#opened) throw new Error('the log is not open');
    return this.#opened;
  }

  get #nowMs(): number {
    return this.#options.clock.monotonic() + this.#offsetMs;
  }
}
