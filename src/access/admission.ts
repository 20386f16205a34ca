import type { Connection, Peer } from '../hub/connection.ts';
import { Refusal, shown } from '../hub/errors.ts';
import { DEVICE_ACCEPTS, isDeviceName, isRoomName, ROOM_ACCEPTS } from '../hub/event.ts';
import type { Hub } from '../hub/hub.ts';
import { firstToOpen } from '../hub/lock.ts';
import type { Subscriber } from '../hub/subscriber.ts';
import type { ClientAddress, ClientAddresses, HeaderSource } from './client-address.ts';
import type { ConnectionLimiter, Slot } from './connection-limits.ts';
import type { Origins } from './origins.ts';
import type { RoomLimiter } from './room-limits.ts';
import type { RoomRules } from './room-rules.ts';
import { type SubscriberTokens, tokenOf } from './subscriber-tokens.ts';

/** Path and query as a `URL` has them; scheme and host are not looked at. */
export type RequestTarget = Pick<URL, 'pathname' | 'searchParams'>;

/** A request for a room as access control sees it, over WebSocket, SSE or plain HTTP. */
export interface Caller extends HeaderSource {
  readonly url: RequestTarget;
  /** The other end of the socket; behind a proxy that is the proxy. */
  readonly peerAddress: string | undefined;
}

/** The result of admission for a request that is answered at once. */
export interface Admitted {
  readonly rooms: readonly string[];
  readonly peer: Peer;
  /** What the client's token allows; absent: it came without one. */
  readonly subscriber?: Subscriber | undefined;
  /** The id after which messages were missed. */
  readonly since: string | undefined;
}

/** The result for a client that stays connected, with the slots that have to be released for it. */
export interface AdmittedClient extends Admitted {
  /** To be released when the client has disconnected. */
  readonly slot: Slot;
  /** Counts its rooms while its join is under way; to be released after it. */
  readonly reservation: Slot;
}

/** What admission reads of the configuration in force. */
export interface AccessSettings {
  readonly addresses: ClientAddresses;
  readonly origins: Origins;
  readonly rooms: RoomRules;
  /** Absent: tokens of listeners are not looked at. */
  readonly subscribers?: Pick<SubscriberTokens, 'verify'> | undefined;
}

/** What a request asks for, once its names, its host and its origin are accepted. */
interface Asked {
  readonly caller: Caller;
  readonly rooms: readonly string[];
  readonly device: string | undefined;
  readonly client: ClientAddress;
  /** Not verified yet. */
  readonly token: string | undefined;
}

export interface AdmissionParts {
  readonly settings: { readonly current: AccessSettings };
  readonly connections: ConnectionLimiter;
  readonly rooms: RoomLimiter;
  readonly hub: Pick<Hub, 'refusalOf'>;
  readonly lifecycle: {
    /** Whether clients are admitted. */
    readonly isOpen: boolean;
    /** Throws a 503 `Refusal` where they are not. */
    checkOpen(): void;
  };
  /** Called for each refused origin. */
  readonly onOriginRefused: (origin: string, detail: string) => void;
}

/** Kept of a refused origin: enough to tell it from another. */
const MAX_ORIGIN_CHARACTERS = 200;
/** Kept of a `User-Agent`. */
const MAX_USER_AGENT_CHARACTERS = 256;

const NO_HEADERS: HeaderSource = { header: () => undefined };

/**
 * The one decision that guards rooms, for all representations. First, before any work for a client, whether
 * the server is draining, full, or asked for connections too fast (503); then in the order in which the
 * answers matter: names (400), host (421), origin (403), a token (401), the room's rule (401, 403), its lock
 * (423) and the limits of the client's address (429). Every call throws a `Refusal`.
 *
 * A client without a token is decided on at once. With one the decision takes a promise, which rejects with
 * the `Refusal`; what is cheaper than a signature is decided first.
 */
export class Admission {
  readonly #parts: AdmissionParts;
  /** The last one seen. Clients that send the same share one string, which saves memory. */
  #userAgent = '';

  constructor(parts: AdmissionParts) {
    this.#parts = parts;
  }

  /** Whether clients are admitted at the moment. */
  get isOpen(): boolean {
    return this.#parts.lifecycle.isOpen;
  }

