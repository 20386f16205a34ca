/** The instant that a tick stands for, and its neighbours; all instants RFC 3339. */
export interface Tick {
  readonly schedule: string;
  readonly due: string;
  /** The `due` of the tick of this schedule sent before; null: the first since start. */
  readonly previous: string | null;
  /** Null: the schedule is paused or over. */
  readonly next: string | null;
  /** `floor(due / every)`, with `every` only. */
  readonly seq?: number;
  /** Set on a run that someone asked for. */
  readonly manual?: true;
}

/** Who published: present on what a client sent, absent on the server's own words. */
export interface Sender {
  readonly connection: string;
  readonly device?: string;
  readonly user?: string;
}

/** JSON, already written as text: an event's data is encoded once, at the gate. */
export type JsonText = string;

/** Data that is the same for every room, or differs by room. */
export type RoomData = JsonText | ((room: string) => JsonText);

/**
 * What a room's members receive. With `tick` it is a value (no id, not kept); with `id` it is a
 * message (kept, numbered); with neither it is the server's own (`hello`, `status`, `closing`).
 */
export interface RoomEvent {
  readonly id?: string;
  /** Absent on what is addressed to devices, connections or users. */
  readonly room?: string;
  readonly event: string;
  /** When it was sent, RFC 3339. */
  readonly time: string;
  readonly data?: JsonText;
  readonly tick?: Tick;
  readonly from?: Sender;
  /** Sent again, to somebody who was not here the first time. */
  readonly replay?: true;
  /** How many older ticks this one replaced, for one connection that was slow. */
  readonly conflated?: number;
}

/** The event as the JSON object that clients get. */
export function eventText(event: RoomEvent): JsonText {
  return sizedText(event, 0).text;
}

/** An event as JSON, and how many bytes of UTF-8 that is. */
export interface SizedText {
  readonly text: JsonText;
  readonly bytes: number;
}

/** As `eventText`, with its size. `dataBytes`: the size of `data`, where it is known already. */
export function sizedText(
  event: RoomEvent,
  dataBytes = event.data === undefined ? 0 : Buffer.byteLength(event.data),
): SizedText {
  const { data, tick, ...head } = event;
  const headText = JSON.stringify(head);
  const tickText = tick && JSON.stringify(tick);
  // Room names, event names and ids are ASCII; what a peer chose for its device is not.
  let bytes = head.from === undefined ? headText.length : Buffer.byteLength(headText);
  // `data` is spliced in as it stands: it was encoded when it came in, and may be large. Only the head
  // is cut, since cutting a joined string copies it.
  let text = headText.slice(0, -1);
  if (data !== undefined) {
    text += `,"data":${data}`;
    bytes += ',"data":'.length + dataBytes;
  }
  if (tickText !== undefined) {
    text += `,"tick":${tickText}`;
    bytes += ',"tick":'.length + tickText.length;
  }
  return { text: `${text}}`, bytes };
}

/** The texts of one event for many rooms: all that they do not share is the room's name. */
export function sizedTexts(event: Omit<RoomEvent, 'room' | 'id'>): (room: string) => SizedText {
  const { text, bytes } = sizedText(event);
  // Cut, and so copied, once for all rooms.
  const shared = text.slice(1);
  // The name of a room is ASCII and holds nothing that JSON would escape.
  return (room) => ({
    text: `{"room":"${room}",${shared}`,
    bytes: bytes + '"room":"",'.length + room.length,
  });
}
