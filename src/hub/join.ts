import { instant } from '../clock.ts';
import type { History, Message } from '../log/log.ts';
import { CLOSE, type CloseReason } from '../protocol/close-reason.ts';
import { Backpressure } from './backpressure.ts';
import { type Connection, closingText } from './connection.ts';
import type { RoomEvent } from './event.ts';
import { Encoding, type Frame, type ReplayFrames } from './frame.ts';
import type { Publisher, PublisherOptions } from './publisher.ts';

/** What a client that joins a room is told of its schedules, each event with the room's name. */
export interface CurrentTicksOfRoom {
  /** The `status` of each schedule that is not `ok`. */
  readonly statuses: readonly RoomEvent[];
  /** The ticks at hand, with `replay`. */
  readonly ticks: readonly RoomEvent[];
  /**
   * The ticks that have to be read first, with `replay`. Never rejects; resolves to `undefined`
   * where a live tick of the schedule went out meanwhile, or the read failed.
   */
  readonly coming: readonly Promise<RoomEvent | undefined>[];
}

/** The hub's view of the schedules: what is current in a room. */
export interface CurrentTicks {
  /**
   * Asks what is current in a room. A tick that is not at hand is computed or read, once for all clients
   * that ask in that moment; a schedule whose value is too old sends its `status`.
   */
  request(room: string): CurrentTicksOfRoom;
}

/** What the history of each room says of the `since` that a client gave; see `History.resumed`. */
export type Resumed = Readonly<Record<string, boolean | null>>;

/**
 * What a join that waited took is known only when the next ones have been let through, and one that
 * replays much takes some milliseconds.
 */
const MAX_WAITING_JOINS_PER_ITERATION = 4;

export interface JoinsOptions extends Omit<PublisherOptions, 'connections' | 'perform'> {
  readonly currentTicks: CurrentTicks;
  /** Name and version of the server, for `hello`. */
  readonly server: string;
  readonly publisher: Publisher;
  readonly frames: ReplayFrames;
  readonly close: (connection: Connection, reason: CloseReason, room?: string) => void;
}

/** Takes connections into rooms; each is told what is current there and what it missed. */
export class Joins {
  readonly #options: JoinsOptions;
  readonly #backpressure: Backpressure;
  /** What joins took in this iteration of the event loop, in milliseconds. */
  #joinedMs = 0;

