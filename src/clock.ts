/** Undoes a `Clock.after` that has not fired yet; afterwards it does nothing. */
export type Cancel = () => void;

/**
 * Source of the time. Every part that needs the time is handed one of these, so that a day of ticks is
 * a test of milliseconds; `Date.now` is called nowhere else.
 */
export interface Clock {
  /** Milliseconds since the Unix epoch as a wall clock shows them. May step in either direction. */
  now(): number;

  /** Milliseconds since some fixed instant. Never steps; compared with `now` it shows a step. */
  monotonic(): number;

  /**
   * Calls back once after about `delayMs`. It may fire up to a millisecond before `now` says so,
   * and a delay above 2^31−1 ms fires early: look at the clock again.
   */
  after(delayMs: number, callback: () => void): Cancel;
}

/** The longest delay that `setTimeout` keeps; a longer one would fire at once. */
const MAX_TIMEOUT_MS = 2 ** 31 - 1;

/** The computer's own clock. */
export const systemClock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  after(delayMs, callback) {
    const timer = setTimeout(callback, Math.min(Math.max(delayMs, 0), MAX_TIMEOUT_MS));
    return () => clearTimeout(timer);
  },
};

/** Writes milliseconds since the epoch as an RFC 3339 instant in UTC with milliseconds. */
export function instant(unixMs: number): string {
  return new Date(unixMs).toISOString();
}
