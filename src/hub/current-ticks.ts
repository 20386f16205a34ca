import type { RoomEvent } from './event.ts';

/** What somebody who joins a room is told about its schedules, each event with the room's name. */
export interface CurrentTicksOfRoom {
  /** The `status` of each schedule that is not `ok`. */
  readonly statuses: readonly RoomEvent[];
  /** The ticks at hand, with `replay`. */
  readonly ticks: readonly RoomEvent[];
  /**
   * The ticks that have to be read first, with `replay`. Never rejects; resolves to `undefined`
   * where a live tick of the schedule went out meanwhile, or the read failed.
   */
  readonly coming: readonly Promise<RoomEvent | undefined>[];
}

/** The hub's view of the schedules: what is current in a room. */
export interface CurrentTicks {
  of(room: string): CurrentTicksOfRoom;
}
