import type { History, Message } from '../log/log.ts';
import type { RoomEvent } from './event.ts';
import type { Frame } from './frame.ts';
import type { RetainedMessage } from './retained.ts';

/**
 * How far a client has seen the messages: up to a position, and of the copies at that position up to the
 * copy for `room`.
 */
export interface Since {
  readonly position: number;
  /** Absent: everything at the position. */
  readonly room?: string | undefined;
}

/** What is sent again to a client that joins. */
export interface Replay {
  /** For each room `true` where nothing is missing, `false` where there is a gap, `null` without an id. */
  readonly resumed: Readonly<Record<string, boolean | null>>;
  /** Position of the first message; `undefined` where nothing is sent again. */
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
  readonly position: number;
  readonly frame: Frame;
}

/**
 * The messages that several rooms kept, and those that they retain, as one sequence in the order of the
 * ids, up to where the connection gets them live. Where the messages are more than an outbox may hold, only
 * the newest of the history are sent, and the rooms that lost some have a gap; what is retained is sent first
 * of all.
 */
export function replay(histories: ReadonlyMap<string, History>, options: ReplayOptions): Replay {
  const { upTo, since: seen, maxBytes, retainedOf, frameOf } = options;
  const resumed = new Map<string, boolean | null>();
  const replayed: Replayed[] = [];
  const missed: Message[] = [];
  let bytes = 0;
  for (const [room, history] of histories) {
    resumed.set(room, history.resumed);
    const messages = history.messages.filter(({ position }) => position <= upTo);
    missed.push(...messages);
    for (const message of retainedOf(room)) {
      const since = history.resumed === true ? seen : undefined;
      if (message.position > upTo || !isNeeded(message, room, messages, since)) continue;
      const frame = frameOf(message.event);
      bytes += frame.length;
      replayed.push({ room, position: message.position, frame });
    }
  }
  missed.sort((a, b) => b.position - a.position);
  for (const { position, event } of missed) {
    const { room = '' } = event;
    const frame = bytes > maxBytes ? undefined : frameOf(event);
    bytes += frame?.length ?? 0;
    if (frame && bytes <= maxBytes) replayed.push({ room, position, frame });
    else resumed.set(room, false);
  }
  replayed.sort((a, b) => a.position - b.position || (a.room < b.room ? -1 : 1));
  return {
    resumed: Object.fromEntries(resumed),
    firstPosition: replayed[0]?.position,
    frames: replayed.map(({ frame }) => frame),
  };
}

/** Whether a message of a room, or its copy for the room, comes behind what a client has seen. */
function isAfter({ position }: Message, room: string, since: Since): boolean {
  if (position !== since.position) return position > since.position;
  return since.room !== undefined && room > since.room;
}

/**
 * Whether what a room retains has to be sent beside the messages of its history. What says that a
 * message is over has to be where the client has that message, from before or from the history.
 */
function isNeeded(
  retained: RetainedMessage,
  room: string,
  messages: readonly Message[],
  since: Since | undefined,
): boolean {
  const { key, position, isOver } = retained;
  const ofKey = messages.filter(({ event }) => event.key === key);
  const isAmong = messages.some((message) => message.position === position);
  if (isAmong || ofKey.some((message) => message.position > position)) return false;
  if (since) return isAfter(retained, room, since);
  return !isOver || ofKey.length > 0;
}
