import type { Clock } from '../clock.ts';
import type { Message, RecordChange } from '../log/log.ts';
import { Refusal } from './errors.ts';
import { isExact, type JsonText, roomsMatcher } from './event.ts';
import {
  changeOf,
  type IsWanted,
  messageFor,
  OVERHEAD_BYTES,
  overOf,
  type Retained,
  type RetainedMessage,
  type RetainedRecord,
  removalOf,
  retainedOf,
} from './retained-message.ts';
import type { CurrentSettings } from './settings.ts';

/** What was published with a key. */
export interface Retaining {
  readonly key: string;
  /** Room patterns. */
  readonly patterns: readonly string[];
  /** Whether the publication withdraws the message that has the key. */
  readonly isWithdrawal: boolean;
}

/** So many messages that are over are kept, for clients that were away meanwhile. */
const MAX_OVER = 1000;

/** The retained messages of one key. */
class OfKey {
  readonly byRoom = new Map<string, Retained>();
  /** Those for patterns, the oldest first. */
  forPatterns: Retained[] = [];

  *[Symbol.iterator](): Iterator<Retained> {
    yield* this.forPatterns;
    yield* this.byRoom.values();
  }

  get isEmpty(): boolean {
    return this.byRoom.size === 0 && this.forPatterns.length === 0;
  }

  /** The newest for a room. */
  in(room: string): Retained | undefined {
    const exact = this.byRoom.get(room);
    const other = this.forPatterns.findLast(({ matches }) => matches(room));
    if (!exact || !other) return exact ?? other;
    return exact.record.first > other.record.first ? exact : other;
  }

  /** Whether an older message would be seen again without this one. */
  hides(retained: Retained): boolean {
    const isOlder = ({ record: { first } }: Retained) => first < retained.record.first;
    if (this.forPatterns.some(isOlder)) return true;
    const { patterns } = retained.record;
    return !patterns.every(isExact) && [...this.byRoom.values()].some(isOlder);
  }

  /** Adds the newest, and returns those that no room gets any more. */
  put(added: Retained): Retained[] {
    const { patterns } = added.record;
    const [room = ''] = patterns;
    if (patterns.length === 1 && isExact(room)) {
      const before = this.byRoom.get(room);
      this.byRoom.set(room, added);
      return before ? [before] : [];
    }
    const covers = coverage(patterns);
    const isCovered = ({ record }: Retained) => covers(record.patterns);
    const removed = [...this].filter(isCovered);
    this.forPatterns = [...this.forPatterns.filter((each) => !isCovered(each)), added];
    for (const { record } of removed) this.byRoom.delete(record.patterns[0] ?? '');
    return removed;
  }

  remove(retained: Retained): void {
    const [room = ''] = retained.record.patterns;
    if (this.byRoom.get(room) === retained) this.byRoom.delete(room);
    else this.forPatterns = this.forPatterns.filter((each) => each !== retained);
  }

  replace(before: Retained, after: Retained): void {
    const [room = ''] = before.record.patterns;
    if (this.byRoom.get(room) === before) this.byRoom.set(room, after);
    else this.forPatterns = this.forPatterns.map((each) => (each === before ? after : each));
  }
}

/**
 * The retained messages: of each key the newest for each room, until it ends or is withdrawn. A message for
 * a pattern is also for the rooms that come to exist later, so patterns are kept, not rooms. What is over is
 * kept as well, and hides the older messages of its key: a client that was away comes back with those.
 *
 * Rooms that are named exactly retain their messages as they were sent. For patterns the log has one entry
 * without a room, numbered before the messages of the rooms that existed:
 *
 *     first (no room) ─ message of room a ─ message of room b ─ … last
 *
 * A client that joins later gets it with the id `<id of last>.<room>`. Ids are ordered by position, then by
 * room, so that a client that is cut off between the copies of two rooms gets each of them once.
 */
