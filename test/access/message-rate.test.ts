import { describe, expect, test } from 'vitest';
import { MessageRate, messageLimits } from '../../src/access/message-rate.ts';
import { ManualClock } from '../helpers/manual-clock.ts';

function rate(messagesPerSecond: number, messageBurst: number) {
  const clock = new ManualClock();
  return { clock, it: new MessageRate(messageLimits({ messagesPerSecond, messageBurst }, clock)) };
}

describe('the rate of messages', () => {
  test('takes the burst, refuses twice as many beyond it, and then has enough', () => {
    const { it } = rate(20, 100);
    const verdicts = Array.from({ length: 301 }, () => it.take());
    expect(verdicts.slice(0, 100)).toEqual(Array(100).fill('taken'));
    expect(verdicts.slice(100, 300)).toEqual(Array(200).fill('refused'));
    expect(verdicts[300]).toBe('close');
  });

  test('takes what keeps to the rate, for as long as it likes', () => {
    const { clock, it } = rate(20, 100);
    for (let sent = 0; sent < 10_000; sent++) {
      expect(it.take()).toBe('taken');
      clock.advance(50);
    }
  });

  test('never closes on who is a little too fast, and says when the next would be taken', () => {
    const { clock, it } = rate(20, 100);
    const verdicts = new Map<string, number>();
    for (let sent = 0; sent < 20_000; sent++) {
      const verdict = it.take();
      verdicts.set(verdict, (verdicts.get(verdict) ?? 0) + 1);
      if (verdict === 'refused') expect(it.waitMs).toBeLessThanOrEqual(50);
      clock.advance(30);
    }
    expect([...verdicts.keys()].sort()).toEqual(['refused', 'taken']);
    expect(verdicts.get('taken')).toBeCloseTo(100 + 20 * 600, -1);
  });

  test('closes on who goes on at more than twice the rate', () => {
    const { clock, it } = rate(20, 100);
    let sent = 0;
    while (it.take() !== 'close') {
      expect(++sent).toBeLessThan(2000);
      clock.advance(10);
    }
  });

  test('has no end without a limit', () => {
    const { it } = rate(Number.POSITIVE_INFINITY, 1);
    const { it: patient } = rate(1, Number.POSITIVE_INFINITY);
    for (let sent = 0; sent < 10_000; sent++) {
      expect(it.take()).toBe('taken');
      expect(patient.take()).toBe('taken');
    }
  });
});
