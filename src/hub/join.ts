import { instant } from '../clock.ts';
import type { History } from '../log/log.ts';
import { CLOSE, type CloseReason } from '../protocol/close-reason.ts';
import { Backpressure, type Steps } from './backpressure.ts';
import { FORBIDDEN_NOW } from './changed-rules.ts';
import { type Connection, closingText } from './connection.ts';
import { Refusal } from './errors.ts';
import type { RoomEvent } from './event.ts';
import { Encoding, type EncodingOptions, type Frame, type ReplayFrames, type WireFormat } from './frame.ts';
import { firstToOpen } from './lock.ts';
import type { Publisher, PublisherOptions } from './publisher.ts';
import { parseSince, type Replay, replay } from './replay.ts';
import { movement } from './views.ts';

/** What a client that joins a room is sent of its schedules, each event with the room's name. */
export interface CurrentTicksOfRoom {
  /** The `status` of each schedule that is not `ok`. */
  readonly statuses: readonly RoomEvent[];
  /** The ticks at hand, with `replay`. */
  readonly ticks: readonly RoomEvent[];
  /**
   * The ticks that have to be read first, with `replay`. The promises never reject; one resolves to
   * `undefined` where a live tick of the schedule was sent meanwhile, or the read failed.
   */
  readonly coming: readonly Promise<RoomEvent | undefined>[];
}

/** What the hub needs of the schedules. */
export interface CurrentTicks {
  /**
   * Asks what is current in a room. A tick that is not at hand is computed or read, once for all clients
   * that ask in that moment; a schedule whose value is too old sends its `status`.
   */
  request(room: string): CurrentTicksOfRoom;
}

/** By room: whether it has all messages since the id that a client gave; see `History.resumed`. */
export type Resumed = Readonly<Record<string, boolean | null>>;

/**
 * A small number, because the time that a join takes, some milliseconds where it replays much, is known only
 * when the other joins of the iteration have begun.
 */
const MAX_WAITING_JOINS_PER_ITERATION = 4;

/** What a client is sent of a room's schedules, before it is encoded. */
interface Current {
  readonly statuses: readonly RoomEvent[];
  readonly ticks: readonly RoomEvent[];
  readonly encoding: EncodingOptions;
}

/** What a client that has become a member is sent first. */
interface Entered {
  readonly current: readonly Frame[];
  readonly missed: Replay;
}

export interface JoinsOptions extends Omit<PublisherOptions, 'connections' | 'perform'> {
  readonly currentTicks: CurrentTicks;
  /** Name of the server, for `hello`. */
  readonly server: string;
  readonly publisher: Publisher;
  readonly frames: ReplayFrames;
  readonly close: (connection: Connection, reason: CloseReason, room?: string) => void;
}

/** Makes connections members of rooms, and sends each what is current there and what it missed. */
export class Joins {
  readonly #options: JoinsOptions;
  readonly #backpressure: Backpressure;
  /** How long joins have held this iteration of the event loop. */
  #joinedMs = 0;

