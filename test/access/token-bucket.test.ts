import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type Rate, TokenBucket } from '../../src/access/rate-limits.ts';
import { ManualClock } from '../helpers/manual-clock.ts';

/** A bucket that is asked with one rate and one clock. */
class ClockedBucket {
  readonly #bucket = new TokenBucket();
  readonly #rate: Rate;
  readonly #clock: ManualClock;

  constructor(rate: Rate, clock: ManualClock) {
    this.#rate = rate;
    this.#clock = clock;
  }

  take = () => this.#bucket.take(this.#rate, this.#clock.monotonic());

  get waitMs() {
    return this.#bucket.waitMs(this.#rate, this.#clock.monotonic());
  }

  get isFull() {
    return this.#bucket.isFull(this.#clock.monotonic());
  }
}

function bucket(perSecond: number, burst: number) {
  const clock = new ManualClock();
  return { clock, bucket: new ClockedBucket({ perSecond, burst }, clock) };
}

const takes = (bucket: ClockedBucket, times: number) =>
  Array.from({ length: times }, () => bucket.take()).filter(Boolean).length;

describe('a token bucket', () => {
  test('lets a burst through at once, then as many as the rate says', () => {
    const { clock, bucket: it } = bucket(4, 10);
    expect(takes(it, 15)).toBe(10);
    clock.advance(1000);
    expect(takes(it, 15)).toBe(4);
  });

  test('says how long the next token takes, and has it then and not before', () => {
    const { clock, bucket: it } = bucket(4, 1);
    expect(it.waitMs).toBe(0);
    it.take();
    expect(it.waitMs).toBe(250);
    clock.advance(249);
    expect(it.take()).toBe(false);
    clock.advance(1);
    expect(it.take()).toBe(true);
  });

  test('is full at first, and again after as long as it takes to fill', () => {
    const { clock, bucket: it } = bucket(10, 5);
    expect(it.isFull).toBe(true);
    takes(it, 5);
    clock.advance(499);
    expect(it.isFull).toBe(false);
    clock.advance(1);
    expect(it.isFull).toBe(true);
    clock.advance(60_000);
    expect(takes(it, 20)).toBe(5);
  });

  test('does not mind that the wall clock is set', () => {
    const { clock, bucket: it } = bucket(1, 1);
    it.take();
    clock.step(3_600_000);
    expect(it.take()).toBe(false);
  });

  test.each([
    ['rate', Number.POSITIVE_INFINITY, 1],
    ['burst', 1, Number.POSITIVE_INFINITY],
    ['rate and burst', Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY],
  ])('without a limit to its %s never refuses', (_what, perSecond, burst) => {
    const { bucket: it } = bucket(perSecond, burst);
    expect(takes(it, 10_000)).toBe(10_000);
    expect(it.waitMs).toBe(0);
  });

  test('never lets more than burst + rate × t through, whatever comes when', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 1000 }),
        fc.integer({ min: 1, max: 200 }),
        fc.array(fc.record({ pauseMs: fc.nat(3000), attempts: fc.integer({ min: 1, max: 300 }) }), {
          maxLength: 40,
        }),
        (perSecond, burst, steps) => {
          const { clock, bucket: it } = bucket(perSecond, burst);
          const taken: { atMs: number; count: number }[] = [];
          for (const { pauseMs, attempts } of steps) {
            clock.advance(pauseMs);
            taken.push({ atMs: clock.monotonic(), count: takes(it, attempts) });
          }
          // In every window of time, not only from the start.
          for (const [first, { atMs }] of taken.entries()) {
            let through = 0;
            for (const window of taken.slice(first)) {
              through += window.count;
              const allowed = burst + (perSecond * (window.atMs - atMs)) / 1000;
              // A billionth for what is lost in adding fractions.
              expect(through).toBeLessThanOrEqual(allowed * (1 + 1e-9) + 1e-6);
            }
          }
        },
      ),
    );
  });

  test('refuses nobody who keeps to the rate', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 1000 }), fc.integer({ min: 1, max: 100 }), (perSecond, burst) => {
        const { clock, bucket: it } = bucket(perSecond, burst);
        takes(it, burst);
        for (let sent = 0; sent < 50; sent++) {
          clock.advance(1000 / perSecond + 1e-6);
          expect(it.take()).toBe(true);
        }
      }),
    );
  });
});
