import { type Clock, instant } from '../clock.ts';
import type { Message, RecordChange } from '../log/log.ts';
import { Refusal } from './errors.ts';
import {
  isExact,
  type JsonText,
  type RoomEvent,
  type RoomMatcher,
  roomMatcher,
  roomsMatcher,
} from './event.ts';
import type { CurrentSettings } from './settings.ts';

/** A retained message, or the withdrawal of one, as its record in the log holds it. */
interface RetainedRecord {
  readonly key: string;
  /** One room's name, or patterns with `*`. */
  readonly patterns: readonly string[];
  readonly position: number;
  /** With `id`, and with `room` where the message is for one room. */
  readonly event: RoomEvent;
  readonly isWithdrawal: boolean;
}

interface Retained {
  readonly record: RetainedRecord;
  readonly matches: RoomMatcher;
  readonly bytes: number;
  /**
   * Cache of the message per room name. Every client that joins a room gets the same object, because
   * `ReplayFrames` uses the event object as its cache key.
   */
  readonly messages: Map<string, Message>;
}

/** What a room retains of one key: a message, or the event that says that it was withdrawn or has ended. */
export interface RetainedMessage extends Message {
  readonly key: string;
  readonly isOver: boolean;
}

/** What was published with a key. */
export interface Retaining {
  readonly key: string;
  /** Room patterns. */
  readonly patterns: readonly string[];
  /** Whether the publication withdraws the message of the key. */
  readonly isWithdrawal: boolean;
}

/** What a retained message takes on the wire beside its data, at most: room, event, id, time, key and end. */
const OVERHEAD_BYTES = 450;

/** A message for a pattern has a copy for each room; so many copies are kept. */
const MAX_COPIES = 100;

/**
 * So many messages that are over are kept, for clients that were away meanwhile; the oldest are dropped
 * first.
 */
const MAX_OVER = 1000;

/**
 * The retained messages: of each key the newest for each room, until it ends or is withdrawn. A message for
 * a pattern is also for the rooms that come to exist later, so patterns are kept, not rooms. What is over is
 * kept as well, and hides the older ones of its key: a client that was away comes back with those.
 *
 * A room that is named exactly retains its message as it was sent. For patterns the log has one entry
 * without a room, numbered before the messages of the rooms that existed. A client that joins gets it with
 * the id `<id>.<room>`: ids are ordered by position, then by room, so that a client that is cut off between
 * the copies of two rooms gets each of them once.
 */
export class RetainedMessages {
  readonly #clock: Pick<Clock, 'now'>;
  readonly #settings: CurrentSettings;
  /**
   * The messages of each key in the order of their positions: the newest that matches a room is for that
   * room.
   */
  readonly #byKey = new Map<string, Retained[]>();

  constructor({ clock, settings }: { clock: Pick<Clock, 'now'>; settings: CurrentSettings }) {
    this.#clock = clock;
    this.#settings = settings;
  }

  /** Takes over the records of the log, at the start. */
  load(records: ReadonlyMap<string, JsonText>): void {
    // Written by `#put` alone.
    const all = [...records.values()].map((text): RetainedRecord => JSON.parse(text));
    for (const record of all.sort((a, b) => a.position - b.position)) this.#put(record);
  }

  /**
   * Throws a 409 `Refusal` where one more message with this key would be too many, or too large with its
   * data.
   */
  check(key: string, dataBytes: number): void {
    const { retained, retainedBytes, maxBufferedBytes } = this.#settings.current.limits;
    // A client that joins gets all retained messages at once, and a client with more unsent bytes is closed.
    const maxBytes = Math.min(retainedBytes, maxBufferedBytes / 2);
    const others = this.#all().filter((each) => each.record.key !== key && !this.#isOver(each));
    const bytes = sumOfBytes(others) + dataBytes + OVERHEAD_BYTES;
    const instead = 'withdraw one with DELETE /admin/retained/{key}, or give them a ttl';
    if (others.length >= retained) {
      throw new Refusal(409, `${others.length} messages are retained (limits.retained): ${instead}`);
    }
    if (bytes > maxBytes) {
      const name = maxBytes < retainedBytes ? 'half of limits.maxBufferedBytes' : 'limits.retainedBytes';
      throw new Refusal(
        409,
        `retained messages would have ${bytes} bytes, and ${name} is ${maxBytes}: ${instead}`,
      );
    }
  }