export class RetainedMessages {
  readonly #clock: Pick<Clock, 'now'>;
  readonly #settings: CurrentSettings;
  readonly #byKey = new Map<string, OfKey>();
  /** The keys of the messages for one room, and of those for patterns: the others need not be asked. */
  readonly #keysOfRoom = new Map<string, Set<string>>();
  readonly #keysForPatterns = new Set<string>();

  constructor({ clock, settings }: { clock: Pick<Clock, 'now'>; settings: CurrentSettings }) {
    this.#clock = clock;
    this.#settings = settings;
  }

  /**
   * Takes over the records of the log in place of what is here. Returns how they change by that. Messages get
   * the ids that the log has now: those of a backup that was put back are not those of its records.
   */
  load(records: ReadonlyMap<string, JsonText>, idAt: (position: number) => string): RecordChange[] {
    this.#byKey.clear();
    this.#keysOfRoom.clear();
    this.#keysForPatterns.clear();
    // Written by `add` alone.
    const all = [...records.values()].map((text): RetainedRecord => JSON.parse(text));
    const removed = all
      .sort((a, b) => a.first - b.first)
      .flatMap((record) => this.#put({ ...record, event: { ...record.event, id: idAt(record.last) } }));
    return [...removed.map(removalOf), ...this.#bound()];
  }

  /** Throws a 409 `Refusal` where what is to be published would be too many messages, or too large. */
  check({ key, patterns, isWithdrawal }: Retaining, dataBytes: number): void {
    const { retained, retainedBytes, maxBufferedBytes } = this.#settings.current.limits;
    const instead = 'withdraw one with DELETE /admin/retained/{key}, or send them with a ttl';
    const covers = coverage(patterns);
    const isOther = ({ record }: Retained) => record.key !== key || !covers(record.patterns);
    const others = this.#all().filter(isOther);
    const added = patterns.every(isExact) ? patterns.length : 1;
    if (isWithdrawal) {
      if (others.length + added <= retained + MAX_OVER) return;
      throw new Refusal(
        409,
        'too many messages are withdrawn from one room each: withdraw one from all rooms',
      );
    }
    const live = others.filter((each) => !this.#isOver(each));
    if (live.length + added > retained) {
      const detail = `there would be ${live.length + added} retained messages, and limits.retained is ${retained}`;
      throw new Refusal(409, `${detail}: ${instead}`);
    }
    // A client that joins gets all retained messages at once, and a client with more unsent bytes is closed.
    const maxBytes = Math.min(retainedBytes, maxBufferedBytes / 2);
    const bytes = sumOfBytes(live) + added * (dataBytes + OVERHEAD_BYTES) + patterns.join().length;
    if (bytes > maxBytes) {
      const name = maxBytes < retainedBytes ? 'half of limits.maxBufferedBytes' : 'limits.retainedBytes';
      throw new Refusal(
        409,
        `retained messages would have ${bytes} bytes, and ${name} is ${maxBytes}: ${instead}`,
      );
    }
  }

  /** Keeps what was published, with the messages that the log numbered. Returns how its records change. */
  add({ key, patterns, isWithdrawal: isOver }: Retaining, messages: readonly Message[]): RecordChange[] {
    const [first] = messages;
    const newest = messages.at(-1);
    if (!first || !newest) return [];
    const forOne = ({ position, event }: Message): RetainedRecord => {
      const { room = '' } = event;
      return { key, patterns: [room], isOver, first: position, last: position, event };
    };
    const forAll = (): RetainedRecord => {
      const event = { ...first.event, id: newest.id };
      return { key, patterns, isOver, first: first.position, last: newest.position, event };
    };
    const records = first.event.room === undefined ? [forAll()] : messages.map(forOne);
    const removed = records.flatMap((record) => this.#put(record));
    return [...removed.map(removalOf), ...this.#bound(), ...records.map(changeOf)];
  }

  /**
   * The newest message of each key for a room, as its clients get it, in the order of the positions. A client
   * of a hundred rooms needs few of a hundred thousand, so that none is made but those that are wanted.
   */
  of(room: string, isWanted: IsWanted = () => true): RetainedMessage[] {
    const found: RetainedMessage[] = [];
    const add = (key: string) => {
      const newest = this.#byKey.get(key)?.in(room);
      if (!newest) return;
      const isOver = this.#isOver(newest);
      if (isWanted(newest.record, isOver)) found.push(messageFor(room, isOver ? overOf(newest) : newest));
    };
    const own = this.#keysOfRoom.get(room);
    own?.forEach(add);
    for (const key of this.#keysForPatterns) if (!own?.has(key)) add(key);
    return found.sort((a, b) => a.position - b.position);
  }

  /** The patterns of the rooms that retain a message of this key. */
  patternsOf(key: string): string[] {
    const live = [...(this.#byKey.get(key) ?? [])].filter((each) => !this.#isOver(each));
    return [...new Set(live.flatMap(({ record }) => record.patterns))];
  }

  /** Returns those that no room gets any more. */
  #put(record: RetainedRecord): Retained[] {
    const { key, patterns } = record;
    const ofKey = this.#byKey.get(key) ?? new OfKey();
    this.#byKey.set(key, ofKey);
    const removed = ofKey.put(retainedOf(record));
    for (const each of removed) this.#forget(each, ofKey);
    if (!patterns.every(isExact)) this.#keysForPatterns.add(key);
    else
      for (const room of patterns)
        this.#keysOfRoom.set(room, (this.#keysOfRoom.get(room) ?? new Set()).add(key));
    return removed;
  }

  /** Updates the indexes where a message has been removed. */
  #forget({ record: { key, patterns } }: Retained, ofKey: OfKey): void {
    if (ofKey.forPatterns.length === 0) this.#keysForPatterns.delete(key);
    for (const room of patterns) {
      if (ofKey.byRoom.has(room)) continue;
      const keys = this.#keysOfRoom.get(room);
      keys?.delete(key);
      if (keys?.size === 0) this.#keysOfRoom.delete(room);
    }
    if (ofKey.isEmpty) this.#byKey.delete(key);
  }

  /**
   * Keeps no data of what has ended, and drops the oldest that are over where these are too many. One that
   * hides an older message stays: that message would be seen again.
   */
  #bound(): RecordChange[] {
    const changes: RecordChange[] = [];
    const over: Retained[] = [];
    for (const each of this.#all()) {
      if (!this.#isOver(each)) continue;
      const ended = overOf(each);
      over.push(ended);
      if (ended === each) continue;
      this.#byKey.get(each.record.key)?.replace(each, ended);
      changes.push(changeOf(ended.record));
    }
    if (over.length <= MAX_OVER) return changes;
    over.sort((a, b) => a.record.first - b.record.first);
    for (const oldest of over.slice(0, over.length - MAX_OVER)) {
      const ofKey = this.#byKey.get(oldest.record.key);
      if (!ofKey || ofKey.hides(oldest)) continue;
      ofKey.remove(oldest);
      this.#forget(oldest, ofKey);
      changes.push(removalOf(oldest));
    }
    return changes;
  }

  #all(): Retained[] {
    return [...this.#byKey.values()].flatMap((ofKey) => [...ofKey]);
  }

  #isOver({ record, endsAtMs }: Retained): boolean {
    return record.isOver || endsAtMs <= this.#clock.now();
  }
}

function sumOfBytes(list: readonly Retained[]): number {
  return list.reduce((sum, { bytes }) => sum + bytes, 0);
}

/**
 * Tells whether every room that matches one of a list of patterns matches one of `patterns`; false where that
 * is not certain.
 */
function coverage(patterns: readonly string[]): (others: readonly string[]) => boolean {
  const same = new Set(patterns);
  const matches = roomsMatcher(patterns.filter((pattern) => !isExact(pattern)));
  const isCovered = (other: string) => same.has('*') || same.has(other) || (isExact(other) && matches(other));
  return (others) => others.every(isCovered);
}
