import type { Clock } from '../clock.ts';
import { Refusal } from '../hub/errors.ts';
import { type Rate, TokenBucket } from './token-bucket.ts';

/** How much more than the burst may be refused at once, until the connection is closed. */
const BURSTS_BEYOND = 2;

/** How many rooms are looked at for each message: more than one, so that the table shrinks. */
const LOOKS = 2;

/** What becomes of a message: taken, answered with 429 and forgotten, or the end of its connection. */
export type Verdict = 'taken' | 'refused' | 'close';

/** What all connections are measured by: one object for the server. */
export interface MessageLimits {
  readonly messages: Rate;
  readonly refusals: Rate;
}

/** Read again for each message; `Infinity` is no limit. */
export interface MessageRateOptions {
  readonly messagesPerSecond: number;
  readonly messageBurst: number;
}

/**
 * How fast a client may send WebSocket pings, and pongs that were not asked for. Not configurable: the
 * protocol needs none of them, and the server's own heartbeat is at most 10 a second.
 */
export const CONTROL_FRAMES: MessageRateOptions = { messagesPerSecond: 10, messageBurst: 100 };

export function messageLimits(options: MessageRateOptions, clock: Pick<Clock, 'monotonic'>): MessageLimits {
  const rate = (bursts: number): Rate => ({
    clock,
    get perSecond() {
      return options.messagesPerSecond;
    },
    get burst() {
      return bursts * options.messageBurst;
    },
  });
  return { messages: rate(1), refusals: rate(BURSTS_BEYOND) };
}

/**
 * How fast one client may talk. To be made with its first message: most listen only. Refusals are
 * forgiven at the same rate, so that a client that is a little too fast is told so for as long as
 * it likes, and one that does not care is closed within moments.
 */
export class MessageRate {
  readonly #taken: TokenBucket;
  readonly #limits: MessageLimits;
  /** Most clients are never refused anything. */
  #refused: TokenBucket | undefined;

  constructor(limits: MessageLimits) {
    this.#limits = limits;
    this.#taken = new TokenBucket(limits.messages);
  }

  /** To be asked once for each message, before anything else is done with it. */
  take(): Verdict {
    if (this.#taken.take()) return 'taken';
    this.#refused ??= new TokenBucket(this.#limits.refusals);
    return this.#refused.take() ? 'refused' : 'close';
  }

  /** When the next message would be taken, in milliseconds. */
  get waitMs(): number {
    return this.#taken.waitMs;
  }
}

/**
 * How fast all clients together may publish in one room: what they publish has to be delivered to every
 * member. A room is forgotten when it could take as much as one that nobody has published in.
 */
export class RoomMessageRates {
  readonly #rate: Rate;
  readonly #byRoom = new Map<string, TokenBucket>();
  #sweep = this.#byRoom.entries();

  /** `perSecond` is read again for each message; `Infinity` is no limit. */
  constructor(perSecond: () => number, clock: Pick<Clock, 'monotonic'>) {
    this.#rate = {
      clock,
      get perSecond() {
        return perSecond();
      },
      get burst() {
        return perSecond();
      },
    };
  }

  /** How many rooms are remembered. */
  get size(): number {
    return this.#byRoom.size;
  }

  /** Counts a message. Throws a 429 `Refusal` where the room has had enough for the moment. */
  take(room: string): void {
    this.#forgetSome();
    const { perSecond } = this.#rate;
    if (perSecond === Number.POSITIVE_INFINITY) return;
    const bucket = this.#byRoom.get(room) ?? new TokenBucket(this.#rate);
    if (bucket.take()) {
      this.#byRoom.set(room, bucket);
      return;
    }
    const waitMs = Math.ceil(bucket.waitMs);
    throw new Refusal(
      429,
      `room "${room}" takes ${perSecond} messages a second from all its clients together (limits.roomMessagesPerSecond): wait ${waitMs} ms`,
      { retryAfterMs: waitMs },
    );
  }

  #forgetSome(): void {
    for (let looks = 0; looks < LOOKS; looks++) {
      const next = this.#sweep.next();
      if (next.done) {
        this.#sweep = this.#byRoom.entries();
        return;
      }
      const [room, bucket] = next.value;
      if (bucket.isFull) this.#byRoom.delete(room);
    }
  }
}
