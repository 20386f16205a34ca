import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { ClientAddresses } from '../../src/access/client-address.ts';
import { ConnectionLimiter, type ConnectionLimits, type Slot } from '../../src/access/connection-limits.ts';
import { Refusal } from '../../src/hub/errors.ts';
import { ManualClock } from '../helpers/manual-clock.ts';

const NONE = Number.POSITIVE_INFINITY;
const at = (address: string) => ({ address, isLocal: false });

function slots(limits: Partial<ConnectionLimits>) {
  const clock = new ManualClock();
  const all = {
    connections: NONE,
    connectionsPerAddress: NONE,
    connectsPerSecond: NONE,
    connectsPerSecondPerAddress: NONE,
    ...limits,
  };
  const settings = { current: { limits: all, addresses: new ClientAddresses([]) } };
  return { clock, it: new ConnectionLimiter({ settings, clock }) };
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

describe('connection slots', () => {
  test('are refused with 503 when all are taken, and free again when somebody leaves', () => {
    const { it } = slots({ connections: 2 });
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
    first.release();
    expect(it.take(at('192.0.2.3'))).toBeDefined();
  });

  test('are refused with 429 to an address that has enough, and to no other', () => {
    const { it } = slots({ connectionsPerAddress: 2 });
    const [first] = [it.take(at('192.0.2.1')), it.take(at('192.0.2.1'))];
    const { status, message, details } = refusalOf(() => it.take(at('192.0.2.1')));
    expect([status, details.closing?.code]).toEqual([429, 1013]);
    expect(message).toContain('192.0.2.1 has 2 connections (limits.connectionsPerAddress)');
    it.take(at('192.0.2.2'));
    first?.release();
    it.take(at('192.0.2.1'));
    expect(it.taken).toBe(3);
  });

  test('are refused with 429 to an address that comes too fast, until it has waited', () => {
    const { clock, it } = slots({ connectsPerSecondPerAddress: 5 });
    for (let come = 0; come < 5; come++) it.take(at('192.0.2.1')).release();
    const { status, message, details } = refusalOf(() => it.take(at('192.0.2.1')));
    expect([status, details.closing?.code]).toEqual([429, 1013]);
    expect(message).toContain('limits.connectsPerSecondPerAddress');
    expect(details.retryAfterMs).toBeGreaterThanOrEqual(200);
    it.take(at('192.0.2.2'));
    clock.advance(200);
    it.take(at('192.0.2.1'));
    refusalOf(() => it.take(at('192.0.2.1')));
  });

  test('are refused with 503 while all clients together come too fast, whichever second is looked at', () => {
    const { clock, it } = slots({ connectsPerSecond: 100 });
    const taken: number[] = [];
    for (let ms = 0; ms < 5000; ms++) {
      clock.advance(1);
      if (ms % 1700 === 300) clock.advance(2000);
      for (let come = 0; come < 3; come++) {
        try {
          it.take(at(`10.${ms >> 8}.${ms & 255}.${come}`)).release();
          taken.push(clock.monotonic());
        } catch (error) {
          expect(error).toMatchObject({ status: 503, reason: 'rate' });
        }
      }
    }
    for (const [index, atMs] of taken.entries()) {
      const inSecond = taken.slice(index, index + 101).filter((later) => later < atMs + 1000);
      expect(inSecond.length).toBeLessThanOrEqual(100);
    }
    // Five seconds in which they come and three pauses, and a second is counted as 1,050 ms.
    expect(taken.length).toBeGreaterThanOrEqual(700);
  });

  test('that are refused because all come too fast are told times at which all of them are let in', () => {
    const { clock, it } = slots({ connectsPerSecond: 50 });
    const comeBack: number[] = [];
    let next = 0;
    const come = () => {
      try {
        it.take(at(`10.0.${next >> 8}.${next++ & 255}`));
      } catch (error) {
        if (!(error instanceof Refusal)) throw error;
        const { details } = error;
        expect(details.closing).toMatchObject({ code: 1013, retryAfterMs: details.retryAfterMs });
        comeBack.push(clock.monotonic() + (details.retryAfterMs ?? 0));
      }
    };
    for (let first = 0; first < 500; first++) come();
    const told = comeBack.splice(0);
    expect(told).toHaveLength(450);
    for (const atMs of told) {
      clock.advance(atMs - clock.monotonic());
      come();
    }
    expect(comeBack).toEqual([]);
    expect(it.taken).toBe(500);
  });

  test('that were refused count for nothing', () => {
    const { it } = slots({ connections: 1, connectionsPerAddress: 1, connectsPerSecondPerAddress: 2 });
    const only = it.take(at('192.0.2.1'));
    for (let come = 0; come < 10; come++) refusalOf(() => it.take(at('192.0.2.1')));
    only.release();
    expect(it.taken).toBe(0);
    it.take(at('192.0.2.1'));
  });

  test('are not limited for one address on this machine, only all together', () => {
    const { it } = slots({ connections: 50, connectionsPerAddress: 1, connectsPerSecondPerAddress: 1 });
    for (let come = 0; come < 50; come++) it.take({ address: '127.0.0.1', isLocal: true });
    expect(refusalOf(() => it.take({ address: '127.0.0.1', isLocal: true })).status).toBe(503);
    expect(it.addresses).toBe(0);
  });

  test('are counted together for all addresses of one IPv6 network, apart for others', () => {
    const { it } = slots({ connectionsPerAddress: 2 });
    it.take(at('2001:db8:1:2::1'));
    it.take(at('2001:db8:1:2:ffff::9'));
    const { message } = refusalOf(() => it.take(at('2001:db8:1:2:abcd:ef01:2345:6789')));
    expect(message).toContain('2001:db8:1:2::/64');
    it.take(at('2001:db8:1:3::1'));
  });

  test('are given back once, however often they are released', () => {
    const { it } = slots({ connectionsPerAddress: 5 });
    const slot = it.take(at('192.0.2.1'));
    it.take(at('192.0.2.1'));
    expect(it.taken).toBe(2);
    slot.release();
    slot.release();
    expect(it.taken).toBe(1);
  });

  test('remember an address only while it is there or was fast, however many come', () => {
    const { clock, it } = slots({ connectsPerSecondPerAddress: 100 });
    let most = 0;
    for (let come = 0; come < 50_000; come++) {
      it.take(at(`10.${come >> 16}.${(come >> 8) & 255}.${come & 255}`)).release();
      clock.advance(1);
      most = Math.max(most, it.addresses);
    }
    // An address fills its bucket in ten milliseconds, in which ten others come.
    expect(most).toBeLessThan(100);
    const staying = it.take(at('192.0.2.1'));
    clock.advance(60_000);
    for (let come = 0; come < 100; come++) it.take({ address: '127.0.0.1', isLocal: true });
    expect(it.addresses).toBe(1);
    staying.release();
  });

  test('are never fewer than none nor more than the limit, whoever comes and goes how', () => {
    const steps = fc.array(
      fc.record({ from: fc.nat(4), leaves: fc.option(fc.nat(30)), passesMs: fc.nat(400) }),
      { maxLength: 120 },
    );
    fc.assert(
      fc.property(steps, (all) => {
        const limits = {
          connections: 8,
          connectionsPerAddress: 3,
          connectsPerSecond: 20,
          connectsPerSecondPerAddress: 4,
        };
        const { clock, it } = slots(limits);
        const taken: { slot: Slot; from: number; isLeft: boolean }[] = [];
        for (const { from, leaves, passesMs } of all) {
          clock.advance(passesMs);
          const left = leaves === null ? undefined : taken[leaves];
          if (left) {
            left.slot.release();
            left.isLeft = true;
          } else {
            try {
              taken.push({ slot: it.take(at(`192.0.2.${from}`)), from, isLeft: false });
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

test('connection slots follow limits that change, as a reload of the configuration does', () => {
  const addresses = new ClientAddresses([]);
  const limits = {
    connections: 1,
    connectionsPerAddress: NONE,
    connectsPerSecond: NONE,
    connectsPerSecondPerAddress: 1,
  };
  const settings = { current: { limits, addresses } };
  const clock = new ManualClock();
  const it = new ConnectionLimiter({ settings, clock });
  it.take(at('192.0.2.1'));
  clock.advance(200);
  settings.current = { limits: { ...limits, connections: 9, connectsPerSecondPerAddress: 5 }, addresses };
  it.take(at('192.0.2.1'));
  expect(it.taken).toBe(2);
});
