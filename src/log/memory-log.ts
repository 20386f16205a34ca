import { randomBytes } from 'node:crypto';
import { setImmediate as nextIteration } from 'node:timers/promises';
import type { Clock } from '../clock.ts';
import type { JsonText } from '../hub/event.ts';
import {
  type Appended,
  type Entry,
  type History,
  type Kept,
  type Log,
  type Message,
  type Position,
  RECORD_KINDS,
  type RecordChange,
  type RecordKind,
  type Retention,
} from './log.ts';

export interface MemoryLogSettings {
  readonly limits: {
    /** Bytes of JSON kept of one room. */
    readonly historyBytes: number;
    /** The same of all rooms together. */
    readonly totalHistoryBytes: number;
  };
  retentionOf(room: string): Retention;
}

export interface MemoryLogOptions {
  readonly clock: Clock;
  /** The snapshot in force, which a reload replaces. */
  readonly settings: { readonly current: MemoryLogSettings };
}

/** What one message takes in memory beside its data, roughly: names, numbers and the objects that hold them. */
const OVERHEAD_BYTES = 300;

/** After so many messages, about 2 ms, an append waits for the next iteration of the event loop. */
const ENTRIES_PER_SLICE = 1000;

/** So many rooms have a history; of the others only the newest position that any of them dropped is known. */
const MAX_ROOMS = 20_000;

interface Stored extends Message {
  /** On the monotonic clock: setting the computer's clock makes no message old. */
  readonly atMs: number;
  readonly bytes: number;
}

/** What is kept of a room. */
interface RoomHistory {
  /** Oldest first; the oldest is dropped first. */
  messages: Stored[];
  bytes: number;
  /** The position of the newest message that was dropped. */
  dropped: number;
}

/**
 * The log of one process: it ends with the process, and the next one has another epoch in its ids. Messages
 * are kept within bounds of number, age and bytes. Of those that are dropped the newest position is kept, so
 * that a client which comes back learns of the gap.
 */
export class MemoryLog implements Log {
  readonly #options: MemoryLogOptions;
  readonly #epoch = randomBytes(5).toString('hex');
  /** Least recently written first. */
  readonly #histories = new Map<string, RoomHistory>();
  /** The position of the newest message of the rooms that have no history any more. */
  #droppedWithRooms = 0;
  #bytes = 0;
  #position = 0;
  readonly #records = new Map<RecordKind, Map<string, JsonText>>(
    RECORD_KINDS.map((kind) => [kind, new Map()]),
  );

  constructor(options: MemoryLogOptions) {
    this.#options = options;
  }

  async head(): Promise<Position> {
    return { position: this.#position, id: this.idAt(this.#position) };
  }

  async append(
    entries: readonly Entry[],
    changesOf?: (messages: readonly Message[]) => readonly RecordChange[],
  ): Promise<Appended> {
    const atMs = this.#options.clock.monotonic();
    const messages: Stored[] = [];
    let data: string | undefined;
    let dataBytes = 0;
    for (const entry of entries) {
      // A broadcast to many rooms is many entries with the same data.
      if (entry.data !== data) dataBytes = memoryOf(entry.data);
      data = entry.data;
      const position = ++this.#position;
      const id = this.idAt(position);
      const bytes = dataBytes + OVERHEAD_BYTES;
      const message = { position, id, event: { id, ...entry }, atMs, bytes };
      if (entry.room !== undefined) this.#keep(entry.room, message);
      messages.push(message);
      if (messages.length % ENTRIES_PER_SLICE === 0) await nextIteration();
    }
    for (const { kind, key, value } of changesOf?.(messages) ?? []) {
      if (value === null) this.#records.get(kind)?.delete(key);
      else this.#records.get(kind)?.set(key, value);
    }
    return { messages, stored: Promise.resolve() };
  }

  async records(kind: RecordKind): Promise<ReadonlyMap<string, JsonText>> {
    return new Map(this.#records.get(kind));
  }

  async close(): Promise<void> {}

  async kept(rooms: readonly string[]): Promise<ReadonlyMap<string, Kept>> {
    return new Map(
      rooms.map((room) => {
        const { messages = [] } = this.#unexpired(room) ?? {};
        const newest = messages.at(-1);
        return [room, { count: messages.length, ...(newest && { newest }) }];
      }),
    );
  }

  async since(
    rooms: readonly string[],
    id: string | undefined,
    limitOf: (room: string) => number,
  ): Promise<ReadonlyMap<string, History>> {
    const position = id === undefined ? undefined : this.positionOf(id);
    return new Map(
      rooms.map((room) => [room, this.#historyOf(room, id !== undefined, position, limitOf(room))]),
    );
  }

  #historyOf(room: string, asked: boolean, position: number | undefined, limit: number): History {
    const { messages = [], dropped = this.#droppedWithRooms } = this.#unexpired(room) ?? {};
    if (position !== undefined && position >= dropped) {
      return { resumed: true, messages: messages.filter((message) => message.position > position) };
    }
    return { resumed: asked ? false : null, messages: limit > 0 ? messages.slice(-limit) : [] };
  }

  idAt(position: number): string {
    return `${this.#epoch}-${position}`;
  }

  positionOf(id: string): number | undefined {
    const [epoch, digits = '', ...rest] = id.split('-');
    if (epoch !== this.#epoch || rest.length > 0 || !/^(?:0|[1-9]\d{0,15})$/.test(digits)) return undefined;
    const position = Number(digits);
    return position <= this.#position ? position : undefined;
  }

  #keep(room: string, message: Stored): void {
    const history = this.#histories.get(room) ?? { messages: [], bytes: 0, dropped: this.#droppedWithRooms };
    this.#histories.delete(room);
    this.#histories.set(room, history);
    history.messages.push(message);
    history.bytes += message.bytes;
    this.#bytes += message.bytes;
    const { limits } = this.#options.settings.current;
    const { messages: maxMessages } = this.#options.settings.current.retentionOf(room);
    while (history.messages.length > maxMessages || history.bytes > limits.historyBytes) this.#drop(history);
    this.#expire(room, history);
    this.#trim();
  }

  /** The history of a room, without messages that are too old. */
  #unexpired(room: string): RoomHistory | undefined {
    const history = this.#histories.get(room);
    if (history) this.#expire(room, history);
    return history;
  }

  #expire(room: string, history: RoomHistory): void {
    const oldestMs = this.#options.clock.monotonic() - this.#options.settings.current.retentionOf(room).ms;
    while (history.messages[0] && history.messages[0].atMs < oldestMs) this.#drop(history);
  }

  /** Keeps all rooms together within their bounds: drops the oldest messages of the room least recently written. */
  #trim(): void {
    const { totalHistoryBytes } = this.#options.settings.current.limits;
    const isFull = () => this.#bytes > totalHistoryBytes || this.#histories.size > MAX_ROOMS;
    for (const [room, history] of this.#histories) {
      if (!isFull()) return;
      while (history.messages.length > 0 && isFull()) this.#drop(history);
      if (history.messages.length > 0 || this.#histories.size === 1) continue;
      this.#histories.delete(room);
      this.#droppedWithRooms = Math.max(this.#droppedWithRooms, history.dropped);
    }
  }

  #drop(history: RoomHistory): void {
    const message = history.messages.shift();
    if (!message) return;
    history.bytes -= message.bytes;
    history.dropped = message.position;
    this.#bytes -= message.bytes;
  }
}

/** A string takes two bytes a character as soon as one of them is beyond ASCII (in truth: Latin-1). */
function memoryOf(data: JsonText): number {
  return Buffer.byteLength(data) === data.length ? data.length : 2 * data.length;
}
