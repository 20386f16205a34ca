import ipaddr from 'ipaddr.js';
import type { Clock } from '../clock.ts';
import { Refusal, type RefusalReason } from '../hub/errors.ts';
import type { Limits } from '../limits.ts';
import { isLoopback } from '../loopback.ts';
import { CLOSE } from '../protocol/close-reason.ts';
import type { ClientAddress, ClientAddresses } from './client-address.ts';
import { SecondWindow, SweptMap, TokenBucket } from './rate-limits.ts';
import { ReturnTimes } from './return-times.ts';

/** What a limit per address needs to know of a client. */
export type LimitedClient = Pick<ClientAddress, 'address' | 'isLocal'>;

/** What was taken and is given back once, however often it is released. */
export interface Slot {
  release(): void;
}

export type ConnectionLimits = Pick<
  Limits,
  'connections' | 'connectionsPerAddress' | 'connectsPerSecond' | 'connectsPerSecondPerAddress'
>;

/** What the limiter reads of the configuration in force. */
export interface ConnectionLimiterSettings {
  readonly limits: ConnectionLimits;
  readonly addresses: ClientAddresses;
}

/** A client that is told that the server is full does not come back earlier. */
const FULL_MS = 5000;

/**
 * An address may have so many times as many sockets as connections, so that there is a socket on which the
 * next connection can be answered with 429.
 */
const SOCKETS_PER_CONNECTION = 1.25;

interface Address {
  readonly name: string;
  sockets: number;
  connections: number;
  readonly connects: TokenBucket;
  /** Made with the first refusal: most addresses never have one. */
  returns: ReturnTimes | undefined;
}

const UNCOUNTED: Slot = { release() {} };

/**
 * Counts connections and how fast new ones come, all together and for each address, and the TCP sockets of an
 * address, since one that sends nothing takes a descriptor as well. It is asked before anything costly is
 * done for a client. An address is forgotten when it has nothing open and could connect as fast as one that
 * was never seen.
 */
export class ConnectionLimiter {
  readonly #settings: { readonly current: ConnectionLimiterSettings };
  readonly #clock: Pick<Clock, 'monotonic'>;
  readonly #byAddress = new SweptMap<Address>();
  readonly #connects = new SecondWindow();
  readonly #returns = new ReturnTimes();
  #taken = 0;

  constructor(parts: {
    settings: { readonly current: ConnectionLimiterSettings };
    clock: Pick<Clock, 'monotonic'>;
  }) {
    this.#settings = parts.settings;
    this.#clock = parts.clock;
  }

  /** How many connection slots are taken. */
  get taken(): number {
    return this.#taken;
  }

  /** How many addresses are remembered. */
  get addresses(): number {
    return this.#byAddress.size;
  }

  /**
   * When a client that is sent away should come back, in milliseconds: not before `notBeforeMs`, and each at a
   * time of its own, so that they do not come faster than they are let in. `clients`: how many are known to
   * be sent away.
   */
  returnAfterMs(notBeforeMs: number, clients = 0): number {
    const { connectsPerSecond: perSecond } = this.#settings.current.limits;
    return this.#returns.next({ notBeforeMs, perSecond, nowMs: this.#clock.monotonic(), clients });
  }

  /** Throws a 503 `Refusal` where the server is full or clients connect too fast. Costs less than all else. */
  check(): void {
    const { connections, connectsPerSecond } = this.#settings.current.limits;
    if (this.#taken >= connections) {
      // Without the number, which would tell a stranger how many clients there are.
      const detail = 'all places are taken (limits.connections)';
      throw full(503, detail, CLOSE.full.reason, this.returnAfterMs(FULL_MS));
    }
    if (!this.#connects.hasRoom(connectsPerSecond, this.#clock.monotonic())) {
      const detail = 'clients connect too fast (limits.connectsPerSecond)';
      throw full(503, detail, 'too many connects', this.returnAfterMs(SecondWindow.MS), 'rate');
    }
  }

  /**
   * Takes a connection slot. Throws as `check` does, and a 429 where this address has enough connections or
   * connects too fast. This machine is not limited, unless it is a trusted proxy.
   */
  take(client: LimitedClient): Slot {
    this.check();
    const now = this.#clock.monotonic();
    this.#byAddress.sweep((address) => isForgettable(address, now));
    const { limits } = this.#settings.current;
    const perAddress = Math.min(limits.connectionsPerAddress, limits.connectsPerSecondPerAddress);
    const isLimited = !client.isLocal && perAddress < Number.POSITIVE_INFINITY;
    const address = isLimited ? this.#connect(client.address, limits, now) : undefined;
    this.#taken++;
    this.#connects.count(now);
    return new ConnectionSlot(this, address);
  }

