import { BlockList, isIP, isIPv4 } from 'node:net';
import ipaddr from 'ipaddr.js';
import { isLoopback } from '../loopback.ts';

/** Where a request comes from, by its socket and what trusted proxies report. */
export interface ClientAddress {
  /** IPv4 is written as IPv4 also on an IPv6 socket; `''` where the peer has disconnected already. */
  readonly address: string;
  /** Protocol between the client and the first proxy; `undefined`: no trusted proxy reports it. */
  readonly protocol: 'http' | 'https' | undefined;
  /** Whether the peer is on this machine and no trusted proxy: limits per address do not apply to it. */
  readonly isLocal: boolean;
}

/** Reads a header by its lower-case name; several of a name are joined with commas, as Node does. */
export interface HeaderSource {
  header(name: string): string | undefined;
}

/** Proxies in a row that are followed. The sender decides how long the header is. */
const MAX_HOPS = 32;

/**
 * Finds the address of the client behind trusted proxies. A proxy appends the address of its peer to
 * `X-Forwarded-For`. So the header is read from the right, and the first address that is no trusted proxy is
 * the client; what stands to the left of it may be made up. An entry that is no address ends the search at
 * the proxy that sent it.
 *
 * Not the package `proxy-addr`: it takes any word for the client, keeps ports and brackets, and refuses
 * the networks 0.0.0.0/0 and ::/0.
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

/** The value of the proxy that the client connected to. Most proxies send a single value, which then counts. */
function protocolAt(text: string | undefined, hops: number): ClientAddress['protocol'] {
  const claimed = text?.split(',').map((entry) => entry.trim().toLowerCase()) ?? [];
  const protocol = claimed.at(-Math.max(hops, 1)) ?? claimed[0];
  return protocol === 'http' || protocol === 'https' ? protocol : undefined;
}

/** An address without its zone (`%eth0`); an IPv4-mapped IPv6 address as IPv4. */
function plain(text: string): string {
  if (isIPv4(text)) return text;
  const [address = ''] = text.split('%');
  return isIP(address) === 6 ? ipaddr.process(address).toString() : address;
}
