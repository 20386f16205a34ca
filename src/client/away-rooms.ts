import type { Cancel, Clock } from '../clock.ts';

interface AwayRoom {
  /** The last id that was seen before; undefined: nothing was seen of the room. */
  readonly since: string | undefined;
  /** Cancels the timer of the next attempt to come back to it. */
  cancel: Cancel;
}

/** The rooms that the server has ended a client's place in, while the connection stays open for others. */
export class AwayRooms {
  /** Those that it has left for good, and does not ask for again. */
  readonly gone = new Set<unknown>();
  readonly #clock: Pick<Clock, 'after'>;
  readonly #comeBack: (room: unknown, since: string | undefined) => void;
  /** Those that left first have the oldest ids. */
  readonly #rooms = new Map<unknown, AwayRoom>();

  /** `comeBack` is called with a room whose time to wait is over. */
  constructor(clock: Pick<Clock, 'after'>, comeBack: (room: unknown, since: string | undefined) => void) {
    this.#clock = clock;
    this.#comeBack = comeBack;
  }

  /** The id from which nothing is missing in any of these rooms. */
  get oldestId(): string | undefined {
    for (const { since } of this.#rooms.values()) if (since !== undefined) return since;
    return undefined;
  }

  has(room: unknown): boolean {
    return this.#rooms.has(room);
  }

  /** The client has left a room. `since`: the last id that may stand for it, unless it was away already. */
  left(room: unknown, since: string | undefined, delayMs: number | undefined): void {
    if (!this.has(room)) this.#rooms.set(room, { since, cancel() {} });
    this.comeBackIn(room, delayMs);
  }

  /** Sets the time to wait for a room that is away; `undefined`: until the next connection. */
  comeBackIn(room: unknown, delayMs: number | undefined): void {
    const away = this.#rooms.get(room);
    if (!away) return;
    away.cancel();
    if (delayMs !== undefined)
      away.cancel = this.#clock.after(delayMs, () => this.#comeBack(room, away.since));
  }

  /** The client is in the room again. */
  back(room: unknown): void {
    this.#rooms.get(room)?.cancel();
    this.#rooms.delete(room);
  }

  /** The client is in these rooms; `undefined`: the server did not say. */
  entered(rooms: ReadonlySet<unknown> | undefined): void {
    for (const room of this.#rooms.keys()) if (!rooms || rooms.has(room)) this.back(room);
  }

  /** The room is like one that the client never left. */
  forget(room: unknown): void {
    this.back(room);
    this.gone.delete(room);
  }

  /** The connection is over, or will be: the next one asks for all rooms. */
  stop(): void {
    for (const { cancel } of this.#rooms.values()) cancel();
  }
}
