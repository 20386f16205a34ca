import { type Cancel, type Clock, systemClock } from '../clock.ts';
import { EventQueue } from './event-queue.ts';
import type { ClientEvents } from './events.ts';
import type { Schedule } from './freshness.ts';
import { Listeners } from './listeners.ts';
import {
  type Message,
  members,
  type Received,
  type RoomItem,
  type StatusEvent,
  type TickEvent,
} from './messages.ts';
import type { ConnectOptions, PublishOptions } from './options.ts';
import { baseOf, onReturn } from './page.ts';
import { RecentIds } from './recent-ids.ts';
import { type ClientState, ReconnectingClient } from './reconnecting-client.ts';
import { BelfryError, Requests } from './requests.ts';
import { Retained } from './retained.ts';
import { Schedules } from './schedules.ts';
import { ServerClock } from './server-clock.ts';
import { Token } from './token.ts';
import { Transports } from './transports.ts';

/** How often the client looks at the time. */
const LOOK_MS = 250;
/** A look that is so late says that the computer slept, or that its clock was set. Timers of a hidden page run once a minute. */
const SLEPT_MS = 70_000;
/** How often the clocks are compared, and how soon again after a step. */
const SAMPLE_MS = 60_000;
const STEPPED_MS = 1000;
/** So many exchanges of the time follow each other after connecting. */
const FIRST_SAMPLES = 4;

/** A client of some rooms; see `connect`. */
export class Client implements AsyncIterable<RoomItem> {
  readonly #clock: Clock;
  readonly #base: URL;
  readonly #device: string | undefined;
  readonly #rooms: Set<string>;
  readonly #connection: ReconnectingClient;
  readonly #transports: Transports;
  readonly #requests: Requests;
  readonly #token: Token;
  readonly #serverClock: ServerClock;
  readonly #ids = new RecentIds();
  readonly #retained = new Retained();
  readonly #schedules = new Schedules();
  readonly #listeners = new Listeners();
  /** Aborted by `close`. */
  readonly #over = new AbortController();
  #state: ClientState = { name: 'connecting' };
  #cancelLook: Cancel = () => {};
  #lookedAtMs: number;
  #sampledAtMs = 0;
  #samplesLeft = 0;

