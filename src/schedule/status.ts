import { isDeepStrictEqual } from 'node:util';
import { type Cancel, instant } from '../clock.ts';
import { type Reason, failureReason } from '../feed/feed.ts';
import type { RoomEvent } from '../hub/event.ts';
import type { Count } from './count.ts';
import type { ScheduleContext, ScheduleOptions, ScheduleState } from './options.ts';

/** What viewers see of a schedule's state, with the field names of a `status` event. */
export interface PublicStatus {
  readonly state: ScheduleState;
  /** Since when the schedule is in this state. */
  readonly since: string;
  /** When the feed last gave a value; null before the first. */
  readonly lastGood: string | null;
  /** Why the schedule is in this state; null where it is `ok`. */
  readonly reason: Reason | null;
}

/** How much of a feed's error is kept: an upstream may decide how long it is. */
const MAX_DETAIL_CHARACTERS = 500;

/**
 * The state of one schedule, and the `status` events that say so in its rooms. `paused` takes precedence over
 * `stale`, and `stale` over `error`: a schedule whose feed fails is in `error` at once, and `stale` as soon as
 * the last value is older than `staleAfter`, whatever the reason. A new value makes it `ok`, except while
 * paused. While no client listens the feed is not read, and so the schedule does not become stale.
 */
export class Status {
  readonly #options: ScheduleOptions;
  readonly #context: ScheduleContext;
  #isPaused: boolean;
  #isStale = false;
  /** Why the last value could not be had. */
  #failure: { readonly reason: Reason; readonly detail: string } | null = null;
  /** The state of the last `status` event. */
  #state: ScheduleState;
  #sinceMs: number;
  /** When the last value came: by the wall clock to be shown, by the monotonic one to tell its age. */
  #lastGood: { readonly atMs: number; readonly monotonicMs: number } | null = null;
  #cancelTimer: Cancel | undefined;

