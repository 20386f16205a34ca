import { describe, expect, test } from 'vitest';
import { MessageRate, RoomMessageRates } from '../../src/access/rate-limits.ts';
import { Refusal } from '../../src/hub/errors.ts';
import { ManualClock } from '../helpers/manual-clock.ts';

function rate(messagesPerSecond: number, messageBurst: number) {
  const clock = new ManualClock();
  const limits = { messagesPerSecond, messageBurst };
  const messages = new MessageRate();
  const it = {
    take: () => messages.take(limits, clock.monotonic()),
    get waitMs() {
      return messages.waitMs(limits, clock.monotonic());
    },
  };
  return { clock, it };
}

describe('the rate of messages', () => {
  test('takes the burst, refuses twice as many beyond it, and then has enough', () => {
    const { it } = rate(20, 100);
    const verdicts = Array.from({ length: 301 }, () => it.take());
    expect(verdicts.slice(0, 100)).toEqual(Array(100).fill('accepted'));
    expect(verdicts.slice(100, 300)).toEqual(Array(200).fill('refused'));
    expect(verdicts[300]).toBe('close');
  });

  test('takes what keeps to the rate, for as long as it likes', () => {
    const { clock, it } = rate(20, 100);
    for (let sent = 0; sent < 10_000; sent++) {
      expect(it.take()).toBe('accepted');
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
    expect([...verdicts.keys()].sort()).toEqual(['accepted', 'refused']);
    expect(verdicts.get('accepted')).toBeCloseTo(100 + 20 * 600, -1);
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
      expect(it.take()).toBe('accepted');
      expect(patient.take()).toBe('accepted');
    }
  });
});

describe('the rate of messages in a room', () => {
  function rooms(roomMessagesPerSecond: number) {
    const clock = new ManualClock();
    const settings = { current: { limits: { roomMessagesPerSecond } } };
    return { clock, it: new RoomMessageRates(settings, clock) };
  }

  test('takes what may come in a second at once, then as it is refilled', () => {
    const { clock, it } = rooms(100);
    for (let sent = 0; sent < 100; sent++) it.take('lobby');
    expect(() => it.take('lobby')).toThrow(Refusal);
    clock.advance(10);
    it.take('lobby');
    expect(() => it.take('lobby')).toThrow(Refusal);
  });

  test('refuses with 429, naming the limit and the time to wait', () => {
    const { clock, it } = rooms(2);
    it.take('lobby');
    it.take('lobby');
    clock.advance(100);
    expect(() => it.take('lobby')).toThrow(
      expect.objectContaining({
        status: 429,
        reason: 'rate',
        message:
          'room "lobby" takes 2 messages a second from all its clients together (limits.roomMessagesPerSecond): wait 400 ms',
        details: { retryAfterMs: 400 },
      }),
    );
  });

  test('is that of each room alone', () => {
    const { it } = rooms(1);
    it.take('a');
    it.take('b');
    expect(() => it.take('a')).toThrow('room "a"');
  });

  test('takes everything, and remembers nothing, without a limit', () => {
    const { it } = rooms(Number.POSITIVE_INFINITY);
    for (let sent = 0; sent < 10_000; sent++) it.take('lobby');
    expect(it.size).toBe(0);
  });

  test('remembers no room for longer than it matters', () => {
    const { clock, it } = rooms(10);
    for (let sent = 0; sent < 100_000; sent++) {
      it.take(`room-${sent}`);
      clock.advance(1);
    }
    // Each for the 100 ms until its bucket is full again, and those that were not looked at yet.
    expect(it.size).toBeLessThan(300);
  });

  test('goes by the limit that is in force now', () => {
    const settings = { current: { limits: { roomMessagesPerSecond: 1 } } };
    const clock = new ManualClock();
    const it = new RoomMessageRates(settings, clock);
    it.take('lobby');
    expect(() => it.take('lobby')).toThrow(Refusal);
    settings.current = { limits: { roomMessagesPerSecond: 5 } };
    clock.advance(200);
    it.take('lobby');
    expect(() => it.take('lobby')).toThrow('5 messages a second');
    settings.current = { limits: { roomMessagesPerSecond: Number.POSITIVE_INFINITY } };
    it.take('lobby');
  });
});
