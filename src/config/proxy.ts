import { isIP } from 'node:net';
import { z } from 'zod';
import { shownHost } from './faults.ts';

/** An entry of `trustProxy`: an address, or a network as a CIDR. */
export const trustedProxy = z.string().refine(isAddressOrNetwork, {
  error: ({ input }) =>
    `${shownHost(String(input))} is not an address or a network: write one such as "127.0.0.1", "10.0.0.0/8" or "fd00::/8"`,
});

function isAddressOrNetwork(text: string): boolean {
  const [address = '', prefix, ...rest] = text.split('/');
  const version = isIP(address);
  if (version === 0 || rest.length > 0 || address.includes('%')) return false;
  if (prefix === undefined) return true;
  return /^(?:0|[1-9]\d{0,2})$/.test(prefix) && Number(prefix) <= (version === 6 ? 128 : 32);
}
