import { Refusal, retryAfterMs } from '../hub/errors.ts';
import type { Hub } from '../hub/hub.ts';
import type { Limits } from '../limits.ts';
import { CLOSE } from '../protocol/close-reason.ts';
import { countedAs, type LimitedClient, type Slot } from './connection-limits.ts';

/** What the limiter reads of the configuration in force. */
export interface RoomLimiterSettings {
  readonly limits: Pick<Limits, 'rooms' | 'roomsPerConnection' | 'roomsPerAddress'>;
  readonly rooms: {
    /** Whether a rule names the room exactly: these limits do not apply to it. */
    isNamed(room: string): boolean;
  };
}

export interface RoomLimiterParts {
  readonly settings: { readonly current: RoomLimiterSettings };
  readonly hub: Pick<Hub, 'roomCount' | 'hasRoom'>;
}

/** Least retry time at a limit of rooms: about as long as it takes until a room ends. */
const FULL_MS = 10_000;

/** An address, and the rooms that exist because one of its connections entered them first. */
interface Opener {
  readonly address: string;
  readonly rooms: Set<string>;
}

/** A room that was granted to joins which are still under way. */
interface GrantedRoom {
  readonly name: string;
  joins: number;
  /** Whether it exists by now: then `roomCount` includes it. */
  exists: boolean;
}

/** Limits how many rooms there are, how many of them through one address, and how many a connection is in. */
export class RoomLimiter {
  readonly #parts: RoomLimiterParts;
  readonly #openers = new Map<string, Opener>();
  /** Each room with the address that opened it. */
  readonly #opened = new Map<string, Opener>();
  readonly #granted = new Map<string, GrantedRoom>();
  /** Number of granted rooms that do not exist. */
  #missing = 0;

  constructor(parts: RoomLimiterParts) {
    this.#parts = parts;
  }

  /** How many rooms are remembered with an address. */
  get remembered(): number {
    return this.#opened.size;
  }

  /** Throws a 400 `Refusal` for more names than one connection may be in. */
  checkNumber(rooms: readonly string[]): void {
    const { roomsPerConnection } = this.#parts.settings.current.limits;
    if (rooms.length <= roomsPerConnection) return;
    const message = `${rooms.length} rooms are named: at most ${roomsPerConnection} on one connection (limits.roomsPerConnection)`;
    throw Refusal.invalid('room', message);
  }

  /**
   * For a client that connects. Throws a 429 `Refusal` where its address has opened enough rooms, a 503
   * where there may be no more rooms.
   */
  checkConnect(rooms: readonly string[], client: LimitedClient): void {
    const added = this.#newOf(rooms).length;
    if (added === 0) return;
    if (this.#isLimited(client)) this.#checkAddress(countedAs(client.address), added);
    const { limits } = this.#parts.settings.current;
    if (this.#parts.hub.roomCount + this.#missing + added <= limits.rooms) return;
    throw full(503, 'there may be no more rooms (limits.rooms)');
  }

  /**
   * Checks a connection that is about to subscribe to another room. Throws a `Refusal`: 403 where it is in
   * `roomsPerConnection` rooms already, since waiting does not help; 429 where its address has opened too
   * many rooms; 503 where there may be no more rooms.
   */
  checkSubscribe(room: string, joined: ReadonlySet<string>, client: LimitedClient): void {
    if (joined.has(room)) return;
    const { roomsPerConnection } = this.#parts.settings.current.limits;
    if (joined.size >= roomsPerConnection) {
      throw new Refusal(
        403,
        `this connection is in ${joined.size} rooms, the most there may be (limits.roomsPerConnection): unsubscribe from one first`,
        { reason: 'rooms' },
      );
    }
    this.checkConnect([room], client);
  }

  /**
   * Counts the rooms of an admitted client until its join is over, and the slot is released. A room that
   * does not exist, or ends meanwhile, counts in `limits.rooms` until then. A room that this address opens
   * counts in its `roomsPerAddress` for as long as the room exists, also when only other clients are in it.
   */
  reserve(rooms: readonly string[], client: LimitedClient): Slot {
    if (this.#isLimited(client)) this.#open(this.#newOf(rooms), client.address);
    let granted = rooms.map((room) => this.#grant(room));
    return {
      release: () => {
        for (const room of granted) this.#release(room);
        granted = [];
      },
    };
  }

  /** To be called when a room has come to exist. */
  made(room: string): void {
    this.#setExists(room, true);
  }

  /** To be called when a room has ceased to exist. */
  ended(room: string): void {
    this.#setExists(room, false);
    if (!this.#granted.has(room)) this.#forget(room);
  }

  #isLimited({ isLocal }: LimitedClient): boolean {
    return !isLocal && this.#parts.settings.current.limits.roomsPerAddress !== Number.POSITIVE_INFINITY;
  }

  /** The rooms that this client would open, without those that a rule names exactly. */
  #newOf(rooms: readonly string[]): string[] {
    const { hub, settings } = this.#parts;
    return rooms.filter(
      (room) => !hub.hasRoom(room) && !this.#granted.has(room) && !settings.current.rooms.isNamed(room),
    );
  }

  #checkAddress(address: string, added: number): void {
    const { roomsPerAddress } = this.#parts.settings.current.limits;
    const opened = this.#openers.get(address)?.rooms.size ?? 0;
    if (opened + added <= roomsPerAddress) return;
    const detail = `${address} has opened ${opened} rooms that are still there: at most ${roomsPerAddress} (limits.roomsPerAddress)`;
    throw full(429, detail, 'too many rooms from this address');
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

  #grant(name: string): GrantedRoom {
    let granted = this.#granted.get(name);
    if (!granted) {
      granted = { name, joins: 0, exists: this.#parts.hub.hasRoom(name) };
      this.#granted.set(name, granted);
      if (!granted.exists) this.#missing++;
    }
    granted.joins++;
    return granted;
  }

  #release(room: GrantedRoom): void {
    room.joins--;
    if (room.joins > 0) return;
    this.#granted.delete(room.name);
    if (room.exists) return;
    this.#missing--;
    this.#forget(room.name);
  }

  #setExists(room: string, exists: boolean): void {
    const granted = this.#granted.get(room);
    if (!granted || granted.exists === exists) return;
    granted.exists = exists;
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

function full(status: 429 | 503, detail: string, reason: string = CLOSE.full.reason): Refusal {
  const retryMs = retryAfterMs(FULL_MS, 0);
  return new Refusal(status, detail, {
    reason: 'rooms',
    retryAfterMs: retryMs,
    closing: { ...CLOSE.full, reason, retryAfterMs: retryMs },
  });
}
