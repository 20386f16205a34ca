import type { Cancel, Clock } from '../../src/clock.ts';

interface Alarm {
  readonly at: number;
  readonly order: number;
  readonly callback: () => void;
}

/** A clock that stands still until it is told to move; alarms on the way go off in their order. */
export class ManualClock implements Clock {
  #now: number;
  #monotonic = 0;
  #order = 0;
  #alarms = new Set<Alarm>();

  constructor(start: string | number = '2026-11-20T18:00:00.000Z') {
    this.#now = typeof start === 'number' ? start : Date.parse(start);
  }

  now(): number {
    return this.#now;
  }

  monotonic(): number {
    return this.#monotonic;
  }

  after(delayMs: number, callback: () => void): Cancel {
    const alarm = { at: this.#monotonic + Math.max(delayMs, 0), order: this.#order++, callback };
    this.#alarms.add(alarm);
    return () => this.#alarms.delete(alarm);
  }

  /** How many alarms are set: zero after a clean stop. */
  get pending(): number {
    return this.#alarms.size;
  }

  /** Moves both clocks on; what falls due on the way is called at its own instant. */
  advance(ms: number): void {
    const end = this.#monotonic + ms;
    for (let next = this.#next(end); next !== undefined; next = this.#next(end)) {
      this.#alarms.delete(next);
      this.#move(Math.max(next.at - this.#monotonic, 0));
      next.callback();
    }
    this.#move(end - this.#monotonic);
  }

  /** As `advance`, with the promises of each step settled before the next one. */
  async advanceSettled(ms: number): Promise<void> {
    const end = this.#monotonic + ms;
    await settled();
    for (let next = this.#next(end); next !== undefined; next = this.#next(end)) {
      this.#alarms.delete(next);
      this.#move(Math.max(next.at - this.#monotonic, 0));
      next.callback();
      await settled();
    }
    this.#move(end - this.#monotonic);
  }

  /** Time passes while nothing runs: a blocked loop or a suspended machine. Alarms go off late. */
  block(ms: number): void {
    this.#move(ms);
    this.advance(0);
  }

  /** Sets the wall clock forward or back; the monotonic clock does not move. */
  step(ms: number): void {
    this.#now += ms;
  }

  #move(ms: number): void {
    this.#now += ms;
    this.#monotonic += ms;
  }

  #next(end: number): Alarm | undefined {
    let first: Alarm | undefined;
    for (const alarm of this.#alarms) {
      if (alarm.at > end) continue;
      if (!first || alarm.at < first.at || (alarm.at === first.at && alarm.order < first.order))
        first = alarm;
    }
    return first;
  }
}

/** Lets everything that waits only for promises run. */
export function settled(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
