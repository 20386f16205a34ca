import { setImmediate as nextIteration } from 'node:timers/promises';
import type { Message, Position } from '../log/log.ts';
import type { Audience, AudienceOptions } from './audience.ts';
import type { FlushScheduler } from './flush-scheduler.ts';
import { Encoding, sizedText } from './frame.ts';
import { type Publication, unaddressed } from './publication.ts';
import type { HubEmitter } from './views.ts';

/** Delivery waits for the sockets above so many unwritten bytes: about what is copied into them in one slice. */
const MAX_DUE_BYTES = 8 * 1024 * 1024;

export interface FanoutOptions extends AudienceOptions {
  readonly scheduler: FlushScheduler;
  readonly events: HubEmitter;
}

/** A publication with what the log made of it. */
export interface Numbered {
  readonly publication: Publication;
  /** Those of its target, by name. */
  readonly rooms: readonly string[];
  /** One for each room, and one without a room where later rooms are to get it too. */
  readonly messages: readonly Message[];
  /** When it was published. */
  readonly time: string;
}

/** Hands the messages of one publication after the other to the members of their rooms, a slice of time at once. */
export class Fanout {
  readonly #options: FanoutOptions;
  readonly #audience: Audience;
  #newest: Position = { position: 0, id: '' };
  /** Of messages that were delivered and are not written yet, for all connections together. */
  #dueBytes = 0;
  /** From then on delivery waits for the next iteration of the event loop, on the monotonic clock. */
  #sliceEndsAtMs = 0;
  #delivered = 0;

  constructor(options: FanoutOptions, audience: Audience) {
    this.#options = options;
    this.#audience = audience;
  }

  /** The position of the newest message that was delivered here. */
  get newest(): Position {
    return this.#newest;
  }

  /** Before anything is delivered: the newest message of the log. */
  startBehind(newest: Position): void {
    this.#newest = newest;
  }

  /** How many messages were delivered since start. */
  get delivered(): number {
    return this.#delivered;
  }

  /** To be called before publications are delivered: a thousand of them with one message each share a slice. */
  beginSlice(): void {
    const { clock, settings } = this.#options;
    this.#sliceEndsAtMs = clock.monotonic() + settings.current.limits.fanoutSliceMs;
  }

  /**
   * Resolves when the messages are in the outboxes of their members. Waits for the sockets before a message
   * where too much is unwritten.
   */
  async deliver({ publication, rooms, messages, time }: Numbered): Promise<void> {
    const { scheduler, clock } = this.#options;
    const except = new Set(publication.target.except);
    const dataBytes = Buffer.byteLength(publication.data);
    scheduler.newRound();
    const encoding = new Encoding(unaddressed(publication, time));
    // One copy for each connection that is named, and not reached through one of the rooms.
    for (const { id, outbox } of this.#audience.directly(publication.target, rooms)) {
      if (!except.has(id)) outbox.push(encoding.in(outbox.format));
    }
    for (const message of messages) {
      if (!scheduler.isDue) this.#dueBytes = 0;
      if (this.#dueBytes >= MAX_DUE_BYTES || (this.#dueBytes > 0 && scheduler.isBacklogged)) {
        await scheduler.written();
        this.#dueBytes = 0;
      }
      if (clock.monotonic() >= this.#sliceEndsAtMs) {
        await nextIteration();
        this.beginSlice();
      }
      this.#deliverToRoom(message, except, dataBytes);
    }
  }

  #deliverToRoom({ position, id, event }: Message, except: ReadonlySet<string>, dataBytes: number): void {
    this.#newest = { position, id };
    if (event.room === undefined) return;
    this.#delivered++;
    const room = this.#options.rooms.get(event.room);
    if (room && room.members.size > 0) {
      const sized = sizedText(event, dataBytes);
      this.#dueBytes += room.deliver(event, { above: { position, except }, sized }).bytes;
    }
    this.#options.events.notify('message', event);
  }
}
