import { type Clock, instant } from '../clock.ts';
import type { Publication } from './administration.ts';
import type { Connection } from './connection.ts';
import type { Directory } from './directory.ts';
import type { Published } from './entries.ts';
import type { RoomEvent } from './event.ts';
import { Encoding } from './frame.ts';
import type { Appended, Entry, Log, Message, Position } from './log.ts';
import { isExact } from './names.ts';
import { Refusal } from './refusal.ts';
import type { Rooms } from './rooms.ts';
import { targetRooms } from './target.ts';
import type { Turn } from './turn.ts';

/** A publication, and who waits to hear how far it went. */
export interface Letter {
  readonly publication: Publication;
  resolve(published: Published): void;
  reject(error: unknown): void;
}

export interface PostParts {
  readonly clock: Clock;
  readonly log: Log;
  readonly rooms: Rooms;
  readonly directory: Directory;
  readonly turn: Turn;
  readonly onMessage: (event: RoomEvent) => void;
  /** Hears why the log did not take something; the sender is told only that it did not. */
  readonly onFault: (what: string, error: unknown) => void;
}

/** Messages on their way: numbered by the log, then owed to members in the order of the numbers. */
export class Post {
  readonly #parts: PostParts;
  #newest: Position = { position: 0, id: '' };
  /** Messages delivered since start. */
  delivered = 0;

  constructor(parts: PostParts) {
    this.#parts = parts;
  }

  /** Finds the place in the log from which all goes on. */
  async start(): Promise<void> {
    this.#newest = await this.#parts.log.head();
  }

  /** The place of the newest message that was delivered here. */
  get newest(): Position {
    return this.#newest;
  }

  /** Sends what came in one turn, as one append. Answers to each letter; never rejects. */
  async send(letters: readonly Letter[]): Promise<void> {
    const { clock, onFault } = this.#parts;
    const time = instant(clock.now());
    try {
      const entries = letters.map(({ publication }) => this.#entriesOf(publication, time));
      const { messages, stored } = await this.#append(entries.flat());
      let from = 0;
      for (const [index, letter] of letters.entries()) {
        const own = messages.slice(from, from + (entries[index]?.length ?? 0));
        from += own.length;
        const published = this.outcome(letter.publication, own.at(-1)?.id ?? null);
        this.#deliver(own, letter.publication, time);
        // Delivery does not wait for the disk; who acted is told only when it is safe.
        stored.then(
          () => letter.resolve(published),
          (cause) =>
            letter.reject(
              new Refusal(503, 'the message was delivered but not stored', { reason: 'internal', cause }),
            ),
        );
      }
      stored.catch((error) => onFault('messages could not be stored', error));
    } catch (cause) {
      onFault('messages could not be numbered', cause);
      const refusal = new Refusal(503, 'the message could not be numbered: try again', {
        reason: 'internal',
        cause,
      });
      for (const { reject } of letters) reject(refusal);
    }
  }

  /** What is for devices, connections or users alone needs no number, and so no log. */
  async #append(entries: readonly Entry[]): Promise<Appended> {
    return entries.length > 0 ? this.#parts.log.append(entries) : { messages: [], stored: Promise.resolve() };
  }

  /** Whom a publication reaches, as things stand. */
  outcome({ target }: Publication, id: string | null): Published {
    const { rooms, directory } = this.#parts;
    const reached = rooms.matching(targetRooms(target)).filter((room) => room.members.size > 0);
    const { connections: named, unreached } = directory.find(target);
    const names = reached.map(({ name }) => name).sort();
    const except = target.except ?? [];
    const [only, ...others] = reached;
    if (only && others.length === 0 && named.size === 0 && except.length === 0) {
      return { id, rooms: names, connections: only.members.size, unreached };
    }
    const connections = new Set(named);
    for (const room of reached) for (const member of room.members) connections.add(member);
    for (const excepted of except) {
      const connection = directory.get(excepted);
      if (connection) connections.delete(connection);
    }
    return { id, rooms: names, connections: connections.size, unreached };
  }

  /** One message for each room: those named exactly, and those that exist and fit a pattern. */
  #entriesOf({ target, event, data, from }: Publication, time: string): Entry[] {
    const patterns = targetRooms(target);
    const found = this.#parts.rooms.matching(patterns.filter((pattern) => !isExact(pattern)));
    const names = new Set([...patterns.filter(isExact), ...found.map(({ name }) => name)]);
    return [...names].map((room) => ({ room, event, time, data, ...(from && { from }) }));
  }

  #deliver(messages: readonly Message[], publication: Publication, time: string): void {
    const { rooms, turn, onMessage } = this.#parts;
    const except = new Set(publication.target.except);
    turn.newRound();
    this.#deliverDirectly(publication, time, except);
    for (const { position, id, event } of messages) {
      this.#newest = { position, id };
      this.delivered++;
      if (event.room !== undefined) rooms.get(event.room)?.deliver(event, { position, except });
      onMessage(event);
    }
  }

  /** One copy each for who is named by device, connection or user, and not reached through a room. */
  #deliverDirectly(publication: Publication, time: string, except: ReadonlySet<string>): void {
    const { target, event, data, from } = publication;
    const { connections } = this.#parts.directory.find(target);
    if (connections.size === 0) return;
    const inRooms = new Set(this.#parts.rooms.matching(targetRooms(target)).map(({ name }) => name));
    const encoding = new Encoding({ event, time, data, ...(from && { from }) });
    for (const connection of connections) {
      if (except.has(connection.id) || isInOneOf(connection, inRooms)) continue;
      connection.outbox.push(encoding.in(connection.outbox.format));
    }
  }
}

function isInOneOf({ rooms }: Connection, names: ReadonlySet<string>): boolean {
  for (const room of rooms) if (names.has(room)) return true;
  return false;
}
