import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import type { Database, RootDatabase } from 'lmdb';
import { type Clock, systemClock } from '../clock.ts';
import type { JsonText, RoomEvent } from '../hub/event.ts';
import type { Ids } from './ids.ts';
import type { RecordChange, RecordKind } from './log.ts';
import { type KeptMessage, memoryOf } from './room-histories.ts';
import { CHECKSUM_BYTES, sealed, unsealed } from './sealed.ts';
import { StoreCommits } from './store-commits.ts';
import type { StoreError } from './store-error.ts';

/** The name of LMDB's file in the folder of the store. */
export const STORE_FILE = 'belfry.mdb';

/** Of the tables and what is in them. Another one is refused. */
const FORMAT = 1;

/** Stands for all rooms in the table `lost`. No room has this name. */
export const ANY_ROOM = '';

/** Stands in the table `lost` for each room, also for those that are there. No room has this name either. */
const EACH_ROOM = '*';

/** Of so many rooms it is known one by one that commits have failed: each commit that follows stores all of them. */
const MAX_UNSTORED_ROOMS = 1000;

/** Of LMDB, at the beginning of the file. */
const META_PAGES = 2;

/** That any transaction changes: those above the ones that are counted, and the list of free pages. */
const MIN_PAGES = 16;

/** What LMDB tells of a table; its types leave it open. */
interface TreeStats {
  readonly treeBranchPageCount: number;
  readonly treeLeafPageCount: number;
  readonly overflowPages: number;
  readonly entryCount: number;
}

interface StoreStats {
  readonly pageSize: number;
  readonly root: TreeStats;
  readonly free: TreeStats;
}

/** What the store says of itself. */
export interface StoreState {
  /** Begins each id; the same as long as the store lives. */
  readonly epoch: string;
  /** It was copied, and not opened since: see `markAsCopy`. */
  readonly isCopy?: true;
  /** No position above it has been given to a message. */
  readonly reserved: number;
}

/** A message that is to be stored. */
export interface EncodedMessage {
  readonly position: number;
  readonly room: string;
  readonly atMs: number;
  readonly value: Buffer;
}

/** A message that is to be removed. */
export interface StoredMessage {
  readonly position: number;
  /** `undefined`: that is damaged. */
  readonly room: string | undefined;
}

/** Where a message of a room is, and when it was numbered. */
export interface IndexEntry {
  readonly position: number;
  readonly atMs: number;
}

/**
 * The tables of the store, in one LMDB file. Values have a checksum, since LMDB has none and what a damaged
 * disk gives must not pass for a message:
 *
 *     (root)    "state"          → StoreState
 *     messages  position         → when it was numbered, and its event
 *     index     [room, position] → when it was numbered
 *     lost      room             → the newest position of the room that was removed or lost; "" is for all other rooms,
 *                                  "*" for each of them
 *     records   [kind, key]      → JSON
 */
export class StoreFile {
  readonly path: string;
  readonly #root: RootDatabase<Buffer, string>;
  readonly #messages: Database<Buffer, number>;
  readonly #index: Database<number, [string, number]>;
  readonly #lost: Database<number, string>;
  readonly #records: Database<Buffer, [string, string]>;
  readonly #commits: StoreCommits;
  /** By room, the newest position that failed commits have lost, until `lost` has it. */
  readonly #unstored = new Map<string, number>();
  readonly #tables: readonly Pick<Database, 'getStats'>[];
  readonly #pageSize: number;

  private constructor(path: string, root: RootDatabase<Buffer, string>, clock: Clock) {
    this.path = path;
    this.#root = root;
    this.#messages = this.#root.openDB({ name: 'messages', encoding: 'binary' });
    this.#index = this.#root.openDB({ name: 'index', encoding: 'ordered-binary' });
    this.#lost = this.#root.openDB({ name: 'lost', encoding: 'ordered-binary' });
    this.#records = this.#root.openDB({ name: 'records', encoding: 'binary' });
    this.#commits = new StoreCommits(this.#root, clock);
    this.#tables = [this.#messages, this.#index, this.#lost, this.#records];
    this.#pageSize = (this.#root.getStats() as StoreStats).pageSize;
  }

  /** Makes folder and file where they are missing. Throws LMDB's and Node's errors. */
  static async open(folder: string, clock: Clock = systemClock): Promise<StoreFile> {
    // Only where there is a store: its machine code and what it imports take 20 to 40 ms of the start.
    const { open } = await import('lmdb');
    mkdirSync(folder, { recursive: true });
    const path = join(folder, STORE_FILE);
    // What is committed is on disk. With `overlappingSync` it would be there some time later.
    // Without `eventTurnBatching` lmdb makes no promise of its own, whose rejection nobody could handle.
    const options = { encoding: 'binary', overlappingSync: false, eventTurnBatching: false } as const;
    return new StoreFile(path, open({ path, ...options }), clock);
  }

