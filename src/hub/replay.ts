import type { History, Message } from '../log/log.ts';
import type { Steps } from './backpressure.ts';
import type { RoomEvent } from './event.ts';
import type { Frame } from './frame.ts';
import type { IsWanted, RetainedMessage, RetainedPlace } from './retained-message.ts';

/**
 * How far a client has seen the messages: up to a position, and of the retained copies at that position up to
 * the copy for `room`.
 */
export interface Since {
  readonly position: number;
  /** Absent: the id is not the id of a copy. */
  readonly room?: string | undefined;
}

/** What is sent again to a client that joins. */
export interface Replay {
  /** For each room `true` where nothing is missing, `false` where there is a gap, `null` without an id. */
  readonly resumed: Readonly<Record<string, boolean | null>>;
  /** A position below which nothing is sent again; `undefined` where nothing is. */
  readonly firstPosition: number | undefined;
  readonly frames: readonly Frame[];
}

export interface ReplayOptions {
  /** The position of the newest message that the client does not get live. */
  readonly upTo: number;
  /** Undefined: the client gave no id, or an id of another log. */
  readonly since: Since | undefined;
  readonly maxBytes: number;
  /** See `RetainedMessages.of`. */
  readonly retainedOf: (room: string, isWanted: IsWanted) => readonly RetainedMessage[];
  readonly frameOf: (event: RoomEvent) => Frame;
}

/** The id of a copy of a retained message ends with a dot and the room. */
export function parseSince(text: string): { readonly id: string; readonly room?: string } {
  const dot = text.indexOf('.');
  return dot === -1 ? { id: text } : { id: text.slice(0, dot), room: text.slice(dot + 1) };
}

/** What a client missed of one room. */
interface MissedRoom {
  readonly name: string;
  /** See `Replay.resumed`. */
  resumed: boolean | null;
  /** Its history, oldest first. */
  readonly messages: readonly Message[];
  /** So many of them, the oldest, are not looked at yet. */
  left: number;
  /** The retained messages that are sent, by key. */
  readonly retained: Map<string, RetainedMessage>;
}

interface Replayed {
  readonly room: string;
  readonly first: number;
  readonly position: number;
  readonly frame: Frame;
}

/**
 * The messages that several rooms kept, and those that they retain, as one sequence in the order of the
 * ids, up to where the connection gets them live. Where the messages are more than an outbox may hold, what
 * is retained comes first, then the newest of the history; the rooms that lost some have a gap.
 */
export function* replay(histories: ReadonlyMap<string, History>, options: ReplayOptions): Steps<Replay> {
  const missed = new MissedMessages(histories, options);
  yield* missed.addRetained();
  yield* missed.addHistories();
  return missed.inOrder();
}

/** Collects what is sent again. */
class MissedMessages {
  readonly #options: ReplayOptions;
  readonly #rooms: readonly MissedRoom[];
  readonly #hasResumed: boolean;
  readonly #replayed: Replayed[] = [];
  /**
   * What is sent of publications to several rooms, by key: what they left in a history has its place in the
   * order of the ids with it.
   */
  readonly #copies = new Map<string, RetainedMessage[]>();
  #bytes = 0;

