import type { Clock } from '../clock.ts';
import { CLOSE } from '../hub/close-reason.ts';
import { Refusal } from '../hub/refusal.ts';
import { retryAfterMs } from '../hub/retry.ts';
import type { Client } from './client-address.ts';
import { countedAs } from './seats.ts';

/** Read anew for each room; `Infinity` is no limit. */
export interface RoomNumbers {
  readonly rooms: number;
  /** How many rooms one connection may be in. */
  readonly roomsPerConnection: number;
  /** How many rooms may have come to exist through one address. */
  readonly roomsPerAddress: number;
}

export interface RoomLimitsOptions {
  readonly limits: RoomNumbers;
  /** How many there are now. */
  readonly roomCount: () => number;
  readonly exists: (room: string) => boolean;
  /** Whether a rule names the room exactly: it is never refused for the sake of other rooms. */
  readonly isNamed: (room: string) => boolean;
  readonly clock: Pick<Clock, 'monotonic'>;
}

/** Who wants to enter. */
export type Entrant = Pick<Client, 'address' | 'isLocal'>;

/** A room that somebody has to leave first comes free after about this, and a time at random. */
const FULL_MS = 10_000;

/** Within this a room that is about to be entered exists, or its client went away before. */
const COMING_MS = 1000;

/** How often at most all rooms of an address that has enough are looked at. */
const SWEEP_MS = 100;

/** How many rooms are looked at for each new one: more than one, so that the table shrinks. */
const LOOKS = 2;

/** An address, and the rooms that did not exist before one of its connections entered them. */
interface Opener {
  readonly address: string;
  readonly rooms: Set<string>;
  sweptAtMs: number;
}

/** How many rooms there may be, how many of them through one address, and how many a connection may be in. */
export class RoomLimits {
  readonly #options: RoomLimitsOptions;
  readonly #openers = new Map<string, Opener>();
  /** Each room with the address that opened it, and when that was. */
  readonly #opened = new Map<string, { readonly opener: Opener; readonly atMs: number }>();
  #sweep = this.#opened.keys();

  constructor(options: RoomLimitsOptions) {
    this.#options = options;
  }

  /** How many rooms are remembered with an address. */
  get remembered(): number {
    return this.#opened.size;
  }

  /** Throws a 400 `Refusal` for more names than one connection may be in. */
  checkNumber(rooms: readonly string[]): void {
    const { roomsPerConnection } = this.#options.limits;
    if (rooms.length <= roomsPerConnection) return;
    const message = `${rooms.length} rooms are named: at most ${roomsPerConnection} on one connection (limits.roomsPerConnection)`;
    throw Refusal.invalid('room', message);
  }

  /**
   * For who connects. Throws a 429 `Refusal` where its address has opened enough rooms, a 503 where
   * there is no room for more rooms.
   */
  checkConnect(rooms: readonly string[], entrant: Entrant): void {
    const made = this.#made(rooms).length;
    if (made === 0) return;
    if (this.#isLimited(entrant)) this.#checkAddress(countedAs(entrant.address), made);
    const { limits, roomCount } = this.#options;
    if (roomCount() + made <= limits.rooms) return;
    throw tooMany(503, `there are ${roomCount()} rooms, the most there may be (limits.rooms)`);
  }

  /**
   * For who is connected and wants one more. Throws a 403 `Refusal` where it is in enough, since
   * waiting does not help it; a 429 and a 503 as above.
   */
  checkSubscribe(room: string, joined: ReadonlySet<string>, entrant: Entrant): void {
    if (joined.has(room)) return;
    const { roomsPerConnection } = this.#options.limits;
    if (joined.size >= roomsPerConnection) {
      throw new Refusal(
        403,
        `this connection is in ${joined.size} rooms, the most there may be (limits.roomsPerConnection): unsubscribe from one first`,
        { reason: 'rooms' },
      );
    }
    this.checkConnect([room], entrant);
  }

  /**
   * To be called just before rooms are entered: those that do not exist yet count as opened by this
   * address for as long as they exist, whoever else is in them.
   */
  count(rooms: readonly string[], entrant: Entrant): void {
    if (!this.#isLimited(entrant)) return;
    const made = this.#made(rooms);
    if (made.length === 0) return;
    const address = countedAs(entrant.address);
    const opener = this.#openers.get(address) ?? { address, rooms: new Set(), sweptAtMs: 0 };
    const atMs = this.#options.clock.monotonic();
    for (const room of made) {
      this.#forgetSome();
      this.#forget(room);
      this.#opened.set(room, { opener, atMs });
      opener.rooms.add(room);
    }
    // Last: it was forgotten if one of these was all it had.
    this.#openers.set(address, opener);
  }

  #isLimited({ isLocal }: Entrant): boolean {
    return !isLocal && this.#options.limits.roomsPerAddress !== Number.POSITIVE_INFINITY;
  }

  /** Those that would come to exist, without those that may always. */
  #made(rooms: readonly string[]): string[] {
    const { exists, isNamed } = this.#options;
    return rooms.filter((room) => !exists(room) && !isNamed(room));
  }

  #checkAddress(address: string, made: number): void {
    const { roomsPerAddress } = this.#options.limits;
    const opener = this.#openers.get(address);
    const hasEnough = () => (opener?.rooms.size ?? 0) + made > roomsPerAddress;
    if (opener && hasEnough()) this.#forgetEnded(opener);
    if (!hasEnough()) return;
    throw tooMany(
      429,
      `${address} has opened ${opener?.rooms.size ?? 0} rooms that are still there: at most ${roomsPerAddress} (limits.roomsPerAddress)`,
      'too many rooms from this address',
    );
  }

  /** Nobody says when a room ends, so it is noticed here, not at every refusal. */
  #forgetEnded(opener: Opener): void {
    const now = this.#options.clock.monotonic();
    if (now - opener.sweptAtMs < SWEEP_MS) return;
    opener.sweptAtMs = now;
    for (const room of opener.rooms) this.#forgetIfEnded(room);
  }

  #forgetSome(): void {
    for (let looks = 0; looks < LOOKS; looks++) {
      const next = this.#sweep.next();
      if (next.done) {
        this.#sweep = this.#opened.keys();
        return;
      }
      this.#forgetIfEnded(next.value);
    }
  }

  #forgetIfEnded(room: string): void {
    const { exists, clock } = this.#options;
    const atMs = this.#opened.get(room)?.atMs;
    if (atMs === undefined || clock.monotonic() - atMs < COMING_MS || exists(room)) return;
    this.#forget(room);
  }

  #forget(room: string): void {
    const opener = this.#opened.get(room)?.opener;
    if (!opener) return;
    this.#opened.delete(room);
    opener.rooms.delete(room);
    if (opener.rooms.size === 0) this.#openers.delete(opener.address);
  }
}

function tooMany(status: 429 | 503, detail: string, reason: string = CLOSE.full.reason): Refusal {
  const after = retryAfterMs(FULL_MS, 0);
  return new Refusal(status, detail, {
    reason: 'rooms',
    retryAfterMs: after,
    closing: { ...CLOSE.full, reason, retryAfterMs: after },
  });
}