  /** Keeps what was published, with the messages that the log numbered. Returns how its records change. */
  add({ key, patterns, isWithdrawal }: Retaining, messages: readonly Message[]): RecordChange[] {
    const wildcards = patterns.filter((pattern) => !isExact(pattern));
    return messages.flatMap(({ position, event }) => {
      const { room } = event;
      // The room is one that matched a pattern: the entry for all of those is kept.
      if (room !== undefined && !patterns.includes(room)) return [];
      return this.#put({
        key,
        patterns: room === undefined ? wildcards : [room],
        position,
        event,
        isWithdrawal,
      });
    });
  }

  /**
   * The newest message of each key for a room, as the clients of the room get it, in the order of the
   * positions.
   */
  of(room: string): RetainedMessage[] {
    const found: RetainedMessage[] = [];
    for (const [key, list] of this.#byKey) {
      const newest = list.findLast(({ matches }) => matches(room));
      if (!newest) continue;
      const isOver = this.#isOver(newest);
      found.push({ ...(isOver ? withdrawalFor(room, newest) : messageFor(room, newest)), key, isOver });
    }
    return found.sort((a, b) => a.position - b.position);
  }

  /** The patterns of the rooms that retain a message of this key. */
  patternsOf(key: string): string[] {
    const list = this.#byKey.get(key) ?? [];
    return [...new Set(list.filter((each) => !this.#isOver(each)).flatMap(({ record }) => record.patterns))];
  }

  #put(record: RetainedRecord): RecordChange[] {
    const { key, patterns, event } = record;
    const bytes = Buffer.byteLength(event.data ?? '') + patterns.join().length + OVERHEAD_BYTES;
    const added = { record, matches: roomsMatcher(patterns), bytes, messages: new Map() };
    const before = this.#byKey.get(key) ?? [];
    const isHidden = ({ record: { patterns: older } }: Retained) => covers(patterns, older);
    this.#byKey.set(key, [...before.filter((each) => !isHidden(each)), added]);
    const removed = [...before.filter(isHidden), ...this.#boundOver()];
    return [...removed.map((each) => removalOf(each.record)), changeOf(record)];
  }

  /** Drops the oldest messages that are over, where these are too many. */
  #boundOver(): Retained[] {
    const over = this.#all().filter((each) => this.#isOver(each));
    over.sort((a, b) => a.record.position - b.record.position);
    const dropped: Retained[] = [];
    let count = over.length;
    let bytes = sumOfBytes(over);
    for (const oldest of over) {
      if (count <= MAX_OVER && bytes <= this.#settings.current.limits.retainedBytes) break;
      count--;
      bytes -= oldest.bytes;
      const { key } = oldest.record;
      const list = this.#byKey.get(key) ?? [];
      // With the older messages of its key, which it does not hide any more.
      const kept = list.slice(list.indexOf(oldest) + 1);
      if (kept.length > 0) this.#byKey.set(key, kept);
      else this.#byKey.delete(key);
      dropped.push(...list.slice(0, list.length - kept.length));
    }
    return dropped;
  }

  #all(): Retained[] {
    return [...this.#byKey.values()].flat();
  }

  #isOver({ record: { isWithdrawal, event } }: Retained): boolean {
    return isWithdrawal || (event.until !== undefined && event.until <= instant(this.#clock.now()));
  }
}

function sumOfBytes(list: readonly Retained[]): number {
  return list.reduce((sum, { bytes }) => sum + bytes, 0);
}

function changeOf(record: RetainedRecord): RecordChange {
  return { kind: 'retained', key: String(record.position), value: JSON.stringify(record) };
}

function removalOf({ position }: RetainedRecord): RecordChange {
  return { kind: 'retained', key: String(position), value: null };
}

/**
 * Whether every room that matches one of `others` matches one of `patterns`; false where that is not
 * certain.
 */
function covers(patterns: readonly string[], others: readonly string[]): boolean {
  return others.every((other) =>
    patterns.some(
      (pattern) => pattern === '*' || pattern === other || (isExact(other) && roomMatcher(pattern)(other)),
    ),
  );
}

function messageFor(room: string, retained: Retained): Message {
  const { record, messages } = retained;
  const known = messages.get(room);
  if (known) return known;
  const { position, event } = record;
  const id = idFor(room, retained);
  const message = { position, id, event: { ...event, id, room } };
  if (messages.size === MAX_COPIES) messages.clear();
  messages.set(room, message);
  return message;
}

function withdrawalFor(room: string, retained: Retained): Message {
  const { key, position, event } = retained.record;
  const id = idFor(room, retained);
  const time = event.until ?? event.time;
  return { position, id, event: { id, room, event: 'withdrawn', time, data: JSON.stringify({ key }) } };
}

function idFor(room: string, { record: { event } }: Retained): string {
  return event.room === undefined ? `${event.id}.${room}` : (event.id ?? '');
}
