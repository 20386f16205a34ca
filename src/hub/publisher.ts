import { setImmediate as nextIteration } from 'node:timers/promises';
import { instant } from '../clock.ts';
import type { Appended, Entry, Log, Message, RecordChange } from '../log/log.ts';
import { Audience } from './audience.ts';
import type { Command, Performed } from './commands.ts';
import { Refusal, shown } from './errors.ts';
import { isExact, type JsonText, targetRooms } from './event.ts';
import { Fanout, type FanoutOptions } from './fanout.ts';
import {
  type ChangesOf,
  checkPublication,
  type Publication,
  type Published,
  type PublishOptions,
  unaddressed,
} from './publication.ts';
import { RetainedMessages } from './retained.ts';
import type { RoomClosed } from './room.ts';

/** A publication in the queue. */
interface Pending {
  readonly publication: Publication;
  /** Set on what withdraws the retained message of its key. */
  readonly isWithdrawal: boolean;
  readonly changesOf: ChangesOf | undefined;
  /** See `PublishOptions`. */
  readonly isStoredFirst: boolean;
  /** The rooms that it goes to, found just before it is numbered: one message for each. */
  rooms: readonly string[];
  /** What it reaches, where that is stored with it: found just before it is numbered, then without its id. */
  reached: Published | undefined;
  resolve(published: Published): void;
  reject(error: unknown): void;
}

interface PendingCommand {
  readonly command: Command;
  resolve(performed: Performed): void;
  reject(error: unknown): void;
}

/** So many messages are numbered by one append; the last publication of it may make it more. */
const MAX_ENTRIES = 1000;

/** After so many rounds of its queue the publisher waits for the next iteration of the event loop. */
const ROUNDS_PER_ITERATION = 64;

const NOTHING_APPENDED: Appended = { messages: [], stored: Promise.resolve() };

export interface PublisherOptions extends FanoutOptions {
  readonly log: Log;
  /** Called with why the log could not be read or written; clients learn only that it could not. */
  readonly onFault: (what: string, error: unknown) => void;
  /** Performs a command, between two publications. */
  readonly perform: (command: Command) => Promise<Performed>;
}

/**
 * Publishes messages: checks them, has the log number them, and delivers them in the order of their
 * numbers. Publications that come in the same event-loop iteration go to the log as one append.
 * Publications and commands wait in one queue, so a command comes cleanly before or after each message,
 * and no sender's messages change places.
 */
export class Publisher {
  readonly retained: RetainedMessages;
  readonly #options: PublisherOptions;
  readonly fanout: Fanout;
  readonly #audience: Audience;
  #queue: (Pending | PendingCommand)[] = [];
  #isWorking = false;
  #rounds = 0;
  #retaining: Promise<void> | undefined;

  constructor(options: PublisherOptions) {
    this.#options = options;
    this.#audience = new Audience(options);
    this.fanout = new Fanout(options, this.#audience);
    this.retained = new RetainedMessages(options);
  }

  /** Reads the position of the newest message from the log, and the retained messages. */
  async start(): Promise<void> {
    const { log, onFault } = this.#options;
    this.fanout.startBehind(await log.head());
    const changes = this.#load(await log.records('retained'));
    if (changes.length === 0) return;
    const { stored } = await log.append([], () => changes);
    stored.catch((error) => onFault('retained messages that are over could not be removed', error));
  }

  #load(records: ReadonlyMap<string, JsonText>): RecordChange[] {
    return this.retained.load(records, (position) => this.#options.log.idAt(position));
  }

  /** Set while a message that is to be retained looks for its rooms or is delivered; resolves when it is. */
  get retaining(): Promise<void> | undefined {
    return this.#retaining;
  }

  /** Resolves when the message is delivered and stored. Throws a `Refusal` for what may not be published. */
  async publish(
    publication: Publication,
    { beforehand, changesOf, isStoredFirst = false }: PublishOptions = {},
  ): Promise<Published> {
    checkPublication(publication, this.#options.settings.current.limits.eventBytes);
    if (publication.dryRun) {
      this.#checkRetained(publication, false);
      const names = await this.#audience.roomsOf(publication.target);
      return this.#audience.reached(publication, names, null);
    }
    beforehand?.();
    return this.#enqueue({ publication, isWithdrawal: false, changesOf, isStoredFirst });
  }

  /** Withdraws a retained message from one room, or from all rooms; 404 where none has it. */
  async withdraw(key: string, room?: string): Promise<Published> {
    const isThere =
      room === undefined ||
      this.retained.of(room).some((retained) => retained.key === key && !retained.isOver);
    const rooms = room === undefined ? this.retained.patternsOf(key) : [room];
    if (!isThere || rooms.length === 0) {
      const where = room === undefined ? 'no room retains' : `room "${room}" does not retain`;
      throw new Refusal(404, `${where} a message with the key ${shown(key)}`);
    }
    const publication = { target: { rooms }, event: 'withdrawn', data: JSON.stringify({ key }), key };
    return this.#enqueue({
      publication,
      isWithdrawal: true,
      changesOf: undefined,
      isStoredFirst: false,
    });
  }

