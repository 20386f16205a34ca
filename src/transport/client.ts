import type { Duplex } from 'node:stream';
import type { AdmittedClient } from '../access/admission.ts';
import type { Slot } from '../access/connection-limits.ts';
import { type Cancel, type Clock, instant } from '../clock.ts';
import type { Connection } from '../hub/connection.ts';
import type { WireFormat } from '../hub/frame.ts';
import type { Hub } from '../hub/hub.ts';
import type { Sink } from '../hub/outbox.ts';
import { CLOSE, type CloseReason } from '../protocol/close-reason.ts';
import type { Transport } from '../protocol/event.ts';

/** What every client is opened with. */
export interface ClientParts {
  readonly hub: Hub;
  readonly heartbeat: Heartbeat;
  readonly onConnected: (transport: Transport) => void;
  readonly onFault: (what: string, error: unknown) => void;
}

/**
 * Owner of one open connection: of its socket, its connection in the hub, its slot and its heartbeat state.
 * The hub writes whole frames to it, the same bytes for every member of a room.
 *
 *     constructor ─▶ join ─▶ … ─▶ disconnect (the peer leaves, or is closed) ─▶ end (the socket has closed)
 */
export abstract class Client<Parts extends ClientParts = ClientParts> implements Sink, HeartbeatClient {
  abstract readonly format: WireFormat;
  readonly socket: Duplex;
  readonly connection: Connection;
  readonly pulse: Pulse;
  protected readonly parts: Parts;
  readonly #slot: Slot;

  constructor(socket: Duplex, { peer, subscriber, slot }: AdmittedClient, parts: Parts) {
    this.socket = socket;
    this.parts = parts;
    this.#slot = slot;
    this.connection = parts.hub.connect(peer, this);
    this.connection.subscriber = subscriber;
    this.pulse = parts.heartbeat.newPulse();
    parts.heartbeat.add(this);
  }

  get bufferedBytes(): number {
    return this.socket.writableLength;
  }

  write(bytes: Buffer): void {
    if (this.socket.writable) this.socket.write(bytes);
  }

  whenDrained(callback: () => void): void {
    if (this.socket.writable) this.socket.write('', (error) => error ?? callback());
  }

  abstract close(reason: CloseReason): void;

  /** Whether the server does not read from the socket at the moment. */
  get isPaused(): boolean {
    return false;
  }

  get writtenBytes(): number {
    // Another stream than a socket has no count: there only a change of what it buffers shows.
    const written = 'bytesWritten' in this.socket ? Number(this.socket.bytesWritten) : 0;
    return written - this.socket.writableLength;
  }

  /** Joins the rooms; resolves when the join is over. Never rejects. */
  protected async join({ rooms, since, reservation }: AdmittedClient): Promise<void> {
    const { hub, onConnected, onFault } = this.parts;
    onConnected(this.format.name);
    try {
      await hub.join(this.connection, rooms, since);
    } catch (error) {
      onFault('a client could not join', error);
    } finally {
      reservation.release();
    }
  }

  /** To be called when nothing can be delivered to the client any more. */
  protected disconnect(): void {
    this.parts.hub.disconnect(this.connection);
  }

  /** To be called when the socket has closed. */
  protected end(): void {
    this.disconnect();
    this.parts.heartbeat.remove(this);
    this.#slot.release();
  }
}

export interface HeartbeatClient {
  readonly connection: Connection;
  readonly pulse: Pulse;
  /** Absent on SSE, where a peer cannot answer. */
  ping?(): void;
  /** Counts the bytes of an incomplete message; absent on SSE. */
  countReceived?(): void;
  /** Whether the server does not read from the socket at the moment: pongs are not read either. */
  readonly isPaused: boolean;
  /** How many bytes were handed to the operating system. */
  readonly writtenBytes: number;
}

/** Heartbeat state of one client; all instants in milliseconds on the monotonic clock. */
export class Pulse {
  pingAtMs: number;
  /** When the ping was sent that is not answered yet. */
  pingedAtMs: number | undefined;
  /** When the last frame came in. */
  seenAtMs: number;
  /** `writtenBytes` of the client at the last look, while its socket is paused. */
  writtenBytes: number | undefined;
  /** How many events had been sent at the last look, and since when the number is the same. */
  sent = 0;
  quietSinceMs: number;

  constructor(nowMs: number, heartbeatMs: number) {
    this.pingAtMs = nowMs + heartbeatMs;
    this.seenAtMs = nowMs;
    this.quietSinceMs = nowMs;
  }
}

/** A client that has got a newer token comes back with it. */
const TOKEN_EXPIRED: CloseReason = { ...CLOSE.forbidden, reason: 'token expired', reconnect: true };

/** So many looks in `heartbeatSeconds` or `idleSeconds`, the shorter one, and at least one a second. */
const LOOKS_PER_TIME = 8;
const MAX_LOOK_MS = 1000;

/** How long a look may hold the event loop in one go, and after how many clients that is checked. */
const SLICE_MS = 10;
const CLIENTS_PER_CHECK = 32;

/** What the heartbeat reads of the configuration in force. */
export interface HeartbeatSettings {
  readonly server: {
    /** How often each client is pinged. */
    readonly heartbeatSeconds: number;
    /** How long a client may be silent. */
    readonly idleSeconds: number;
  };
}

export interface HeartbeatParts {
  readonly clock: Clock;
  readonly hub: Pick<Hub, 'close'>;
  readonly settings: { readonly current: HeartbeatSettings };
}

/**
 * The open clients, and the heartbeat of each. Every client is pinged regularly, and a client that never
 * answers is closed. Where nothing else was sent a client gets a `heartbeat` event too, since a browser
 * cannot see a ping. A client whose token has expired is closed. One timer serves all, so that a client costs
 * no timer of its own.
 */