  /**
   * `before`: the status that this one continues. Where `paused` in the config file is the same as before, a
   * schedule that was paused or resumed by hand stays so. `isPaused`: for one that continues none.
   */
  constructor(
    options: ScheduleOptions,
    context: ScheduleContext,
    before?: Status,
    isPaused = options.paused,
  ) {
    this.#options = options;
    this.#context = context;
    this.#isPaused = before ? options.paused : isPaused;
    this.#state = this.#isPaused ? 'paused' : 'ok';
    this.#sinceMs = context.clock.now();
    if (!before) return;
    if (before.#options.paused === options.paused) this.#isPaused = before.#isPaused;
    this.#state = before.#state;
    this.#sinceMs = before.#sinceMs;
    this.#failure = before.#failure;
    this.#lastGood = before.#lastGood;
  }

  /** Sends a `status` where the state, the cadence or the rooms differ from those of `before`. */
  start(before?: ScheduleOptions): void {
    const { describedCadence: cadence, rooms } = this.#options;
    if (before && !isDeepStrictEqual([before.describedCadence, before.rooms], [cadence, rooms]))
      this.sendChanged('changed');
    this.#watchAge();
    this.#settle();
  }

  /** Cancels the timer. */
  stop(): void {
    this.#cancelTimer?.();
    this.#cancelTimer = undefined;
  }

  pause(): void {
    this.#isPaused = true;
    this.stop();
    this.#settle();
  }

  resume(): void {
    this.#isPaused = false;
    this.#watchAge();
    this.#settle();
  }

  /** The feed gave a value. */
  succeeded(): void {
    const { clock } = this.#context;
    this.#lastGood = { atMs: clock.now(), monotonicMs: clock.monotonic() };
    this.#failure = null;
    this.#isStale = false;
    // A timer that is set looks at the age of this value when it fires.
    if (!this.#cancelTimer) this.#watchAge();
    this.#settle();
  }

  /** The feed failed. Returns what is kept of the error, for operators. */
  failed(error: unknown): string {
    const detail = beginning(error instanceof Error ? error.message : String(error));
    this.#failure = { reason: failureReason(error), detail };
    this.#settle();
    return detail;
  }

  /** Checks the age of the last value; the state is `stale` where it is too old. */
  checkAge(): void {
    this.#isStale ||= this.#freshMs() <= 0;
    this.#settle();
  }

  /** Says that `previous` of the next tick cannot be compared with ticks from before. */
  sendChanged(reason: 'changed' | 'clock'): void {
    const since = instant(this.#context.clock.now());
    this.#send({ ...this.#publicStatus(), state: 'changed', since, reason });
  }

  /** So many instants were left out; sent whatever the state is. */
  sendMissed({ count, exact }: Count): void {
    const status = this.#publicStatus();
    const missed = { missed: count, ...(!exact && { missedAtLeast: true }) };
    this.#send({ ...status, reason: status.reason ?? 'missed', ...missed });
  }

  get isPaused(): boolean {
    return this.#isPaused;
  }

  get state(): ScheduleState {
    return this.#state;
  }

  /** The `status` for a client that joins a room, unless it is `ok`. */
  event(room: string): RoomEvent | undefined {
    return this.#state === 'ok' ? undefined : { room, ...this.#event(this.#publicStatus()) };
  }

  /** `detail`: more of `reason`, where there is more; it may name the upstream, so it is for operators. */
  entry(): PublicStatus & { readonly detail: string | null } {
    return { ...this.#publicStatus(), detail: this.#detail };
  }

  #publicStatus(): PublicStatus {
    return {
      state: this.#state,
      since: instant(this.#sinceMs),
      lastGood: this.#lastGood && instant(this.#lastGood.atMs),
      reason: this.#reason,
    };
  }

  get #reason(): Reason | null {
    if (this.#state === 'ok') return null;
    if (this.#state === 'paused') return 'paused';
    return this.#failure?.reason ?? (this.#state === 'stale' ? 'stale' : 'failed');
  }

  get #detail(): string | null {
    if (this.#state === 'stale') {
      const old = `no value for ${(this.#options.staleAfterMs ?? 0) / 1000} s`;
      return this.#failure === null ? old : `${old}: ${this.#failure.detail}`;
    }
    return this.#state === 'error' ? (this.#failure?.detail ?? null) : null;
  }

  #settle(): void {
    const failing = this.#failure === null ? 'ok' : 'error';
    const state = this.#isPaused ? 'paused' : this.#isStale ? 'stale' : failing;
    if (state === this.#state) return;
    this.#state = state;
    this.#sinceMs = this.#context.clock.now();
    this.#send(this.#publicStatus());
    this.#context.report.stateChanged(this.#options.name, state, this.#detail);
  }

  #watchAge(): void {
    this.stop();
    const freshMs = this.#freshMs();
    if (this.#isPaused || freshMs === Number.POSITIVE_INFINITY) return;
    if (freshMs > 0) this.#cancelTimer = this.#context.clock.after(freshMs, () => this.#watchAge());
    else if (this.#context.hub.anyone(this.#options.rooms)) this.checkAge();
  }

  /** For how long the last value is not too old; for ever where there is none. */
  #freshMs(): number {
    const { staleAfterMs } = this.#options;
    if (staleAfterMs === null || this.#lastGood === null) return Number.POSITIVE_INFINITY;
    return this.#lastGood.monotonicMs + staleAfterMs - this.#context.clock.monotonic();
  }

  #send(status: object): void {
    const { data, ...event } = this.#event(status);
    this.#context.hub.deliver({ rooms: this.#options.rooms, event, data });
  }

  #event(status: object) {
    const data = JSON.stringify({ schedule: this.#options.name, ...status });
    return { event: 'status', time: instant(this.#context.clock.now()), data };
  }
}

/** A long message is cut between two characters, and ends with "…". */
function beginning(message: string): string {
  if (message.length <= MAX_DETAIL_CHARACTERS) return message;
  const isSplit = /[\uD800-\uDBFF]/.test(message.charAt(MAX_DETAIL_CHARACTERS - 1));
  const cut = message.slice(0, MAX_DETAIL_CHARACTERS - (isSplit ? 1 : 0));
  // A copy: what `slice` gives would keep the whole message in memory.
  return `${Buffer.from(cut).toString()}…`;
}
