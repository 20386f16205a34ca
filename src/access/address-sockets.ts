import { isLoopback } from '../loopback.ts';
import type { ClientAddresses } from './client-address.ts';
import { countedAs } from './connection-limits.ts';

/** Read again for each socket; `Infinity` is no limit. */
export interface AddressSocketLimits {
  readonly connectionsPerAddress: number;
}

const nothing = () => {};
const noHeader = () => undefined;

/**
 * Counts TCP sockets for each peer address, with a connection on them or not: a socket that sends
 * nothing takes a descriptor as well. The peer is all that is known of one; so a trusted proxy, which
 * speaks for many, is not limited, nor is this machine. An IPv6 /64 counts as one address.
 */
export class AddressSockets {
  readonly #limits: AddressSocketLimits;
  readonly #clients: () => ClientAddresses;
  readonly #counts = new Map<string, number>();

  constructor({ limits, clients }: { limits: AddressSocketLimits; clients: () => ClientAddresses }) {
    this.#limits = limits;
    this.#clients = clients;
  }

  /** How many addresses have sockets that count. */
  get addresses(): number {
    return this.#counts.size;
  }

  /**
   * Takes a socket in, and returns what to call once when it has closed; `undefined`: its address has
   * enough. A quarter more than `connectionsPerAddress`, so that there is a socket on which the next
   * connection can be answered with 429.
   */
  take(peer: string | undefined): (() => void) | undefined {
    const { connectionsPerAddress } = this.#limits;
    // This machine, as a client or as a trusted proxy; asked first, since most proxies are there.
    if (connectionsPerAddress === Number.POSITIVE_INFINITY || isLoopback(peer ?? '')) return nothing;
    const clients = this.#clients();
    const { address } = clients.of(peer, noHeader);
    if (clients.isProxy(address) || isLoopback(address)) return nothing;
    const counted = countedAs(address);
    const count = this.#counts.get(counted) ?? 0;
    if (count >= Math.ceil(connectionsPerAddress * 1.25)) return undefined;
    this.#counts.set(counted, count + 1);
    return () => this.#leave(counted);
  }

  #leave(counted: string): void {
    const left = (this.#counts.get(counted) ?? 0) - 1;
    if (left > 0) this.#counts.set(counted, left);
    else this.#counts.delete(counted);
  }
}
