import type { Connection } from './connection.ts';
import type { CurrentTicks } from './current-ticks.ts';
import type { RoomEvent } from './event.ts';
import { Encoding, type Frame } from './frame.ts';
import type { History, Message } from './log.ts';

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

/** The statuses and the current ticks of the rooms; those that must be read first are sent when there. */
export function currentFrames(
  connection: Connection,
  rooms: readonly string[],
  currentTicks: CurrentTicks,
): Frame[] {
  const current = rooms.map((room) => currentTicks.of(room));
  for (const coming of current.flatMap(({ coming }) => coming)) {
    void coming.then((event) => {
      if (event?.room === undefined || !connection.rooms.has(event.room)) return;
      connection.outbox.push(new Encoding(event).in(connection.outbox.format));
    });
  }
  const events = [...current.flatMap(({ statuses }) => statuses), ...current.flatMap(({ ticks }) => ticks)];
  return events.map((event) => new Encoding(event).in(connection.outbox.format));
}

/**
 * The missed messages of several rooms as one sequence, up to where the connection gets them live.
 * Where they are more than an outbox may hold only the newest are sent, and the rooms that lost some
 * have a gap.
 */
export function replay(
  connection: Connection,
  found: ReadonlyMap<string, History>,
  { upTo, mostBytes }: { upTo: number; mostBytes: number },
): { histories: ReadonlyMap<string, History>; frames: Frame[] } {
  const histories = new Map(found);
  const missed: Message[] = [];
  for (const { resumed, messages } of found.values()) {
    if (resumed !== null) missed.push(...messages.filter(({ position }) => position <= upTo));
  }
  const frames: Frame[] = [];
  let bytes = 0;
  for (const { event } of missed.sort((a, b) => b.position - a.position)) {
    const history = event.room === undefined ? undefined : histories.get(event.room);
    if (bytes <= mostBytes) {
      const frame = new Encoding({ ...event, replay: true }).in(connection.outbox.format);
      bytes += frame.bytes.length;
      if (bytes <= mostBytes) frames.push(frame);
    }
    if (bytes > mostBytes && history?.resumed && event.room !== undefined)
      histories.set(event.room, { ...history, resumed: false });
  }
  return { histories, frames: frames.reverse() };
}

export function resumedOf(histories: ReadonlyMap<string, History>): Resumed {
  return Object.fromEntries([...histories].map(([room, { resumed }]) => [room, resumed]));
}