  /**
   * Takes a socket of an address; `undefined`: it has enough. The peer is all that is known of a socket, so
   * that a trusted proxy, which speaks for many clients, is not limited, nor is this machine.
   */
  takeSocket(peer: string | undefined): Slot | undefined {
    const { limits, addresses } = this.#settings.current;
    const { connectionsPerAddress } = limits;
    // This machine, as a client or as a trusted proxy; asked first, since most proxies are there.
    if (connectionsPerAddress === Number.POSITIVE_INFINITY || isLoopback(peer ?? '')) return UNCOUNTED;
    const name = addresses.addressOf(peer);
    if (addresses.isProxy(name) || isLoopback(name)) return UNCOUNTED;
    const address = this.#addressOf(name);
    if (address.sockets >= Math.ceil(connectionsPerAddress * SOCKETS_PER_CONNECTION)) return undefined;
    address.sockets++;
    this.#byAddress.set(address.name, address);
    return new SocketSlot(this, address);
  }

  /** For `ConnectionSlot`. */
  disconnected(address: Address | undefined): void {
    this.#taken--;
    if (address) address.connections--;
  }

  /** For `SocketSlot`. */
  socketClosed(address: Address): void {
    address.sockets--;
    if (isForgettable(address, this.#clock.monotonic())) this.#byAddress.delete(address.name);
  }

  #addressOf(name: string): Address {
    const counted = countedAs(name);
    return (
      this.#byAddress.get(counted) ?? {
        name: counted,
        sockets: 0,
        connections: 0,
        connects: new TokenBucket(),
        returns: undefined,
      }
    );
  }

  #connect(from: string, limits: ConnectionLimits, now: number): Address {
    const { connectionsPerAddress, connectsPerSecondPerAddress: perSecond } = limits;
    const address = this.#addressOf(from);
    const { name, connections, connects } = address;
    if (connections >= connectionsPerAddress) {
      const detail = `${name} has ${connectionsPerAddress} connections (limits.connectionsPerAddress)`;
      address.returns ??= new ReturnTimes();
      const retryMs = address.returns.next({ notBeforeMs: FULL_MS, perSecond, nowMs: now });
      throw full(429, detail, 'too many connections from this address', retryMs);
    }
    const rate = { perSecond, burst: perSecond };
    if (!connects.take(rate, now)) {
      const detail = `${name} connects more than ${perSecond} times a second (limits.connectsPerSecondPerAddress)`;
      address.returns ??= new ReturnTimes();
      const notBeforeMs = connects.waitMs(rate, now);
      const retryMs = address.returns.next({ notBeforeMs, perSecond, nowMs: now });
      throw full(429, detail, 'too many connects from this address', retryMs);
    }
    address.connections++;
    this.#byAddress.set(name, address);
    return address;
  }
}

/** The slot of a connection; classes and not closures, since there is one for each. */
class ConnectionSlot implements Slot {
  #limiter: ConnectionLimiter | undefined;
  readonly #address: Address | undefined;

  constructor(limiter: ConnectionLimiter, address: Address | undefined) {
    this.#limiter = limiter;
    this.#address = address;
  }

  release(): void {
    this.#limiter?.disconnected(this.#address);
    this.#limiter = undefined;
  }
}

class SocketSlot implements Slot {
  #limiter: ConnectionLimiter | undefined;
  readonly #address: Address;

  constructor(limiter: ConnectionLimiter, address: Address) {
    this.#limiter = limiter;
    this.#address = address;
  }

  release(): void {
    this.#limiter?.socketClosed(this.#address);
    this.#limiter = undefined;
  }
}

function isForgettable({ sockets, connections, connects }: Address, nowMs: number): boolean {
  return sockets === 0 && connections === 0 && connects.isFull(nowMs);
}

/** A client that has one IPv6 address has the 2^64 of its network, so those count as one. */
export function countedAs(address: string): string {
  if (!ipaddr.IPv6.isValid(address)) return address;
  const [a = 0, b = 0, c = 0, d = 0] = ipaddr.IPv6.parse(address).parts;
  return `${[a, b, c, d].map((part) => part.toString(16)).join(':')}::/64`;
}

function full(
  status: 429 | 503,
  detail: string,
  closing: string,
  retryMs: number,
  reason: RefusalReason = status === 429 ? 'address' : 'full',
): Refusal {
  return new Refusal(status, `${detail}: come back in a moment`, {
    reason,
    retryAfterMs: retryMs,
    closing: { ...CLOSE.full, reason: closing, retryAfterMs: retryMs },
  });
}
