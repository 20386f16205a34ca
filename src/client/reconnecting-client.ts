import { type Cancel, type Clock, systemClock } from '../clock.ts';
import type { CloseReason } from '../protocol/close-reason.ts';
import { AwayRooms } from './away-rooms.ts';
import { members, parseReceived, type Received } from './messages.ts';
import { backOffMs, reconnectDelayMs, toldDelayMs } from './reconnect.ts';
import { type Ending, NO_CLOSE_FRAME, type OpenWire, type Wire } from './wire.ts';

export type ClientState =
  | { readonly name: 'connecting' }
  | { readonly name: 'open' }
  /** It connects again after `delayMs`. */
  | { readonly name: 'waiting'; readonly ending: Ending; readonly delayMs: number }
  /** The server said not to connect again. With `delayMs` it does so all the same, after that: see `lookAgainMs`. */
  | { readonly name: 'closed'; readonly ending: Ending; readonly delayMs?: number };

/** Called with what happens to one client, until that client's `close` is called. */
export interface ClientListener {
  onState(state: ClientState): void;
  /** `text` is the object as it came. */
  onReceived(received: Received, text: string): void;
  /** Something came that is no JSON object. */
  onMalformed(text: string): void;
}

export interface ReconnectingClientOptions {
  /**
   * Of one room or several; asked for at each attempt. Its query is sent along, `since` as long as no newer id is
   * known.
   */
  readonly address: () => URL;
  readonly openWire: OpenWire;
  readonly listener: ClientListener;
  /** The last id that was seen before: the first connection resumes from there. */
  readonly since?: string | undefined;
  /**
   * For a screen that no person looks after: it waits no longer than about this, also where the server said
   * to come back later or never. Absent: it does as the server says.
   */
  readonly lookAgainMs?: number | undefined;
  readonly clock?: Clock;
}

/** How long an attempt to connect may take. */
const CONNECT_MS = 8000;
/** A connection that was open for so long resets the back-off. */
const LASTING_MS = 5000;
/** How long a server may be silent that was just asked something. */
const ANSWER_MS = 4000;
/** The server sends something every `heartbeatSeconds`; after so many of them in silence it is dead. */
const SILENT_HEARTBEATS = 2.5;
/** How long the server may take to answer a close. */
const CLOSE_WAIT_MS = 700;
/** How long it waits after a room could not be subscribed to again. */
const SUBSCRIBE_AGAIN_MS = 30_000;

/**
 * Keeps a connection to rooms open: it reconnects as `closing`, the close codes and refusals say, leaves
 * a server that has gone silent, and resumes from the last message that it has received. It stays away only
 * where the server said so. To one of several rooms that was closed for a while it comes back as well: over
 * WebSocket by `subscribe`, otherwise by connecting again.
 *
 *     new → connecting ⇄ open → waiting → connecting …
 *                 any of them → closed
 */
export class ReconnectingClient {
  readonly #options: ReconnectingClientOptions;
  readonly #clock: Clock;
  #state: 'new' | ClientState['name'] = 'new';
  #wire: Wire | undefined;
  #lastId: string | undefined;
  /** What this connection was opened with. */
  #since: string | undefined;
  readonly #away: AwayRooms;
  /** When the state was entered that it is in, on the monotonic clock. */
  #enteredAtMs = 0;
  #failures = 0;
  /** The rooms that the connection is in, once `hello` has told them. */
  #rooms: Set<unknown> | undefined;
  /** Whether the server named the time that it waits now. */
  #isTold = false;
  /** Why the server ends the connection, where it has said so. */
  #closing: CloseReason | undefined;
  #isPaused = false;
  #silentMs = 0;
  #cancelSilence: Cancel = () => {};
  #cancelRetry: Cancel = () => {};

  constructor(options: ReconnectingClientOptions) {
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
    this.#lastId = options.since;
    this.#away = new AwayRooms(this.#clock, (room, since) => this.#comeBackTo(room, since));
  }

  get isOpen(): boolean {
    return this.#state === 'open';
  }

