import type { JsonText, RoomEvent, Sender } from '../hub/event.ts';

/** A message before it has a number. */
export interface Entry {
  readonly room: string;
  readonly event: string;
  /** RFC 3339. */
  readonly time: string;
  readonly data: JsonText;
  readonly from?: Sender;
}

/** A position in the log. */
export interface Position {
  /** Grows by one with each message, through all rooms; 0: before the first. */
  readonly position: number;
  /** The same for clients: `<epoch>-<position>`, opaque, compared for equality only. */
  readonly id: string;
}

/** A message with its number. */
export interface Message extends Position {
  /** With `id` and `room`. */
  readonly event: RoomEvent;
}

export interface Appended {
  /** One for each entry, in their order. */
  readonly messages: readonly Message[];
  /** Settles when the entries are where they survive a crash; rejects if they never will. */
  readonly stored: Promise<void>;
}

/** What a room's history can give to a client that comes back. */
export interface History {
  /** `true`: all that was missed is here; `false`: there is a gap; `null`: no id was given. */
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
 * Numbers messages and keeps them. Numbers grow through all rooms of one log, so that one id stands for a
 * position in any set of rooms. Ticks never come here.
 */
export interface Log {
  /** The position of the newest message. */
  head(): Promise<Position>;

  /**
   * Numbers the entries in their order and keeps them. Rejects if they cannot be numbered: then
   * none of them may be delivered.
   */
  append(entries: readonly Entry[]): Promise<Appended>;

  /**
   * What is kept of each room after `id`. An id that the log does not know, that lies ahead of it or
   * does not parse is a gap, no error. `limit` is for clients that do not resume: the most messages of
   * each room.
   */
  since(
    rooms: readonly string[],
    id: string | undefined,
    limit: number,
  ): Promise<ReadonlyMap<string, History>>;

  /** How many messages are kept of each room, and the newest, without reading the others. */
  kept(rooms: readonly string[]): Promise<ReadonlyMap<string, Kept>>;
}
