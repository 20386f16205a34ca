import type { TickEvent } from './messages.ts';

/**
 * How far the value of a schedule can be trusted. `late`: the next tick should have come. `stale`: it is overdue by
 * an interval more, the server calls the value old, or there is no connection. `error`: the server cannot read it.
 */
export type Freshness = 'live' | 'late' | 'stale' | 'error';

/** A schedule that sends ticks to a room of the client. */
export interface Schedule {
  readonly name: string;
  /** The newest tick with its data, of whichever room it came last; absent where none has come. */
  event?: TickEvent;
  /** What the last `status` said. */
  state: string;
  freshness: Freshness;
  /** How long ago the tick was sent, in milliseconds, on the server's clock. */
  ageMs: number;
}

/** A tick may be so late, or half an interval where that is shorter. */
const MAX_GRACE_MS = 1500;
/** Overdue by an interval and this a tick is not just late. */
const STALE_MS = 2000;

/**
 * The freshness of a schedule's value at an instant on the server's clock, so that a server which hangs or sends
 * old ticks is noticed as well as one that is gone. `nowMs` is not a number where that clock is not known yet.
 */
export function freshnessOf(
  { event, state }: Pick<Schedule, 'event' | 'state'>,
  nowMs: number,
  isConnected: boolean,
): Freshness {
  const tick = event?.tick;
  if (!isConnected || state === 'stale' || state === 'paused') return 'stale';
  if (state === 'error') return 'error';
  if (!tick) return 'stale';
  // After `changed` the tick says nothing about the next one; with `when` no tick may come at `next`.
  if (!tick.next || tick.when || state === 'changed') return 'live';
  const nextMs = Date.parse(tick.next);
  const intervalMs = nextMs - Date.parse(tick.due);
  const overdueMs = nowMs - nextMs;
  if (overdueMs > intervalMs + STALE_MS) return 'stale';
  return overdueMs > Math.min(MAX_GRACE_MS, intervalMs / 2) ? 'late' : 'live';
}
