import { instant } from '../clock.ts';
import type { RoomData, RoomEvent, Tick } from '../hub/event.ts';

/** No room's name is longer, so data that differs by room is at its largest with this one. */
const LONGEST_ROOM = 'x'.repeat(128);

/** A tick with its value, to be sent now and shown to who comes later. Instants in milliseconds. */
export class MadeTick {
  /** As it goes into every room. */
  readonly event: Omit<RoomEvent, 'room' | 'data' | 'id'>;
  readonly data: RoomData;
  readonly #tick: Tick;
  readonly #due: number;
  readonly #until: number | null;

  /**
   * `until`: when it ceases to be the current one, null for never. Throws where the data has more
   * than `eventBytes`.
   */
  constructor(
    made: { event: string; tick: Tick; data: RoomData; at: number; due: number; until: number | null },
    eventBytes: number,
  ) {
    const bytes = Buffer.byteLength(inRoom(made.data, LONGEST_ROOM));
    if (bytes > eventBytes) {
      throw new Error(`${bytes} bytes of data are too many: limits.eventBytes is ${eventBytes}`);
    }
    this.event = { event: made.event, time: instant(made.at), tick: made.tick };
    this.data = made.data;
    this.#tick = made.tick;
    this.#due = made.due;
    this.#until = made.until;
  }

  /** Whether no newer instant has come; one that is due later than now is from before a step back. */
  isCurrent(now: number): boolean {
    return this.#due <= now && (this.#until === null || now < this.#until);
  }

  /** The event for who comes later; `over`: nothing is due after it, as while paused. */
  replay(room: string, over: boolean): RoomEvent {
    const next = over || this.#until === null ? null : instant(this.#until);
    return {
      room,
      ...this.event,
      data: inRoom(this.data, room),
      tick: { ...this.#tick, next },
      replay: true,
    };
  }
}

function inRoom(data: RoomData, room: string): string {
  return typeof data === 'string' ? data : data(room);
}
