import { describe, expect, it } from 'vitest';
import { FeedError } from '../../src/feed/feed.ts';
import { BackOff } from '../../src/feed/http.ts';
import { ManualClock } from '../helpers/manual-clock.ts';

/** How long nothing may be asked from now on. */
function waits(backOff: BackOff, clock: ManualClock): number {
  for (let waited = 0; ; waited += 500) {
    try {
      backOff.check();
      return waited;
    } catch {
      clock.advance(500);
    }
  }
}

describe('BackOff', () => {
  it('waits twice as long after each failure, a minute at most, and starts again after a success', () => {
    const clock = new ManualClock();
    const backOff = new BackOff(clock);
    expect(waits(backOff, clock)).toBe(0);
    const seconds = Array.from({ length: 9 }, () => {
      backOff.failed(new FeedError('failed', 'broken'));
      return waits(backOff, clock) / 1000;
    });
    expect(seconds).toEqual([1, 2, 4, 8, 16, 32, 60, 60, 60]);
    for (let failures = 0; failures < 2000; failures++) backOff.failed(new FeedError('failed', 'broken'));
    expect(waits(backOff, clock)).toBe(60_000);
    backOff.succeeded();
    expect(waits(backOff, clock)).toBe(0);
    backOff.failed(new FeedError('failed', 'broken'));
    expect(waits(backOff, clock)).toBe(1000);
  });

  it('waits as long as it was asked to, ten minutes at most, and never less than by itself', () => {
    const clock = new ManualClock();
    const backOff = new BackOff(clock);
    backOff.failed(new FeedError('http-status', 'busy'), 90_000);
    expect(waits(backOff, clock)).toBe(90_000);
    backOff.failed(new FeedError('http-status', 'busy'), 1e12);
    expect(waits(backOff, clock)).toBe(600_000);
    backOff.failed(new FeedError('http-status', 'busy'), 1);
    expect(waits(backOff, clock)).toBe(4_000);
  });

  it('says why and until when', () => {
    const clock = new ManualClock('2026-11-20T18:00:00.000Z');
    const backOff = new BackOff(clock);
    backOff.failed(new FeedError('http-status', 'GET http://x/ answered 500 Internal Server Error'), 30_000);
    clock.advance(10_000);
    expect(() => backOff.check()).toThrow(
      'GET http://x/ answered 500 Internal Server Error; not asked again before 2026-11-20T18:00:30.000Z',
    );
  });

  it('is not misled by a clock that is set', () => {
    const clock = new ManualClock();
    const backOff = new BackOff(clock);
    backOff.failed(new FeedError('failed', 'broken'));
    clock.step(3_600_000);
    expect(() => backOff.check()).toThrow('broken');
    clock.step(-7_200_000);
    clock.advance(1_000);
    expect(() => backOff.check()).not.toThrow();
  });
});
