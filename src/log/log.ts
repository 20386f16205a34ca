import type { JsonText, RoomEvent, Sender } from '../hub/event.ts';

/** A message before it has a number. */
export interface Entry {
  /** Absent: it gets a number, and no room's history keeps it. */
  readonly room?: string;
  readonly event: string;
  /** RFC 3339. */
  readonly time: string;
  readonly data: JsonText;
  readonly from?: Sender;
  /** Of a retained message. */
  readonly key?: string;
  /** When a retained message ends, RFC 3339. */
  readonly until?: string;
}

/** What else has to outlive the process, beside the messages. */
export const RECORD_KINDS = ['retained', 'lock', 'pause', 'waiting', 'idempotency'] as const;
export type RecordKind = (typeof RECORD_KINDS)[number];

/** A small JSON document that is put, replaced or removed. */
export interface RecordChange {
  readonly kind: RecordKind;
  readonly key: string;
  /** Null: the record is removed. */
  readonly value: JsonText | null;
}

/** A position in the log. */
export interface Position {
  /** Grows by one with each message, through all rooms; 0: before the first message. */
  readonly position: number;
  /** The position as clients see it: `<epoch>-<position>`, opaque, compared for equality only. */
  readonly id: string;
}

/** A message with its number. */
export interface Message extends Position {
  /** With `id`, and with `room` where its entry has one. */
  readonly event: RoomEvent;
}

export interface Appended {
  /** One for each entry, in their order. */
  readonly messages: readonly Message[];
  /** Resolves when the entries are where they survive a crash; rejects if they never will be. */
  readonly stored: Promise<void>;
}

/** What the log has of a room for a client that joins it. */
export interface History {
  /** `true`: `messages` holds all that came after the id; `false`: some are missing; `null`: no id was given. */
  readonly resumed: boolean | null;
  /** Oldest first. With `true` all after the id, otherwise the newest that are kept. */
  readonly messages: readonly Message[];
}

/** How much of a room is to be kept. */
export interface Retention {
  readonly messages: number;
  readonly ms: number;
}

/** How much is kept of a room. */
export interface Kept {
  /** How many messages. */
  readonly count: number;
  /** Absent where there are none. */
  readonly newest?: Message;
}

/**
 * Numbers messages and keeps them, and keeps the records of what else has to outlive the process. Numbers
 * grow through all rooms of one log, so that one id stands for a position in any set of rooms. Ticks never
 * come here.
 */
export interface Log {
  /** To be awaited before anything else is called. Rejects where what is stored cannot be used. */
  open(): Promise<void>;

  /** The position of the newest message, or one above it where the log was not closed in good order. */
  head(): Promise<Position>;

  /**
   * Numbers the entries in their order and keeps them, and changes records in the same transaction: after
   * a crash either all of it is there or nothing; of thousands of entries perhaps the first ones, and no
   * change. `changesOf` is called once, with the messages, before anything is stored. Rejects if the entries cannot be numbered: then none of them may be delivered.
   */
  append(
    entries: readonly Entry[],
    changesOf?: (messages: readonly Message[]) => readonly RecordChange[],
  ): Promise<Appended>;

  /** The id of a position, whether a message has it or not. */
  idAt(position: number): string;

  /** The position of an id; `undefined` for one that is not of this log or lies ahead of it. */
  positionOf(id: string): number | undefined;

  /** All records of a kind, by key. To be asked at the start, since it reads all of them. */
  records(kind: RecordKind): Promise<ReadonlyMap<string, JsonText>>;

  /**
   * What is kept of each room after `id`. An id that the log does not know, that lies ahead of it or
   * does not parse is a gap, no error. `limitOf`: the most messages of a room that does not resume.
   */
  since(
    rooms: readonly string[],
    id: string | undefined,
    limitOf: (room: string) => number,
  ): Promise<ReadonlyMap<string, History>>;

  /** How many messages are kept of each room, and the newest, without reading the others. */
  kept(rooms: readonly string[]): Promise<ReadonlyMap<string, Kept>>;

  /** Resolves when everything is stored; only `open` may be called afterwards. Safe to call twice. */
  close(): Promise<void>;
}
