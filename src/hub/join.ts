import { instant } from '../clock.ts';
import type { History, Message } from '../log/log.ts';
import { CLOSE, type CloseReason } from '../protocol/close-reason.ts';
import { Backpressure } from './backpressure.ts';
import { type Connection, closingText } from './connection.ts';
import type { RoomEvent } from './event.ts';
import { Encoding, type Frame, type ReplayFrames } from './frame.ts';
import type { Publisher, PublisherOptions } from './publisher.ts';

/** What a client that joins a room is sent of its schedules, each event with the room's name. */
export interface CurrentTicksOfRoom {
  /** The `status` of each schedule that is not `ok`. */
  readonly statuses: readonly RoomEvent[];
  /** The ticks at hand, with `replay`. */
  readonly ticks: readonly RoomEvent[];
  /**
   * The ticks that have to be read first, with `replay`. They never reject; one is `undefined`
   * where a live tick of the schedule was sent meanwhile, or the read failed.
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
 * So few because the time that a join takes, some milliseconds where it replays much, is known only when
 * the others of its iteration have begun.
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

/** Makes connections members of rooms, and sends each what is current there and what it missed. */
export class Joins {
  readonly #options: JoinsOptions;
  readonly #backpressure: Backpressure;
  /** How long joins have held this iteration of the event loop. */
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
   * Makes a new connection a member of its rooms: at once, or in a later iteration of the event loop where
   * many join. `hello` and what is current are sent when the log has been read; what arrives meanwhile
   * waits behind them. For each locked room it is sent a `closing` event; where all are locked it is closed.
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
    // Where any room resumes, `hello` repeats `since`: a client that is cut off in the middle of its replay
    // would miss the rest of it if it came back with a newer id.
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

  /** Makes a connection a member of one more room; throws the room's `Refusal` where it is locked. */
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
   * A room's messages for a client that does not join it: those that were delivered when this is called, so
   * that a client that polls gets nothing twice. Makes no room.
   */
  async history(room: string, since: string | undefined): Promise<History> {
    const upTo = this.#options.publisher.newest.position;
    const histories = await this.#histories([room], since);
    const { resumed, messages } = histories.get(room) ?? { resumed: null, messages: [] };
    return { resumed, messages: messages.filter(({ position }) => position <= upTo) };
  }

  /**
   * Makes the connection a member at once and holds its outbox; resolves to the frames to release it with:
   * what is current in the rooms that are new to it, and what it missed. Where that fails the connection is
   * closed, since its outbox would be held for ever.
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
    // A listener for `join` may have closed it when it joined the room before.
    if (connection.closed) return;
    const room = this.#options.rooms.open(name);
    room.add(connection);
    this.#options.events.notify('join', { room: room.name, connection });
  }

  /** A log that cannot be read is a gap: the client still gets what is sent from now on. */
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

  /** The statuses and the current ticks of the rooms; ticks that must be read first are sent when they come. */
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
 * The missed messages of several rooms, in the order of their positions, up to `upTo`; the connection gets
 * later ones live. Where they have more than `maxBytes` only the newest are sent, and the rooms of the others
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
