import type { RoomData, RoomEvent } from './event.ts';

/** Something for the members of rooms on this node, now: a tick or a schedule's status. */
export interface Delivery {
  /** Room patterns. */
  readonly rooms: readonly string[];
  readonly event: Omit<RoomEvent, 'room' | 'data' | 'id'>;
  readonly data: RoomData;
}

/** How far it went. Bytes as handed to the sockets, all connections together. */
export interface Delivered {
  readonly rooms: number;
  readonly connections: number;
  readonly bytes: number;
}