  constructor(url: string | URL, options: ConnectOptions) {
    const { clock = systemClock, device, since, lookAgainMs } = options;
    this.#clock = clock;
    this.#base = baseOf(url);
    this.#device = device;
    this.#rooms = new Set(options.rooms);
    this.#lookedAtMs = clock.now();
    this.#serverClock = new ServerClock(clock);
    this.#requests = new Requests(clock, (text) => this.#connection.send(text));
    this.#token = new Token(options.token, clock, (action) => this.#requests.ask(action));
    this.#transports = new Transports(clock, () => this.#token.next(), options);
    this.#connection = new ReconnectingClient({
      address: () => this.#address(),
      openWire: this.#transports.open,
      since,
      lookAgainMs,
      clock,
      listener: {
        onState: (state) => this.#onState(state),
        onReceived: (received) => this.#onReceived(received),
        onMalformed: (text) => this.#onError(text),
      },
    });
    onReturn((isOnline) => {
      this.#check();
      if (isOnline) this.#tryWebSocket(0);
    }, this.#over.signal);
    this.#connection.connect();
    this.#look();
  }

  /** The connection: `connecting`, `open`, `waiting` to connect again, or `closed`. */
  get state(): ClientState {
    return this.#state;
  }

  /** Of the connection, or of the attempt that was made last. */
  get transport(): 'websocket' | 'sse' {
    return this.#transports.current;
  }

  /** The rooms that the server has this client in at the moment. */
  get rooms(): ReadonlySet<string> {
    // Their names come from the server.
    return this.#connection.rooms as ReadonlySet<string>;
  }

  /** The id to give as `since` to a client that goes on where this one ends. */
  get lastId(): string | undefined {
    return this.#connection.lastId;
  }

  /** The retained messages by room and key, `"lobby lunch"`; those that ended or were withdrawn are gone. */
  get retained(): ReadonlyMap<string, Message> {
    return this.#retained.map;
  }

  /** The schedules that have sent a tick or a status, by name, as of the last quarter of a second. */
  get schedules(): ReadonlyMap<string, Readonly<Schedule>> {
    return this.#schedules.map;
  }

  /** Milliseconds since the epoch on the server's clock; see `errorMs`. Never runs backwards. */
  now(): number {
    return this.#serverClock.now();
  }

  /** The server's clock minus that of this computer, in milliseconds. */
  get offsetMs(): number {
    return this.#serverClock.offsetMs;
  }

  /** How far `now` may be off, in milliseconds; infinite until the server has answered once. */
  get errorMs(): number {
    return this.#serverClock.errorMs;
  }

  /** Calls `listener` with each event of this name. Returns what ends that. */
  on<Name extends keyof ClientEvents>(name: Name, listener: (value: ClientEvents[Name]) => void): () => void {
    // `emit` hands each name its own type.
    return this.#listeners.add((each, value) => each === name && listener(value as ClientEvents[Name]));
  }

  /**
   * Everything from now on, in the order in which it comes, until `close`. What is not taken waits: at most 1,000
   * items, above which the oldest ticks are left out, and then messages, with a gap in their place.
   */
  async *[Symbol.asyncIterator](): AsyncGenerator<RoomItem, void> {
    const queue = new EventQueue();
    const off = this.#listeners.add((name, value) => {
      // These names have items for values.
      if (/^(message|tick|status|gap)$/.test(name)) queue.push(value as RoomItem);
    });
    const { signal } = this.#over;
    const end = () => queue.end();
    signal.addEventListener('abort', end);
    if (signal.aborted) end();
    try {
      yield* queue.taken();
    } finally {
      off();
      signal.removeEventListener('abort', end);
    }
  }

  /**
   * Sends a message to a room, now or once there is a connection within 10 s. Rejects with a `BelfryError`: with
   * 501 over server-sent events, which only listen.
   */
  async publish(options: PublishOptions): Promise<{ id: string; connections: number }> {
    if (this.#isStream) throw new BelfryError(501, 'server-sent events only listen');
    const { data } = await this.#requests.ask({ action: 'publish', ...options });
    // What the contract promises for its data.
    return data as { id: string; connections: number };
  }

  /**
   * Joins one more room. Rejects with a `BelfryError` where the server does not allow it. Over server-sent events it
   * connects again for that, and `rooms` says what came of it.
   */
  async subscribe(room: string): Promise<void> {
    this.#rooms.add(room);
    this.#connection.forget(room);
    try {
      if (this.#isStream) this.#connection.restart();
      else await this.#requests.ask({ action: 'subscribe', room });
    } catch (error) {
      this.#rooms.delete(room);
      throw error;
    }
  }

  /** Leaves a room; the last one is left with `close`. Rejects with a `BelfryError`. */
  async unsubscribe(room: string): Promise<void> {
    this.#rooms.delete(room);
    this.#connection.forget(room);
    if (this.#isStream) this.#connection.restart();
    else if (this.rooms.has(room)) await this.#requests.ask({ action: 'unsubscribe', room });
    this.#schedules.left(room);
    this.#retained.left(room);
    this.#joined(room, null);
  }

  /** Ends the connection for good. Resolves when the server has agreed, after 700 ms at the latest. */
  async close(): Promise<void> {
    this.#onState({ name: 'closed', ending: { how: 'closed', code: 1000, reason: '' } });
    await this.#connection.close();
  }

  get #isStream(): boolean {
    return this.transport === 'sse';
  }

  #address(): URL {
    const address = new URL('rooms', this.#base);
    for (const room of this.#rooms) address.searchParams.append('room', room);
    if (this.#device !== undefined) address.searchParams.set('device', this.#device);
    return address;
  }

  // What comes

  #onState(state: ClientState): void {
    this.#state = state;
    if (state.name !== 'open') {
      const isOver = state.name === 'closed' && state.delayMs === undefined;
      this.#token.lost();
      this.#requests.lost(isOver);
      if ('ending' in state && 'isBlocked' in state.ending) this.#transports.blocked();
      if (isOver) {
        this.#cancelLook();
        this.#over.abort();
      }
    }
    this.#refresh();
    this.#listeners.emit('state', state);
  }

  #onReceived(received: Received): void {
    const { event, room, reply, tick } = received;
    const data = members(received.data);
    if (reply === 'subscribe' && !received.error) this.#joined(data.room, data.resumed);
    if (reply !== undefined) this.#requests.answered(received);
    else if (event === 'hello') this.#onHello(members(data.resumed));
    else if (tick) {
      // What the contract promises of a tick, and below of a status and a message.
      const newest = received as TickEvent;
      this.#schedules.tick(newest);
      this.#listeners.emit('tick', newest);
    } else if (event === 'status') {
      this.#schedules.status(String(data.schedule), String(data.state));
      this.#listeners.emit('status', received as StatusEvent);
    } else if (event === 'closing') {
      this.#retained.left(room);
    } else if (event !== 'heartbeat') this.#onMessage(received as Message);
    this.#listeners.emit('received', received);
  }

  #onMessage(message: Message): void {
    const { id, room, event, key, data } = message;
    const isNew = id === undefined || this.#ids.add(id);
    let isChange = false;
    if (event === 'withdrawn') isChange = this.#retained.map.delete(`${room} ${members(data).key}`);
    else {
      isChange = key !== undefined && this.#retained.put(`${room} ${key}`, message);
      if (isNew && (isChange || key === undefined)) this.#listeners.emit('message', message);
    }
    if (isChange) this.#listeners.emit('retained', this.retained);
  }

  #onHello(resumed: Readonly<Record<string, unknown>>): void {
    this.#schedules.connected();
    for (const room in resumed) {
      this.#retained.left(room);
      this.#joined(room, resumed[room]);
    }
    this.#samplesLeft = FIRST_SAMPLES;
    this.#sample();
    this.#requests.flush();
    if (!this.#isStream)
      this.#token.renew((error) => this.#onError(error)).catch((error) => this.#onError(error));
  }

  /** What is retained of the room is out of date, unless the room is resumed. */
  #joined(room: unknown, resumed: unknown): void {
    if (resumed !== true && this.#retained.forget(room)) this.#listeners.emit('retained', this.retained);
    if (resumed === false) this.#listeners.emit('gap', { event: 'gap', room: String(room) });
  }

  #onError(error: unknown): void {
    this.#listeners.emit('error', error instanceof Error ? error : new Error(String(error)));
  }

  // The time

  /** What happens without anything coming: retained messages end, schedules go stale, the computer slept. */
  #look(): void {
    this.#cancelLook = this.#clock.after(LOOK_MS, () => this.#look());
    const nowMs = this.#clock.now();
    if (nowMs - this.#lookedAtMs > SLEPT_MS) this.#check();
    this.#lookedAtMs = nowMs;
    const sampleMs = this.#samplesLeft > 0 ? 0 : this.#serverClock.isStepped ? STEPPED_MS : SAMPLE_MS;
    if (this.#connection.isOpen && this.#clock.monotonic() - this.#sampledAtMs >= sampleMs) this.#sample();
    if (this.#retained.expire(this.now())) this.#listeners.emit('retained', this.retained);
    this.#tryWebSocket();
    this.#refresh();
  }

  #tryWebSocket(dueMs?: number): void {
    this.#transports.look(() => this.#connection.restart(), dueMs);
  }

  #refresh(): void {
    const { isOpen } = this.#connection;
    const nowMs = this.errorMs < Number.POSITIVE_INFINITY ? this.now() : Number.NaN;
    this.#schedules.refresh(nowMs, isOpen, (schedule) => {
      this.#listeners.emit('freshness', schedule);
      if (isOpen && schedule.freshness === 'stale') this.#check();
    });
  }

  /** Something may be wrong with the connection: connects at once, or makes sure that it is alive. */
  #check(): void {
    if (this.#connection.isOpen && !this.#isStream) this.#sample();
    else this.#connection.restart();
  }

  /** Compares the clocks. Without an answer the bound grows until the next time. */
  async #sample(): Promise<void> {
    this.#samplesLeft -= 1;
    this.#sampledAtMs = this.#clock.monotonic();
    const sent = this.#serverClock.mark();
    try {
      const { t1, t2 } = members(await this.#time());
      if (this.#serverClock.add(sent, Number(t1), Number(t2))) this.#listeners.emit('clock', this);
    } catch {}
  }

  async #time(): Promise<unknown> {
    if (this.#isStream) return (await fetch(new URL('time', this.#base))).json();
    const asked = this.#requests.ask({ action: 'time' });
    this.#connection.expectAnswer();
    return (await asked).data;
  }
}
