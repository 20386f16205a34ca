import type { History, Message } from '../log/log.ts';
import type { Connection } from './connection.ts';
import type { CurrentTicks } from './current-ticks.ts';
import type { RoomEvent } from './event.ts';
import { Encoding, type Frame, type ReplayFrames } from './frame.ts';

/** What a room's history says about the position that somebody came back with. */
export type Resumed = Readonly<Record<string, boolean | null>>;

/** The first words to who connects. */
export function helloEvent(options: {
  connection: Connection;
  rooms: readonly string[];
  server: string;
  heartbeatSeconds: number;
  resumed: Resumed;
  /** Where this connection stands in the log. */
  id: string;
  time: string;
}): RoomEvent {
  const { connection, rooms, server, heartbeatSeconds, resumed, id, time } = options;
  const data = JSON.stringify({ connection: connection.id, rooms, server, heartbeatSeconds, resumed });
  return { event: 'hello', id, time, data };
}

/** What the frames of current ticks are made with. */
export interface CurrentFrameParts {
  readonly currentTicks: CurrentTicks;
  readonly conflates: (room: string) => boolean;
  readonly frames: ReplayFrames;
}

/** The statuses and the current ticks of the rooms; those that must be read first are sent when there. */
export function currentFrames(
  connection: Connection,
  rooms: readonly string[],
  { currentTicks, conflates, frames }: CurrentFrameParts,
): Frame[] {
  const { format } = connection.outbox;
  const current = rooms.map((room) => ({ mayConflate: conflates(room), ...currentTicks.of(room) }));
  for (const { coming, mayConflate } of current) {
    for (const event of coming) void event.then((tick) => sendLate(connection, tick, mayConflate, frames));
  }
  return [
    ...current.flatMap(({ statuses }) => statuses.map((status) => new Encoding(status).in(format))),
    ...current.flatMap(({ ticks, mayConflate }) =>
      ticks.map((tick) => frames.of(tick, format, { mayConflate, isDataKept: true })),
    ),
  ];
}

/** A tick that had to be read first, unless the connection has left the room meanwhile. */
function sendLate(
  connection: Connection,
  tick: RoomEvent | undefined,
  mayConflate: boolean,
  frames: ReplayFrames,
): void {
  if (tick?.room === undefined || !connection.rooms.has(tick.room)) return;
  connection.outbox.push(frames.of(tick, connection.outbox.format, { mayConflate, isDataKept: true }));
}

/**
 * The missed messages of several rooms as one sequence, up to where the connection gets them live.
 * Where they are more than an outbox may hold only the newest are sent, and the rooms that lost some
 * have a gap.
 */
export function replay(
  connection: Connection,
  found: ReadonlyMap<string, History>,
  { upTo, mostBytes, frames }: { upTo: number; mostBytes: number; frames: ReplayFrames },
): { histories: ReadonlyMap<string, History>; frames: Frame[] } {
  const histories = new Map(found);
  const unsent = new Map<string, Message[]>();
  for (const [room, { resumed, messages }] of found) {
    if (resumed !== null)
      unsent.set(
        room,
        messages.filter(({ position }) => position <= upTo),
      );
  }
  const sent: Frame[] = [];
  let bytes = 0;
  for (let event = takeNewest(unsent); event; event = takeNewest(unsent)) {
    const frame = frames.of(event, connection.outbox.format);
    bytes += frame.length;
    if (bytes > mostBytes) {
      markGap(histories, event.room);
      for (const [room, messages] of unsent) if (messages.length > 0) markGap(histories, room);
      break;
    }
    sent.push(frame);
  }
  return { histories, frames: sent.reverse() };
}

/** Takes the newest message of all; each list has its newest at the end. */
function takeNewest(unsent: ReadonlyMap<string, Message[]>): RoomEvent | undefined {
  let from: Message[] | undefined;
  for (const messages of unsent.values()) {
    if ((messages.at(-1)?.position ?? -1) > (from?.at(-1)?.position ?? -1)) from = messages;
  }
  return from?.pop()?.event;
}

function markGap(histories: Map<string, History>, room = ''): void {
  const history = histories.get(room);
  if (history?.resumed) histories.set(room, { ...history, resumed: false });
}

export function resumedOf(histories: ReadonlyMap<string, History>): Resumed {
  return Object.fromEntries([...histories].map(([room, { resumed }]) => [room, resumed]));
}
