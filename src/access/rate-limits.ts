import type { Clock } from '../clock.ts';
import { Refusal } from '../hub/errors.ts';
import type { Limits } from '../limits.ts';

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
  /** Instant at which the bucket is full again; it is full where that has passed. */
  #fullAtMs = Number.NEGATIVE_INFINITY;

  /** Takes a token. Returns false, and changes nothing, where there is none. */
  take(rate: Rate, nowMs: number): boolean {
    if (this.waitMs(rate, nowMs) > 0) return false;
    this.#fullAtMs = Math.max(this.#fullAtMs, nowMs) + 1000 / rate.perSecond;
    return true;
  }

  /** Milliseconds until there is a token. */
  waitMs({ perSecond, burst }: Rate, nowMs: number): number {
    const missingMs = this.#fullAtMs - nowMs;
    return missingMs <= 0 ? 0 : Math.max(0, missingMs - (burst - 1) * (1000 / perSecond));
  }

  /** Whether it differs in nothing from a new bucket, and can be forgotten. */
  isFull(nowMs: number): boolean {
    return this.#fullAtMs <= nowMs;
  }
}

/** A second is counted in so many slices. */
const SLICES = 20;
const SLICE_MS = 1000 / SLICES;

/**
 * Lets a number of things happen in any second, wherever the second begins. A token bucket would let twice as
 * many happen in the second after a pause. Keeps a count for each slice of a second, and one for a slice more,
 * since the oldest one is over only in part.
 */
export class SecondWindow {
  /** After so long nothing that was counted before makes a difference. */
  static readonly MS = 1000 + SLICE_MS;
  readonly #counts = new Uint32Array(SLICES + 1);
  #total = 0;
  /** Number of the newest slice. */
  #slice = 0;

  /** Whether fewer than `max` were counted in the last second. */
  hasRoom(max: number, nowMs: number): boolean {
    this.#forget(nowMs);
    return this.#total < max;
  }

  count(nowMs: number): void {
    this.#forget(nowMs);
    this.#total++;
    const at = this.#slice % this.#counts.length;
    this.#counts[at] = (this.#counts[at] ?? 0) + 1;
  }

  #forget(nowMs: number): void {
    const slice = Math.floor(nowMs / SLICE_MS);
    const passed = Math.min(slice - this.#slice, this.#counts.length);
    for (let next = 1; next <= passed; next++) {
      const at = (this.#slice + next) % this.#counts.length;
      this.#total -= this.#counts[at] ?? 0;
      this.#counts[at] = 0;
    }
    this.#slice = Math.max(slice, this.#slice);
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

/** What becomes of a message: accepted, refused with 429 and dropped, or refused and its connection closed. */
export type Verdict = 'accepted' | 'refused' | 'close';

export type MessageLimits = Pick<Limits, 'messagesPerSecond' | 'messageBurst'>;

/** Refused messages after which the connection is closed, in bursts. */
const BURSTS_BEYOND = 2;

/**
 * Message rate of one client, to be made with its first message: most clients only listen. Refusals have a
 * bucket of their own, which refills at the same rate: a client that is a little too fast gets refusals and
 * stays connected; one that is much too fast is closed within moments.
 */
export class MessageRate {
  readonly #accepted = new TokenBucket();
  /** Made with the first refusal: most clients never have one. */
  #refused: TokenBucket | undefined;

  /** Counts a message. To be called once for each, before anything else is done with it. */
  take({ messagesPerSecond: perSecond, messageBurst: burst }: MessageLimits, nowMs: number): Verdict {
    if (this.#accepted.take({ perSecond, burst }, nowMs)) return 'accepted';
    this.#refused ??= new TokenBucket();
    return this.#refused.take({ perSecond, burst: BURSTS_BEYOND * burst }, nowMs) ? 'refused' : 'close';
  }

  /** Milliseconds until the next message would be accepted. */
  waitMs({ messagesPerSecond: perSecond, messageBurst: burst }: MessageLimits, nowMs: number): number {
    return this.#accepted.waitMs({ perSecond, burst }, nowMs);
  }
}

/** Rates of publishing, one for each name. A name is forgotten when its bucket is full again. */
abstract class PublishRates<Limited extends Partial<Limits>> {
  readonly #settings: { readonly current: { readonly limits: Limited } };
  readonly #clock: Pick<Clock, 'monotonic'>;
  readonly #byName = new SweptMap<TokenBucket>();

  constructor(settings: { readonly current: { readonly limits: Limited } }, clock: Pick<Clock, 'monotonic'>) {
    this.#settings = settings;
    this.#clock = clock;
  }

  protected abstract rateOf(limits: Limited): Rate;
  /** What the limit counts, and its key in the configuration. */
  protected abstract detailOf(name: string, rate: Rate): string;

  /** How many names are remembered. */
  get size(): number {
    return this.#byName.size;
  }

  /** Counts a message. Throws a 429 `Refusal` where the name is above its rate. */
  take(name: string): void {
    const now = this.#clock.monotonic();
    this.#byName.sweep((bucket) => bucket.isFull(now));
    const rate = this.rateOf(this.#settings.current.limits);
    if (rate.perSecond === Number.POSITIVE_INFINITY) return;
    const bucket = this.#byName.get(name) ?? new TokenBucket();
    if (bucket.take(rate, now)) {
      this.#byName.set(name, bucket);
      return;
    }
    const waitMs = Math.ceil(bucket.waitMs(rate, now));
    throw new Refusal(429, `${this.detailOf(name, rate)}: wait ${waitMs} ms`, { retryAfterMs: waitMs });
  }
}

/**
 * Rate at which all clients together may publish in one room. Limited because each message is delivered to
 * every member.
 */
export class RoomMessageRates extends PublishRates<Pick<Limits, 'roomMessagesPerSecond'>> {
  protected rateOf({ roomMessagesPerSecond: perSecond }: Pick<Limits, 'roomMessagesPerSecond'>): Rate {
    return { perSecond, burst: perSecond };
  }

  protected detailOf(room: string, { perSecond }: Rate): string {
    return `room "${room}" takes ${perSecond} messages a second from all its clients together (limits.roomMessagesPerSecond)`;
  }
}

/** Rate at which one listener may publish over plain HTTP: that of one client, whatever number of requests. */
export class ListenerMessageRates extends PublishRates<MessageLimits> {
  protected rateOf({ messagesPerSecond: perSecond, messageBurst: burst }: MessageLimits): Rate {
    return { perSecond, burst };
  }

  protected detailOf(_listener: string, { perSecond }: Rate): string {
    return `you may publish ${perSecond} messages a second (limits.messagesPerSecond)`;
  }
}
