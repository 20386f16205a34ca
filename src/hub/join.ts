import { type Clock, instant } from '../clock.ts';
import type { History, Log } from '../log/log.ts';
import { Backpressure } from './backpressure.ts';
import { CLOSE, type CloseReason } from './close-reason.ts';
import { lockRefusal } from './closing-room.ts';
import { type Connection, closingText } from './connection.ts';
import type { CurrentTicks } from './current-ticks.ts';
import type { Refusal } from './errors.ts';
import type { FlushScheduler } from './flush-scheduler.ts';
import { Encoding, type Frame, type ReplayFrames } from './frame.ts';
import type { HubEmitter } from './hub-events.ts';
import type { Publisher } from './publisher.ts';
import type { Rooms } from './rooms.ts';
import type { BufferLimits } from './slow-consumers.ts';
import { currentFrames, helloEvent, type Resumed, replay, resumedOf } from './welcome.ts';

/** Looked at anew each time. */
export interface JoinOptions {
  readonly clock: Clock;
  readonly log: Log;
  readonly currentTicks: CurrentTicks;
  /** How many messages a room shows to who joins. */
  readonly historyOf: (room: string) => number;
  /** Whether ticks in a room may be replaced by newer ones for a client that does not keep up. */
  readonly conflates: (room: string) => boolean;
  readonly buffers: Pick<BufferLimits, 'maxBufferedBytes'>;
  /** How long joins may hold the event loop in one turn, in milliseconds. */
  readonly fanoutSliceMs: number;
  /** For `hello`. */
  readonly server: string;
  readonly heartbeatSeconds: number;
  /** Hears of faults that are nobody's answer: a listener that threw, a log that cannot be read. */
  readonly onFault: (what: string, error: unknown) => void;
}

export interface JoinParts {
  readonly rooms: Rooms;
  readonly post: Publisher;
  readonly turn: FlushScheduler;
  readonly frames: ReplayFrames;
  readonly events: HubEmitter;
  readonly close: (connection: Connection, reason: CloseReason, room?: string) => void;
}

/**
 * What a join that waited took is known only when the next ones have been let through, and one that
 * replays much takes some milliseconds.
 */
const MAX_WAITING_JOINS_A_TURN = 4;

/** Coming into rooms and leaving them: who enters is told what is current and what it missed. */
export class Joins {
  readonly #options: JoinOptions;
  readonly #parts: JoinParts;
  readonly #intake: Backpressure;
  /** What joins took in this turn of the event loop, in milliseconds. */
  #joinedMs = 0;

