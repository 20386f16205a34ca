import { randomBytes } from 'node:crypto';
import type { Appended, Entry, History, Log, Message, Position } from './log.ts';

/**
 * The log of one process: gone with it, which the epoch in each id says. Keeps the newest messages
 * of each room, as many as `keep` allows.
 */
export class MemoryLog implements Log {
  readonly #epoch = randomBytes(5).toString('hex');
  readonly #keep: (room: string) => number;
  readonly #rooms = new Map<string, Message[]>();
  #position = 0;

  constructor(options: { keep: (room: string) => number }) {
    this.#keep = options.keep;
  }

  async head(): Promise<Position> {
    return this.#at(this.#position);
  }

  async append(entries: readonly Entry[]): Promise<Appended> {
    const messages = entries.map((entry) => {
      const place = this.#at(++this.#position);
      const message = { ...place, event: { id: place.id, ...entry } };
      this.#remember(entry.room, message);
      return message;
    });
    return { messages, stored: Promise.resolve() };
  }

  async since(
    rooms: readonly string[],
    id: string | undefined,
    limit: number,
  ): Promise<ReadonlyMap<string, History>> {
    const resumed = id === undefined ? null : false;
    return new Map(
      rooms.map((room) => {
        const kept = this.#rooms.get(room) ?? [];
        return [room, { resumed, messages: limit > 0 ? kept.slice(-limit) : [] }];
      }),
    );
  }

  #at(position: number): Position {
    return { position, id: `${this.#epoch}-${position}` };
  }

  #remember(room: string, message: Message): void {
    const limit = this.#keep(room);
    if (limit <= 0) return;
    const kept = this.#rooms.get(room);
    if (!kept) {
      this.#rooms.set(room, [message]);
      return;
    }
    kept.push(message);
    if (kept.length > limit) kept.splice(0, kept.length - limit);
  }
}
