import { CLOSE } from '../hub/close-reason.ts';
import { Refusal, retryAfterMs } from '../hub/errors.ts';
import type { Client } from './client-address.ts';
import { countedAs } from './connection-limits.ts';

/** Read again for each room; `Infinity` is no limit. */
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
}

/** Who wants to enter. */
export type Entrant = Pick<Client, 'address' | 'isLocal'>;

/** A room that somebody has to leave first comes free after about this, and a time at random. */
const FULL_MS = 10_000;

/** An address, and the rooms that did not exist before one of its connections entered them. */
interface Opener {
  readonly address: string;
  readonly rooms: Set<string>;
}

/** A room that was granted to joins that are not over yet. */
interface Coming {
  readonly room: string;
  joins: number;
  /** Whether it does now: then it is counted with the other rooms. */
  exists: boolean;
}

/** Rooms that were granted to a join: until it is over they count, whether or not they exist. */
export interface Reservation {
  /** To be called when the join begins: it ends the reservation, however it ends, and nothing else does. */
  until(joined: Promise<unknown>): void;
  /** Ends the reservation where no join has begun. */
  cancel(): void;
}

/** How many rooms there may be, how many of them through one address, and how many a connection may be in. */
export class RoomLimits {
  readonly #options: RoomLimitsOptions;
  readonly #openers = new Map<string, Opener>();
  /** Each room with the address that opened it. */
  readonly #opened = new Map<string, Opener>();
  readonly #coming = new Map<string, Coming>();
  /** How many of those that are coming do not exist. */
  #missing = 0;

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
    const made = this.#newOf(rooms).length;
    if (made === 0) return;
    if (this.#isLimited(entrant)) this.#checkAddress(countedAs(entrant.address), made);
    const { limits, roomCount } = this.#options;
    const count = roomCount() + this.#missing;
    if (count + made <= limits.rooms) return;
    throw tooMany(503, `there are ${count} rooms, and there may be ${limits.rooms} (limits.rooms)`);
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
   * To be called when rooms are granted. Those that do not exist, or end meanwhile, count for everybody
   * until the join is over; and new ones as opened by this address for as long as they exist, whoever
   * else is in them.
   */
  reserve(rooms: readonly string[], entrant: Entrant): Reservation {
    if (this.#isLimited(entrant)) this.#open(this.#newOf(rooms), entrant.address);
    const coming = rooms.map((room) => this.#expect(room));
    return reservation(() => {
      for (const each of coming) this.#release(each);
    });
  }

  /** To be called when a room has come to exist. */
  made(room: string): void {
    this.#setExists(room, true);
  }

  /** To be called when a room has ceased to exist. */
  ended(room: string): void {
    this.#setExists(room, false);
    if (!this.#coming.has(room)) this.#forget(room);
  }

  #isLimited({ isLocal }: Entrant): boolean {
    return !isLocal && this.#options.limits.roomsPerAddress !== Number.POSITIVE_INFINITY;
  }

  /** Those that would come to exist and are not counted yet, without those that may always. */
  #newOf(rooms: readonly string[]): string[] {
    const { exists, isNamed } = this.#options;
    return rooms.filter((room) => !exists(room) && !this.#coming.has(room) && !isNamed(room));
  }

  #checkAddress(address: string, made: number): void {
    const { roomsPerAddress } = this.#options.limits;
    const opened = this.#openers.get(address)?.rooms.size ?? 0;
    if (opened + made <= roomsPerAddress) return;
    throw tooMany(
      429,
      `${address} has opened ${opened} rooms that are still there: at most ${roomsPerAddress} (limits.roomsPerAddress)`,
      'too many rooms from this address',
    );
  }

  #open(rooms: readonly string[], from: string): void {
    if (rooms.length === 0) return;
    const address = countedAs(from);
    const opener = this.#openers.get(address) ?? { address, rooms: new Set() };
    this.#openers.set(address, opener);
    for (const room of rooms) {
      this.#opened.set(room, opener);
      opener.rooms.add(room);
    }
  }

  #expect(room: string): Coming {
    let coming = this.#coming.get(room);
    if (!coming) {
      coming = { room, joins: 0, exists: this.#options.exists(room) };
      this.#coming.set(room, coming);
      if (!coming.exists) this.#missing++;
    }
    coming.joins++;
    return coming;
  }

  #release(coming: Coming): void {
    coming.joins--;
    if (coming.joins > 0) return;
    this.#coming.delete(coming.room);
    if (coming.exists) return;
    this.#missing--;
    this.#forget(coming.room);
  }

  #setExists(room: string, exists: boolean): void {
    const coming = this.#coming.get(room);
    if (!coming || coming.exists === exists) return;
    coming.exists = exists;
    this.#missing += exists ? -1 : 1;
  }

  #forget(room: string): void {
    const opener = this.#opened.get(room);
    if (!opener) return;
    this.#opened.delete(room);
    opener.rooms.delete(room);
    if (opener.rooms.size === 0) this.#openers.delete(opener.address);
  }
}

function reservation(release: () => void): Reservation {
  let isOver = false;
  const end = () => {
    if (isOver) return;
    isOver = true;
    release();
  };
  let hasBegun = false;
  return {
    until(joined) {
      hasBegun = true;
      joined.then(end, end);
    },
    cancel() {
      if (!hasBegun) end();
    },
  };
}

function tooMany(status: 429 | 503, detail: string, reason: string = CLOSE.full.reason): Refusal {
  const after = retryAfterMs(FULL_MS, 0);
  return new Refusal(status, detail, {
    reason: 'rooms',
    retryAfterMs: after,
    closing: { ...CLOSE.full, reason, retryAfterMs: after },
  });
}