  constructor(options: JoinOptions, parts: JoinParts) {
    this.#options = options;
    this.#parts = parts;
    this.#intake = new Backpressure({
      mostPerTurn: Number.POSITIVE_INFINITY,
      mostWaitingPerTurn: MAX_WAITING_JOINS_A_TURN,
      isBlocked: () => this.#joinedMs > this.#options.fanoutSliceMs / 2 || this.#parts.turn.isBacklogged,
      onTurn: () => {
        this.#joinedMs = 0;
      },
    });
  }

  /** Why a room may not be entered now. */
  refusalOf(room: string): Refusal | undefined {
    const lock = this.#parts.rooms.lockOf(room);
    return lock && lockRefusal(room, lock, this.#options.clock);
  }

  /**
   * Takes a new connection into its rooms: in this very turn, or in the next ones where a storm of
   * joins would hold the event loop. From then on it is a member; `hello` and what is current leave as
   * soon as the log is read, and what arrives meanwhile waits behind it. Rooms that are locked are told
   * to it; where none is left it is closed.
   */
  async join(connection: Connection, rooms: readonly string[], since: string | undefined): Promise<void> {
    const ready = this.#intake.ready();
    if (ready) await ready;
    if (connection.closed) return;
    const { server, heartbeatSeconds, clock } = this.#options;
    const closings = new Map(rooms.map((room) => [room, this.refusalOf(room)?.details.closing]));
    const open = [...closings].flatMap(([room, closing]) => (closing ? [] : [room]));
    if (open.length === 0) {
      const [[room, closing] = []] = closings;
      this.#parts.close(connection, closing ?? CLOSE.roomClosed, room);
      return;
    }
    const newest = this.#parts.post.newest;
    const { resumed, frames } = await this.#enter(connection, open, since);
    const time = instant(clock.now());
    // One room that goes on from `since` is enough: whoever is cut off in the midst of its replay
    // would miss the rest of it if it came back with anything newer.
    const id = since !== undefined && Object.values(resumed).some(Boolean) ? since : newest.id;
    const hello = helloEvent({ connection, rooms: open, server, heartbeatSeconds, resumed, id, time });
    const releasedAt = clock.monotonic();
    connection.outbox.release([
      new Encoding(hello).in(connection.outbox.format),
      ...[...closings].flatMap(([room, closing]) =>
        closing ? [connection.frame(closingText(closing, room))] : [],
      ),
      ...frames,
    ]);
    this.#joinedMs += clock.monotonic() - releasedAt;
  }

  /** Takes a connection into one more room; throws the room's `Refusal` where it is locked. */
  async subscribe(connection: Connection, room: string, since: string | undefined): Promise<Resumed> {
    const ready = this.#intake.ready();
    if (ready) await ready;
    const refusal = this.refusalOf(room);
    if (refusal) throw refusal;
    const { resumed, frames } = await this.#enter(connection, [room], since);
    connection.outbox.release(frames);
    return resumed;
  }

  leave(connection: Connection, name: string): void {
    if (!connection.rooms.delete(name)) return;
    const room = this.#parts.rooms.get(name);
    room?.remove(connection);
    if (room) this.#parts.rooms.left(room);
    this.#parts.events.tell('leave', { room: name, connection });
  }

  /**
   * Makes the connection a member at once and holds its outbox; resolves to what it is to be released
   * with: what is current in the rooms that are new to it, and what it missed. Where that cannot be
   * had the connection is closed, since it would be held for ever.
   */
  async #enter(
    connection: Connection,
    rooms: readonly string[],
    since: string | undefined,
  ): Promise<{ resumed: Resumed; frames: Frame[] }> {
    const upTo = this.#parts.post.newest.position;
    const mostBytes = this.#options.buffers.maxBufferedBytes / 2;
    connection.served = upTo;
    connection.outbox.hold();
    const begunAt = this.#options.clock.monotonic();
    try {
      const entered = rooms.filter((room) => !connection.rooms.has(room));
      for (const room of entered) this.#add(connection, room);
      const { currentTicks, conflates } = this.#options;
      const { frames } = this.#parts;
      const current = currentFrames(connection, entered, { currentTicks, conflates, frames });
      this.#joinedMs += this.#options.clock.monotonic() - begunAt;
      const histories = await this.histories(rooms, since);
      const replayedAt = this.#options.clock.monotonic();
      const missed = replay(connection, histories, { upTo, mostBytes, frames });
      this.#joinedMs += this.#options.clock.monotonic() - replayedAt;
      return { resumed: resumedOf(missed.histories), frames: [...current, ...missed.frames] };
    } catch (error) {
      this.#parts.close(connection, CLOSE.internal);
      throw error;
    }
  }

  #add(connection: Connection, name: string): void {
    // Somebody who heard of an earlier room may have closed it already.
    if (connection.closed) return;
    const room = this.#parts.rooms.open(name);
    // The room's own text, of which all its members share one.
    connection.rooms.add(room.name);
    room.add(connection);
    this.#parts.events.tell('join', { room: room.name, connection });
  }

  /** A history that cannot be read is a gap: who joins still gets what comes from now on. */
  async histories(rooms: readonly string[], since: string | undefined): Promise<Map<string, History>> {
    const limit = Math.max(...rooms.map((room) => this.#options.historyOf(room)));
    try {
      return new Map(await this.#options.log.since(rooms, since, limit));
    } catch (error) {
      this.#options.onFault('the log could not be read for somebody who joined', error);
      const resumed = since === undefined ? null : false;
      return new Map(rooms.map((room) => [room, { resumed, messages: [] }]));
    }
  }
}
