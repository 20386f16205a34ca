import { instant } from '../clock.ts';
import type { JsonText } from '../hub/event.ts';
import type { ScheduleState } from './entries.ts';

/** How a schedule is doing, and since when: what its `status` events say. Instants in milliseconds. */
export class Standing {
  #state: ScheduleState;
  #since: number;
  #detail: string | null = null;
  /** When the last value was had. */
  lastGood: number | null = null;

  constructor(state: ScheduleState, since: number) {
    this.#state = state;
    this.#since = since;
  }

  get state(): ScheduleState {
    return this.#state;
  }

  /** Answers whether this is another state than before; a new detail alone is not. */
  turn(state: ScheduleState, detail: string | null, now: number): boolean {
    this.#detail = detail;
    if (state === this.#state) return false;
    this.#state = state;
    this.#since = now;
    return true;
  }

  entry(): { state: ScheduleState; since: string; lastGood: string | null; detail: string | null } {
    return {
      state: this.#state,
      since: instant(this.#since),
      lastGood: this.lastGood === null ? null : instant(this.lastGood),
      detail: this.#detail,
    };
  }

  /** The data of a `status` event. */
  status(schedule: string): JsonText {
    return JSON.stringify({ schedule, ...this.entry() });
  }

  /** The data of the `status` after which viewers compare `previous` anew. */
  changed(schedule: string, detail: string, now: number): JsonText {
    return JSON.stringify({ schedule, ...this.entry(), state: 'changed', since: instant(now), detail });
  }
}
