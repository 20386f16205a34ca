import type { Peer } from '../hub/connection.ts';
import { Refusal, shown } from '../hub/errors.ts';
import { DEVICE_ACCEPTS, isDeviceName, isRoomName, ROOM_ACCEPTS } from '../hub/event.ts';
import type { Client, ClientAddresses } from './client-address.ts';
import { type Seat, type Seats, seatLeftBy } from './connection-limits.ts';
import type { Origins } from './origins.ts';
import type { Reservation, RoomLimits } from './room-limits.ts';
import type { RoomRules } from './room-rules.ts';

/** Somebody before a room: over WebSocket, SSE or plain HTTP, they are all asked the same. */
export interface Caller {
  /** Path and query; scheme and host are not looked at. */
  readonly url: URL;
  /** A header by its lower-case name. */
  readonly header: (name: string) => string | undefined;
  /** The other end of the socket; behind a proxy that is the proxy. */
  readonly peerAddress: string | undefined;
}

/** What somebody may have. */
export interface Admission {
  readonly rooms: readonly string[];
  readonly peer: Peer;
  /** The id after which messages were missed. */
  readonly since: string | undefined;
}

/** What somebody may have who stays, and the place that was taken for it. */
export interface Entry extends Admission {
  readonly seat: Seat;
  /** Of its rooms; leaving the seat cancels it. */
  readonly reservation: Reservation;
}

export interface AccessRules {
  readonly clients: ClientAddresses;
  readonly origins: Origins;
  readonly rooms: RoomRules;
  readonly roomLimits: RoomLimits;
  readonly seats: Seats;
  /** Why nobody is let in at the moment. */
  readonly closed: () => Refusal | undefined;
  /** Why a room cannot be entered at the moment. */
  readonly lockOf: (room: string) => Refusal | undefined;
  /** Hears of each origin that was turned away. */
  readonly onOriginRefused: (origin: string, detail: string) => void;
}

/** How much of an origin that is turned away is kept: enough to tell it from another. */
const LONGEST_ORIGIN = 200;
/** How much of a `User-Agent` is remembered. */
const LONGEST_KEPT = 256;

/**
 * The one decision that guards rooms, for all representations. Checks in the order in which the
 * answers matter: names (400), host (421), origin (403), the room's rule (401, 403), and last what
 * passes by itself (503, 423). Throws a `Refusal`.
 */
export function admit(caller: Caller, rules: AccessRules): Admission {
  return decide(caller, rules).admission;
}

/**
 * As `admit`, for a connection that stays: takes a place for it, which it has to leave. Throws a
 * `Refusal`, also where a limit is reached (503, 429).
 */
export function enter(caller: Caller, rules: AccessRules): Entry {
  const { admission, client } = decide(caller, rules);
  rules.roomLimits.checkConnect(admission.rooms, client);
  const taken = rules.seats.take(client);
  const reservation = rules.roomLimits.reserve(admission.rooms, client);
  const seat = seatLeftBy(() => {
    taken.leave();
    reservation.cancel();
  });
  return { ...admission, seat, reservation };
}

function decide(caller: Caller, rules: AccessRules): { admission: Admission; client: Client } {
  const rooms = roomsOf(caller.url);
  // Before each of them is looked up in all rules.
  rules.roomLimits.checkNumber(rooms);
  const device = deviceOf(caller.url);
  const client = checkOrigin(caller, rules);
  for (const room of rooms) rules.rooms.checkSubscribe(room);
  const closed = rules.closed();
  if (closed) throw closed;
  const locks = rooms.map((room) => rules.lockOf(room));
  // Who asks for several rooms gets those that are open; only where none is, is it a refusal.
  if (locks.every((lock) => lock !== undefined)) throw locks[0];
  const userAgent = copied(caller.header('user-agent'));
  const admission = {
    rooms,
    // After a reconnect the header is newer than the address that the page was loaded with.
    since: caller.header('last-event-id') || caller.url.searchParams.get('since') || undefined,
    peer: { remoteAddress: client.address, ...(device && { device }), ...(userAgent && { userAgent }) },
  };
  return { admission, client };
}

/** Host and origin alone, for what is not in a room. Throws a `Refusal`. */
export function checkOrigin(
  caller: Caller,
  rules: Pick<AccessRules, 'clients' | 'origins' | 'onOriginRefused'>,
): Client {
  const host = caller.header('host');
  const origin = caller.header('origin');
  const client = rules.clients.of(caller.peerAddress, caller.header);
  rules.origins.checkHost(host);
  try {
    rules.origins.check(origin, host, client.protocol);
  } catch (refusal) {
    if (refusal instanceof Refusal && origin !== undefined) {
      rules.onOriginRefused(origin.slice(0, LONGEST_ORIGIN), refusal.message);
    }
    throw refusal;
  }
  return client;
}

/** The rooms that an address names: `/rooms/{room}`, or `/rooms?room=a&room=b`. Throws a `Refusal`. */
export function roomsOf(url: URL): readonly string[] {
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

/** An empty device is none: pages with nothing to say must not share one. */
function deviceOf(url: URL): string | undefined {
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

/** As much of a header as is kept with a connection; a slice alone would keep all of it in memory. */
function copied(header: string | undefined): string | undefined {
  return header === undefined ? undefined : Buffer.from(header.slice(0, LONGEST_KEPT)).toString();
}
