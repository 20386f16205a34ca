import type { Connection, Peer } from '../../src/hub/connection.ts';
import type { JsonText, RoomEvent, Tick } from '../../src/hub/event.ts';
import type { WireFormat } from '../../src/hub/frame.ts';
import { Hub } from '../../src/hub/hub.ts';
import type { CurrentTicks, CurrentTicksOfRoom } from '../../src/hub/join.ts';
import type { Sink } from '../../src/hub/outbox.ts';
import type { HubSettings } from '../../src/hub/settings.ts';
import type { Limits } from '../../src/limits.ts';
import type {
  Appended,
  Entry,
  History,
  Kept,
  Log,
  Message,
  Position,
  RecordChange,
  RecordKind,
} from '../../src/log/log.ts';
import { MemoryLog, type MemoryLogOptions } from '../../src/log/memory-log.ts';
import type { CloseReason } from '../../src/protocol/close-reason.ts';
import { limitsWith } from '../helpers/limits.ts';
import { ManualClock, settled } from '../helpers/manual-clock.ts';

/** A wire format that keeps the JSON text, one line for each event. */
export const lines: WireFormat = {
  name: 'websocket',
  encode: (text) => Buffer.from(`${text}\n`),
  length: (textBytes) => textBytes + 1,
};
export const otherLines: WireFormat = { ...lines, name: 'sse' };

/** What the server says in the data of its own events. */
interface Told {
  readonly rooms?: readonly string[];
  readonly resumed?: Readonly<Record<string, boolean | null>>;
  readonly code?: number;
}

/** What a client sees of an event; data parsed. */
export interface Seen {
  readonly id?: string;
  readonly room?: string;
  readonly event: string;
  readonly time?: string;
  /** Of ticks and messages it is what the test sent: see `dataOf`. */
  readonly data?: Told;
  readonly tick?: Tick;
  readonly from?: object;
  readonly key?: string;
  readonly until?: string;
  readonly replay?: true;
  readonly conflated?: number;
}

/** A socket that keeps what is written to it; while `stalled` nothing of it is taken. */
export class FakeSink implements Sink {
  readonly format: WireFormat;
  readonly writes: Buffer[] = [];
  closed: CloseReason | undefined;
  stalled = false;
  bufferedBytes = 0;
  onWrite: () => void = () => {};
  onClose: () => void = () => {};
  #waiting: (() => void)[] = [];

  constructor(format = lines) {
    this.format = format;
  }

  write(bytes: Buffer): void {
    this.onWrite();
    this.writes.push(bytes);
    if (this.stalled) this.bufferedBytes += bytes.length;
  }

  whenDrained(callback: () => void): void {
    this.#waiting.push(callback);
  }

  close(reason: CloseReason): void {
    this.closed = reason;
    this.onClose();
  }

  /** The peer takes all that was written, again and again until nothing is left to take. */
  wake(): void {
    this.stalled = false;
    do this.take();
    while (this.#waiting.length > 0);
  }

  /** As `wake`, over as many turns as it takes. */
  async wakeForLong(): Promise<void> {
    for (let before = -1; before < this.writes.length; ) {
      before = this.writes.length;
      this.wake();
      await quiet();
    }
  }

  /** The peer takes what was written up to now. */
  take(): void {
    this.bufferedBytes = 0;
    for (const callback of this.#waiting.splice(0)) callback();
  }

  get seen(): Seen[] {
    const text = Buffer.concat(this.writes).toString();
    return text
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => JSON.parse(line));
  }

  /** Seen since the last call. */
  news(): Seen[] {
    const seen = this.seen;
    this.writes.length = 0;
    return seen;
  }
}

/** A promise that is opened and shut again: what passes while it is shut waits. */
export class Gate {
  #shut: PromiseWithResolvers | undefined;

  shut(): void {
    this.#shut ??= withResolvers();
  }

  open(): void {
    this.#shut?.resolve();
    this.#shut = undefined;
  }

  async pass(): Promise<void> {
    await this.#shut?.promise;
  }
}

interface PromiseWithResolvers {
  readonly promise: Promise<void>;
  readonly resolve: () => void;
}

function withResolvers(): PromiseWithResolvers {
  let resolve = () => {};
  const promise = new Promise<void>((done) => {
    resolve = done;
  });
  return { promise, resolve };
}

/** A log whose answers can be held up at each step, or fail. */
export class SlowLog implements Log {
  readonly #inner: Log;
  readonly beforeAppend = new Gate();
  readonly afterAppend = new Gate();
  readonly beforeSince = new Gate();
  readonly afterSince = new Gate();
  readonly stored = new Gate();
  appendFailure: Error | undefined;
  sinceFailure: Error | undefined;
  storedFailure: Error | undefined;
  appends: Entry[][] = [];

  constructor(inner: Log) {
    this.#inner = inner;
  }

  head(): Promise<Position> {
    return this.#inner.head();
  }

  open(): Promise<void> {
    return this.#inner.open();
  }

  idAt(position: number): string {
    return this.#inner.idAt(position);
  }

  positionOf(id: string): number | undefined {
    return this.#inner.positionOf(id);
  }

  async append(
    entries: readonly Entry[],
    changesOf?: (messages: readonly Message[]) => readonly RecordChange[],
  ): Promise<Appended> {
    this.appends.push([...entries]);
    await this.beforeAppend.pass();
    if (this.appendFailure) throw this.appendFailure;
    const { messages, stored: innerStored } = await this.#inner.append(entries, changesOf);
    await this.afterAppend.pass();
    const failure = this.storedFailure;
    const stored = Promise.all([innerStored, this.stored.pass()]).then(() => {
      if (failure) throw failure;
    });
    return { messages, stored };
  }