  /** Throws a 503 `Refusal` where no client can stay connected at the moment, whatever it asks for. */
  checkCapacity(): void {
    this.#parts.lifecycle.checkOpen();
    this.#parts.connections.check();
  }

  /** For a request that is answered at once, without a subscription. */
  check(caller: Caller): Admitted | Promise<Admitted> {
    this.#parts.lifecycle.checkOpen();
    const asked = this.#asked(caller);
    const { token } = asked;
    return token === undefined ? this.#admit(asked, undefined) : this.#checkToken(asked, token);
  }

  /** For a client that subscribes: takes a slot for it. Throws a `Refusal` also where a limit is reached (503, 429). */
  enter(caller: Caller): AdmittedClient | Promise<AdmittedClient> {
    const { connections, rooms: limiter } = this.#parts;
    this.checkCapacity();
    const asked = this.#asked(caller);
    const { rooms, client, token } = asked;
    if (token !== undefined) return this.#enterWithToken(asked, token);
    const admitted = this.#admit(asked, undefined);
    limiter.checkConnect(rooms, client);
    const slot = connections.take(client);
    return { ...admitted, slot, reservation: limiter.reserve(rooms, client) };
  }

  /**
   * For a connection that subscribes to one more room: throws where the room's rule, or a limit, does not
   * let it (401, 403, 429, 503).
   */
  checkSubscribe(room: string, connection: Connection): void {
    this.#parts.settings.current.rooms.checkSubscribe(room, connection.subscriber);
    this.#parts.rooms.checkSubscribe(room, connection.rooms, this.#addressOf(connection));
  }

  /** Counts a room that a connection subscribes to, until its join is over. */
  reserveRoom(room: string, connection: Connection): Slot {
    return this.#parts.rooms.reserve([room], this.#addressOf(connection));
  }

  /** Throws a 403 where the room's rule does not let this member publish. */
  checkPublish(room: string, { subscriber }: Connection): void {
    this.#parts.settings.current.rooms.checkPublish(room, subscriber);
  }

  /**
   * Verifies a token that a connection sends in place of the one it came with. Rejects with a `Refusal`: 401
   * where it is wrong, 403 where it is of another user.
   */
  async renew(token: string, { subscriber: before }: Connection): Promise<Subscriber> {
    if (!this.#parts.settings.current.subscribers)
      throw new Refusal(409, 'tokens are not looked at here: the configuration has no "access"');
    if (!before) throw new Refusal(403, 'this connection came without a token: connect again with one');
    const subscriber = await this.#verified(token);
    if (!subscriber) throw new Refusal(409, 'tokens are not looked at any more: connect again without one');
    if (subscriber.user === before.user) return subscriber;
    throw new Refusal(403, 'the token is of another user than the one that this connection came with');
  }

  /** Whether a connection may stay in a room that it is in. */
  mayStay(room: string, { subscriber }: Connection): boolean {
    return this.#parts.settings.current.rooms.mayListen(room, subscriber);
  }

  /** Checks host and origin only, for requests outside rooms. */
  checkOrigin(caller: Caller): ClientAddress {
    const { addresses, origins } = this.#parts.settings.current;
    const host = caller.header('host');
    const origin = caller.header('origin');
    const client = addresses.of(caller.peerAddress, caller);
    origins.checkHost(caller);
    try {
      origins.check(origin, host, client.protocol);
    } catch (refusal) {
      if (refusal instanceof Refusal && origin !== undefined) {
        this.#parts.onOriginRefused(origin.slice(0, MAX_ORIGIN_CHARACTERS), refusal.message);
      }
      throw refusal;
    }
    return client;
  }

  #addressOf({ peer }: Connection): ClientAddress {
    return this.#parts.settings.current.addresses.of(peer.remoteAddress, NO_HEADERS);
  }

