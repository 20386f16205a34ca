import type { Message } from './messages.ts';

/** The retained messages of some rooms: it follows `key`, `until` and `withdrawn`. */
export class Retained {
  /** By room and key, `"lobby lunch"`; the newest last. */
  readonly map = new Map<string, Message>();
  /** Those of rooms that the client has left since, and may not come back to without a gap. */
  readonly #doubted = new WeakSet<Message>();

  /** Puts a message with a key. False: it is the one that is here. One for several rooms may come again with another id. */
  put(name: string, message: Message): boolean {
    const known = this.map.get(name);
    this.map.delete(name);
    this.map.set(name, message);
    return !(
      message.replay &&
      known?.time === message.time &&
      JSON.stringify(known.data) === JSON.stringify(message.data)
    );
  }

  /** Removes what has ended; `nowMs`: on the server's clock. Returns whether there was any. */
  expire(nowMs: number): boolean {
    return this.#remove(({ until }) => until !== undefined && Date.parse(until) <= nowMs);
  }

  /** The client is not in the room any more. */
  left(room: unknown): void {
    for (const message of this.map.values()) if (message.room === room) this.#doubted.add(message);
  }

  /**
   * The client is in the room again, without the messages that it missed: what was put before it left is out of
   * date. Returns whether there was any.
   */
  forget(room: unknown): boolean {
    return this.#remove((message) => message.room === room && this.#doubted.has(message));
  }

  #remove(isOver: (message: Message) => boolean): boolean {
    const { size } = this.map;
    for (const [name, message] of this.map) if (isOver(message)) this.map.delete(name);
    return this.map.size < size;
  }
}