  /** The rooms that the server has it in at the moment; none without a connection. */
  get rooms(): ReadonlySet<unknown> {
    return (this.isOpen && this.#rooms) || new Set();
  }

  /** The id to resume from, as `since` of another client. */
  get lastId(): string | undefined {
    return this.#away.oldestId ?? this.#lastId;
  }

  /** Connects, and from then on whenever it is time. Call it once. */
  connect(): void {
    this.#cancelRetry();
    this.#away.stop();
    this.#rooms = undefined;
    this.#closing = undefined;
    this.#since = this.lastId;
    this.#cancelRetry = this.#clock.after(CONNECT_MS, () => {
      this.#wire?.terminate();
      this.#onEnded({ how: 'failed', text: `no answer for ${CONNECT_MS / 1000} s` });
    });
    this.#enter({ name: 'connecting' });
    this.#wire = this.#options.openWire(this.#address(), {
      opened: () => this.#onOpened(),
      received: (text) => this.#onReceived(text),
      pinged: () => this.#watchForSilence(),
      ended: (ending) => this.#onEnded(ending),
    });
  }

  /** Where it waits to reconnect, it does so now, unless the server named the time; as when the network is back. */
  reconnectNow(): void {
    if (this.#state === 'waiting' && !this.#isTold) this.connect();
  }

  /** Leaves a connection, or an attempt, for a new one, which resumes. Where it waits, as `reconnectNow`. */
  restart(): void {
    if (this.#wire) {
      this.#cancelSilence();
      this.#wire.terminate();
      this.connect();
    } else this.reconnectNow();
  }

  /** To be called when something was sent that the server answers: silence for 4 s then ends the connection. */
  expectAnswer(): void {
    this.#watchForSilence(ANSWER_MS);
  }

  /** Does not come back to a room that the server has closed; the room may be subscribed to again. */
  forget(room: string): void {
    this.#away.forget(room);
  }

  /**
   * Sends one JSON object. Resolves when it has left this process or the connection is over; `undefined`
   * where it is not open or its transport only listens.
   */
  send(text: string): Promise<void> | undefined {
    return this.isOpen ? this.#wire?.send?.(text) : undefined;
  }

  /** Reads nothing until `resume`, where the transport can stop reading; silence ends nothing then. */
  pause(): void {
    this.#isPaused = true;
    this.#wire?.pause?.();
    this.#cancelSilence();
  }

  resume(): void {
    this.#isPaused = false;
    this.#wire?.resume?.();
    this.#watchForSilence();
  }

  /** Ends it for good. Resolves when the server has agreed, after 700 ms at the latest. */
  async close(): Promise<void> {
    const { isOpen } = this;
    const wire = this.#wire;
    this.#state = 'closed';
    this.#wire = undefined;
    this.#cancelRetry();
    this.#away.stop();
    this.#cancelSilence();
    if (!wire) return;
    if (!isOpen) return wire.terminate();
    const cancel = this.#clock.after(CLOSE_WAIT_MS, () => wire.terminate());
    await wire.close();
    cancel();
  }

  #address(): URL {
    const address = new URL(this.#options.address());
    const { searchParams } = address;
    const left = searchParams.getAll('room').filter((room) => !this.#away.gone.has(room));
    if (left.length > 0) {
      searchParams.delete('room');
      for (const room of left) searchParams.append('room', room);
    }
    if (this.#since !== undefined) searchParams.set('since', this.#since);
    return address;
  }

  #enter(state: ClientState): void {
    this.#state = state.name;
    this.#enteredAtMs = this.#clock.monotonic();
    this.#options.listener.onState(state);
  }

  #onOpened(): void {
    this.#cancelRetry();
    if (this.#isPaused) this.#wire?.pause?.();
    this.#enter({ name: 'open' });
  }

  #onReceived(text: string): void {
    const { listener } = this.#options;
    const received = parseReceived(text);
    if (!received) {
      listener.onMalformed(text);
      return;
    }
    const { event, room, reply } = received;
    const data = members(received.data);
    if (this.#state === 'connecting' && event !== 'closing') this.#onOpened();
    if (event === 'hello') {
      this.#silentMs = SILENT_HEARTBEATS * 1000 * Number(data.heartbeatSeconds);
      if (Array.isArray(data.rooms)) this.#rooms = new Set(data.rooms);
      this.#away.entered(this.#rooms);
    }
    // What a room replays that it comes back to lies below what it has seen of the others.
    if (received.id !== undefined && !this.#away.has(room)) this.#lastId = received.id;
    if (reply === 'subscribe') this.#onSubscribed(received);
    if (reply === 'unsubscribe') this.#rooms?.delete(data.room);
    if (event === 'closing') {
      const wasIn = this.#rooms?.delete(room) === true;
      // What the contract promises for its data.
      const reason = received.data as CloseReason;
      if (data.ends === 'room') this.#left(room, reason, wasIn ? this.#lastId : this.#since);
      else this.#closing = reason;
    }
    this.#watchForSilence();
    listener.onReceived(received, text);
  }

  /** The connection stays open, for other rooms if there are any. `since`: the last id that may stand for this one. */
  #left(room: unknown, { reconnect, retryAfterMs }: CloseReason, since: string | undefined): void {
    const toldMs = reconnect ? (retryAfterMs ?? backOffMs(0)) : undefined;
    // Where it has to connect again the other rooms are disturbed.
    const delayMs = this.#wire?.send ? this.#waitMs(toldMs) : toldMs;
    if (delayMs === undefined && this.#options.lookAgainMs === undefined) {
      this.#away.gone.add(room);
    } else this.#away.left(room, since, delayMs);
  }

  #comeBackTo(room: unknown, since: string | undefined): void {
    if (!this.isOpen) return;
    const sent = this.send(JSON.stringify({ action: 'subscribe', ref: room, room, since }));
    if (!sent) this.restart();
  }

  #onSubscribed({ error, ref, data }: Received): void {
    if (error) {
      // Its `ref` is the room where this client asked by itself.
      this.#away.comeBackIn(ref, this.#waitMs(SUBSCRIBE_AGAIN_MS * (0.5 + Math.random() / 2)));
      return;
    }
    const { room } = members(data);
    this.#away.back(room);
    this.#rooms?.add(room);
  }

  /** How long it waits where the server said so much, or with `undefined` that it stays away. */
  #waitMs(toldMs: number | undefined): number | undefined {
    const { lookAgainMs } = this.#options;
    if (lookAgainMs === undefined) return toldMs;
    // Not all screens in the same moment.
    return Math.min(toldMs ?? Number.POSITIVE_INFINITY, lookAgainMs * (0.9 + Math.random() / 5));
  }

  #watchForSilence(silentMs = this.#silentMs): void {
    this.#cancelSilence();
    if (!this.isOpen || this.#isPaused || !(silentMs > 0)) return;
    this.#cancelSilence = this.#clock.after(silentMs, () => {
      this.#wire?.terminate();
      this.#onEnded({ how: 'closed', code: NO_CLOSE_FRAME, reason: '', silentMs });
    });
  }

  #onEnded(wireEnding: Ending): void {
    this.#cancelRetry();
    this.#cancelSilence();
    this.#away.stop();
    this.#wire = undefined;
    const isClosed = wireEnding.how === 'closed';
    const ending = isClosed ? { ...wireEnding, closing: this.#closing } : wireEnding;
    const lastedMs = this.#clock.monotonic() - this.#enteredAtMs;
    if (this.isOpen && lastedMs >= LASTING_MS) this.#failures = 0;
    let toldMs = reconnectDelayMs(ending, this.#failures);
    this.#isTold = toldDelayMs(ending) !== undefined;
    // An attempt that hung has waited already.
    if (toldMs !== undefined && !this.isOpen && !this.#isTold) toldMs = Math.max(toldMs - lastedMs, 0);
    const delayMs = this.#waitMs(toldMs);
    if (delayMs === undefined) {
      this.#enter({ name: 'closed', ending });
      return;
    }
    this.#failures += 1;
    this.#cancelRetry = this.#clock.after(delayMs, () => this.connect());
    this.#enter({ name: toldMs === undefined ? 'closed' : 'waiting', ending, delayMs });
  }
}
