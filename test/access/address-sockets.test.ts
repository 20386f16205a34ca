import { describe, expect, it } from 'vitest';
import { ClientAddresses } from '../../src/access/client-address.ts';
import { ConnectionLimiter } from '../../src/access/connection-limits.ts';
import { ManualClock } from '../helpers/manual-clock.ts';

function sockets(connectionsPerAddress: number, trustProxy: string[] = []) {
  const limits = {
    connections: 10,
    connectionsPerAddress,
    connectsPerSecond: 10,
    connectsPerSecondPerAddress: 10,
  };
  const settings = { current: { limits, addresses: new ClientAddresses(trustProxy) } };
  return { limits, it: new ConnectionLimiter({ settings, clock: new ManualClock() }) };
}

const taken = (it: ConnectionLimiter, address: string | undefined, times: number) =>
  Array.from({ length: times }, () => it.takeSocket(address)).filter((slot) => slot !== undefined);

describe('sockets of an address', () => {
  it('are as many as its connections and a quarter', () => {
    const { it } = sockets(1000);
    expect(taken(it, '192.0.2.1', 1300)).toHaveLength(1250);
    expect(taken(it, '192.0.2.2', 1)).toHaveLength(1);
    expect(taken(sockets(1).it, '192.0.2.1', 9)).toHaveLength(2);
  });

  it('are free again when they have closed, and the address is forgotten', () => {
    const { it } = sockets(4);
    const all = taken(it, '192.0.2.1', 9);
    expect(all).toHaveLength(5);
    all[0]?.release();
    expect(taken(it, '192.0.2.1', 9)).toHaveLength(1);
    for (const slot of all.slice(1)) slot.release();
    expect(it.addresses).toBe(1);
  });

  it('count together for an IPv6 network and for an IPv4 address however it is written', () => {
    const { it } = sockets(4);
    expect(taken(it, '2001:db8:1:2::1', 3).length + taken(it, '2001:db8:1:2:ffff::9', 9).length).toBe(5);
    expect(taken(it, '2001:db8:1:3::1', 1)).toHaveLength(1);
    expect(taken(it, '::ffff:192.0.2.1', 3).length + taken(it, '192.0.2.1', 9).length).toBe(5);
  });

  it('are not limited on this machine, for a trusted proxy, or without a limit', () => {
    const { it, limits } = sockets(1, ['203.0.113.0/24']);
    expect(taken(it, '127.0.0.1', 50)).toHaveLength(50);
    expect(taken(it, '::1', 50)).toHaveLength(50);
    expect(taken(it, '203.0.113.9', 50)).toHaveLength(50);
    limits.connectionsPerAddress = Number.POSITIVE_INFINITY;
    expect(taken(it, '192.0.2.1', 50)).toHaveLength(50);
    expect(it.addresses).toBe(0);
  });

  it('follow a limit that changes', () => {
    const { it, limits } = sockets(4);
    expect(taken(it, '192.0.2.1', 9)).toHaveLength(5);
    limits.connectionsPerAddress = 8;
    expect(taken(it, '192.0.2.1', 9)).toHaveLength(5);
  });
});
