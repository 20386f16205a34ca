import { type Clock, instant } from '../clock.ts';
import type { Appended, Entry, Log, Message, Position } from '../log/log.ts';
import type { Publication } from './administration.ts';
import type { Connection } from './connection.ts';
import type { Connections } from './directory.ts';
import { Refusal } from './errors.ts';
import { isExact, type RoomEvent, roomsMatcher, sizedText, type Target, targetRooms } from './event.ts';
import type { FlushScheduler } from './flush-scheduler.ts';
import { Encoding } from './frame.ts';
import type { Room } from './room.ts';
import type { Rooms } from './rooms.ts';
import { inSlices, nextTurn, type SliceOptions } from './slices.ts';
import type { Published } from './views.ts';

/** A publication, and who waits to hear how far it went. */
export interface Letter {
  readonly publication: Publication;
  resolve(published: Published): void;
  reject(error: unknown): void;
}

/** A letter, with a message for each room that it goes to. */
interface Addressed {
  readonly letter: Letter;
  readonly entries: readonly Entry[];
}

/** So many messages are numbered by one append, or as many more as the last letter of it makes. */
const MAX_ENTRIES = 1000;

/**
 * So many bytes of messages become due before they have to be written: about what a server copies into
 * sockets in one slice.
 */
const MAX_DUE_BYTES = 8 * 1024 * 1024;

export interface PublisherParts extends SliceOptions {
  readonly clock: Clock;
  readonly log: Log;
  readonly rooms: Rooms;
  readonly directory: Connections;
  readonly turn: FlushScheduler;
  readonly onMessage: (event: RoomEvent) => void;
  /** Hears why the log did not take something; the sender is told only that it did not. */
  readonly onFault: (what: string, error: unknown) => void;
}

/** Messages on their way: numbered by the log, then owed to members in the order of the numbers. */
export class Publisher {
  readonly #parts: PublisherParts;
  #newest: Position = { position: 0, id: '' };
  /** Messages delivered since start. */
  delivered = 0;
  /** Of messages that were delivered and not written yet, all connections together. */
  #dueBytes = 0;

  constructor(parts: PublisherParts) {
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

  /**
   * Sends what came in one turn, numbered by as few appends as it takes. Answers to each letter; never
   * rejects. Goes no faster than what it causes is written: that is what its callers wait for.
   */
  async send(letters: readonly Letter[]): Promise<void> {
    const time = instant(this.#parts.clock.now());
    let group: Addressed[] = [];
    let entries = 0;
    for (const letter of letters) {
      try {
        const addressed = { letter, entries: await this.#entriesOf(letter.publication, time) };
        group.push(addressed);
        entries += addressed.entries.length;
      } catch (error) {
        letter.reject(error);
      }
      if (entries < MAX_ENTRIES) continue;
      await this.#sendGroup(group, time);
      group = [];
      entries = 0;
    }
    if (group.length > 0) await this.#sendGroup(group, time);
  }

  async #sendGroup(group: readonly Addressed[], time: string): Promise<void> {
    const { onFault } = this.#parts;
    try {
      const { messages, stored } = await this.#append(group.flatMap(({ entries }) => entries));
      stored.catch((error) => onFault('messages could not be stored', error));
      let from = 0;
      for (const { letter, entries } of group) {
        const own = messages.slice(from, from + entries.length);
        from += own.length;
        const names = entries.map(({ room }) => room);
        const published = await this.#outcome(letter.publication, names, own.at(-1)?.id ?? null);
        await this.#deliver(own, letter.publication, time);
        // Delivery does not wait for the disk; the sender is told only when the message is safe.
        stored.then(
          () => letter.resolve(published),
          (cause) =>
            letter.reject(
              new Refusal(503, 'the message was delivered but not stored', { reason: 'internal', cause }),
            ),
        );
      }
    } catch (cause) {
      onFault('messages could not be numbered', cause);
      const refusal = new Refusal(503, 'the message could not be numbered: try again', {
        reason: 'internal',
        cause,
      });
      for (const { letter } of group) letter.reject(refusal);
    }
  }

  /** What is for devices, connections or users alone needs no number, and so no log. */
  async #append(entries: readonly Entry[]): Promise<Appended> {
    return entries.length > 0 ? this.#parts.log.append(entries) : { messages: [], stored: Promise.resolve() };
  }

  /** What a publication would reach now, had it been sent. */
  async dryRun(publication: Publication): Promise<Published> {
    return this.#outcome(publication, await this.#roomNames(publication.target), null);
  }

  /** Which connections a publication to the rooms of these names reaches, as things stand. */
  async #outcome({ target }: Publication, names: readonly string[], id: string | null): Promise<Published> {
    const { rooms, directory } = this.#parts;
    const reached = names.flatMap((name) => rooms.get(name) ?? []).filter((room) => room.members.size > 0);
    const { connections: named, unreached } = directory.find(target);
    const reachedNames = reached.map(({ name }) => name).sort();
    const except = target.except ?? [];
    const [only, ...others] = reached;
    if (only && others.length === 0 && named.size === 0 && except.length === 0) {
      return { id, rooms: reachedNames, connections: only.members.size, unreached };
    }
    const connections = new Set(named);
    const add = (room: Room) => {
      for (const member of room.members) connections.add(member);
    };
    await inSlices(reached, add, this.#parts);
    for (const excepted of except) {
      const connection = directory.get(excepted);
      if (connection) connections.delete(connection);
    }
    return { id, rooms: reachedNames, connections: connections.size, unreached };
  }

  /** One message for each room: those named exactly, and those that exist and fit a pattern. */
  async #entriesOf({ target, event, data, from }: Publication, time: string): Promise<Entry[]> {
    const names = await this.#roomNames(target);
    return names.map((room) => ({ room, event, time, data, ...(from && { from }) }));
  }

