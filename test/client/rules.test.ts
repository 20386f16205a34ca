import { describe, expect, it } from 'vitest';
import { ChainCheck } from '../../src/client/chain-check.ts';
import { reconnectDelayMs } from '../../src/client/reconnect.ts';

const at = (second: number) => new Date(Date.UTC(2026, 10, 20, 18, 0, second)).toISOString();
const tick = (due: number, previous: number | null) => ({
  schedule: 'clock',
  due: at(due),
  previous: previous === null ? null : at(previous),
  next: null,
});

describe('the rules that both clients follow', () => {
  describe('the chain of ticks', () => {
    it('is unbroken while each names the one before', () => {
      const chain = new ChainCheck();
      expect([tick(3, 0), tick(6, 3), tick(9, 6)].map((next) => chain.take(next))).toEqual([
        true,
        true,
        true,
      ]);
    });

    it('is broken by one that names another than was seen, once', () => {
      const chain = new ChainCheck();
      expect([tick(3, 0), tick(9, 6), tick(12, 9)].map((next) => chain.take(next))).toEqual([
        true,
        false,
        true,
      ]);
    });

    it('is not broken by instants that were left out, by a tick sent again, or by a new start', () => {
      const chain = new ChainCheck();
      expect([tick(3, 0), tick(30, 3), tick(30, 3), tick(60, null)].map((next) => chain.take(next))).toEqual(
        Array(4).fill(true),
      );
    });

    it('goes by the newest due, not by the last', () => {
      const chain = new ChainCheck();
      expect([tick(9, 6), tick(6, 3), tick(12, 9)].map((next) => chain.take(next))).toEqual([
        true,
        true,
        true,
      ]);
    });

    it('forgets what it has seen when told to', () => {
      const chain = new ChainCheck();
      chain.take(tick(3, 0));
      chain.restart();
      expect(chain.take(tick(9, 6))).toBe(true);
    });
  });

  describe('coming back', () => {
    it.each([1000, 4000, 4001, 4003, 4004, 4099])('stays away after %i', (code) =>
      expect(reconnectDelayMs(code, undefined, 0)).toBeUndefined(),
    );

    it.each([1001, 1002, 1003, 1005, 1006, 1007, 1008, 1009, 1011, 1012, 1013, 4100, 4101, 4129, 4199, 4300])(
      'backs off after %i',
      (code) => {
        const waitMs = reconnectDelayMs(code, undefined, 0);
        expect(waitMs).toBeGreaterThanOrEqual(500);
        expect(waitMs).toBeLessThanOrEqual(1000);
      },
    );

    it('comes back now after 4200 to 4299, unless that came to nothing before', () => {
      expect(reconnectDelayMs(4201, undefined, 0)).toBe(0);
      expect(reconnectDelayMs(4201, undefined, 1)).toBeGreaterThan(0);
    });

    it('waits no longer than half a minute', () => {
      expect(reconnectDelayMs(1006, undefined, 1000)).toBeLessThanOrEqual(30_000);
    });

    it('does what `closing` says, whatever the code', () => {
      const closing = { code: 4001, reason: 'moving', reconnect: true, retryAfterMs: 7000 };
      expect(reconnectDelayMs(4001, closing, 3)).toBe(7000);
      expect(reconnectDelayMs(1012, { ...closing, reconnect: false }, 0)).toBeUndefined();
    });
  });
});
