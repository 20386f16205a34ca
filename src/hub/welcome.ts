import type { Connection } from './connection.ts';
import type { CurrentTicks } from './current-ticks.ts';
import type { RoomEvent } from './event.ts';
import { Encoding, type Frame } from './frame.ts';
import type { History, Message, Position } from './log.ts';

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

/** The missed messages of several rooms as one sequence, up to where the connection gets them live. */
export function replayFrames(
  connection: Connection,
  histories: ReadonlyMap<string, History>,
  upTo: number,
): Frame[] {
  const missed: Message[] = [];
  for (const { resumed, messages } of histories.values()) {
    if (resumed !== null) missed.push(...messages.filter(({ position }) => position <= upTo));
  }
  missed.sort(byPosition);
  return missed.map(({ event }) => new Encoding({ ...event, replay: true }).in(connection.outbox.format));
}

function byPosition(a: Position, b: Position): number {
  return a.position - b.position;
}