  async #roomNames(target: Target): Promise<string[]> {
    const patterns = targetRooms(target);
    const wildcards = patterns.filter((pattern) => !isExact(pattern));
    if (wildcards.length === 0) return [...new Set(patterns)];
    const names = new Set(patterns.filter(isExact));
    const { rooms } = this.#parts;
    const matches = roomsMatcher(wildcards);
    const add = ({ name }: Room) => {
      if (matches(name)) names.add(name);
    };
    await inSlices(rooms, add, this.#parts);
    return [...names];
  }

  async #deliver(messages: readonly Message[], publication: Publication, time: string): Promise<void> {
    const { turn, monotonic, sliceMs } = this.#parts;
    const except = new Set(publication.target.except);
    const dataBytes = Buffer.byteLength(publication.data);
    turn.newRound();
    this.#deliverDirectly(publication, time, except, messages);
    let endsAt = monotonic() + sliceMs();
    for (const message of messages) {
      if (!turn.isDue) this.#dueBytes = 0;
      if (this.#dueBytes >= MAX_DUE_BYTES || (this.#dueBytes > 0 && turn.isBacklogged)) {
        await turn.written();
        this.#dueBytes = 0;
      }
      if (monotonic() >= endsAt) {
        await nextTurn();
        endsAt = monotonic() + sliceMs();
      }
      this.#deliverTo(message, except, dataBytes);
    }
  }

  #deliverTo({ position, id, event }: Message, except: ReadonlySet<string>, dataBytes: number): void {
    this.#newest = { position, id };
    this.delivered++;
    const room = event.room === undefined ? undefined : this.#parts.rooms.get(event.room);
    if (room && room.members.size > 0) {
      const sized = sizedText(event, dataBytes);
      this.#dueBytes += room.deliver(event, { above: { position, except }, sized }).bytes;
    }
    this.#parts.onMessage(event);
  }

  /** One copy for each connection that is named, and not reached through a room. */
  #deliverDirectly(
    publication: Publication,
    time: string,
    except: ReadonlySet<string>,
    messages: readonly Message[],
  ): void {
    const { target, event, data, from } = publication;
    const { connections } = this.#parts.directory.find(target);
    if (connections.size === 0) return;
    const inRooms = new Set(messages.map((message) => message.event.room));
    const encoding = new Encoding({ event, time, data, ...(from && { from }) });
    for (const connection of connections) {
      if (except.has(connection.id) || isInOneOf(connection, inRooms)) continue;
      connection.outbox.push(encoding.in(connection.outbox.format));
    }
  }
}

function isInOneOf({ rooms }: Connection, names: ReadonlySet<string | undefined>): boolean {
  for (const room of rooms) if (names.has(room)) return true;
  return false;
}
