import type { History, Message } from '../log/log.ts';
import type { RoomEvent } from './event.ts';
import type { Frame } from './frame.ts';
import type { RetainedMessage } from './retained.ts';

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
  readonly retainedOf: (room: string) => readonly RetainedMessage[];
  readonly frameOf: (event: RoomEvent) => Frame;
}

/** The id of a copy of a retained message ends with a dot and the room. */
export function parseSince(text: string): { readonly id: string; readonly room?: string } {
  const dot = text.indexOf('.');
  return dot === -1 ? { id: text } : { id: text.slice(0, dot), room: text.slice(dot + 1) };
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
export function replay(histories: ReadonlyMap<string, History>, options: ReplayOptions): Replay {
  const { upTo, since, maxBytes, retainedOf, frameOf } = options;
  const resumed = new Map([...histories].map(([room, history]) => [room, history.resumed]));
  const hasResumed = [...resumed.values()].includes(true);
  const replayed: Replayed[] = [];
  const missed: Message[] = [];
  /** Of several rooms: what was published with one of them has its place in the order of the ids. */
  const copies: RetainedMessage[] = [];
  let bytes = 0;
  const send = (room: string, message: Message, first: number): boolean => {
    const frame = bytes > maxBytes ? undefined : frameOf(message.event);
    bytes += frame?.length ?? 0;
    if (!frame || bytes > maxBytes) return false;
    replayed.push({ room, first, position: message.position, frame });
    return true;
  };
  for (const [room, history] of histories) {
    const messages = history.messages.filter(({ position }) => position <= upTo);
    const keys = new Set(messages.map(({ event }) => event.key));
    const withdrawn = messages.filter(({ event }) => event.event === 'withdrawn');
    const sent = new Map<string, RetainedMessage>();
    // What is beyond the bound is not even looked for: a client may ask for a hundred rooms.
    const retained = bytes > maxBytes ? [] : retainedOf(room);
    if (bytes > maxBytes) resumed.set(room, false);
    for (const message of retained) {
      if (message.position > upTo) continue;
      const isSeen = since !== undefined && !isAfter(message, room, since);
      // What is over is of use where the client has the message, from before or from the history. A copy in
      // the history is sent in its place, so that the ids of all rooms are in one order.
      const isOfUse =
        !message.isOver || keys.has(message.key) || withdrawn.some((copy) => isCopy(copy, message));
      if (history.resumed === true ? isSeen : !isOfUse) continue;
      // An id below the one that the client stands at would bring it back to there.
      const isBelow = hasResumed && isSeen;
      if (send(room, isBelow ? withoutId(message) : message, message.first)) {
        sent.set(message.key, message);
        if (message.first < message.position) copies.push(message);
      } else resumed.set(room, false);
    }
    missed.push(...messages.filter((message) => !isAmong(message, sent)));
  }
  missed.sort((a, b) => b.position - a.position);
  for (const message of missed) {
    const { room = '' } = message.event;
    if (!send(room, inPlace(message, copies), message.position)) resumed.set(room, false);
  }
  replayed.sort((a, b) => a.position - b.position || (a.room < b.room ? -1 : 1));
  const firsts = replayed.map(({ first }) => first);
  return {
    resumed: Object.fromEntries(resumed),
    firstPosition: firsts.length > 0 ? Math.min(...firsts) : undefined,
    frames: replayed.map(({ frame }) => frame),
  };
}

/**
 * Whether what a room retains comes behind what a client has seen. The positions of its publication are
 * those of the messages that the rooms got live, so that a client that stands at one of them has it, or gets
 * it from the history.
 */
function isAfter({ first, position }: RetainedMessage, room: string, since: Since): boolean {
  if (since.room === undefined) return since.position < first;
  return position === since.position ? room > since.room : position > since.position;
}

/** Whether a message of the history is the same as one that is sent as retained. */
function isAmong(message: Message, sent: ReadonlyMap<string, RetainedMessage>): boolean {
  const { event, key } = message.event;
  if (event === 'withdrawn') return [...sent.values()].some((retained) => isCopy(message, retained));
  const ofKey = key === undefined ? undefined : sent.get(key);
  return ofKey !== undefined && isCopy(message, ofKey);
}

/** Whether a message of the history was published with what is retained: it has one of its positions. */
function isCopy({ position }: Message, { first, position: last }: RetainedMessage): boolean {
  return position >= first && position <= last;
}

/**
 * A message of the history, which has become an older one in its own room, with the id that it has as a copy:
 * a client that stood at its own id would not get the copies for other rooms.
 */
function inPlace(message: Message, copies: readonly RetainedMessage[]): Message {
  const { room = '', event, key } = message.event;
  if (key === undefined && event !== 'withdrawn') return message;
  const copy = copies.find((each) => isCopy(message, each));
  if (!copy) return message;
  const id = `${parseSince(copy.id).id}.${room}`;
  return { position: copy.position, id, event: { ...message.event, id } };
}

function withoutId({ event: { id, ...event }, ...message }: RetainedMessage): Message {
  return { ...message, event };
}
