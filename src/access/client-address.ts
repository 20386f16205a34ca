import { BlockList, isIP, isIPv4 } from 'node:net';
import ipaddr from 'ipaddr.js';
import { isLoopback } from '../loopback.ts';

/** The client that sends a request, as far as the peer and the proxies before it can be believed. */
export interface ClientAddress {
  /** An IPv4 address also where it came in as an IPv6 one; `''` where the peer is gone already. */
  readonly address: string;
  /** What the client spoke to the first proxy; `undefined`: no trusted proxy says so. */
  readonly protocol: 'http' | 'https' | undefined;
  /** On this machine and no proxy: limits per address are not for it. */
  readonly isLocal: boolean;
}

/** Reads a header by its lower-case name; several of a name are joined with commas, as Node does. */
export interface HeaderSource {
  header(name: string): string | undefined;
}

/** So many proxies in a row are followed. A header is as long as its sender likes. */
const MAX_HOPS = 32;

/**
 * Finds out who a request is from. A proxy that is trusted adds the address it sees to the right of
 * `X-Forwarded-For`; whatever stands to the left of the first address that is not trusted may be
 * made up. So that one is the client; an entry that is no address ends the search before it.
 */
export class ClientAddresses {
  readonly #trusted = new BlockList();
  readonly #trustsAny: boolean;

  /** `trustProxy`: addresses and CIDRs, checked by the configuration. */
  constructor(trustProxy: readonly string[]) {
    this.#trustsAny = trustProxy.length > 0;
    for (const entry of trustProxy) {
      const [address = '', prefix] = entry.split('/');
      const family = isIP(address) === 6 ? 'ipv6' : 'ipv4';
      if (prefix === undefined) this.#trusted.addAddress(address, family);
      else this.#trusted.addSubnet(address, Number(prefix), family);
    }
  }

  /** `peer` is the other end of the socket. */
  of(peer: string | undefined, headers: HeaderSource): ClientAddress {
    const nearest = plain(peer ?? '');
    if (!this.isProxy(nearest)) {
      return { address: nearest, protocol: undefined, isLocal: isLoopback(nearest) };
    }
    const claimed = headers.header('x-forwarded-for')?.split(',') ?? [];
    let address = nearest;
    let hops = 0;
    while (hops < MAX_HOPS && this.isProxy(address)) {
      const before = forwarded(claimed.at(-1 - hops));
      if (before === undefined) break;
      address = before;
      hops++;
    }
    return { address, protocol: protocolAt(headers.header('x-forwarded-proto'), hops), isLocal: false };
  }

  /** The address of a peer as `of` writes it, whether or not it is a proxy. */
  addressOf(peer: string | undefined): string {
    return plain(peer ?? '');
  }

  /** Whether an address, as `of` returns it, is that of a trusted proxy. */
  isProxy(address: string): boolean {
    // Asked for each socket and request, and most servers trust no proxy.
    if (!this.#trustsAny) return false;
    const version = isIP(address);
    return version !== 0 && this.#trusted.check(address, version === 6 ? 'ipv6' : 'ipv4');
  }
}

/** An entry of `X-Forwarded-For`: an address, alone or with a port, IPv6 in brackets or bare. */
function forwarded(entry: string | undefined): string | undefined {
  const text = entry?.trim() ?? '';
  const [, bracketed, dotted] = /^(?:\[([^\]]*)\]|([\d.]+))(?::\d{1,5})?$/.exec(text) ?? [];
  const address = bracketed ?? dotted ?? text;
  return isIP(address) === 0 ? undefined : plain(address);
}

/** What the proxy said that saw the client. Most set one value, and then it is that. */
function protocolAt(text: string | undefined, hops: number): ClientAddress['protocol'] {
  const claimed = text?.split(',').map((entry) => entry.trim().toLowerCase()) ?? [];
  const protocol = claimed.at(-Math.max(hops, 1)) ?? claimed[0];
  return protocol === 'http' || protocol === 'https' ? protocol : undefined;
}

/** Without the zone, and as IPv4 where it is one written as IPv6. */
function plain(text: string): string {
  if (isIPv4(text)) return text;
  const [address = ''] = text.split('%');
  return isIP(address) === 6 ? ipaddr.process(address).toString() : address;
}
