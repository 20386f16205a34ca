import { type Clock, instant } from '../clock.ts';
import type { CloseReason } from './close-reason.ts';
import type { JsonText, Sender } from './event.ts';
import { Frame, type Transport } from './frame.ts';
import { type Delivering, Outbox, type Sink } from './outbox.ts';
import type { ConnectionEntry } from './views.ts';

/** Who connects, as far as the server knows. */
export interface Peer {
  readonly device?: string;
  readonly user?: string;
  readonly remoteAddress: string;
  readonly userAgent?: string;
}

/** One socket that listens: who it is, which rooms it is in, and what it is owed. */
export class Connection {
  readonly id: string;
  readonly peer: Peer;
  readonly rooms = new Set<string>();
  readonly outbox: Outbox;
  readonly connectedAtMs: number;
  /** Of the last frame that came from it, milliseconds since the epoch. */
  lastSeenAtMs: number;
  roundTripMs: number | null = null;
  /** The place in the log up to which it has been served; what comes next lies above. */
  served = 0;
  /** Set once it was closed or lost: it gets nothing any more. */
  closed = false;

  constructor(options: { id: string; peer: Peer; sink: Sink; delivering: Delivering; clock: Clock }) {
    this.id = options.id;
    this.peer = options.peer;
    this.outbox = new Outbox(options.id, options.sink, options.delivering);
    this.connectedAtMs = options.clock.now();
    this.lastSeenAtMs = this.connectedAtMs;
  }

  get transport(): Transport {
    return this.outbox.format.name;
  }

  /** Sends what is for this connection alone. */
  send(text: JsonText, id?: string): void {
    this.outbox.push(this.frame(text, id));
  }

  frame(text: JsonText, id?: string): Frame {
    return new Frame(this.outbox.format.encode(text, id));
  }

  /** Says why in words, then closes. */
  close(reason: CloseReason, room?: string): void {
    this.closed = true;
    this.outbox.close(reason, this.frame(closingText(reason, room)));
  }

  /** As others see who published. */
  get sender(): Sender {
    const { device, user } = this.peer;
    return { connection: this.id, ...(device && { device }), ...(user && { user }) };
  }

  entry(): ConnectionEntry {
    const { device, user, remoteAddress, userAgent } = this.peer;
    return {
      id: this.id,
      rooms: [...this.rooms].sort(),
      transport: this.transport,
      device: device ?? null,
      user: user ?? null,
      remoteAddress,
      userAgent: userAgent ?? null,
      connectedAt: instant(this.connectedAtMs),
      lastSeenAt: instant(this.lastSeenAtMs),
      sent: this.outbox.sent,
      conflated: this.outbox.conflated,
      bufferedBytes: this.outbox.unsentBytes,
      roundTripMs: this.roundTripMs,
    };
  }
}

/** The event that says that a connection, or its place in one room, is about to end. */
export function closingText(reason: CloseReason, room?: string): JsonText {
  return JSON.stringify({ event: 'closing', room, data: reason });
}
