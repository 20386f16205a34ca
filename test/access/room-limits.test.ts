import { describe, expect, test } from 'vitest';
import type { LimitedClient } from '../../src/access/connection-limits.ts';
import { RoomLimiter } from '../../src/access/room-limits.ts';
import { Refusal } from '../../src/hub/errors.ts';
import { settled } from '../helpers/manual-clock.ts';

const stranger = { address: '203.0.113.1', isLocal: false };

function limits(there: string[], rooms: number, roomsPerConnection = Number.POSITIVE_INFINITY) {
  const it = new RoomLimiter({
    settings: {
      current: {
        limits: { rooms, roomsPerConnection, roomsPerAddress: Number.POSITIVE_INFINITY },
        rooms: { isNamed: (room) => room === 'named' },
      },
    },
    hub: {
      get roomCount() {
        return there.length;
      },
      hasRoom: (room) => there.includes(room),
    },
  });
  return {
    checkNumber: (asked: string[]) => it.checkNumber(asked),
    checkConnect: (asked: string[]) => it.checkConnect(asked, stranger),
    checkSubscribe: (room: string, joined: Set<string>) => it.checkSubscribe(room, joined, stranger),
  };
}

/** Rooms that are entered as far as they may be; `there` holds those that exist. */
function perAddress(roomsPerAddress = 3, rooms = Number.POSITIVE_INFINITY) {
  const there = new Set<string>();
  const it = new RoomLimiter({
    settings: {
      current: {
        limits: { rooms, roomsPerConnection: Number.POSITIVE_INFINITY, roomsPerAddress },
        rooms: { isNamed: (room) => room.startsWith('named') },
      },
    },
    hub: {
      get roomCount() {
        return there.size;
      },
      hasRoom: (room) => there.has(room),
    },
  });
  const enter = (asked: string[], entrant: string | LimitedClient = stranger) => {
    const who = typeof entrant === 'string' ? { address: entrant, isLocal: false } : entrant;
    it.checkConnect(asked, who);
    const reservation = it.reserve(asked, who);
    for (const room of asked) make(room);
    void settled().then(() => reservation.release());
  };
  const make = (room: string) => {
    if (there.has(room)) return;
    there.add(room);
    it.made(room);
  };
  const end = (room: string) => {
    there.delete(room);
    it.ended(room);
  };
  return { it, make, end, enter };
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
    expect(statusOf(() => limits([], 9, 2).checkNumber(['a', 'b']))).toBe(200);
    expect(statusOf(() => limits([], 9, 2).checkNumber(['a', 'b', 'c']))).toBe(400);
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

  test('refuse nobody a room that a rule names exactly, however many others there are', () => {
    const it = limits(['a', 'b'], 2);
    expect(statusOf(() => it.checkConnect(['named']))).toBe(200);
    expect(statusOf(() => it.checkSubscribe('named', new Set()))).toBe(200);
    expect(statusOf(() => it.checkConnect(['named', 'a']))).toBe(200);
    expect(statusOf(() => it.checkConnect(['named', 'c']))).toBe(503);
  });

  test('are none where they are infinite', () => {
    const it = limits(['a'], Number.POSITIVE_INFINITY);
    expect(statusOf(() => it.checkConnect(Array.from({ length: 5000 }, (_, index) => `r${index}`)))).toBe(
      200,
    );
  });
});