  constructor(histories: ReadonlyMap<string, History>, options: ReplayOptions) {
    this.#options = options;
    this.#rooms = [...histories].map(([name, { resumed, messages }]) => {
      const left = messages.findLastIndex(({ position }) => position <= options.upTo) + 1;
      return { name, resumed, messages, left, retained: new Map() };
    });
    this.#hasResumed = this.#rooms.some(({ resumed }) => resumed === true);
  }

  *addRetained(): Steps<void> {
    for (const room of this.#rooms) {
      // What is beyond the bound is not even looked for: a client may ask for a hundred rooms.
      if (this.#isFull) room.resumed = false;
      else yield* this.#addRetainedOf(room);
    }
  }

  *#addRetainedOf(room: MissedRoom): Steps<void> {
    const { since, retainedOf } = this.#options;
    for (const message of retainedOf(room.name, this.#wantedOf(room))) {
      // An id below the one that the client stands at would bring it back to there.
      const isBelow = this.#hasResumed && since !== undefined && !isAfter(message, room.name, since);
      if (this.#send(room, isBelow ? withoutId(message) : message, message.first)) {
        room.retained.set(message.key, message);
        if (message.first < message.last) this.#addCopy(message);
      }
      yield;
    }
    yield;
  }

  /** Adds what is left of the histories, the newest of all rooms first. */
  *addHistories(): Steps<void> {
    for (let room = this.#newestLeft(); room && !this.#isFull; room = this.#newestLeft()) {
      const message = room.messages[--room.left];
      if (message && !isAmong(message, room.retained)) {
        this.#send(room, this.#inPlace(message, room.name), message.position);
      }
      yield;
    }
    for (const room of this.#rooms) {
      if (room.messages.slice(0, room.left).some((message) => !isAmong(message, room.retained)))
        room.resumed = false;
      yield;
    }
  }

  inOrder(): Replay {
    const replayed = this.#replayed.sort((a, b) => a.position - b.position || (a.room < b.room ? -1 : 1));
    const first = replayed.reduce((least, { first }) => Math.min(least, first), Number.POSITIVE_INFINITY);
    return {
      resumed: Object.fromEntries(this.#rooms.map(({ name, resumed }) => [name, resumed])),
      firstPosition: Number.isFinite(first) ? first : undefined,
      frames: replayed.map(({ frame }) => frame),
    };
  }

  get #isFull(): boolean {
    return this.#bytes > this.#options.maxBytes;
  }

  /** False where it would be too much: its room has a gap then. */
  #send(room: MissedRoom, { position, event }: Message, first: number): boolean {
    if (!this.#isFull) {
      const frame = this.#options.frameOf(event);
      this.#bytes += frame.length;
      if (!this.#isFull) this.#replayed.push({ room: room.name, first, position, frame });
    }
    if (this.#isFull) room.resumed = false;
    return !this.#isFull;
  }

  /**
   * Of a room that resumes, what comes behind the id. Of other rooms all that is not over; what is over is of
   * use where the client gets the message, or that it was withdrawn, from the history. It is sent in the
   * place of that, so that the ids of all rooms are in one order.
   */
  #wantedOf({ name, resumed, messages, left }: MissedRoom): IsWanted {
    const { upTo, since } = this.#options;
    if (resumed === true) return (place) => place.last <= upTo && (!since || isAfter(place, name, since));
    const keys = new Set<string>();
    const withdrawals = new Map<string, Message>();
    for (const message of messages.slice(0, left)) {
      const key = keyOf(message);
      if (key === undefined) continue;
      if (message.event.key === undefined) withdrawals.set(key, message);
      else keys.add(key);
    }
    return (place, isOver) => {
      if (place.last > upTo || !isOver || keys.has(place.key)) return place.last <= upTo;
      const newest = withdrawals.get(place.key);
      return newest !== undefined && isCopy(newest, place);
    };
  }

  /** The room with the newest message that is left. */
  #newestLeft(): MissedRoom | undefined {
    let newest: MissedRoom | undefined;
    let newestPosition = 0;
    for (const room of this.#rooms) {
      const { position = 0 } = room.messages[room.left - 1] ?? {};
      if (position <= newestPosition) continue;
      newest = room;
      newestPosition = position;
    }
    return newest;
  }

  #addCopy(message: RetainedMessage): void {
    const copies = this.#copies.get(message.key);
    if (!copies) this.#copies.set(message.key, [message]);
    // Each room has a copy, and one of them is enough.
    else if (copies.at(-1)?.last !== message.last) copies.push(message);
  }

  /**
   * A message of the history, which has become an older one in its own room, with the id that it has as a
   * copy: a client that stood at its own id would not get the copies for other rooms.
   */
  #inPlace(message: Message, room: string): Message {
    const key = keyOf(message);
    const copy = key === undefined ? undefined : this.#copies.get(key)?.find((each) => isCopy(message, each));
    if (!copy) return message;
    const id = `${parseSince(copy.id).id}.${room}`;
    return { position: copy.position, id, event: { ...message.event, id } };
  }
}

/**
 * Whether what a room retains comes behind what a client has seen. The positions of its publication are
 * those of the messages that the rooms got live, so that a client that stands at one of them has it, or gets
 * it from the history.
 */
function isAfter({ first, last }: RetainedPlace, room: string, since: Since): boolean {
  if (since.room === undefined) return since.position < first;
  return last === since.position ? room > since.room : last > since.position;
}

/** Whether a message of the history is the same as one that is sent as retained. */
function isAmong(message: Message, retained: ReadonlyMap<string, RetainedMessage>): boolean {
  if (retained.size === 0) return false;
  const key = keyOf(message);
  const ofKey = key === undefined ? undefined : retained.get(key);
  return ofKey !== undefined && isCopy(message, ofKey);
}

/** The key of a message that was published with one, or the key that it withdraws. */
function keyOf({ event: { event, key, data } }: Message): string | undefined {
  // Made by `Publisher.withdraw` alone.
  return event === 'withdrawn' && data !== undefined ? JSON.parse(data).key : key;
}

/** Whether a message of the history was published with what is retained: it has one of its positions. */
function isCopy({ position }: Message, { first, last }: RetainedPlace): boolean {
  return position >= first && position <= last;
}

function withoutId({ event: { id, ...event }, ...message }: RetainedMessage): Message {
  return { ...message, event };
}
