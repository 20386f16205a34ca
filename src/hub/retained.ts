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
  /** With `id`, and with `room` where it is for one room. */
  readonly event: RoomEvent;
  readonly isWithdrawal: boolean;
}

interface Retained {
  readonly record: RetainedRecord;
  readonly matches: RoomMatcher;
  readonly bytes: number;
  /** By the room's name; the same objects for all who join, since frames are cached by them. */
  readonly messages: Map<string, Message>;
}

/** What was published with a key. */
export interface Retaining {
  readonly key: string;
  /** Room patterns. */
  readonly patterns: readonly string[];
  /** Whether it withdraws what has the key. */
  readonly isWithdrawal: boolean;
}

/** What one takes in memory beside its data and patterns: roughly, names, numbers and the objects that hold them. */
const OVERHEAD_BYTES = 1000;

/** A message for a pattern has a copy for each room; so many are kept. */
const MAX_COPIES = 100;

/**
 * The retained messages: of each key the newest for each room, until it ends or is withdrawn. A message for
 * a pattern is also for the rooms that come to exist later, so patterns are kept, not rooms.
 *
 * A room that is named exactly retains its message as it was sent. For patterns the log has one entry
 * without a room, numbered before the messages of the rooms that existed. A client that joins gets it with
 * the id `<id>.<room>`: ids are ordered by position, then by room, so that a client that is cut off between
 * the copies of two rooms gets each of them once.
 */
export class RetainedMessages {
  readonly #clock: Pick<Clock, 'now'>;
  readonly #settings: CurrentSettings;
  /** Of each key in the order of their positions: the newest that matches a room is the one for it. */
  readonly #byKey = new Map<string, Retained[]>();
  #count = 0;
  #bytes = 0;

  constructor({ clock, settings }: { clock: Pick<Clock, 'now'>; settings: CurrentSettings }) {
    this.#clock = clock;
    this.#settings = settings;
  }

  /** How many are kept. */
  get count(): number {
    return this.#count;
  }

  /** About how much memory they take. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Takes over the records of the log, at the start. */
  load(records: ReadonlyMap<string, JsonText>): void {
    // Written by `#put` alone.
    const all = [...records.values()].map((text): RetainedRecord => JSON.parse(text));
    for (const record of all.sort((a, b) => a.position - b.position)) this.#put(record);
  }

  /** Throws a 409 `Refusal` where one more with this key would be too many, or too large with its data. */
  check(key: string, dataBytes: number): void {
    const { retained, retainedBytes } = this.#settings.current.limits;
    for (const known of [...this.#byKey.keys()]) this.#prune(known);
    const same = this.#byKey.get(key) ?? [];
    const bytes = this.#bytes - sumOfBytes(same) + dataBytes + OVERHEAD_BYTES;
    const instead = 'withdraw one with DELETE /admin/retained/{key}, or give them a ttl';
    if (this.#count - same.length >= retained) {
      throw new Refusal(409, `${this.#count} messages are retained (limits.retained): ${instead}`);
    }
    if (bytes > retainedBytes) {
      const detail = `retained messages would take ${bytes} bytes of memory, and limits.retainedBytes is ${retainedBytes}`;
      throw new Refusal(409, `${detail}: ${instead}`);
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

  /** The retained messages of a room as its clients get them, in the order of their positions. */
  of(room: string): Message[] {
    const found: Message[] = [];
    for (const list of this.#byKey.values()) {
      const newest = list.findLast(({ matches }) => matches(room));
      if (newest && !this.#isOver(newest)) found.push(messageFor(room, newest));
    }
    return found.sort((a, b) => a.position - b.position);
  }

  /** The patterns of the rooms that retain a message of this key. */
  patternsOf(key: string): string[] {
    this.#prune(key);
    const list = this.#byKey.get(key) ?? [];
    return [...new Set(list.filter((each) => !this.#isOver(each)).flatMap(({ record }) => record.patterns))];
  }

  #put(record: RetainedRecord): RecordChange[] {
    const { key, patterns, event } = record;
    const before = this.#byKey.get(key) ?? [];
    const added = {
      record,
      matches: roomsMatcher(patterns),
      bytes: Buffer.byteLength(event.data ?? '') + patterns.join().length + OVERHEAD_BYTES,
      messages: new Map(),
    };
    const kept = before.filter((each) => !covers(patterns, each.record.patterns));
    this.#replace(key, before, [...kept, added]);
    this.#prune(key);
    const after = new Set(this.#byKey.get(key));
    const removed = before.filter((each) => !after.has(each)).map((each) => removalOf(each.record));
    return after.has(added) ? [...removed, changeOf(record)] : removed;
  }

  /** Drops what is over. One that is over still hides the older ones of its rooms. */
  #prune(key: string): void {
    const list = this.#byKey.get(key) ?? [];
    const first = list.findIndex((each) => !this.#isOver(each));
    if (first !== 0) this.#replace(key, list, first === -1 ? [] : list.slice(first));
  }

  #replace(key: string, before: readonly Retained[], after: Retained[]): void {
    if (after.length > 0) this.#byKey.set(key, after);
    else this.#byKey.delete(key);
    this.#count += after.length - before.length;
    this.#bytes += sumOfBytes(after) - sumOfBytes(before);
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

/** Whether every room that matches one of `others` matches one of `patterns`; false where that is not plain. */
function covers(patterns: readonly string[], others: readonly string[]): boolean {
  return others.every((other) =>
    patterns.some(
      (pattern) => pattern === '*' || pattern === other || (isExact(other) && roomMatcher(pattern)(other)),
    ),
  );
}

function messageFor(room: string, { record: { position, event }, messages }: Retained): Message {
  const known = messages.get(room);
  if (known) return known;
  const id = event.room === undefined ? `${event.id}.${room}` : (event.id ?? '');
  const message = { position, id, event: { ...event, id, room } };
  if (messages.size === MAX_COPIES) messages.clear();
  messages.set(room, message);
  return message;
}
