import { randomBytes } from 'node:crypto';
import type { Clock } from '../clock.ts';
import { nextTurn } from '../hub/slices.ts';
import type { Appended, Entry, History, Kept, Log, Message, Position } from './log.ts';

/** How much of a room is kept. */
export interface Retention {
  readonly messages: number;
  readonly ms: number;
}

export interface MemoryLogOptions {
  readonly clock: Clock;
  readonly retentionOf: (room: string) => Retention;
  /** Bytes of JSON text kept of one room, and of all rooms together. */
  readonly roomBytes: number;
  readonly totalBytes: number;
}

/** What one message costs beside its data, roughly: names, numbers and the objects that hold them. */
const OVERHEAD_BYTES = 300;

/** So many messages are kept before other work gets its turn: about 2 ms. */
const ENTRIES_A_SLICE = 1000;

/** Of so many rooms it is remembered what they lost; of those before, only that they may have. */
const MOST_ROOMS_REMEMBERED = 20_000;

interface Stored extends Message {
  /** On the monotonic clock: setting the computer's clock makes no message old. */
  readonly atMs: number;
  readonly bytes: number;
}

/** What is kept of a room. Messages leave at the front; the array is shortened now and then. */
interface Shelf {
  messages: Stored[];
  bytes: number;
  /** The position of the newest message that is not kept any more. */
  lost: number;
}

/**
 * The log of one process: gone with it, which the epoch in each id says. Messages are kept within
 * bounds of number, age and bytes; what goes is remembered as far as it takes to tell of the gap.
 */
export class MemoryLog implements Log {
  readonly #options: MemoryLogOptions;
  readonly #epoch = randomBytes(5).toString('hex');
  /** Least recently written first. */
  readonly #shelves = new Map<string, Shelf>();
  /** The newest loss of the rooms that were forgotten altogether. */
  #lostWithRooms = 0;
  #bytes = 0;
  #position = 0;

  constructor(options: MemoryLogOptions) {
    this.#options = options;
  }

  async head(): Promise<Position> {
    return this.#at(this.#position);
  }

  async append(entries: readonly Entry[]): Promise<Appended> {
    const atMs = this.#options.clock.monotonic();
    const messages: Stored[] = [];
    let data: string | undefined;
    let dataBytes = 0;
    for (const entry of entries) {
      // A broadcast to many rooms is many entries with the same data.
      if (entry.data !== data) dataBytes = memoryOf(entry.data);
      data = entry.data;
      const place = this.#at(++this.#position);
      const bytes = dataBytes + OVERHEAD_BYTES;
      const message = { ...place, event: { id: place.id, ...entry }, atMs, bytes };
      this.#keep(entry.room, message);
      messages.push(message);
      if (messages.length % ENTRIES_A_SLICE === 0) await nextTurn();
    }
    return { messages, stored: Promise.resolve() };
  }

  async kept(rooms: readonly string[]): Promise<ReadonlyMap<string, Kept>> {
    return new Map(rooms.map((room) => [room, this.#keptOf(room)]));
  }

  #keptOf(room: string): Kept {
    const shelf = this.#shelves.get(room);
    if (shelf) this.#expire(room, shelf);
    const newest = shelf?.messages.at(-1);
    return { count: shelf?.messages.length ?? 0, ...(newest && { newest }) };
  }

  async since(
    rooms: readonly string[],
    id: string | undefined,
    limit: number,
  ): Promise<ReadonlyMap<string, History>> {
    const position = id === undefined ? undefined : this.#positionOf(id);
    return new Map(rooms.map((room) => [room, this.#historyOf(room, id !== undefined, position, limit)]));
  }

  #historyOf(room: string, asked: boolean, position: number | undefined, limit: number): History {
    const shelf = this.#shelves.get(room);
    if (shelf) this.#expire(room, shelf);
    const messages = shelf?.messages ?? [];
    const lost = shelf?.lost ?? this.#lostWithRooms;
    if (position !== undefined && position >= lost) {
      return { resumed: true, messages: messages.filter((message) => message.position > position) };
    }
    return { resumed: asked ? false : null, messages: limit > 0 ? messages.slice(-limit) : [] };
  }

  #at(position: number): Position {
    return { position, id: `${this.#epoch}-${position}` };
  }

  /** `undefined` for an id that is not of this log. */
  #positionOf(id: string): number | undefined {
    const [epoch, digits = '', ...rest] = id.split('-');
    if (epoch !== this.#epoch || rest.length > 0 || !/^(?:0|[1-9]\d{0,15})$/.test(digits)) return undefined;
    const position = Number(digits);
    return position <= this.#position ? position : undefined;
  }

  #keep(room: string, message: Stored): void {
    const shelf = this.#shelves.get(room) ?? { messages: [], bytes: 0, lost: this.#lostWithRooms };
    this.#shelves.delete(room);
    this.#shelves.set(room, shelf);
    shelf.messages.push(message);
    shelf.bytes += message.bytes;
    this.#bytes += message.bytes;
    const { messages: most } = this.#options.retentionOf(room);
    const { roomBytes } = this.#options;
    while (shelf.messages.length > most || shelf.bytes > roomBytes) this.#lose(shelf);
    this.#expire(room, shelf);
    this.#makeRoom();
  }

  #expire(room: string, shelf: Shelf): void {
    const oldestMs = this.#options.clock.monotonic() - this.#options.retentionOf(room).ms;
    while (shelf.messages[0] && shelf.messages[0].atMs < oldestMs) this.#lose(shelf);
  }

  /** Rooms that nobody has written to for longest lose first. */
  #makeRoom(): void {
    const isFull = () => this.#bytes > this.#options.totalBytes || this.#shelves.size > MOST_ROOMS_REMEMBERED;
    for (const [room, shelf] of this.#shelves) {
      if (!isFull()) return;
      while (shelf.messages.length > 0 && isFull()) this.#lose(shelf);
      if (shelf.messages.length > 0 || this.#shelves.size === 1) continue;
      this.#shelves.delete(room);
      this.#lostWithRooms = Math.max(this.#lostWithRooms, shelf.lost);
    }
  }

  #lose(shelf: Shelf): void {
    const message = shelf.messages.shift();
    if (!message) return;
    shelf.bytes -= message.bytes;
    shelf.lost = message.position;
    this.#bytes -= message.bytes;
  }
}

/** A text takes two bytes a character as soon as one of them is beyond ASCII (in truth: Latin-1). */
function memoryOf(text: string): number {
  return Buffer.byteLength(text) === text.length ? text.length : 2 * text.length;
}
