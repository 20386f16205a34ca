import { describe, expect, it } from 'vitest';
import { ChainCheck } from '../../src/client/chain-check.ts';
import { reconnectDelayMs } from '../../src/client/reconnect.ts';
import { type Ending, refusedBy } from '../../src/client/wire.ts';
import type { CloseReason } from '../../src/protocol/close-reason.ts';

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
    /** A connection that ended with a code. */
    const closed = (code: number, closing?: CloseReason) =>
      ({ how: 'closed', code, reason: '', closing }) as const;
    const refused = (status: number, retryAfterMs?: number) =>
      ({ how: 'refused', status, text: '', ...(retryAfterMs !== undefined && { retryAfterMs }) }) as const;

    /** What it waits over many clients. */
    function delays(ending: Ending, failures: number): number[] {
      return Array.from({ length: 500 }, () => reconnectDelayMs(ending, failures) ?? Number.NaN);
    }

    it.each([1000, 4000, 4001, 4003, 4004, 4099])('stays away after %i', (code) =>
      expect(reconnectDelayMs(closed(code), 0)).toBeUndefined(),
    );

    it.each([1001, 1002, 1003, 1005, 1006, 1007, 1008, 1009, 1011, 1012, 1013, 4100, 4101, 4129, 4199, 4300])(
      'waits a random part of a second after %i',
      (code) => {
        const waits = delays(closed(code), 0);
        expect(Math.min(...waits)).toBeGreaterThanOrEqual(0);
        expect(Math.min(...waits)).toBeLessThan(100);
        expect(Math.max(...waits)).toBeLessThanOrEqual(1000);
        expect(Math.max(...waits)).toBeGreaterThan(900);
      },
    );

    it('comes back now after 4200 to 4299, unless that came to nothing before', () => {
      expect(reconnectDelayMs(closed(4201), 0)).toBe(0);
      expect(Math.max(...delays(closed(4201), 1))).toBeGreaterThan(1000);
    });

    it('waits up to twice as long after each failure, and no longer than eight seconds', () => {
      for (const [failures, capMs] of [
        [1, 2000],
        [2, 4000],
        [3, 8000],
        [4, 8000],
        [1000, 8000],
      ] as const) {
        const waits = delays({ how: 'failed', text: '' }, failures);
        expect(Math.max(...waits)).toBeLessThanOrEqual(capMs);
        expect(Math.max(...waits)).toBeGreaterThan(capMs * 0.9);
      }
    });

    it('does what `closing` says, whatever the code', () => {
      const closing = { code: 4001, reason: 'moving', reconnect: true, retryAfterMs: 7000 };
      expect(reconnectDelayMs(closed(4001, closing), 3)).toBe(7000);
      expect(reconnectDelayMs(closed(1012, { ...closing, reconnect: false }), 0)).toBeUndefined();
    });

    it('stays away where a room is closed for good, and tries again after any other refusal', () => {
      expect(reconnectDelayMs(refused(204), 0)).toBeUndefined();
      expect(reconnectDelayMs(refused(423), 0)).toBeUndefined();
      for (const status of [400, 401, 403, 404, 429, 500, 502, 503])
        expect(reconnectDelayMs(refused(status), 0)).toBeLessThanOrEqual(1000);
    });

    it('waits as long as a refusal says, however many attempts have failed, and not at once', () => {
      expect(new Set(delays(refused(423, 60_000), 5))).toEqual(new Set([60_000]));
      expect(new Set(delays(refused(429, 0), 5)).size).toBeGreaterThan(400);
    });

    it('adds a random part of a second to `Retry-After`, which is the same for all, but not to the body', () => {
      const answer = { status: 503, statusText: 'Service Unavailable', retryAfter: '5' };
      const waits = Array.from(
        { length: 500 },
        () => refusedBy(answer, undefined).retryAfterMs ?? Number.NaN,
      );
      expect(Math.min(...waits)).toBeGreaterThanOrEqual(5000);
      expect(Math.max(...waits)).toBeLessThanOrEqual(6000);
      expect(new Set(waits).size).toBeGreaterThan(400);
      expect(refusedBy(answer, { retryAfterMs: 5123 }).retryAfterMs).toBe(5123);
      expect(refusedBy({ ...answer, retryAfter: null }, undefined).retryAfterMs).toBeUndefined();
    });
  });
});
