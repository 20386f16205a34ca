import { randomBytes } from 'node:crypto';
import { setImmediate as nextIteration } from 'node:timers/promises';
import type { Clock } from '../clock.ts';
import type { JsonText } from '../hub/event.ts';
import { Ids } from './ids.ts';
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
} from './log.ts';
import {
  type CurrentHistorySettings,
  type KeptMessage,
  numbered,
  RoomHistories,
  RoomHistory,
} from './room-histories.ts';

export interface MemoryLogOptions {
  readonly clock: Clock;
  readonly settings: CurrentHistorySettings;
}

/** After so many messages, about 2 ms, an append waits for the next iteration of the event loop. */
const ENTRIES_PER_SLICE = 1000;

/**
 * The log of one process: it ends with the process, and the next one has another epoch in its ids. Messages
 * are kept within bounds of number, age and bytes. Of those that are dropped the newest position is kept, so
 * that a client which comes back learns of the gap.
 */
export class MemoryLog implements Log {
  readonly #clock: Clock;
  readonly #ids = new Ids(randomBytes(5).toString('hex'));
  readonly #histories: RoomHistories;
  #position = 0;
  readonly #records = new Map<RecordKind, Map<string, JsonText>>(
    RECORD_KINDS.map((kind) => [kind, new Map()]),
  );

  constructor({ clock, settings }: MemoryLogOptions) {
    this.#clock = clock;
    this.#histories = new RoomHistories(settings);
  }

  async open(): Promise<void> {}

  async head(): Promise<Position> {
    return { position: this.#position, id: this.idAt(this.#position) };
  }

  idAt(position: number): string {
    return this.#ids.at(position);
  }

  positionOf(id: string): number | undefined {
    return this.#ids.positionOf(id, this.#position);
  }

  async append(
    entries: readonly Entry[],
    changesOf?: (messages: readonly Message[]) => readonly RecordChange[],
  ): Promise<Appended> {
    // Not the wall clock: setting it makes no message old.
    const atMs = this.#clock.monotonic();
    const messages: KeptMessage[] = [];
    const next = () => {
      const position = ++this.#position;
      return { position, id: this.idAt(position) };
    };
    for (const message of numbered(entries, atMs, next)) {
      const { room } = message.event;
      if (room !== undefined) this.#histories.add(room, message, this.#histories.droppedWithRooms);
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
        const { messages } = this.#historyOf(room);
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
      rooms.map((room) => [room, this.#historyOf(room).since(id !== undefined, position, limitOf(room))]),
    );
  }

  #historyOf(room: string): RoomHistory {
    const history = this.#histories.get(room, this.#clock.monotonic());
    return history ?? new RoomHistory(this.#histories.droppedWithRooms);
  }
}