  #asked(caller: Caller): Asked {
    const { settings, rooms: limiter } = this.#parts;
    const rooms = roomsOf(caller.url);
    // First, since each name is then matched against every rule.
    limiter.checkNumber(rooms);
    const device = deviceOf(caller.url);
    const client = this.checkOrigin(caller);
    const token = settings.current.subscribers && tokenOf(caller);
    return { caller, rooms, device, client, token };
  }

  #admit({ caller, rooms, device, client }: Asked, subscriber: Subscriber | undefined): Admitted {
    const { settings, hub } = this.#parts;
    for (const room of rooms) settings.current.rooms.checkSubscribe(room, subscriber);
    const locks = rooms.flatMap((room) => hub.refusalOf(room) ?? []);
    // A client that asks for several rooms gets those that are open; only where none is, it is refused.
    if (locks.length === rooms.length) throw firstToOpen(locks);
    const user = subscriber?.user;
    const userAgent = this.#kept(caller.header('user-agent'));
    return {
      rooms,
      // After a reconnect the header is newer than the address that the page was loaded with.
      since: caller.header('last-event-id') || caller.url.searchParams.get('since') || undefined,
      peer: {
        remoteAddress: client.address,
        ...(device && { device }),
        ...(user && { user }),
        ...(userAgent && { userAgent }),
      },
      subscriber,
    };
  }

  async #checkToken(asked: Asked, token: string): Promise<Admitted> {
    return this.#admit(asked, await this.#verify(token));
  }

  /** The slot is taken before the token is verified: the limits then bound what is verified as well. */
  async #enterWithToken(asked: Asked, token: string): Promise<AdmittedClient> {
    const { connections, rooms: limiter } = this.#parts;
    const { rooms, client } = asked;
    const slot = connections.take(client);
    try {
      const admitted = this.#admit(asked, await this.#verify(token));
      limiter.checkConnect(rooms, client);
      return { ...admitted, slot, reservation: limiter.reserve(rooms, client) };
    } catch (error) {
      slot.release();
      throw error;
    }
  }

  async #verify(token: string): Promise<Subscriber | undefined> {
    const subscriber = await this.#verified(token);
    // The server may have been stopped meanwhile.
    this.#parts.lifecycle.checkOpen();
    return subscriber;
  }

  /** `undefined` where tokens are not looked at any more. */
  async #verified(token: string): Promise<Subscriber | undefined> {
    const { settings } = this.#parts;
    const { subscribers } = settings.current;
    const subscriber = await subscribers?.verify(token);
    // A reload may have replaced the keys meanwhile.
    return subscribers === settings.current.subscribers ? subscriber : this.#verified(token);
  }

  /** As much of a `User-Agent` as is kept with a connection. */
  #kept(header: string | undefined): string | undefined {
    const start = header?.slice(0, MAX_USER_AGENT_CHARACTERS);
    // A slice alone would keep all of the header in memory.
    if (start && start !== this.#userAgent) this.#userAgent = Buffer.from(start).toString();
    return start && this.#userAgent;
  }
}

/** The rooms that an address names: `/rooms/{room}`, or `/rooms?room=a&room=b`. Throws a `Refusal`. */
export function roomsOf(url: RequestTarget): readonly string[] {
  const [, top, name, ...rest] = url.pathname.split('/');
  if (top !== 'rooms' || rest.length > 0) {
    throw new Refusal(404, `there is nothing at ${shown(url.pathname)}: rooms are at /rooms/{room}`);
  }
  const names = name === undefined ? url.searchParams.getAll('room') : [decoded(name)];
  if (names.length === 0) {
    throw Refusal.invalid('room', 'no room is named: use /rooms/{room} or /rooms?room=a&room=b');
  }
  for (const room of names) {
    if (isRoomName(room)) continue;
    throw Refusal.invalid('room', `${shown(room)} is not a room name: ${ROOM_ACCEPTS}`);
  }
  return [...new Set(names)];
}

/** An empty device counts as none, so that clients which send `device=` do not share one. */
function deviceOf(url: RequestTarget): string | undefined {
  const device = url.searchParams.get('device') || undefined;
  if (device !== undefined && !isDeviceName(device)) {
    throw Refusal.invalid('device', `${shown(device)} is not a device: ${DEVICE_ACCEPTS}`);
  }
  return device;
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    const accepts = '% stands before two hexadecimal digits';
    throw Refusal.invalid('room', `${shown(text)} is not well encoded: ${accepts}`);
  }
}