  kept(rooms: readonly string[]): Promise<ReadonlyMap<string, Kept>> {
    return this.#inner.kept(rooms);
  }

  records(kind: RecordKind): Promise<ReadonlyMap<string, JsonText>> {
    return this.#inner.records(kind);
  }

  close(): Promise<void> {
    return this.#inner.close();
  }

  async since(
    rooms: readonly string[],
    id: string | undefined,
    limitOf: (room: string) => number,
  ): Promise<ReadonlyMap<string, History>> {
    await this.beforeSince.pass();
    if (this.sinceFailure) throw this.sinceFailure;
    const histories = await this.#inner.since(rooms, id, limitOf);
    await this.afterSince.pass();
    return histories;
  }
}

/** Settings with the default limits, but for those that the test names. */
export function hubSettings(limits: Partial<Limits> = {}): { current: HubSettings } {
  return {
    current: {
      limits: limitsWith(limits),
      heartbeatSeconds: 25,
      emptyRoomSeconds: 10,
      retentionOf: () => ({ messages: 10, ms: 3_600_000 }),
      joinHistoryOf: () => 0,
      isNamed: () => false,
      isExpected: () => true,
      mayListen: () => true,
      conflates: (room) => !room.startsWith('strict'),
    },
  };
}

/** What is current in each room, as the test says. */
export class FakeTicks implements CurrentTicks {
  readonly rooms = new Map<string, Partial<CurrentTicksOfRoom>>();
  failure: Error | undefined;

  request(room: string): CurrentTicksOfRoom {
    if (this.failure) throw this.failure;
    return { statuses: [], ticks: [], coming: [], ...this.rooms.get(room) };
  }
}

export const KIB = 1024;

export interface Stage {
  readonly hub: Hub;
  readonly clock: ManualClock;
  readonly settings: { current: HubSettings };
  readonly log: SlowLog;
  readonly ticks: FakeTicks;
  readonly faults: string[];
  /** A connection in no room yet. */
  /** Another hub on the same log. */
  restart(): Promise<Hub>;
  connect(peer?: Partial<Peer>, format?: WireFormat): Guest;
  /** A connection that has joined and has heard what there was to hear. */
  visit(rooms: string | readonly string[], peer?: Partial<Peer>, since?: string): Promise<Guest>;
  say(room: string, data?: unknown): Promise<string>;
  tick(room: string, number: number, schedule?: string): void;
}

export interface Guest {
  readonly connection: Connection;
  readonly sink: FakeSink;
}

/** A hub with everything around it made up. */
export async function stage(
  options: {
    clock?: ManualClock;
    history?: number;
    historyBytes?: number;
    joinHistory?: number;
    /** Makes another log than the memory log, and opens it. */
    logOf?: (options: MemoryLogOptions) => Promise<Log>;
    limits?: Partial<Limits>;
  } = {},
): Promise<Stage> {
  const { clock = new ManualClock(), history = 10, historyBytes = Number.POSITIVE_INFINITY } = options;
  const settings = hubSettings(options.limits);
  const retentionOf = () => ({ messages: history, ms: 3_600_000 });
  const joinHistoryOf = () => options.joinHistory ?? 0;
  settings.current = { ...settings.current, retentionOf, joinHistoryOf };
  const limits = { historyBytes: Number.POSITIVE_INFINITY, totalHistoryBytes: historyBytes };
  const { logOf = async (made: MemoryLogOptions) => new MemoryLog(made) } = options;
  const log = new SlowLog(await logOf({ clock, settings: { current: { limits, retentionOf } } }));
  const ticks = new FakeTicks();
  const faults: string[] = [];
  const start = async () => {
    const hub = new Hub({
      clock,
      settings,
      log,
      currentTicks: ticks,
      server: 'belfry test',
      processId: 'p',
      onFault: (what) => faults.push(what),
    });
    await hub.start();
    return hub;
  };
  const hub = await start();

  const connect = (peer: Partial<Peer> = {}, format = lines): Guest => {
    const sink = new FakeSink(format);
    const connection = hub.connect({ remoteAddress: '192.0.2.1', ...peer }, sink);
    // As a transport does: the socket is gone some time after it was closed.
    sink.onClose = () => setImmediate(() => hub.disconnect(connection));
    return { connection, sink };
  };
  return {
    hub,
    clock,
    settings,
    log,
    ticks,
    faults,
    restart: start,
    connect,
    async visit(rooms, peer, since) {
      const guest = connect(peer);
      await hub.join(guest.connection, typeof rooms === 'string' ? [rooms] : rooms, since);
      await quiet();
      if (since === undefined) guest.sink.news();
      return guest;
    },
    async say(room, data = null) {
      const { id } = await hub.publish({
        target: { rooms: [room] },
        event: 'message',
        data: JSON.stringify(data),
      });
      await quiet();
      return id ?? '';
    },
    tick(room, number, schedule = 'clock') {
      const { room: _, data = 'null', ...event } = tickEvent(room, number, schedule);
      hub.deliver({ rooms: [room], event, data });
    },
  };
}

/** The tick number `number` of a schedule of one a second. */
export function tickEvent(room: string, number: number, schedule = 'clock'): RoomEvent {
  const at = (n: number) => new Date(Date.UTC(2026, 10, 20, 18) + n * 1000).toISOString();
  const previous = number === 0 ? null : at(number - 1);
  const tick = { schedule, due: at(number), previous, next: at(number + 1), seq: number };
  return { room, event: 'time', time: at(number), data: String(number), tick };
}

/** Lets all that is under way come to rest: promises, turns and their slices. */
export async function quiet(): Promise<void> {
  for (let turn = 0; turn < 6; turn++) await settled();
}

/** The data of the messages and ticks among what was seen. */
export const dataOf = (seen: readonly Seen[]): unknown[] => seen.map(({ data }) => data);
