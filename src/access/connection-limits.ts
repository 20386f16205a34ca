import ipaddr from 'ipaddr.js';
import type { Clock } from '../clock.ts';
import { CLOSE } from '../hub/close-reason.ts';
import { Refusal, retryAfterMs } from '../hub/errors.ts';
import type { Client } from './client-address.ts';
import { type Rate, TokenBucket } from './token-bucket.ts';

/** Read again for each newcomer; `Infinity` is no limit. */
export interface SeatLimits {
  readonly connections: number;
  readonly connectionsPerAddress: number;
  readonly connectsPerSecondPerAddress: number;
}

/** Something that ends with `close`: a socket, a response. */
export interface Closable {
  readonly destroyed: boolean;
  once(event: 'close', listener: () => void): unknown;
}

/** A place that was taken. Given back once, however often it is left. */
export interface Seat {
  leave(): void;
  /** Leaves when that closes; at once, if it is gone already. */
  leaveWith(owner: Closable): void;
}

/** Who is told that it is full tries again after this, and a time at random. */
const FULL_MS = 5000;

/** How many addresses are looked at for each newcomer: more than one, so that the table shrinks. */
const LOOKS = 2;

interface Visits {
  connections: number;
  readonly bucket: TokenBucket;
}

/**
 * Who may sit down: counts connections, all together and for each address, and how fast an address
 * brings new ones. It is asked before anything costly is done for a newcomer. An address is forgotten
 * when it has no connection and could come as fast as a stranger.
 */
export class Seats {
  readonly #limits: SeatLimits;
  readonly #rate: Rate;
  readonly #byAddress = new Map<string, Visits>();
  #sweep = this.#byAddress.entries();
  #taken = 0;

  constructor({ limits, clock }: { limits: SeatLimits; clock: Pick<Clock, 'monotonic'> }) {
    this.#limits = limits;
    this.#rate = {
      clock,
      get perSecond() {
        return limits.connectsPerSecondPerAddress;
      },
      get burst() {
        return limits.connectsPerSecondPerAddress;
      },
    };
  }

  /** How many are taken. */
  get taken(): number {
    return this.#taken;
  }

  /** How many addresses are remembered. */
  get addresses(): number {
    return this.#byAddress.size;
  }

  /**
   * Takes a place, to be left when the connection is gone or does not come about. Throws a 503
   * `Refusal` where the server is full, a 429 where this address has enough or comes too fast.
   */
  take(client: Pick<Client, 'address' | 'isLocal'>): Seat {
    this.#forgetSome();
    if (this.#taken >= this.#limits.connections) {
      throw full(503, `all ${this.#limits.connections} places are taken (limits.connections)`, {
        reason: CLOSE.full.reason,
        retryAfterMs: retryAfterMs(FULL_MS, this.#taken),
      });
    }
    const visits = this.#isLimited(client) ? this.#visit(client.address) : undefined;
    this.#taken++;
    if (visits) visits.connections++;
    return seatLeftBy(() => {
      this.#taken--;
      if (visits) visits.connections--;
    });
  }

  #isLimited({ isLocal }: Pick<Client, 'isLocal'>): boolean {
    const { connectionsPerAddress, connectsPerSecondPerAddress } = this.#limits;
    return (
      !isLocal && Math.min(connectionsPerAddress, connectsPerSecondPerAddress) < Number.POSITIVE_INFINITY
    );
  }

  #visit(address: string): Visits {
    const counted = countedAs(address);
    const visits = this.#byAddress.get(counted) ?? { connections: 0, bucket: new TokenBucket(this.#rate) };
    const { connectionsPerAddress } = this.#limits;
    if (visits.connections >= connectionsPerAddress) {
      const detail = `${counted} has ${connectionsPerAddress} connections (limits.connectionsPerAddress)`;
      throw full(429, detail, {
        reason: 'too many connections from this address',
        retryAfterMs: retryAfterMs(FULL_MS, visits.connections),
      });
    }
    if (!visits.bucket.take()) {
      const { perSecond, burst } = this.#rate;
      const detail = `${counted} connects more than ${perSecond} times a second (limits.connectsPerSecondPerAddress)`;
      throw full(429, detail, {
        reason: 'too many connects from this address',
        retryAfterMs: retryAfterMs(visits.bucket.waitMs, burst),
      });
    }
    this.#byAddress.set(counted, visits);
    return visits;
  }

  #forgetSome(): void {
    for (let looks = 0; looks < LOOKS; looks++) {
      const next = this.#sweep.next();
      if (next.done) {
        this.#sweep = this.#byAddress.entries();
        return;
      }
      const [address, { connections, bucket }] = next.value;
      if (connections === 0 && bucket.isFull) this.#byAddress.delete(address);
    }
  }
}

/** Whoever has one IPv6 address has the 2^64 of its network, so those count as one. */
export function countedAs(address: string): string {
  if (!ipaddr.IPv6.isValid(address)) return address;
  const [a = 0, b = 0, c = 0, d = 0] = ipaddr.IPv6.parse(address).parts;
  return `${[a, b, c, d].map((part) => part.toString(16)).join(':')}::/64`;
}

/** A seat that gives back what it stands for when it is left. */
export function seatLeftBy(giveBack: () => void): Seat {
  let isTaken = true;
  const leave = () => {
    if (!isTaken) return;
    isTaken = false;
    giveBack();
  };
  return {
    leave,
    leaveWith(owner) {
      if (owner.destroyed) leave();
      else owner.once('close', leave);
    },
  };
}

function full(status: 429 | 503, detail: string, told: { reason: string; retryAfterMs: number }): Refusal {
  return new Refusal(status, `${detail}: come back in a moment`, {
    reason: status === 429 ? 'address' : 'full',
    retryAfterMs: told.retryAfterMs,
    closing: { ...CLOSE.full, ...told },
  });
}
