import { describe, expect, it } from 'vitest';
import { freshnessOf } from '../../src/client/freshness.ts';
import type { TickEvent } from '../../src/client/messages.ts';

const START_MS = Date.parse('2026-11-20T18:00:00.000Z');
const at = (ms: number) => new Date(START_MS + ms).toISOString();

/** The tick of 18:00:00, with the next after `intervalMs`. */
function tick(intervalMs: number | null, more: object = {}): TickEvent {
  const next = intervalMs === null ? null : at(intervalMs);
  return {
    event: 'time',
    time: at(1),
    data: {},
    tick: { schedule: 'clock', due: at(0), previous: null, next, ...more },
  };
}

const fresh = (event: TickEvent | undefined, afterMs: number, { state = 'ok', isConnected = true } = {}) =>
  freshnessOf(event ? { event, state } : { state }, START_MS + afterMs, isConnected);

describe('freshnessOf', () => {
  it.each([
    // Half an interval of grace, at most 1.5 s; stale after a whole one and 2 s.
    [3000, 4500, 'live'],
    [3000, 4501, 'late'],
    [3000, 8000, 'late'],
    [3000, 8001, 'stale'],
    [100, 150, 'live'],
    [100, 151, 'late'],
    [100, 2201, 'stale'],
    [60_000, 61_500, 'live'],
    [60_000, 61_501, 'late'],
    [60_000, 122_001, 'stale'],
  ])('with a tick every %i ms is, %i ms after the last one, %s', (intervalMs, afterMs, expected) =>
    expect(fresh(tick(intervalMs), afterMs)).toBe(expected),
  );

  it('leaves `live` within one interval and two seconds of the last tick, whatever the interval', () => {
    for (const intervalMs of [100, 1000, 3000, 60_000, 86_400_000])
      expect(fresh(tick(intervalMs), intervalMs + 2000)).not.toBe('live');
  });

  it.each([
    ['error', 'error'],
    ['stale', 'stale'],
    ['paused', 'stale'],
    ['changed', 'live'],
    ['ok', 'live'],
  ])('is with the status `%s` %s', (state, expected) =>
    expect(fresh(tick(3000), 100, { state })).toBe(expected),
  );

  it('is stale without a connection or a tick, but an error that is known stays one', () => {
    expect(fresh(tick(3000), 100, { isConnected: false })).toBe('stale');
    expect(fresh(undefined, 100)).toBe('stale');
    expect(fresh(undefined, 100, { state: 'error' })).toBe('error');
  });

  it('is live for ever where no tick has to come', () => {
    expect(fresh(tick(null), 1e12)).toBe('live');
    expect(fresh(tick(1000, { when: 'changed' }), 1e12)).toBe('live');
    // The cadence is another now.
    expect(fresh(tick(1000), 1e12, { state: 'changed' })).toBe('live');
  });

  it("is live while the server's time is not known", () =>
    expect(fresh(tick(3000), Number.NaN)).toBe('live'));
});
