import { type Cancel, type Clock, systemClock } from '../clock.ts';
import type { CloseReason } from '../protocol/close-reason.ts';
import { members, parseReceived, type Received } from './messages.ts';
import { backOffMs, reconnectDelayMs } from './reconnect.ts';
import { type Ending, NO_CLOSE_FRAME, type OpenWire, type Wire } from './wire.ts';

export type ClientState =
  | { readonly name: 'connecting' }
  | { readonly name: 'open' }
  /** It connects again after `delayMs`. */
  | { readonly name: 'waiting'; readonly ending: Ending; readonly delayMs: number }
  /** It does not connect again, because of how the connection ended. */
  | { readonly name: 'closed'; readonly ending: Ending };

/** Called with what happens to one client, until that client's `close` is called. */
export interface ClientListener {
  onState(state: ClientState): void;
  /** `text` is the object as it came. */
  onReceived(received: Received, text: string): void;
  /** Something came that is no JSON object. */
  onMalformed(text: string): void;
}

export interface ReconnectingClientOptions {
  /** Of one room or several. Its query is sent along, `since` as long as no newer id is known. */
  readonly address: URL;
  readonly openWire: OpenWire;
  readonly listener: ClientListener;
  /** The last id that was seen before: the first connection resumes from there. */
  readonly since?: string | undefined;
  readonly clock?: Clock;
}

/** A connection that was open for so long resets the back-off. */
const LASTING_MS = 5000;
/** The server sends something every `heartbeatSeconds`; after so many of them in silence it is dead. */
const SILENT_HEARTBEATS = 2.5;
/** How long the server may take to answer a close. */
const CLOSE_WAIT_MS = 700;

/**
 * Keeps a connection to rooms open: it reconnects as `closing`, the close codes and refusals say, leaves
 * a server that has gone silent, and resumes from the last message that it has received.
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
  #openedAtMs = 0;
  #failures = 0;
  /** The rooms that the connection is in, once `hello` has told them. */
  #rooms: Set<unknown> | undefined;
  #closing: { readonly reason: CloseReason; readonly room: string | undefined } | undefined;
  #isPaused = false;
  #silentMs = 0;
  #cancelSilence: Cancel = () => {};
  #cancelRetry: Cancel = () => {};

  constructor(options: ReconnectingClientOptions) {
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
    this.#lastId = options.since;
  }

  get isOpen(): boolean {
    return this.#state === 'open';
  }

  /** The id to resume from, as `since` of another client. */
  get lastId(): string | undefined {
    return this.#lastId;
  }

  /** Connects, and from then on whenever it is time. Call it once. */
  connect(): void {
    this.#cancelRetry();
    this.#rooms = undefined;
    this.#closing = undefined;
    this.#enter({ name: 'connecting' });
    this.#wire = this.#options.openWire(this.#address(), {
      opened: () => this.#onOpened(),
      received: (text) => this.#onReceived(text),
      pinged: () => this.#watchForSilence(),
      ended: (ending) => this.#onEnded(ending),
    });
  }

  /** Where it waits to reconnect, it does so now; as when the network is back. */
  reconnectNow(): void {
    if (this.#state === 'waiting') this.connect();
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
    this.#cancelSilence();
    if (!wire) return;
    if (!isOpen) return wire.terminate();
    const cancel = this.#clock.after(CLOSE_WAIT_MS, () => wire.terminate());
    await wire.close();
    cancel();
  }

  #address(): URL {
    const address = new URL(this.#options.address);
    if (this.#lastId !== undefined) address.searchParams.set('since', this.#lastId);
    return address;
  }

  #enter(state: ClientState): void {
    this.#state = state.name;
    this.#options.listener.onState(state);
  }

  #onOpened(): void {
    this.#openedAtMs = this.#clock.monotonic();
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
    if (received.id !== undefined) this.#lastId = received.id;
    const { event, room, reply } = received;
    const data = members(received.data);
    if (event === 'hello') {
      this.#silentMs = SILENT_HEARTBEATS * 1000 * Number(data.heartbeatSeconds);
      if (Array.isArray(data.rooms)) this.#rooms = new Set(data.rooms);
    }
    if (reply === 'subscribe' && !received.error) this.#rooms?.add(data.room);
    if (event === 'closing') {
      this.#rooms?.delete(room);
      // What the contract promises for its data.
      this.#closing = { reason: received.data as CloseReason, room };
    }
    this.#watchForSilence();
    listener.onReceived(received, text);
  }

  #watchForSilence(): void {
    this.#cancelSilence();
    if (!this.isOpen || this.#isPaused || !(this.#silentMs > 0)) return;
    this.#cancelSilence = this.#clock.after(this.#silentMs, () => {
      this.#wire?.terminate();
      this.#onEnded({ how: 'closed', code: NO_CLOSE_FRAME, reason: '', silentMs: this.#silentMs });
    });
  }

  #onEnded(wireEnding: Ending): void {
    this.#cancelSilence();
    this.#wire = undefined;
    const isClosed = wireEnding.how === 'closed';
    const closing = isClosed ? this.#closingFor(wireEnding.code) : undefined;
    const ending: Ending = isClosed && closing ? { ...wireEnding, closing } : wireEnding;
    if (isClosed && this.#clock.monotonic() - this.#openedAtMs >= LASTING_MS) this.#failures = 0;
    const delayMs = delayAfter(ending, this.#failures);
    if (delayMs === undefined) {
      this.#enter({ name: 'closed', ending });
    } else {
      this.#failures += 1;
      this.#cancelRetry = this.#clock.after(delayMs, () => this.connect());
      this.#enter({ name: 'waiting', ending, delayMs });
    }
  }

  /**
   * The `closing` event that explains this end. One about a single room of several does so only where the
   * connection ended with its code, or no room is left: SSE has no code.
   */
  #closingFor(code: number): CloseReason | undefined {
    if (!this.#closing) return undefined;
    const { reason, room } = this.#closing;
    const isMeant = room === undefined || reason.code === code || this.#rooms?.size === 0;
    return isMeant ? reason : undefined;
  }
}

/** Milliseconds to wait before the next attempt; undefined: there is none. */
function delayAfter(ending: Ending, failures: number): number | undefined {
  if (ending.how === 'closed') return reconnectDelayMs(ending.code, ending.closing, failures);
  const leastMs = backOffMs(failures);
  if (ending.how === 'failed') return leastMs;
  if (ending.retryAfterMs !== undefined) return Math.max(ending.retryAfterMs, leastMs);
  // Below 500 the same request would be refused again.
  return ending.status < 500 ? undefined : leastMs;
}
