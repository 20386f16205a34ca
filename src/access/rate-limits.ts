import type { Clock } from '../clock.ts';
import { Refusal } from '../hub/errors.ts';

/** How often something may happen. */
export interface Rate {
  /** Above 0; `Infinity` is no limit. */
  readonly perSecond: number;
  /** How many may come at once after a pause, at least 1. */
  readonly burst: number;
}

/**
 * A token bucket (the generic cell rate algorithm, ITU-T I.371): at most `burst + perSecond × t` things in
 * any `t` seconds. It keeps one number and needs no timer, so that there can be one for each connection,
 * address and room. The rate is given with each call, since a reload may change it; `nowMs` is on the
 * monotonic clock.
 */
export class TokenBucket {
  /** When it will be full again; in the past: it is. */
  #fullAtMs = Number.NEGATIVE_INFINITY;

  /** Takes a token; false, and nothing taken, where there is none. */
  take(rate: Rate, nowMs: number): boolean {
    if (this.waitMs(rate, nowMs) > 0) return false;
    this.#fullAtMs = Math.max(this.#fullAtMs, nowMs) + 1000 / rate.perSecond;
    return true;
  }

  /** How long until there is a token, in milliseconds. */
  waitMs({ perSecond, burst }: Rate, nowMs: number): number {
    const missingMs = this.#fullAtMs - nowMs;
    return missingMs <= 0 ? 0 : Math.max(0, missingMs - (burst - 1) * (1000 / perSecond));
  }

  /** Whether it is as good as a new one. */
  isFull(nowMs: number): boolean {
    return this.#fullAtMs <= nowMs;
  }
}

/**
 * A map whose entries are forgotten when they make no difference any more. There is no timer: each call of
 * `sweep` looks at two entries, more than one call can add, so that the map shrinks.
 */
export class SweptMap<Value> extends Map<string, Value> {
  #next = this.entries();

  sweep(isForgettable: (value: Value) => boolean): void {
    for (let looks = 0; looks < 2; looks++) {
      const next = this.#next.next();
      if (next.done) {
        this.#next = this.entries();
        return;
      }
      const [key, value] = next.value;
      if (isForgettable(value)) this.delete(key);
    }
  }
}

/** What becomes of a message: taken, answered with 429 and forgotten, or the end of its connection. */
export type Verdict = 'taken' | 'refused' | 'close';

/** `Infinity` is no limit. */
export interface MessageLimits {
  readonly messagesPerSecond: number;
  readonly messageBurst: number;
}

/** How much more than the burst may be refused at once, until the connection is closed. */
const BURSTS_BEYOND = 2;

/**
 * Message rate of one client, to be made with its first message: most clients only listen. Refusals are
 * forgiven at the same rate, so that a client that is a little too fast is told so for as long as it likes,
 * and one that does not slow down is closed within moments.
 */
export class MessageRate {
  readonly #taken = new TokenBucket();
  /** Most clients are never refused anything. */
  #refused: TokenBucket | undefined;

  /** To be asked once for each message, before anything else is done with it. */
  take({ messagesPerSecond: perSecond, messageBurst: burst }: MessageLimits, nowMs: number): Verdict {
    if (this.#taken.take({ perSecond, burst }, nowMs)) return 'taken';
    this.#refused ??= new TokenBucket();
    return this.#refused.take({ perSecond, burst: BURSTS_BEYOND * burst }, nowMs) ? 'refused' : 'close';
  }

  /** When the next message would be taken, in milliseconds. */
  waitMs({ messagesPerSecond: perSecond, messageBurst: burst }: MessageLimits, nowMs: number): number {
    return this.#taken.waitMs({ perSecond, burst }, nowMs);
  }
}

/** What the rates of rooms read of the configuration in force; `Infinity` is no limit. */
export interface RoomRateSettings {
  readonly limits: { readonly roomMessagesPerSecond: number };
}

/**
 * How fast all clients together may publish in one room: what they publish has to be delivered to every
 * member. A room is forgotten when it could take as much as one that nobody has published in.
 */
export class RoomMessageRates {
  readonly #settings: { readonly current: RoomRateSettings };
  readonly #clock: Pick<Clock, 'monotonic'>;
  readonly #byRoom = new SweptMap<TokenBucket>();

  constructor(settings: { readonly current: RoomRateSettings }, clock: Pick<Clock, 'monotonic'>) {
    this.#settings = settings;
    this.#clock = clock;
  }

  /** How many rooms are remembered. */
  get size(): number {
    return this.#byRoom.size;
  }

  /** Counts a message. Throws a 429 `Refusal` where the room has had enough for the moment. */
  take(room: string): void {
    const now = this.#clock.monotonic();
    this.#byRoom.sweep((bucket) => bucket.isFull(now));
    const { roomMessagesPerSecond: perSecond } = this.#settings.current.limits;
    if (perSecond === Number.POSITIVE_INFINITY) return;
    const rate = { perSecond, burst: perSecond };
    const bucket = this.#byRoom.get(room) ?? new TokenBucket();
    if (bucket.take(rate, now)) {
      this.#byRoom.set(room, bucket);
      return;
    }
    const waitMs = Math.ceil(bucket.waitMs(rate, now));
    throw new Refusal(
      429,
      `room "${room}" takes ${perSecond} messages a second from all its clients together (limits.roomMessagesPerSecond): wait ${waitMs} ms`,
      { retryAfterMs: waitMs },
    );
  }
}
