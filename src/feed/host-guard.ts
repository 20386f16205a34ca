import { type LookupAddress, type LookupAllOptions, lookup } from 'node:dns';
import { isIP, type LookupFunction } from 'node:net';
import ipaddr from 'ipaddr.js';
import { FeedError } from './feed.ts';

/** All of IPv6 that is handed out (IANA); what is outside of it may stand for an IPv4 address. */
const GLOBAL_UNICAST = ipaddr.IPv6.parseCIDR('2000::/3');

/**
 * Whether an IP address is one of the public internet. All others are not: loopback, private,
 * link-local, unspecified, multicast, carrier-grade NAT, reserved, those that tunnel to or translate
 * into another; an IPv4 address in IPv6 form counts as what it is.
 */
export function isPublic(address: string): boolean {
  if (!ipaddr.isValid(address)) return false;
  const parsed = ipaddr.process(address);
  const isHandedOut = parsed instanceof ipaddr.IPv4 || parsed.match(GLOBAL_UNICAST);
  return isHandedOut && parsed.range() === 'unicast';
}

/** Where names are looked up: `dns.lookup` with all addresses. */
export type LookUp = (
  hostname: string,
  options: LookupAllOptions,
  callback: (error: NodeJS.ErrnoException | null, addresses: LookupAddress[]) => void,
) => void;

export interface HostGuardOptions {
  /** As `URL.hostname` has it. */
  readonly named: string;
  readonly lookUp?: LookUp;
  readonly isPublic?: (address: string) => boolean;
}

/**
 * Decides which addresses one feed may connect to: public ones, and what its URL itself names. That is
 * an IP address as it stands, or a name that had an address which is not public when it was first looked
 * up, such as `localhost` or `db.internal`. A name whose addresses were all public then has to stay so:
 * its owner could otherwise point it at a service inside (DNS rebinding).
 *
 * The first look-up decides for as long as the feed lives, also through reloads that leave its schedule
 * unchanged. Where that was changed in the config file, the name is looked up as if for the first time.
 */
export class HostGuard {
  readonly #named: string;
  readonly #lookUp: LookUp;
  readonly #isPublic: (address: string) => boolean;
  /** Whether the name was public when it was first looked up. */
  #wasPublic: boolean | undefined;
  readonly #lookUps = new Set<Promise<void>>();

  constructor({ named, lookUp = lookup, isPublic: isOutside = isPublic }: HostGuardOptions) {
    this.#named = named;
    this.#lookUp = lookUp;
    this.#isPublic = isOutside;
  }

  /** Throws where the host of a URL is an address that the feed must not connect to. */
  check(url: URL): void {
    const host = url.hostname.replace(/^\[|\]$/g, '');
    if (url.hostname !== this.#named && isIP(host) !== 0 && !this.#isPublic(host))
      throw notPublic(host, host);
  }

  /**
   * Looks names up as `net.connect` asks for it, and refuses those that the feed must not connect to. The
   * socket connects to the addresses that were checked here, so that a name cannot change its address in
   * between. Not called for hosts that are addresses already.
   */
  readonly lookup: LookupFunction = (hostname, options, callback) => {
    const lookedUp = new Promise<void>((resolve) => {
      this.#lookUp(hostname, { ...options, all: true }, (error, addresses) => {
        resolve();
        const refusal = error ?? this.#refusal(hostname, addresses);
        if (refusal) return callback(refusal, []);
        if (options.all) return callback(null, addresses);
        const [{ address, family } = { address: '', family: 0 }] = addresses;
        callback(null, address, family);
      });
    }).finally(() => this.#lookUps.delete(lookedUp));
    this.#lookUps.add(lookedUp);
  };

  /**
   * Resolves when no look-up is under way. Nothing can end one, and all share a few threads: a feed that
   * waits for this before its next read blocks one of them at most, also where a name server is silent.
   */
  async settled(): Promise<void> {
    await Promise.all(this.#lookUps);
  }

  /** One address that is not public is enough: the socket would try it when the others fail. */
  #refusal(hostname: string, addresses: readonly LookupAddress[]): FeedError | undefined {
    const inner = addresses.find(({ address }) => !this.#isPublic(address));
    if (hostname !== this.#named) return inner && notPublic(hostname, inner.address);
    if (addresses.length > 0) this.#wasPublic ??= inner === undefined;
    return inner && this.#wasPublic ? noLongerPublic(hostname, inner.address) : undefined;
  }
}

/** A redirect leads to a host that is not public; `address` is what it stands for. */
function notPublic(host: string, address: string): FeedError {
  const where = host === address ? host : `${host} (${address})`;
  return new FeedError(
    'refused',
    `a redirect leads to ${where}, which is not a public address: write it as the feed's url if it may be asked`,
  );
}

function noLongerPublic(host: string, address: string): FeedError {
  return new FeedError(
    'refused',
    `${host} had a public address and now has ${address}, which is not one: write that address in the feed's url if it may be asked`,
  );
}
