import { freshnessOf, type Schedule } from './freshness.ts';
import type { TickEvent } from './messages.ts';

/** The schedules that send ticks to the rooms of a client: the newest tick of each, its state and its freshness. */
export class Schedules {
  readonly map = new Map<string, Schedule>();

  tick(event: TickEvent): void {
    const schedule = this.#named(event.tick.schedule);
    schedule.event = event;
    if (schedule.state === 'changed') schedule.state = 'ok';
  }

  status(name: string, state: string): void {
    this.#named(name).state = state;
  }

  /** A new connection is told the states that are not `ok`. */
  connected(): void {
    for (const schedule of this.map.values()) schedule.state = 'ok';
  }

  /** The client has left a room. */
  left(room: string): void {
    for (const [name, { event }] of this.map) if (event?.room === room) this.map.delete(name);
  }

  /**
   * Brings ages and freshness up to date, and calls back for each schedule whose freshness has changed. `nowMs`: on
   * the server's clock; not a number where that is not known yet.
   */
  refresh(nowMs: number, isConnected: boolean, onChange: (schedule: Schedule) => void): void {
    for (const schedule of this.map.values()) {
      const before = schedule.freshness;
      schedule.freshness = freshnessOf(schedule, nowMs, isConnected);
      schedule.ageMs = Math.max(nowMs - Date.parse(schedule.event?.time ?? ''), 0);
      if (schedule.freshness !== before) onChange(schedule);
    }
  }

  #named(name: string): Schedule {
    const schedule = this.map.get(name) ?? { name, state: 'ok', freshness: 'stale', ageMs: 0 };
    this.map.set(name, schedule);
    return schedule;
  }
}
