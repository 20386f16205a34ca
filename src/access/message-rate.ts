import type { Clock } from '../clock.ts';
import { type Rate, TokenBucket } from './token-bucket.ts';

/** How much more than the burst may be refused at once, until the connection is closed. */
const BURSTS_BEYOND = 2;

/** What becomes of a message: taken, answered with 429 and forgotten, or the end of its connection. */
export type Verdict = 'taken' | 'refused' | 'close';

/** What all connections are measured by: one object for the server. */
export interface MessageLimits {
  readonly messages: Rate;
  readonly refusals: Rate;
}

/** Read anew for each message; `Infinity` is no limit. */
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