  constructor(options: JoinsOptions) {
    this.#options = options;
    const { settings, scheduler } = options;
    this.#backpressure = new Backpressure({
      maxPerIteration: Number.POSITIVE_INFINITY,
      maxWaitingPerIteration: MAX_WAITING_JOINS_PER_ITERATION,
      isBlocked: () => this.#joinedMs > settings.current.limits.fanoutSliceMs / 2 || scheduler.isBacklogged,
      onIteration: () => {
        this.#joinedMs = 0;
      },
    });
  }

  /**
   * Takes a new connection into its rooms: at once, or in a later iteration of the event loop where a
   * storm of joins would hold it. From then on it is a member; `hello` and what is current leave as
   * soon as the log is read, and what arrives meanwhile waits behind it. It is told which rooms are
   * locked; where none is left it is closed.
   */
  async join(connection: Connection, rooms: readonly string[], since: string | undefined): Promise<void> {
    const ready = this.#backpressure.ready();
    if (ready) await ready;
    if (connection.closed) return;
    const locked = new Map<string, CloseReason>();
    const open: string[] = [];
    for (const room of new Set(rooms)) {
      const closing = this.#options.rooms.refusalOf(room)?.details.closing;
      if (closing) locked.set(room, closing);
      else open.push(room);
    }
    if (open.length === 0) {
      const [[room, closing] = []] = locked;
      this.#options.close(connection, closing ?? CLOSE.roomClosed, room);
      return;
    }
    const newestId = this.#options.publisher.newest.id;
    const { resumed, frames } = await this.#enter(connection, open, since);
    // One room that goes on from `since` is enough: a client that is cut off in the middle of its replay
    // would miss the rest of it if it came back with anything newer.
    const id = since !== undefined && Object.values(resumed).some(Boolean) ? since : newestId;
    const hello = this.#hello(connection, open, resumed, id);
    this.#timed(() =>
      connection.outbox.release([
        new Encoding(hello).in(connection.outbox.format),
        ...[...locked].map(([room, closing]) => connection.frame(closingText(closing, room))),
        ...frames,
      ]),
    );
  }

  /** Takes a connection into one more room; throws the room's `Refusal` where it is locked. */
  async subscribe(connection: Connection, room: string, since: string | undefined): Promise<Resumed> {
    const ready = this.#backpressure.ready();
    if (ready) await ready;
    const refusal = this.#options.rooms.refusalOf(room);
    if (refusal) throw refusal;
    const { resumed, frames } = await this.#enter(connection, [room], since);
    connection.outbox.release(frames);
    return resumed;
  }

  /**
   * What a client sees that asks for a room's messages without joining it: as far as they were delivered
   * at the moment of the call, so that one that polls gets nothing twice. Makes no room.
   */
  async history(room: string, since: string | undefined): Promise<History> {
    const upTo = this.#options.publisher.newest.position;
    const histories = await this.#histories([room], since);
    const { resumed, messages } = histories.get(room) ?? { resumed: null, messages: [] };
    return { resumed, messages: messages.filter(({ position }) => position <= upTo) };
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
    const { publisher, settings, frames, close } = this.#options;
    const upTo = publisher.newest.position;
    const maxBytes = settings.current.limits.maxBufferedBytes / 2;
    connection.served = upTo;
    connection.outbox.hold();
    try {
      const current = this.#timed(() => {
        const entered = rooms.filter((room) => !connection.rooms.has(room));
        for (const room of entered) this.#add(connection, room);
        return this.#currentFrames(connection, entered);
      });
      const histories = await this.#histories(rooms, since);
      const { format } = connection.outbox;
      const missed = this.#timed(() =>
        replay(histories, { upTo, maxBytes, frameOf: (event) => frames.of(event, format) }),
      );
      return { resumed: missed.resumed, frames: [...current, ...missed.frames] };
    } catch (error) {
      close(connection, CLOSE.internal);
      throw error;
    }
  }

  #add(connection: Connection, name: string): void {
    // A listener that was told of an earlier room may have closed it already.
    if (connection.closed) return;
    const room = this.#options.rooms.open(name);
    room.add(connection);
    this.#options.events.notify('join', { room: room.name, connection });
  }

  /** A history that cannot be read is a gap: the client still gets what comes from now on. */
  async #histories(
    rooms: readonly string[],
    since: string | undefined,
  ): Promise<ReadonlyMap<string, History>> {
    const { log, settings, onFault } = this.#options;
    try {
      return await log.since(rooms, since, (room) => settings.current.retentionOf(room).messages);
    } catch (error) {
      onFault('the log could not be read for a client that joined', error);
      const resumed = since === undefined ? null : false;
      return new Map(rooms.map((room) => [room, { resumed, messages: [] }]));
    }
  }

  /** The statuses and the current ticks of the rooms; those that must be read first are sent when there. */
  #currentFrames(connection: Connection, rooms: readonly string[]): Frame[] {
    const { currentTicks, settings, frames } = this.#options;
    const { format } = connection.outbox;
    const statuses: Frame[] = [];
    const ticks: Frame[] = [];
    for (const room of rooms) {
      const current = currentTicks.request(room);
      const options = { mayConflate: settings.current.conflates(room), isDataKept: true };
      for (const status of current.statuses) statuses.push(new Encoding(status).in(format));
      for (const tick of current.ticks) ticks.push(frames.of(tick, format, options));
      for (const coming of current.coming) {
        void coming.then((tick) => {
          if (tick && connection.rooms.has(room)) connection.outbox.push(frames.of(tick, format, options));
        });
      }
    }
    return [...statuses, ...ticks];
  }

  #hello(connection: Connection, rooms: readonly string[], resumed: Resumed, id: string): RoomEvent {
    const { server, settings, clock } = this.#options;
    const { heartbeatSeconds } = settings.current;
    const data = JSON.stringify({ connection: connection.id, rooms, server, heartbeatSeconds, resumed });
    return { event: 'hello', id, time: instant(clock.now()), data };
  }

  #timed<Result>(work: () => Result): Result {
    const { clock } = this.#options;
    const begunAtMs = clock.monotonic();
    const result = work();
    this.#joinedMs += clock.monotonic() - begunAtMs;
    return result;
  }
}

/**
 * The missed messages of several rooms as one sequence, up to where the connection gets them live.
 * Where they are more than an outbox may hold only the newest are sent, and the rooms that lost some
 * have a gap.
 */
function replay(
  histories: ReadonlyMap<string, History>,
  options: {
    readonly upTo: number;
    readonly maxBytes: number;
    readonly frameOf: (event: RoomEvent) => Frame;
  },
): { resumed: Resumed; frames: Frame[] } {
  const resumed = new Map<string, boolean | null>();
  const unsent = new Map<string, Message[]>();
  for (const [room, history] of histories) {
    resumed.set(room, history.resumed);
    if (history.resumed === null) continue;
    unsent.set(
      room,
      history.messages.filter(({ position }) => position <= options.upTo),
    );
  }
  const newestFirst: Frame[] = [];
  let bytes = 0;
  for (let room = roomOfNewest(unsent); room !== undefined; room = roomOfNewest(unsent)) {
    const message = unsent.get(room)?.at(-1);
    const frame = message && options.frameOf(message.event);
    bytes += frame?.length ?? 0;
    if (!frame || bytes > options.maxBytes) break;
    newestFirst.push(frame);
    unsent.get(room)?.pop();
  }
  for (const [room, messages] of unsent) if (messages.length > 0) resumed.set(room, false);
  return { resumed: Object.fromEntries(resumed), frames: newestFirst.reverse() };
}

/** The room that has the newest message of all; each list has its newest at the end. */
function roomOfNewest(unsent: ReadonlyMap<string, readonly Message[]>): string | undefined {
  let newest = -1;
  let found: string | undefined;
  for (const [room, messages] of unsent) {
    const position = messages.at(-1)?.position ?? -1;
    if (position <= newest) continue;
    newest = position;
    found = room;
  }
  return found;
}