  #enqueue(item: Omit<Pending, 'rooms' | 'reached' | 'resolve' | 'reject'>): Promise<Published> {
    return new Promise((resolve, reject) =>
      this.#put({ ...item, rooms: [], reached: undefined, resolve, reject }),
    );
  }

  /**
   * Performs a command behind the publications that came before it; resolves when what it changed is stored.
   * What comes behind it does not wait for that.
   */
  async order(command: Command): Promise<RoomClosed | undefined> {
    const { closed, stored } = await new Promise<Performed>((resolve, reject) =>
      this.#put({ command, resolve, reject }),
    );
    await stored;
    return closed;
  }

  #put(item: Pending | PendingCommand): void {
    this.#queue.push(item);
    if (this.#isWorking) return;
    this.#isWorking = true;
    queueMicrotask(() => void this.#work());
  }

  async #work(): Promise<void> {
    while (this.#queue.length > 0) {
      // A program that publishes in a loop, and awaits each answer, would keep all else waiting.
      if (++this.#rounds % ROUNDS_PER_ITERATION === 0) await nextIteration();
      const items = this.#queue;
      this.#queue = [];
      let group: Pending[] = [];
      let entries = 0;
      const { clock, settings } = this.#options;
      let endsAtMs = clock.monotonic() + settings.current.limits.fanoutSliceMs;
      for (const item of items) {
        // Looking for the rooms of a thousand patterns takes long.
        if (clock.monotonic() >= endsAtMs) {
          await nextIteration();
          endsAtMs = clock.monotonic() + settings.current.limits.fanoutSliceMs;
        }
        const isGrouped = 'publication' in item && item.publication.key === undefined;
        const isSameKind =
          isGrouped && (group[0]?.isStoredFirst ?? item.isStoredFirst) === item.isStoredFirst;
        if (isGrouped && !isSameKind) {
          await this.#send(group);
          group = [];
          entries = 0;
        }
        if (isGrouped) {
          if (!(await this.#findRooms(item))) continue;
          group.push(item);
          entries += item.rooms.length;
          if (entries < MAX_ENTRIES) continue;
        }
        await this.#send(group);
        group = [];
        entries = 0;
        if ('command' in item) await this.#options.perform(item.command).then(item.resolve, item.reject);
        else if (!isGrouped) await this.#sendAlone(item);
      }
      await this.#send(group);
    }
    this.#isWorking = false;
  }

  /**
   * Sends a publication by itself: the bounds of what is retained count the ones before it. No client joins
   * meanwhile, see `retaining`.
   */
  async #sendAlone(pending: Pending): Promise<void> {
    let end = () => {};
    this.#retaining = new Promise<void>((resolve) => {
      end = resolve;
    });
    if (await this.#findRooms(pending)) await this.#send([pending]);
    this.#retaining = undefined;
    end();
    // The joins that waited go on first.
    await undefined;
  }

  /** False, and rejected, where it may not be retained, or a program has changed the target since it was checked. */
  async #findRooms(pending: Pending): Promise<boolean> {
    const { publication, isWithdrawal } = pending;
    try {
      this.#checkRetained(publication, isWithdrawal);
      pending.rooms = await this.#audience.roomsOf(publication.target);
      return true;
    } catch (error) {
      pending.reject(error);
      return false;
    }
  }

  #checkRetained({ key, target, data }: Publication, isWithdrawal: boolean): void {
    if (key === undefined) return;
    this.retained.check({ key, patterns: targetRooms(target), isWithdrawal }, Buffer.byteLength(data));
  }

  /**
   * Numbers the messages of a group with one append, and delivers them. Answers to each publication; never
   * rejects. Resolves no sooner than `Fanout.deliver`: that makes senders wait for slow clients.
   */
  async #send(group: readonly Pending[]): Promise<void> {
    if (group.length === 0) return;
    const { log, clock, onFault } = this.#options;
    const time = instant(clock.now());
    const entries = group.map((pending) => entriesOf(pending, time));
    const changesOf = (messages: readonly Message[]) =>
      shares(messages, entries).flatMap((own, index) => this.#changesOf(group[index], own));
    try {
      for (const pending of group) {
        if (!pending.changesOf) continue;
        pending.reached = await this.#audience.reached(pending.publication, pending.rooms, null);
      }
      // What goes to devices, connections or users alone needs no number.
      const isEmpty = group.every(({ changesOf }, index) => !changesOf && entries[index]?.length === 0);
      const { messages, stored } = isEmpty ? NOTHING_APPENDED : await log.append(entries.flat(), changesOf);
      stored.catch((error) => onFault('messages could not be stored', error));
      if (group.some(({ isStoredFirst }) => isStoredFirst)) await stored;
      this.fanout.beginSlice();
      for (const [index, own] of shares(messages, entries).entries()) {
        const pending = group[index];
        if (!pending) continue;
        const { publication, rooms } = pending;
        // As it is when the delivery begins.
        const published =
          pending.reached ?? (await this.#audience.reached(publication, rooms, own.at(-1)?.id ?? null));
        await this.fanout.deliver({ publication, rooms, messages: own, time });
        // Delivery does not wait for the disk, the answer does.
        stored.then(
          () => pending.resolve(published),
          (cause) => pending.reject(unavailable('the message was delivered but not stored', cause)),
        );
      }
    } catch (cause) {
      onFault('messages could not be numbered', cause);
      if (group.some(({ isStoredFirst, publication }) => isStoredFirst && publication.key !== undefined)) {
        // It is retained already, and must not be.
        this.#load(await log.records('retained').catch(() => new Map()));
      }
      for (const { reject, isStoredFirst } of group) {
        const what = isStoredFirst ? 'numbered or stored' : 'numbered';
        reject(unavailable(`the message could not be ${what}: try again`, cause));
      }
    }
  }

  /** How the records of the log change with the messages of a publication. */
  #changesOf(pending: Pending | undefined, messages: readonly Message[]): RecordChange[] {
    if (!pending) return [];
    const { publication, isWithdrawal, changesOf } = pending;
    const { key, target } = publication;
    if (pending.reached) pending.reached = { ...pending.reached, id: messages.at(-1)?.id ?? null };
    const retained =
      key === undefined
        ? []
        : this.retained.add({ key, patterns: targetRooms(target), isWithdrawal }, messages);
    return [...retained, ...(pending.reached ? (changesOf?.(pending.reached) ?? []) : [])];
  }
}

function entriesOf({ publication, rooms, isWithdrawal }: Pending, time: string): Entry[] {
  const { key, ttlMs, target } = publication;
  const message = {
    ...unaddressed(publication, time),
    ...(!isWithdrawal && key !== undefined && { key }),
    ...(ttlMs !== undefined && { until: instant(Date.parse(time) + ttlMs) }),
  };
  const entries = rooms.map((room) => ({ room, ...message }));
  const isForLaterRooms = key !== undefined && !targetRooms(target).every(isExact);
  return isForLaterRooms ? [message, ...entries] : entries;
}

/** The messages that belong to each of some lists of entries, numbered by one append. */
function shares(messages: readonly Message[], entries: readonly (readonly Entry[])[]): Message[][] {
  let from = 0;
  return entries.map(({ length }) => {
    from += length;
    return messages.slice(from - length, from);
  });
}

function unavailable(message: string, cause: unknown): Refusal {
  return new Refusal(503, message, { reason: 'internal', cause });
}
