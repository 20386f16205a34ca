import { type Cancel, type Clock, instant } from '../clock.ts';
import type { Connection } from '../hub/connection.ts';
import type { Hub } from '../hub/hub.ts';
import { CLOSE } from '../protocol/close-reason.ts';

/** How often all connections are looked at, as a part of the shorter of the two times, and at most. */
const LOOKS = 8;
const LONGEST_LOOK_MS = 1000;

/** How long looking may hold the event loop in one go, and after how many that is looked up. */
const SLICE_MS = 10;
const LOOKED_AT_ONCE = 32;

/** Looked at anew each time. */
export interface HeartbeatTimes {
  /** How often each connection is pinged. */
  readonly heartbeatSeconds: number;
  /** How long one may be silent. */
  readonly idleSeconds: number;
}

/** The socket of a peer that can be asked for a sign of life. */
export interface Link {
  readonly ping: () => void;
  /** Whether the server has stopped reading from it: its pongs are not heard then. */
  readonly isPaused: boolean;
  /** How many of the bytes that were sent the operating system has taken. */
  readonly takenBytes: number;
}

interface Pulse {
  /** Absent on SSE: nothing can be asked of the peer there. */
  readonly link: Link | undefined;
  /** All of it on the monotonic clock, milliseconds. */
  beatAtMs: number;
  pingedAtMs: number | undefined;
  seenAtMs: number;
  /** At the last look, while the server does not read from it. */
  takenBytes: number | undefined;
  /** What had been sent at the last look, and since when nothing was. */
  sent: number;
  quietSinceMs: number;
}

/**
 * Signs of life, both ways: every connection is pinged regularly; where nothing else was sent it
 * gets a `heartbeat` event as well, since a browser cannot see a ping; and who is pinged but never
 * answers is closed. One timer looks at all, so that a connection costs no timer of its own.
 */
export class Heartbeat {
  readonly #clock: Clock;
  readonly #hub: Pick<Hub, 'close'>;
  readonly #times: HeartbeatTimes;
  readonly #pulses = new Map<Connection, Pulse>();
  #cancel: Cancel | undefined;

  constructor(options: { clock: Clock; hub: Pick<Hub, 'close'>; times: HeartbeatTimes }) {
    this.#clock = options.clock;
    this.#hub = options.hub;
    this.#times = options.times;
  }

  get #heartbeatMs(): number {
    return this.#times.heartbeatSeconds * 1000;
  }

  get #idleMs(): number {
    return this.#times.idleSeconds * 1000;
  }

  add(connection: Connection, link?: Link): void {
    const now = this.#clock.monotonic();
    const beatAtMs = now + this.#heartbeatMs;
    this.#pulses.set(connection, {
      link,
      beatAtMs,
      pingedAtMs: undefined,
      seenAtMs: now,
      takenBytes: undefined,
      sent: 0,
      quietSinceMs: now,
    });
    if (!this.#cancel) this.#lookLater();
  }

  remove(connection: Connection): void {
    this.#pulses.delete(connection);
  }

  /** A frame came in, of whatever kind. */
  seen(connection: Connection): void {
    connection.lastSeenAtMs = this.#clock.now();
    const pulse = this.#pulses.get(connection);
    if (pulse) pulse.seenAtMs = this.#clock.monotonic();
  }

  /** A pong came in. Answers whether a ping was out for it: a peer may send them unasked. */
  ponged(connection: Connection): boolean {
    this.seen(connection);
    const pulse = this.#pulses.get(connection);
    if (pulse?.pingedAtMs === undefined) return false;
    connection.roundTripMs = Math.round((pulse.seenAtMs - pulse.pingedAtMs) * 10) / 10;
    pulse.pingedAtMs = undefined;
    return true;
  }

  stop(): void {
    this.#cancel?.();
    this.#cancel = undefined;
    this.#pulses.clear();
  }

  #lookLater(): void {
    const delayMs = Math.min(Math.min(this.#heartbeatMs, this.#idleMs) / LOOKS, LONGEST_LOOK_MS);
    const dueAtMs = this.#clock.monotonic() + delayMs;
    this.#cancel = this.#clock.after(delayMs, () => {
      this.#cancel = undefined;
      this.#look(Math.max(this.#clock.monotonic() - dueAtMs, 0), this.#pulses.entries());
    });
  }

  /**
   * Looks at the connections that are left, in slices: thousands may have come, and fall silent, in one
   * moment. `lateMs`: a blocked loop or a stopped process hears nobody, and that is no silence of theirs.
   */
  #look(lateMs: number, pulses: IterableIterator<[Connection, Pulse]>): void {
    const now = this.#clock.monotonic();
    let looked = 0;
    for (const [connection, pulse] of pulses) {
      pulse.seenAtMs = Math.min(pulse.seenAtMs + lateMs, now);
      this.#excusePaused(pulse, now);
      if (connection.closed) {
        this.#pulses.delete(connection);
      } else if (pulse.link && now - pulse.seenAtMs >= this.#idleMs) {
        this.#hub.close(
          connection,
          pulse.link.isPaused ? CLOSE.tooSlow : { ...CLOSE.noSign, retryAfterMs: 0 },
        );
      } else {
        if (now >= pulse.beatAtMs) this.#ping(pulse, now);
        this.#breakSilence(connection, pulse, now);
      }
      if (++looked % LOOKED_AT_ONCE === 0 && this.#clock.monotonic() - now >= SLICE_MS) {
        setImmediate(() => this.#look(lateMs, pulses));
        return;
      }
    }
    if (this.#pulses.size > 0 && !this.#cancel) this.#lookLater();
  }

  /**
   * A peer that is not read from cannot be heard, so its silence does not count. What it is sent, a ping
   * at least, is taken as long as it reads: that is its sign of life meanwhile. Without that one that
   * never reads its replies, and so is never read from again, would stay for ever.
   */
  #excusePaused(pulse: Pulse, now: number): void {
    const takenBytes = pulse.link?.isPaused ? pulse.link.takenBytes : undefined;
    if (takenBytes !== undefined && takenBytes !== pulse.takenBytes) pulse.seenAtMs = now;
    pulse.takenBytes = takenBytes;
  }

  #ping(pulse: Pulse, now: number): void {
    // From the beat that was due, not from now: looks come a little late, and that must not add up.
    const late = Math.floor((now - pulse.beatAtMs) / this.#heartbeatMs);
    pulse.beatAtMs += (late + 1) * this.#heartbeatMs;
    pulse.pingedAtMs = now;
    pulse.link?.ping();
  }

  #breakSilence(connection: Connection, pulse: Pulse, now: number): void {
    const { sent } = connection.outbox;
    if (sent !== pulse.sent) {
      pulse.sent = sent;
      pulse.quietSinceMs = now;
    } else if (now - pulse.quietSinceMs >= this.#heartbeatMs) {
      pulse.quietSinceMs = now;
      connection.send(JSON.stringify({ event: 'heartbeat', time: instant(this.#clock.now()) }));
    }
  }
}