describe('the limit of rooms that an address opens', () => {
  test('refuses with 429 and a time to come back, over connecting and subscribing alike', () => {
    const { it, enter } = perAddress();
    enter(['a', 'b']);
    expect(statusOf(() => it.checkSubscribe('c', new Set(), stranger))).toBe(200);
    expect(() => enter(['c', 'd'])).toThrow(
      expect.objectContaining({
        status: 429,
        reason: 'rooms',
        message: '203.0.113.1 has opened 2 rooms that are still there: at most 3 (limits.roomsPerAddress)',
        details: expect.objectContaining({
          retryAfterMs: expect.any(Number),
          closing: expect.objectContaining({ code: 1013, reconnect: true, retryAfterMs: expect.any(Number) }),
        }),
      }),
    );
    enter(['c']);
    expect(statusOf(() => it.checkSubscribe('d', new Set(['a']), stranger))).toBe(429);
    expect(statusOf(() => it.checkSubscribe('a', new Set(['a']), stranger))).toBe(200);
  });

  test('counts no room that is there already, and none that a rule names exactly', () => {
    const { enter } = perAddress();
    enter(['a', 'b', 'c'], '203.0.113.2');
    enter(['a', 'b', 'c', 'named', 'named-too']);
    enter(['d', 'e', 'f', 'named-three']);
    expect(statusOf(() => enter(['g']))).toBe(429);
    enter(['named-four', 'a', 'd']);
  });

  test('is that of each address alone; all of an IPv6 /64 are one', () => {
    const { enter } = perAddress();
    enter(['a', 'b', 'c']);
    enter(['d', 'e', 'f'], '2001:db8::1');
    expect(statusOf(() => enter(['g'], '2001:db8::ffff:1'))).toBe(429);
    enter(['g'], '2001:db8:0:1::1');
  });

  test('is not for this machine, and none where it is infinite', () => {
    const { it, enter } = perAddress();
    enter(['a', 'b', 'c', 'd', 'e'], { address: '127.0.0.1', isLocal: true });
    expect(it.remembered).toBe(0);
    const { it: endless, enter: enterEndless } = perAddress(Number.POSITIVE_INFINITY);
    enterEndless(Array.from({ length: 5000 }, (_, index) => `r${index}`));
    expect(endless.remembered).toBe(0);
  });

  test('gives a room back when it has ended, not when its client has left', async () => {
    const { end, enter } = perAddress();
    enter(['a', 'b', 'c']);
    await settled();
    expect(statusOf(() => enter(['d']))).toBe(429);
    end('b');
    enter(['d']);
    expect(statusOf(() => enter(['e']))).toBe(429);
  });

  test('counts a room for who opened it last', async () => {
    const { end, enter } = perAddress();
    enter(['a', 'b', 'c']);
    await settled();
    end('a');
    enter(['a'], '203.0.113.2');
    enter(['d']);
    expect(statusOf(() => enter(['e']))).toBe(429);
  });

  test('counts what is about to be entered, however long that takes, until its client is gone', () => {
    const { it } = perAddress();
    const reservation = it.reserve(['a', 'b', 'c'], stranger);
    expect(statusOf(() => it.checkConnect(['d'], stranger))).toBe(429);
    expect(statusOf(() => it.checkConnect(['a', 'b'], stranger))).toBe(200);
    reservation.release();
    expect(statusOf(() => it.checkConnect(['d', 'e', 'f'], stranger))).toBe(200);
    expect(it.remembered).toBe(0);
  });

  test('looks at few rooms where it refuses much', () => {
    const there = new Set<string>();
    let looked = 0;
    const it = new RoomLimiter({
      settings: {
        current: {
          limits: {
            rooms: Number.POSITIVE_INFINITY,
            roomsPerConnection: Number.POSITIVE_INFINITY,
            roomsPerAddress: 1000,
          },
          rooms: { isNamed: () => false },
        },
      },
      hub: {
        get roomCount() {
          return there.size;
        },
        hasRoom(room) {
          looked++;
          return there.has(room);
        },
      },
    });
    const rooms = Array.from({ length: 1000 }, (_, index) => `r${index}`);
    it.reserve(rooms, stranger);
    for (const room of rooms) there.add(room);
    looked = 0;
    for (let asked = 0; asked < 1000; asked++) {
      expect(statusOf(() => it.checkConnect(['one-more'], stranger))).toBe(429);
    }
    expect(looked).toBeLessThan(3000);
  });

  test('remembers no room for longer than it exists', async () => {
    const { it, end, enter } = perAddress();
    for (let come = 0; come < 2000; come++) {
      enter([`room-${come}`], `10.0.${come % 200}.${come % 250}`);
      await settled();
      if (come > 0) end(`room-${come - 1}`);
    }
    expect(it.remembered).toBe(1);
  });
});

describe('rooms that were granted and do not exist yet', () => {
  const local = { address: '127.0.0.1', isLocal: true };

  test.each([stranger, local])('count for everybody: %j', (entrant) => {
    const { it } = perAddress(Number.POSITIVE_INFINITY, 3);
    it.reserve(['a', 'b'], entrant);
    expect(statusOf(() => it.checkConnect(['c'], local))).toBe(200);
    expect(() => it.checkConnect(['c', 'd'], stranger)).toThrow('there may be no more rooms (limits.rooms)');
    expect(statusOf(() => it.checkSubscribe('c', new Set(), stranger))).toBe(200);
  });

  test('count once, however many wait for them', () => {
    const { it } = perAddress(Number.POSITIVE_INFINITY, 3);
    for (let come = 0; come < 10; come++) {
      expect(statusOf(() => it.checkConnect(['a', 'b'], stranger))).toBe(200);
      it.reserve(['a', 'b'], stranger);
    }
    expect(statusOf(() => it.checkConnect(['c', 'd'], stranger))).toBe(503);
  });

  test('count as rooms once they exist, and again where they end before all have come', () => {
    const { it, make, end } = perAddress(Number.POSITIVE_INFINITY, 2);
    const first = it.reserve(['a'], stranger);
    const second = it.reserve(['a'], stranger);
    make('a');
    first.release();
    expect(statusOf(() => it.checkConnect(['b'], stranger))).toBe(200);
    end('a');
    expect(statusOf(() => it.checkConnect(['b', 'c'], stranger))).toBe(503);
    second.release();
    expect(statusOf(() => it.checkConnect(['b', 'c'], stranger))).toBe(200);
  });

  test('are given up when they are released, once', () => {
    const { it } = perAddress(3, 3);
    const reservation = it.reserve(['a', 'b', 'c'], stranger);
    const other = it.reserve(['a'], stranger);
    expect(statusOf(() => it.checkConnect(['d'], local))).toBe(503);
    reservation.release();
    reservation.release();
    expect(statusOf(() => it.checkConnect(['d', 'e', 'f'], local))).toBe(503);
    other.release();
    expect(statusOf(() => it.checkConnect(['d', 'e', 'f'], stranger))).toBe(200);
    expect(it.remembered).toBe(0);
  });

  test('count where they existed when they were granted and have ended since', () => {
    const { it, make, end } = perAddress(Number.POSITIVE_INFINITY, 2);
    make('a');
    const reservation = it.reserve(['a'], stranger);
    end('a');
    expect(statusOf(() => it.checkConnect(['b', 'c'], stranger))).toBe(503);
    reservation.release();
    expect(statusOf(() => it.checkConnect(['b', 'c'], stranger))).toBe(200);
  });
});