  constructor(options: JoinsOptions) {
    this.#options = options;
    const { scheduler } = options;
    this.#backpressure = new Backpressure({
      maxPerIteration: Number.POSITIVE_INFINITY,
      maxWaitingPerIteration: MAX_WAITING_JOINS_PER_ITERATION,
      isBlocked: () => this.#isSliceOver || scheduler.isBacklogged,
      onIteration: () => {
        this.#joinedMs = 0;
      },
    });
  }

  /**
   * Makes a new connection a member of its rooms: at once, or in a later iteration of the event loop where
   * many join. `hello` and what is current are sent when the log has been read; what arrives meanwhile
   * waits behind them. For each locked room it is sent a `closing` event; where all are locked it is closed.
   */
  async join(connection: Connection, rooms: readonly string[], since: string | undefined): Promise<void> {
    const ready = this.#backpressure.ready();
    if (ready) await ready;
    while (this.#retaining) await this.#retaining;
    if (connection.closed) return;
    const shut = new Map<string, CloseReason>();
    const refusals: Refusal[] = [];
    const open: string[] = [];
    for (const room of new Set(rooms)) {
      if (!this.#mayListen(room, connection)) {
        shut.set(room, FORBIDDEN_NOW);
        continue;
      }
      const refusal = this.#options.rooms.refusalOf(room);
      if (refusal) refusals.push(refusal);
      if (refusal?.details.closing) shut.set(room, refusal.details.closing);
      else open.push(room);
    }
    if (open.length === 0) {
      const closing = firstToOpen(refusals)?.details.closing ?? FORBIDDEN_NOW;
      const [room] = shut.size === 1 ? shut.keys() : [];
      this.#options.close(connection, closing, room);
      return;
    }
    const { log, publisher } = this.#options;
    const newestId = publisher.fanout.newest.id;
    const entered = await this.#enter(connection, open, since);
    if (!entered) return;
    const { current, missed } = entered;
    const { resumed, firstPosition } = missed;
    // A client that is cut off in the middle of its replay comes back with the last id it has seen, and
    // gets the rest. Where any room resumes, the rest begins behind `since`.
    const startId = firstPosition === undefined ? newestId : log.idAt(firstPosition - 1);
    const id = since !== undefined && Object.values(resumed).some(Boolean) ? since : startId;
    const hello = this.#hello(connection, open, resumed, id);
    this.#timed(() =>
      connection.outbox.release([
        new Encoding(hello).in(connection.outbox.format),
        ...[...shut].map(([room, closing]) => connection.frame(closingText(closing, 'room', room))),
        ...current,
        ...missed.frames,
      ]),
    );
  }

  /**
   * Makes a connection a member of one more room; throws the room's `Refusal` where it is locked. Resolves to
   * nothing where the connection is closed meanwhile.
   */
  async subscribe(connection: Connection, room: string, since: string | undefined): Promise<Resumed> {
    const ready = this.#backpressure.ready();
    if (ready) await ready;
    while (this.#retaining) await this.#retaining;
    if (!this.#mayListen(room, connection)) throw new Refusal(403, `room "${room}": ${FORBIDDEN_NOW.reason}`);
    const refusal = this.#options.rooms.refusalOf(room);
    if (refusal) throw refusal;
    const entered = await this.#enter(connection, [room], since);
    if (!entered) return {};
    const { current, missed } = entered;
    this.#timed(() => connection.outbox.release([...current, ...missed.frames]));
    return missed.resumed;
  }

  /**
   * A room's messages for a client that does not join it: those that were delivered when this is called, so
   * that a client that polls gets nothing twice. Does not make the room.
   */
  async history(room: string, since: string | undefined): Promise<History> {
    const upTo = this.#options.publisher.fanout.newest.position;
    const { settings } = this.#options;
    const limitOf = () => settings.current.retentionOf(room).messages;
    const histories = await this.#histories([room], since && parseSince(since).id, limitOf);
    const { resumed, messages } = histories.get(room) ?? { resumed: null, messages: [] };
    return { resumed, messages: messages.filter(({ position }) => position <= upTo) };
  }

  /**
   * Makes the connection a member at once and holds its outbox; resolves to the frames to release it with:
   * what is current in the rooms that are new to it, and what it missed. `undefined`: it was closed meanwhile.
   * Where that fails the connection is closed, since its outbox would be held for ever.
   */
  async #enter(
    connection: Connection,
    rooms: readonly string[],
    since: string | undefined,
  ): Promise<Entered | undefined> {
    const { log, publisher, settings, frames, close } = this.#options;
    const upTo = publisher.fanout.newest.position;
    const maxBytes = settings.current.limits.maxBufferedBytes / 2;
    const seen = since === undefined ? undefined : parseSince(since);
    const position = seen && log.positionOf(seen.id);
    const limitOf = (room: string) =>
      seen ? settings.current.retentionOf(room).messages : settings.current.joinHistoryOf(room);
    const { format } = connection.outbox;
    connection.served = upTo;
    connection.outbox.hold();
    try {
      const currents = this.#timed(() => {
        const entered = rooms.filter((room) => !connection.rooms.has(room));
        for (const room of entered) this.#add(connection, room);
        return entered.map((room) => this.#current(connection, room));
      });
      const histories = await this.#histories(rooms, seen?.id, limitOf);
      const framesOf = function* (): Steps<Entered> {
        const current = yield* currentFrames(currents, format, frames);
        const missed = yield* replay(histories, {
          upTo,
          since: position === undefined ? undefined : { position, room: seen?.room },
          maxBytes,
          retainedOf: (room, isWanted) => publisher.retained.of(room, isWanted),
          frameOf: (event) => frames.of(event, format),
        });
        return { current, missed };
      };
      return await this.#inSlices(framesOf(), connection);
    } catch (error) {
      close(connection, CLOSE.internal);
      throw error;
    }
  }

  /** The client was admitted, but a reload may have come meanwhile. */
  #mayListen(room: string, { subscriber }: Connection): boolean {
    return this.#options.settings.current.mayListen(room, subscriber);
  }

  /**
   * Set while no client may join: between the moment when a message to be retained looks for its rooms and
   * the moment when it is delivered. A room that began meanwhile would get the message neither live nor as a
   * retained one. To be asked right before a client becomes a member.
   */
  get #retaining(): Promise<void> | undefined {
    return this.#options.publisher.retaining;
  }

  #add(connection: Connection, name: string): void {
    // A listener for `join` may have closed the connection when it joined the room before.
    if (connection.closed) return;
    const room = this.#options.rooms.open(name);
    room.add(connection);
    this.#options.events.notify('join', movement(room, connection));
  }

  /** A log that cannot be read is a gap: the client still gets what is sent from now on. */
  async #histories(
    rooms: readonly string[],
    since: string | undefined,
    limitOf: (room: string) => number,
  ): Promise<ReadonlyMap<string, History>> {
    const { log, onFault } = this.#options;
    try {
      return await log.since(rooms, since, limitOf);
    } catch (error) {
      onFault('the log could not be read for a client that joined', error);
      const resumed = since === undefined ? null : false;
      return new Map(rooms.map((room) => [room, { resumed, messages: [] }]));
    }
  }

  /** The statuses and the current ticks of a room; ticks that must be read first are sent when they come. */
  #current(connection: Connection, room: string): Current {
    const { currentTicks, settings, frames } = this.#options;
    const { statuses, ticks, coming } = currentTicks.request(room);
    const encoding = { mayConflate: settings.current.conflates(room), isDataKept: true };
    for (const each of coming) {
      void each.then((tick) => {
        const { outbox } = connection;
        if (tick && connection.rooms.has(room)) outbox.push(frames.of(tick, outbox.format, encoding));
      });
    }
    return { statuses, ticks, encoding };
  }

  #hello(connection: Connection, rooms: readonly string[], resumed: Resumed, id: string): RoomEvent {
    const { server, settings, clock } = this.#options;
    const { heartbeatSeconds } = settings.current;
    const data = JSON.stringify({ connection: connection.id, rooms, server, heartbeatSeconds, resumed });
    return { event: 'hello', id, time: instant(clock.now()), data };
  }

  /**
   * Does the work of a join as far as this iteration of the event loop has time for it, and the rest in later
   * ones, in turns with other joins. `undefined`: the connection was closed meanwhile.
   */
  async #inSlices<Result>(steps: Steps<Result>, connection: Connection): Promise<Result | undefined> {
    const { clock } = this.#options;
    while (!connection.closed) {
      if (this.#isSliceOver) await this.#backpressure.later();
      const { done, value } = this.#timed(() => {
        const endsAtMs = clock.monotonic() + this.#sliceMs;
        for (;;) {
          const step = steps.next();
          if (step.done || clock.monotonic() >= endsAtMs) return step;
        }
      });
      if (done) return value;
    }
    return undefined;
  }

  /** Joins may hold an iteration of the event loop for half of what a delivery may. */
  get #sliceMs(): number {
    return this.#options.settings.current.limits.fanoutSliceMs / 2;
  }

  get #isSliceOver(): boolean {
    return this.#joinedMs > this.#sliceMs;
  }

  #timed<Result>(work: () => Result): Result {
    const { clock } = this.#options;
    const begunAtMs = clock.monotonic();
    const result = work();
    this.#joinedMs += clock.monotonic() - begunAtMs;
    return result;
  }
}

/** The frames of all statuses, then those of all ticks. */
function* currentFrames(
  currents: readonly Current[],
  format: WireFormat,
  frames: ReplayFrames,
): Steps<readonly Frame[]> {
  const statusFrames: Frame[] = [];
  const tickFrames: Frame[] = [];
  for (const { statuses, ticks, encoding } of currents) {
    for (const status of statuses) statusFrames.push(new Encoding(status).in(format));
    for (const tick of ticks) tickFrames.push(frames.of(tick, format, encoding));
    yield;
  }
  return [...statusFrames, ...tickFrames];
}