export class Heartbeat<Each extends HeartbeatClient = Client> {
  readonly #parts: HeartbeatParts;
  readonly #clients = new Set<Each>();
  #cancel: Cancel | undefined;
  /** Whether the current look has found a client that is not closed. */
  #hasOpen = false;
  #isStopped = false;

  constructor(parts: HeartbeatParts) {
    this.#parts = parts;
  }

  /** Every client whose socket has not closed yet. */
  get clients(): ReadonlySet<Each> {
    return this.#clients;
  }

  get #heartbeatMs(): number {
    return this.#parts.settings.current.server.heartbeatSeconds * 1000;
  }

  get #idleMs(): number {
    return this.#parts.settings.current.server.idleSeconds * 1000;
  }

  /** The state of a new client. */
  newPulse(): Pulse {
    return new Pulse(this.#parts.clock.monotonic(), this.#heartbeatMs);
  }

  add(client: Each): void {
    this.#clients.add(client);
    if (!this.#cancel) this.#lookLater();
  }

  remove(client: Each): void {
    this.#clients.delete(client);
  }

  /** To be called when a frame of any kind came in. */
  seen({ connection, pulse }: Each): void {
    connection.lastSeenAtMs = this.#parts.clock.now();
    pulse.seenAtMs = this.#parts.clock.monotonic();
  }

  /** To be called when a pong came in. Whether it answers a ping: a peer may send others. */
  ponged(client: Each): boolean {
    this.seen(client);
    const { connection, pulse } = client;
    if (pulse.pingedAtMs === undefined) return false;
    connection.roundTripMs = Math.round((pulse.seenAtMs - pulse.pingedAtMs) * 10) / 10;
    pulse.pingedAtMs = undefined;
    return true;
  }

  stop(): void {
    this.#isStopped = true;
    this.#cancel?.();
    this.#cancel = undefined;
  }

  #lookLater(): void {
    // A look in slices may end after `stop`.
    if (this.#isStopped) return;
    const { clock } = this.#parts;
    const delayMs = Math.min(Math.min(this.#heartbeatMs, this.#idleMs) / LOOKS_PER_TIME, MAX_LOOK_MS);
    const dueAtMs = clock.monotonic() + delayMs;
    this.#cancel = clock.after(delayMs, () => {
      this.#cancel = undefined;
      this.#hasOpen = false;
      this.#look(Math.max(clock.monotonic() - dueAtMs, 0), this.#clients.values());
    });
  }

  /**
   * Looks at the clients in slices, since thousands may have come, and may be silent, at the same moment.
   * `lateMs` is how late the timer fired: a blocked event loop or a stopped process hears no client, so that
   * time does not count as silence.
   */
  #look(lateMs: number, clients: IterableIterator<Each>): void {
    const { clock } = this.#parts;
    const now = clock.monotonic();
    let looked = 0;
    for (const client of clients) {
      if (!client.connection.closed) {
        this.#hasOpen = true;
        this.#lookAt(client, now, lateMs);
      }
      if (++looked % CLIENTS_PER_CHECK === 0 && clock.monotonic() - now >= SLICE_MS) {
        setImmediate(() => this.#look(lateMs, clients));
        return;
      }
    }
    // A closed client needs no look while its socket closes.
    if (this.#hasOpen && !this.#cancel) this.#lookLater();
  }

  #lookAt(client: Each, now: number, lateMs: number): void {
    const { connection, pulse } = client;
    if (connection.subscriber && connection.subscriber.endsAtMs <= this.#parts.clock.now()) {
      this.#parts.hub.close(connection, TOKEN_EXPIRED);
      return;
    }
    pulse.seenAtMs = Math.min(pulse.seenAtMs + lateMs, now);
    this.#excusePaused(client, now);
    client.countReceived?.();
    if (client.ping && now - pulse.seenAtMs >= this.#idleMs) {
      this.#parts.hub.close(
        connection,
        client.isPaused ? CLOSE.tooSlow : { ...CLOSE.noSign, retryAfterMs: 0 },
      );
      return;
    }
    if (now >= pulse.pingAtMs) this.#ping(client, now);
    this.#breakSilence(client, now);
  }

  /**
   * A paused client cannot be heard, so its silence does not count. It is alive for as long as it reads what
   * it is sent, a ping at least. A client that never reads its replies stays paused, and is closed by this.
   */
  #excusePaused(client: Each, now: number): void {
    const { pulse } = client;
    const writtenBytes = client.isPaused ? client.writtenBytes : undefined;
    if (writtenBytes !== undefined && writtenBytes !== pulse.writtenBytes) pulse.seenAtMs = now;
    pulse.writtenBytes = writtenBytes;
  }

  #ping(client: Each, now: number): void {
    const { pulse } = client;
    // Counted from when the ping was due, not from now: looks come a little late, and the delays must not
    // add up.
    const late = Math.floor((now - pulse.pingAtMs) / this.#heartbeatMs);
    pulse.pingAtMs += (late + 1) * this.#heartbeatMs;
    pulse.pingedAtMs = now;
    client.ping?.();
  }

  #breakSilence({ connection, pulse }: Each, now: number): void {
    const { sent } = connection.outbox;
    if (sent !== pulse.sent) {
      pulse.sent = sent;
      pulse.quietSinceMs = now;
    } else if (now - pulse.quietSinceMs >= this.#heartbeatMs) {
      pulse.quietSinceMs = now;
      connection.send(JSON.stringify({ event: 'heartbeat', time: instant(this.#parts.clock.now()) }));
    }
  }
}
