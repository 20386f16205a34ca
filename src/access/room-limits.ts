import { CLOSE } from '../hub/close-reason.ts';
import { Refusal } from '../hub/refusal.ts';
import { retryAfterMs } from '../hub/retry.ts';

export interface RoomLimitsOptions {
  /** How many rooms there may be; `Infinity` is no limit. */
  readonly rooms: number;
  /** How many rooms one connection may be in; `Infinity` is no limit. */
  readonly roomsPerConnection: number;
  /** How many there are now. */
  readonly roomCount: () => number;
  readonly exists: (room: string) => boolean;
}

/** A room that somebody has to leave first comes free after about this, and a time at random. */
const FULL_MS = 10_000;

/** How many rooms there may be, and how many a connection may be in. */
export class RoomLimits {
  readonly #options: RoomLimitsOptions;

  constructor(options: RoomLimitsOptions) {
    this.#options = options;
  }

  /** For who connects. Throws a 400 `Refusal` for too many names, a 503 where there is no room for more rooms. */
  checkConnect(rooms: readonly string[]): void {
    const { roomsPerConnection } = this.#options;
    if (rooms.length > roomsPerConnection) {
      const message = `${rooms.length} rooms are named: at most ${roomsPerConnection} on one connection (limits.roomsPerConnection)`;
      throw Refusal.invalid('room', message);
    }
    this.#checkNew(rooms);
  }

  /**
   * For who is connected and wants one more. Throws a 403 `Refusal` where it is in enough, since
   * waiting does not help it; a 503 as above.
   */
  checkSubscribe(room: string, joined: ReadonlySet<string>): void {
    if (joined.has(room)) return;
    const { roomsPerConnection } = this.#options;
    if (joined.size >= roomsPerConnection) {
      throw new Refusal(
        403,
        `this connection is in ${joined.size} rooms, the most there may be (limits.roomsPerConnection): unsubscribe from one first`,
        { reason: 'rooms' },
      );
    }
    this.#checkNew([room]);
  }

  #checkNew(rooms: readonly string[]): void {
    const { rooms: most, roomCount, exists } = this.#options;
    // Looked up only where it could matter.
    if (roomCount() + rooms.length <= most) return;
    const made = rooms.filter((room) => !exists(room)).length;
    if (made === 0 || roomCount() + made <= most) return;
    const after = retryAfterMs(FULL_MS, 0);
    throw new Refusal(503, `there are ${roomCount()} rooms, the most there may be (limits.rooms)`, {
      reason: 'rooms',
      retryAfterMs: after,
      closing: { ...CLOSE.full, retryAfterMs: after },
    });
  }
}
