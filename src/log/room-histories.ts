import type { JsonText } from '../hub/event.ts';
import type { Limits } from '../limits.ts';
import type { Entry, History, Message, Position, Retention } from './log.ts';

export interface HistorySettings {
  readonly limits: Pick<Limits, 'historyBytes' | 'totalHistoryBytes'>;
  retentionOf(room: string): Retention;
}

/** The snapshot in force, which a reload replaces. */
export interface CurrentHistorySettings {
  readonly current: HistorySettings;
}

export interface KeptMessage extends Message {
  /** When it was numbered, on the log's clock. */
  readonly atMs: number;
  readonly bytes: number;
}

/** What one message takes in memory beside its data, roughly: names, numbers and the objects that hold them. */
const OVERHEAD_BYTES = 300;

/** So many rooms have a history; of the others only the newest position that any of them dropped is known. */
const MAX_ROOMS = 20_000;

/** What is kept of a room in memory. Messages leave at the front. */
export class RoomHistory {
  messages: KeptMessage[] = [];
  bytes = 0;
  /** The position of the newest message that was too old, or one too many: nothing keeps it any more. */
  expired = 0;
  /** The position of the newest message that was dropped because of its bytes. */
  evicted: number;
  /** The position of the newest message that could not be stored. Older ones may be here. */
  gap = 0;

  constructor(evicted: number) {
    this.evicted = evicted;
  }

  /** All messages of the room above this position are here. */
  get completeAbove(): number {
    return Math.max(this.expired, this.evicted, this.gap);
  }

  /** Whether a log that keeps more than memory has more to say than `since`. */
  isShortOf(position: number | undefined, limit: number): boolean {
    if (this.evicted <= this.expired) return false;
    if (position === undefined || position < this.gap) return this.messages.length < limit;
    return position < this.completeAbove;
  }

  /** All after `position` where the room has them, otherwise the newest; `asked`: an id was given. */
  since(asked: boolean, position: number | undefined, limit: number): History {
    if (position !== undefined && position >= this.completeAbove) {
      return { resumed: true, messages: this.messages.filter((message) => message.position > position) };
    }
    return { resumed: asked ? false : null, messages: limit > 0 ? this.messages.slice(-limit) : [] };
  }
}

/** The newest messages of each room in memory, within bounds of number, age and bytes. */
export class RoomHistories {
  readonly #settings: CurrentHistorySettings;
  /** Least recently written first. */
  readonly #histories = new Map<string, RoomHistory>();
  #bytes = 0;
  /** The position of the newest message of the rooms that have no history here any more. */
  droppedWithRooms = 0;

  constructor(settings: CurrentHistorySettings) {
    this.#settings = settings;
  }

  /** Without what is too old; `undefined` for a room that is not known here. */
  get(room: string, nowMs: number): RoomHistory | undefined {
    const history = this.#histories.get(room);
    if (history) this.#expire(room, history, nowMs);
    return history;
  }

  /** `completeAbove`: what is true of a room that is not known here. */
  add(room: string, message: KeptMessage, completeAbove: number): void {
    const history = this.#histories.get(room) ?? new RoomHistory(completeAbove);
    this.#histories.delete(room);
    this.#histories.set(room, history);
    history.messages.push(message);
    history.bytes += message.bytes;
    this.#bytes += message.bytes;
    this.#trim(room, history, message.atMs);
    this.#trimAll();
  }

  /**
   * Puts messages that were read elsewhere in front of those of `history`: all of the room from above
   * `above` to `upTo`. Does nothing where the room got, lost or forgot messages at that place meanwhile.
   */
  restore(
    room: string,
    history: RoomHistory,
    older: readonly KeptMessage[],
    { above, gap, isAll, upTo }: { above: number; gap: number; isAll: boolean; upTo: number },
    nowMs: number,
  ): void {
    const known = this.#histories.get(room);
    // Without a history here the room may have got messages, and have lost them with its history.
    const isChanged = known ? known !== history : this.droppedWithRooms > upTo;
    const next = history.messages[0]?.position ?? Number.POSITIVE_INFINITY;
    if (isChanged || Math.max(history.expired, history.evicted) > upTo || next <= upTo) return;
    history.gap = Math.max(history.gap, gap);
    if (isAll) [history.expired, history.evicted] = [Math.max(history.expired, above), 0];
    else history.evicted = above;
    history.messages.unshift(...older);
    for (const { bytes } of older) {
      history.bytes += bytes;
      this.#bytes += bytes;
    }
    // The names that clients ask for are without number.
    if (!known && older.length > 0) this.#histories.set(room, history);
    this.#trim(room, history, nowMs);
    this.#trimAll();
  }

  /** A message that could not be stored is lost, whether it is here or not. The others stay. */
  lose(room: string, position: number): void {
    const history = this.#histories.get(room);
    if (!history) return;
    history.gap = Math.max(history.gap, position);
    const index = history.messages.findLastIndex((message) => message.position === position);
    if (index === -1) return;
    const [lost] = history.messages.splice(index, 1);
    history.bytes -= lost?.bytes ?? 0;
    this.#bytes -= lost?.bytes ?? 0;
  }

  #trim(room: string, history: RoomHistory, nowMs: number): void {
    const { limits } = this.#settings.current;
    const { messages: maxMessages } = this.#settings.current.retentionOf(room);
    while (history.messages.length > maxMessages) history.expired = this.#drop(history);
    this.#expire(room, history, nowMs);
    while (history.bytes > limits.historyBytes) history.evicted = this.#drop(history);
  }

  #expire(room: string, history: RoomHistory, nowMs: number): void {
    const oldestMs = nowMs - this.#settings.current.retentionOf(room).ms;
    while (history.messages[0] && history.messages[0].atMs < oldestMs) history.expired = this.#drop(history);
  }

  /** Keeps all rooms together within their bounds: drops the oldest messages of the room least recently written. */
  #trimAll(): void {
    const { totalHistoryBytes } = this.#settings.current.limits;
    const isFull = () => this.#bytes > totalHistoryBytes || this.#histories.size > MAX_ROOMS;
    for (const [room, history] of this.#histories) {
      if (!isFull()) return;
      while (history.messages.length > 0 && isFull()) history.evicted = this.#drop(history);
      if (history.messages.length > 0 || this.#histories.size === 1) continue;
      this.#histories.delete(room);
      this.droppedWithRooms = Math.max(this.droppedWithRooms, history.completeAbove);
    }
  }

  /** Drops the oldest message; returns its position. */
  #drop(history: RoomHistory): number {
    const message = history.messages.shift();
    if (!message) return 0;
    history.bytes -= message.bytes;
    this.#bytes -= message.bytes;
    return message.position;
  }
}

/** The messages that entries become, each with the position that it takes at that moment. */
export function* numbered(
  entries: readonly Entry[],
  atMs: number,
  next: () => Position,
): Iterable<KeptMessage> {
  let data: JsonText | undefined;
  let bytes = 0;
  for (const entry of entries) {
    // A broadcast to many rooms is many entries with the same data.
    if (entry.data !== data) bytes = memoryOf(entry.data);
    data = entry.data;
    const { position, id } = next();
    yield { position, id, event: { id, ...entry }, atMs, bytes };
  }
}

/** How much memory a message takes, in bytes. */
export function memoryOf(data: JsonText): number {
  // A string takes two bytes a character as soon as one of them is beyond ASCII (in truth: Latin-1).
  return OVERHEAD_BYTES + (Buffer.byteLength(data) === data.length ? data.length : 2 * data.length);
}
