import { describe, expect, test } from 'vitest';
import { RoomLimits } from '../../src/access/room-limits.ts';
import { Refusal } from '../../src/hub/refusal.ts';

function limits(there: string[], rooms: number, roomsPerConnection = Number.POSITIVE_INFINITY) {
  const exists = (room: string) => there.includes(room);
  return new RoomLimits({ rooms, roomsPerConnection, roomCount: () => there.length, exists });
}

function statusOf(act: () => void): number {
  try {
    act();
    return 200;
  } catch (error) {
    if (error instanceof Refusal) return error.status;
    throw error;
  }
}

describe('the limits of rooms', () => {
  test('refuse with 503 and a time to come back what would make one more than there may be', () => {
    const it = limits(['a', 'b'], 2);
    expect(statusOf(() => it.checkConnect(['c']))).toBe(503);
    expect(statusOf(() => it.checkSubscribe('c', new Set(['a'])))).toBe(503);
    expect(() => it.checkConnect(['c'])).toThrow(
      expect.objectContaining({
        message: expect.stringContaining('limits.rooms'),
        details: expect.objectContaining({
          closing: expect.objectContaining({ code: 1013, reconnect: true }),
        }),
      }),
    );
  });

  test('let everybody into rooms that are there, and into new ones while there is place', () => {
    expect(statusOf(() => limits(['a', 'b'], 2).checkConnect(['a', 'b']))).toBe(200);
    expect(statusOf(() => limits(['a'], 2).checkConnect(['a', 'b']))).toBe(200);
    expect(statusOf(() => limits(['a'], 2).checkConnect(['b', 'c']))).toBe(503);
    expect(statusOf(() => limits(['a', 'b', 'c'], 2).checkConnect(['b']))).toBe(200);
  });

  test('refuse with 400 a request that names more rooms than a connection may be in', () => {
    expect(statusOf(() => limits([], 9, 2).checkConnect(['a', 'b']))).toBe(200);
    expect(statusOf(() => limits([], 9, 2).checkConnect(['a', 'b', 'c']))).toBe(400);
  });

  test('refuse with 403 one room more than that, and say what to do', () => {
    const it = limits(['a', 'b', 'c'], 9, 2);
    expect(() => it.checkSubscribe('c', new Set(['a', 'b']))).toThrow(
      /limits.roomsPerConnection.*unsubscribe/,
    );
    expect(statusOf(() => it.checkSubscribe('c', new Set(['a', 'b'])))).toBe(403);
    expect(statusOf(() => it.checkSubscribe('b', new Set(['a', 'b'])))).toBe(200);
    expect(statusOf(() => it.checkSubscribe('c', new Set(['a'])))).toBe(200);
  });

  test('are none where they are infinite', () => {
    const it = limits(['a'], Number.POSITIVE_INFINITY);
    expect(statusOf(() => it.checkConnect(Array.from({ length: 5000 }, (_, index) => `r${index}`)))).toBe(
      200,
    );
  });
});
