import { lookup } from 'node:dns';
import type { LookupFunction } from 'node:net';
import ipaddr from 'ipaddr.js';

/**
 * Whether an IP address is one of the public internet. All others are not: loopback, private,
 * link-local, unspecified, multicast, carrier-grade NAT, reserved, those that tunnel to or translate
 * into another; an IPv4 address in IPv6 form counts as what it is.
 */
export function isPublic(address: string): boolean {
  return ipaddr.isValid(address) && ipaddr.process(address).range() === 'unicast';
}

/** The error for a host that a redirect led to; `address` is what it stands for. */
export function notPublic(host: string, address: string): Error {
  const where = host === address ? host : `${host} (${address})`;
  return new Error(
    `a redirect leads to ${where}, which is not a public address: write it as the feed's url if it may be asked`,
  );
}

/**
 * Looks names up as `net.connect` asks for it, and refuses all but `named` that have an address
 * which is not public. The socket connects to what was looked at here, so that a name cannot change
 * its address in between. Not asked for hosts that are addresses already.
 */
export function guardedLookup(named: string): LookupFunction {
  return (hostname, options, callback) => {
    lookup(hostname, { ...options, all: true }, (error, addresses) => {
      if (error) return callback(error, []);
      const inner = hostname === named ? undefined : addresses.find(({ address }) => !isPublic(address));
      if (inner) return callback(notPublic(hostname, inner.address), []);
      if (options.all) return callback(null, addresses);
      const [{ address, family } = { address: '', family: 0 }] = addresses;
      callback(null, address, family);
    });
  };
}
