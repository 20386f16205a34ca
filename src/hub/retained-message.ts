import type { Message, RecordChange } from '../log/log.ts';
import { type RoomEvent, type RoomMatcher, roomsMatcher } from './event.ts';

/** A retained message, or that it is over, as its record in the log holds it. */
export interface RetainedRecord {
  readonly key: string;
  /** Either one room's name, or a list of patterns with a `*` in at least one of them. */
  readonly patterns: readonly string[];
  /** The positions that its publication took in the log; one where it is for one room. */
  readonly first: number;
  readonly last: number;
  /** With the `id` of the last position, and with `room` where it is for one room. */
  readonly event: RoomEvent;
  /** It was withdrawn, or has ended: `event` says so. */
  readonly isOver: boolean;
}

/** A record with what is computed from it once. */
export interface Retained {
  readonly record: RetainedRecord;
  readonly matches: RoomMatcher;
  readonly bytes: number;
  /** Milliseconds since the epoch. */
  readonly endsAtMs: number;
  /**
   * Cache of the message per room name. Every client that joins a room gets the same object, because
   * ReplayFrames uses the event object as its cache key.
   */
  readonly messages: Map<string, RetainedMessage>;
}

/** The positions that a publication with a key took in the log. */
export type RetainedPlace = Pick<RetainedRecord, 'key' | 'first' | 'last'>;

/**
 * What a room retains of one key: a message, or the event that says that it was withdrawn or has ended. Its
 * position is `last`.
 */
export interface RetainedMessage extends Message, RetainedPlace {
  readonly isOver: boolean;
}

/** Tells whether a message is to be made of what is retained. */
export type IsWanted = (place: RetainedPlace, isOver: boolean) => boolean;

/** What a message takes on the wire beside its data, at most: room, event, id, time, key and end. */
export const OVERHEAD_BYTES = 450;

/** A message for a pattern has a copy for each room; so many are cached. */
const MAX_COPIES = 100;

/** Without a message for any room yet. */
export function retainedOf(record: RetainedRecord): Retained {
  const { patterns, event, isOver } = record;
  return {
    record,
    matches: roomsMatcher(patterns),
    bytes: Buffer.byteLength(event.data ?? '') + patterns.join().length + OVERHEAD_BYTES,
    endsAtMs: isOver || event.until === undefined ? Number.POSITIVE_INFINITY : Date.parse(event.until),
    messages: new Map(),
  };
}

/** The same as over, if it is not so already. */
export function overOf(retained: Retained): Retained {
  const { record } = retained;
  if (record.isOver) return retained;
  const { id, room, time, until = time } = record.event;
  const data = JSON.stringify({ key: record.key });
  const event = { ...(id && { id }), ...(room && { room }), event: 'withdrawn', time: until, data };
  return retainedOf({ ...record, event, isOver: true });
}

/** How the records of the log change where one is added or has ended. */
export function changeOf(record: RetainedRecord): RecordChange {
  return { kind: 'retained', key: String(record.first), value: JSON.stringify(record) };
}

/** The same where one is removed. */
export function removalOf({ record }: Retained): RecordChange {
  return { kind: 'retained', key: String(record.first), value: null };
}

/** As the clients of a room get it. */
export function messageFor(room: string, { record, messages }: Retained): RetainedMessage {
  const known = messages.get(room);
  if (known) return known;
  const { key, first, last, event, isOver } = record;
  const id = event.room === undefined ? `${event.id}.${room}` : (event.id ?? '');
  const message = { key, first, last, position: last, id, event: { ...event, id, room }, isOver };
  if (messages.size === MAX_COPIES) messages.clear();
  messages.set(room, message);
  return message;
}
