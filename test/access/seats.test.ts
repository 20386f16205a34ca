import { EventEmitter } from 'node:events';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type Seat, type SeatLimits, Seats } from '../../src/access/connection-limits.ts';
import { Refusal } from '../../src/hub/errors.ts';
import { ManualClock } from '../helpers/manual-clock.ts';

const NONE = Number.POSITIVE_INFINITY;
const at = (address: string) => ({ address, isLocal: false });

function seats(limits: Partial<SeatLimits>) {
  const clock = new ManualClock();
  const all = {
    connections: NONE,
    connectionsPerAddress: NONE,
    connectsPerSecondPerAddress: NONE,
    ...limits,
  };
  return { clock, it: new Seats({ limits: all, clock }) };
}

function refusalOf(act: () => unknown): Refusal {
  try {
    act();
  } catch (error) {
    if (error instanceof Refusal) return error;
    throw error;
  }
  throw new Error('nothing was refused');
}

describe('seats', () => {
  test('are refused with 503 when all are taken, and free again when somebody leaves', () => {
    const { it } = seats({ connections: 2 });
    const first = it.take(at('192.0.2.1'));
    it.take(at('192.0.2.2'));
    const { status, message, details } = refusalOf(() => it.take(at('192.0.2.3')));
    expect(status).toBe(503);
    expect(message).toContain('limits.connections');
    expect(details.closing).toMatchObject({
      code: 1013,
      reconnect: true,
      retryAfterMs: details.retryAfterMs,
    });
    expect(details.retryAfterMs).toBeGreaterThan(0);
    first.leave();
    expect(it.take(at('192.0.2.3'))).toBeDefined();
  });

  test('are refused with 429 to an address that has enough, and to no other', () => {
    const { it } = seats({ connectionsPerAddress: 2 });
    const [first] = [it.take(at('192.0.2.1')), it.take(at('192.0.2.1'))];
    const { status, message, details } = refusalOf(() => it.take(at('192.0.2.1')));
    expect([status, details.closing?.code]).toEqual([429, 1013]);
    expect(message).toContain('192.0.2.1 has 2 connections (limits.connectionsPerAddress)');
    it.take(at('192.0.2.2'));
    first?.leave();
    it.take(at('192.0.2.1'));
    expect(it.taken).toBe(3);
  });

  test('are refused with 429 to an address that comes too fast, until it has waited', () => {
    const { clock, it } = seats({ connectsPerSecondPerAddress: 5 });
    for (let come = 0; come < 5; come++) it.take(at('192.0.2.1')).leave();
    const { status, message, details } = refusalOf(() => it.take(at('192.0.2.1')));
    expect([status, details.closing?.code]).toEqual([429, 1013]);
    expect(message).toContain('limits.connectsPerSecondPerAddress');
    expect(details.retryAfterMs).toBeGreaterThanOrEqual(200);
    it.take(at('192.0.2.2'));
    clock.advance(200);
    it.take(at('192.0.2.1'));
    refusalOf(() => it.take(at('192.0.2.1')));
  });

  test('that were refused count for nothing', () => {
    const { it } = seats({ connections: 1, connectionsPerAddress: 1, connectsPerSecondPerAddress: 2 });
    const only = it.take(at('192.0.2.1'));
    for (let come = 0; come < 10; come++) refusalOf(() => it.take(at('192.0.2.1')));
    only.leave();
    expect(it.taken).toBe(0);
    it.take(at('192.0.2.1'));
  });

  test('are not limited for one address on this machine, only all together', () => {
    const { it } = seats({ connections: 50, connectionsPerAddress: 1, connectsPerSecondPerAddress: 1 });
    for (let come = 0; come < 50; come++) it.take({ address: '127.0.0.1', isLocal: true });
    expect(refusalOf(() => it.take({ address: '127.0.0.1', isLocal: true })).status).toBe(503);
    expect(it.addresses).toBe(0);
  });

  test('are counted together for all addresses of one IPv6 network, apart for others', () => {
    const { it } = seats({ connectionsPerAddress: 2 });
    it.take(at('2001:db8:1:2::1'));
    it.take(at('2001:db8:1:2:ffff::9'));
    const { message } = refusalOf(() => it.take(at('2001:db8:1:2:abcd:ef01:2345:6789')));
    expect(message).toContain('2001:db8:1:2::/64');
    it.take(at('2001:db8:1:3::1'));
  });

  test('are given back once, however often and however they are left', () => {
    const { it } = seats({ connectionsPerAddress: 5 });
    const socket = Object.assign(new EventEmitter(), { destroyed: false });
    const seat = it.take(at('192.0.2.1'));
    it.take(at('192.0.2.1'));
    seat.leaveWith(socket);
    expect(it.taken).toBe(2);
    socket.emit('close');
    seat.leave();
    seat.leaveWith(socket);
    socket.emit('close');
    expect(it.taken).toBe(1);
  });

  test('are given back at once where the socket is gone before its owner could sit down', () => {
    const { it } = seats({});
    it.take(at('192.0.2.1')).leaveWith(Object.assign(new EventEmitter(), { destroyed: true }));
    expect(it.taken).toBe(0);
  });

  test('remember an address only while it is there or was fast, however many come', () => {
    const { clock, it } = seats({ connectsPerSecondPerAddress: 100 });
    let most = 0;
    for (let come = 0; come < 50_000; come++) {
      it.take(at(`10.${come >> 16}.${(come >> 8) & 255}.${come & 255}`)).leave();
      clock.advance(1);
      most = Math.max(most, it.addresses);
    }
    // An address fills its bucket in ten milliseconds, in which ten others come.
    expect(most).toBeLessThan(100);
    const staying = it.take(at('192.0.2.1'));
    clock.advance(60_000);
    for (let come = 0; come < 100; come++) it.take({ address: '127.0.0.1', isLocal: true });
    expect(it.addresses).toBe(1);
    staying.leave();
  });

  test('are never fewer than none nor more than the limit, whoever comes and goes how', () => {
    const steps = fc.array(
      fc.record({ from: fc.nat(4), leaves: fc.option(fc.nat(30)), passesMs: fc.nat(400) }),
      { maxLength: 120 },
    );
    fc.assert(
      fc.property(steps, (all) => {
        const limits = { connections: 8, connectionsPerAddress: 3, connectsPerSecondPerAddress: 4 };
        const { clock, it } = seats(limits);
        const taken: { seat: Seat; from: number; isLeft: boolean }[] = [];
        for (const { from, leaves, passesMs } of all) {
          clock.advance(passesMs);
          const left = leaves === null ? undefined : taken[leaves];
          if (left) {
            left.seat.leave();
            left.isLeft = true;
          } else {
            try {
              taken.push({ seat: it.take(at(`192.0.2.${from}`)), from, isLeft: false });
            } catch (error) {
              expect(error).toBeInstanceOf(Refusal);
            }
          }
          const there = taken.filter(({ isLeft }) => !isLeft);
          expect(it.taken).toBe(there.length);
          expect(there.length).toBeLessThanOrEqual(8);
          for (const { from } of there)
            expect(there.filter((one) => one.from === from).length).toBeLessThanOrEqual(3);
        }
      }),
    );
  });
});

test('seats follow limits that change, as a reload of the configuration does', () => {
  const limits = { connections: 1, connectionsPerAddress: NONE, connectsPerSecondPerAddress: 1 };
  const clock = new ManualClock();
  const it = new Seats({ limits, clock });
  it.take(at('192.0.2.1'));
  clock.advance(200);
  Object.assign(limits, { connections: 9, connectsPerSecondPerAddress: 5 });
  it.take(at('192.0.2.1'));
  expect(it.taken).toBe(2);
});
