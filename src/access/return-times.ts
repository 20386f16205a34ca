/** Clients that come back get this part of a connect rate; the rest is left to those that come first. */
const RETURNING_PART = 0.8;

/** The rate where connects are not limited. */
const UNLIMITED_PER_SECOND = 1000;

/**
 * So far ahead times are given one after the other. Beyond it they are random, since clients that ignore
 * them, and are refused again and again, would delay the others further and further.
 */
const MAX_SPREAD_MS = 60_000;

export interface Return {
  /** The client is not to come back earlier, in milliseconds from now. */
  readonly notBeforeMs: number;
  /** How many connects a second the server takes. */
  readonly perSecond: number;
  /** On the monotonic clock. */
  readonly nowMs: number;
  /** How many clients are known to come back. Absent: not known. */
  readonly clients?: number;
}

/**
 * When clients that are sent away come back. Each gets a time of its own, a little later than the one before,
 * so that all of them together stay below the connect rate. Keeps one number and needs no timer.
 */
export class ReturnTimes {
  #nextAtMs = Number.NEGATIVE_INFINITY;

  /** Milliseconds from now until the next client should come back. */
  next({ notBeforeMs, perSecond, nowMs, clients = 0 }: Return): number {
    const rate = RETURNING_PART * (Number.isFinite(perSecond) ? perSecond : UNLIMITED_PER_SECOND);
    const spreadMs = Math.max(MAX_SPREAD_MS, (clients / rate) * 1000);
    const delayMs = Math.max(this.#nextAtMs - nowMs, notBeforeMs);
    if (delayMs > notBeforeMs + spreadMs) return Math.ceil(notBeforeMs + Math.random() * spreadMs);
    this.#nextAtMs = nowMs + delayMs + 1000 / rate;
    return Math.ceil(delayMs);
  }
}