  /** `undefined` for a store that is new. Throws where it is damaged or of another version. */
  readState(): StoreState | undefined {
    const value = this.#root.get('state');
    if (!value) return undefined;
    const text = unsealed(value);
    if (text === undefined) throw new Error('its state is damaged');
    const { format, ...state } = JSON.parse(text);
    if (format !== FORMAT) throw new Error(`its format is ${format}, and this version reads ${FORMAT}`);
    return state;
  }

  // Writes. Each is one transaction. The promises resolve when it is on disk, and reject with why it never
  // will be.

  putState(state: StoreState): Promise<void> {
    const value = sealed(JSON.stringify({ format: FORMAT, ...state }));
    return this.#commit(() => void this.#root.put('state', value));
  }

  put(messages: readonly EncodedMessage[], changes: readonly RecordChange[]): Promise<void> {
    return this.#commit(() => {
      for (const { position, room, atMs, value } of messages) {
        void this.#messages.put(position, value);
        void this.#index.put([room, position], atMs);
      }
      for (const { kind, key, value } of changes) {
        if (value === null) void this.#records.remove([kind, key]);
        else void this.#records.put([kind, key], sealed(value));
      }
    });
  }

  /**
   * Removes messages, by room, of which it is said that they are lost; and messages that are damaged and name no
   * room.
   */
  removeMessages(
    removed: ReadonlyMap<string, readonly number[]>,
    damaged: readonly number[] = [],
  ): Promise<void> {
    return this.#commit(() => {
      for (const position of damaged) void this.#messages.remove(position);
      for (const [room, positions] of removed) {
        for (const position of positions) {
          void this.#messages.remove(position);
          void this.#index.remove([room, position]);
        }
        void this.#lost.put(room, Math.max(this.lostOf(room), ...positions));
      }
    });
  }

  /** Rooms that have lost nothing above `position` are forgotten; then all rooms may have lost something below it. */
  forgetLost(rooms: readonly string[], position: number): Promise<void> {
    return this.#commit(() => {
      for (const room of rooms) void this.#lost.remove(room);
      void this.#lost.put(ANY_ROOM, position);
    });
  }

  /** A message of the room could not be stored, which the next commit stores. */
  lose(room: string, position: number): void {
    const isKnown = this.#unstored.has(room) || this.#unstored.size < MAX_UNSTORED_ROOMS;
    const key = isKnown ? room : EACH_ROOM;
    this.#unstored.set(key, Math.max(this.#unstored.get(key) ?? 0, position));
  }

  async #commit(write: () => void): Promise<void> {
    const unstored = [...this.#unstored.keys()].map((room) => [room, this.gapOf(room)] as const);
    await this.#commits.commit(() => {
      for (const [room, position] of unstored) void this.#lost.put(room, position);
      write();
    });
    for (const [room, position] of unstored) {
      if ((this.#unstored.get(room) ?? 0) <= position) this.#unstored.delete(room);
    }
  }

  // Reads, of what is committed

  /** The messages of a room, newest first, not above `upTo`. */
  entries(room: string, upTo: number, limit: number): IndexEntry[] {
    const range = { start: [room, upTo], end: [room, 0], reverse: true, limit };
    return [...this.#index.getRange(range)].map(({ key, value }) => ({ position: key[1], atMs: value }));
  }

  /** The index of a room above a position, oldest first. */
  entriesAfter(room: string, after: number, limit: number): IndexEntry[] {
    const range = { start: [room, after + 1], end: [room, Number.POSITIVE_INFINITY], limit };
    return [...this.#index.getRange(range)].map(({ key, value }) => ({ position: key[1], atMs: value }));
  }

  /** The newest position of a room behind `count` newer ones; 0 where there are no more than those. */
  positionBehind(room: string, count: number): number {
    const range = { start: [room, Number.POSITIVE_INFINITY], end: [room, 0], reverse: true };
    for (const { key } of this.#index.getRange({ ...range, offset: count, limit: 1 })) return key[1];
    return 0;
  }

  /** The room that comes next by name and has messages; `undefined` at the end. */
  roomAfter(room: string): string | undefined {
    const range = { start: [room, Number.POSITIVE_INFINITY], limit: 1 } satisfies object;
    for (const { key } of this.#index.getRange(range)) return key[0];
    return undefined;
  }

  /** All messages, oldest first. */
  *oldest(): Iterable<StoredMessage> {
    for (const { key: position, value } of this.#messages.getRange({ snapshot: false })) {
      yield { position, room: roomOf(value) };
    }
  }

  /** A position that is not below that of the newest message of the room that is not stored any more. */
  lostOf(room: string): number {
    return Math.max(this.gapOf(room), this.#lost.get(room) ?? this.#lost.get(ANY_ROOM) ?? 0);
  }

  /** The same where it is known of the room itself; otherwise 0. */
  gapOf(room: string): number {
    const gaps = [room, EACH_ROOM].map((key) =>
      Math.max(this.#lost.get(key) ?? 0, this.#unstored.get(key) ?? 0),
    );
    return Math.max(...gaps);
  }

  get lostCount(): number {
    return (this.#lost.getStats() as TreeStats).entryCount;
  }

  /** What rooms have lost, by their names, which come after `room`. */
  lostAfter(room: string, limit: number): { room: string; position: number }[] {
    // The two that stand for many come before the names of rooms.
    const start = room === ANY_ROOM ? EACH_ROOM : room;
    const lost = [...this.#lost.getRange({ start, exclusiveStart: true, limit })];
    return lost.map(({ key, value }) => ({ room: key, position: value }));
  }

  /** How much the file may grow by messages, and by pages of the index that they change. */
  growthOf(messages: number, dataBytes: number): number {
    const pageSize = this.#pageSize;
    const indexPages = Math.min(messages, this.#mostIndexPages(messages)) + MIN_PAGES;
    // A page that is split is half empty, and a large value begins on a page of its own.
    const largePages = Math.min(messages, dataBytes / 1024);
    return (indexPages + 2 * largePages) * pageSize + 2.5 * dataBytes + 500 * messages;
  }

  /** Asking LMDB takes longer than storing a message, so that it is asked for many of them only. */
  #mostIndexPages(messages: number): number {
    if (messages <= MIN_PAGES) return messages;
    return 2 * (this.#index.getStats() as TreeStats).treeLeafPageCount + messages / 20;
  }

  /** The same for the removal of messages. */
  growthOfRemovals(messages: number): number {
    const pageSize = this.#pageSize;
    return Math.min(2 * messages * pageSize, this.usedBytes) + MIN_PAGES * pageSize;
  }

  /** The pages that hold something. The file may be larger: pages that are free are used again. */
  get usedBytes(): number {
    const { root, free } = this.#root.getStats() as StoreStats;
    const trees = [root, free, ...this.#tables.map((table) => table.getStats() as TreeStats)];
    const pages = trees.reduce((sum, tree) => sum + pagesOf(tree), META_PAGES);
    return pages * this.#pageSize;
  }

  /** `undefined`: it is damaged. */
  message(position: number, ids: Ids): KeptMessage | undefined {
    // Not copied into a buffer of its own: it is read before the next one is asked for.
    const text = unsealed(this.#messages.getBinaryFast(position));
    if (text === undefined) return undefined;
    const end = text.indexOf('\n');
    const [atMs, head] = JSON.parse(text.slice(0, end));
    const data = text.slice(end + 1);
    const id = ids.at(position);
    return { position, id, event: { id, ...head, data }, atMs, bytes: memoryOf(data) };
  }

  /** When the newest message was numbered; 0 where there is none. */
  newestAtMs(): number {
    for (const { value } of this.#messages.getRange({ reverse: true, limit: 1 })) {
      const text = unsealed(value);
      return text === undefined ? 0 : JSON.parse(text.slice(0, text.indexOf('\n')))[0];
    }
    return 0;
  }

  /** By key; `undefined` for a record that is damaged. */
  *records(kind: RecordKind): Iterable<[string, JsonText | undefined]> {
    for (const { key, value } of this.#records.getRange({ start: [kind, ''] })) {
      if (key[0] !== kind) return;
      yield [key[1], unsealed(value)];
    }
  }

  /** Why nothing can be stored any more. */
  get failure(): StoreError | undefined {
    return this.#commits.failure;
  }

  async close(): Promise<void> {
    this.#commits.stop();
    // LMDB would wait for what never ends.
    if (!this.failure) await this.#root.close();
  }
}

function pagesOf({ treeBranchPageCount, treeLeafPageCount, overflowPages }: TreeStats): number {
  return treeBranchPageCount + treeLeafPageCount + overflowPages;
}

/** The room of a message; its checksum is not looked at. */
function roomOf(value: Buffer): string | undefined {
  const end = value.indexOf('\n', CHECKSUM_BYTES);
  try {
    const { room } = JSON.parse(value.toString('utf8', CHECKSUM_BYTES, end))[1];
    return typeof room === 'string' ? room : undefined;
  } catch {
    return undefined;
  }
}

/** The value of a message. The data comes last, as the JSON that it is already. */
export function encodeMessage({ id, data = 'null', ...head }: RoomEvent, atMs: number): Buffer {
  return sealed(`${JSON.stringify([atMs, head])}\n${data}`);
}
