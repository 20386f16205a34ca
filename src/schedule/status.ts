import { isDeepStrictEqual } from 'node:util';
import { type Cancel, instant } from '../clock.ts';
import type { Reason } from '../feed/feed.ts';
import type { RoomEvent } from '../hub/event.ts';
import type { Count } from './count.ts';
import type { ScheduleEntry, ScheduleState } from './entries.ts';
import type { ScheduleContext, ScheduleOptions } from './options.ts';

/** A schedule's state in the words of a `status` event. */
type Told = Pick<ScheduleEntry, 'state' | 'since' | 'lastGood' | 'reason'>;

/**
 * How a schedule is doing, and since when, which it tells the rooms. Where several are true,
 * `paused` goes before `stale`, and that before `error`: an upstream that fails is in `error` at once,
 * and `stale` from when its last value is too old to be shown, whatever the reason. A new value makes
 * it `ok`, except while paused. While nobody listens nothing is read, so nothing grows stale.
 */
export class Standing {
  readonly #options: ScheduleOptions;
  readonly #context: ScheduleContext;
  #paused: boolean;
  #stale = false;
  /** Why the last value could not be had. */
  #failure: { readonly reason: Reason; readonly detail: string } | null = null;
  /** The state that was told. */
  #state: ScheduleState;
  #since: number;
  /** When the last value was had: on the wall for people, and on the clock that never steps for its age. */
  #lastGood: { readonly at: number; readonly monotonic: number } | null = null;
  #cancelWatch: Cancel | undefined;

  /**
   * `before`: the standing that this one goes on from. Where the file says nothing new about it, what
   * is paused stays paused and what runs goes on.
   */
  constructor(options: ScheduleOptions, context: ScheduleContext, before?: Standing) {
    this.#options = options;
    this.#context = context;
    this.#paused = options.paused;
    this.#state = options.paused ? 'paused' : 'ok';
    this.#since = context.clock.now();
    if (!before) return;
    if (before.#options.paused === options.paused) this.#paused = before.#paused;
    this.#state = before.#state;
    this.#since = before.#since;
    this.#failure = before.#failure;
    this.#lastGood = before.#lastGood;
  }

  /** Tells where it differs from what was before, and where viewers cannot go on comparing. */
  start(before?: ScheduleOptions): void {
    const { describedCadence: cadence, rooms } = this.#options;
    const same = !before || isDeepStrictEqual([before.describedCadence, before.rooms], [cadence, rooms]);
    if (!same) this.changed('changed');
    this.#watch();
    this.#settle();
  }

  /** Leaves no timer behind. */
  stop(): void {
    this.#cancelWatch?.();
    this.#cancelWatch = undefined;
  }

  get paused(): boolean {
    return this.#paused;
  }

  pause(): void {
    this.#paused = true;
    this.stop();
    this.#settle();
  }

  resume(): void {
    this.#paused = false;
    this.#watch();
    this.#settle();
  }

  /** A value was had. */
  good(): void {
    const { clock } = this.#context;
    this.#lastGood = { at: clock.now(), monotonic: clock.monotonic() };
    this.#failure = null;
    this.#stale = false;
    // A timer that is set looks again when it fires: one per value would be too many.
    if (!this.#cancelWatch) this.#watch();
    this.#settle();
  }

  /** `detail` is for operators, `reason` for everybody. */
  failed(detail: string, reason: Reason): void {
    this.#failure = { reason, detail };
    this.#settle();
  }

  /** The `status` for somebody who joins now, unless it is `ok`. */
  status(room: string): RoomEvent | undefined {
    // Nobody may have been here when the value became too old.
    this.#look();
    return this.#state === 'ok' ? undefined : { room, ...this.#event(this.#told()) };
  }

  /** Tells that viewers have to compare `previous` anew. */
  changed(reason: 'changed' | 'clock'): void {
    this.#tell({ ...this.#told(), state: 'changed', since: instant(this.#context.clock.now()), reason });
  }

  /** Tells that so many instants were left out, whatever the state is. */
  leftOut({ count, exact }: Count): void {
    const told = this.#told();
    const missed = { missed: count, ...(exact ? {} : { missedAtLeast: true }) };
    this.#tell({ ...told, reason: told.reason ?? 'missed', ...missed });
  }

  get state(): ScheduleState {
    return this.#state;
  }

  entry(): Told & { readonly detail: string | null } {
    return { ...this.#told(), detail: this.#detail };
  }

  /** All that listeners are told: the detail may name the upstream, and is for operators. */
  #told(): Told {
    return {
      state: this.#state,
      since: instant(this.#since),
      lastGood: this.#lastGood && instant(this.#lastGood.at),
      reason: this.#reason,
    };
  }

  /** Null where it is `ok`. A value that is too old is so because of the last failure, if there was one. */
  get #reason(): Reason | null {
    if (this.#state === 'ok' || this.#state === 'paused') return this.#state === 'ok' ? null : 'paused';
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
    const state = this.#paused ? 'paused' : this.#stale ? 'stale' : failing;
    if (state === this.#state) return;
    this.#state = state;
    this.#since = this.#context.clock.now();
    this.#tell(this.#told());
    this.#context.report.turned(this.#options.name, state, this.#detail);
  }

  #watch(): void {
    this.stop();
    const freshMs = this.#freshMs();
    if (this.#paused || freshMs === Number.POSITIVE_INFINITY) return;
    if (freshMs > 0) this.#cancelWatch = this.#context.clock.after(freshMs, () => this.#watch());
    else if (this.#context.hub.anyone(this.#options.rooms)) this.#look();
  }

  #look(): void {
    this.#stale ||= this.#freshMs() <= 0;
    this.#settle();
  }

  /** For how long the last value is not too old; for ever where there is none. */
  #freshMs(): number {
    const { staleAfterMs } = this.#options;
    const { clock } = this.#context;
    if (staleAfterMs === null || this.#lastGood === null) return Number.POSITIVE_INFINITY;
    return this.#lastGood.monotonic + staleAfterMs - clock.monotonic();
  }

  #tell(status: object): void {
    const { data, ...event } = this.#event(status);
    this.#context.hub.deliver({ rooms: this.#options.rooms, event, data });
  }

  #event(status: object) {
    const data = JSON.stringify({ schedule: this.#options.name, ...status });
    return { event: 'status', time: instant(this.#context.clock.now()), data };
  }
}
