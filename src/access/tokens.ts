import { createHash, timingSafeEqual } from 'node:crypto';
import { Refusal } from '../hub/errors.ts';
import { type RoomMatcher, roomsMatcher } from '../hub/event.ts';

/** A `viewer` reads, an `operator` also acts, a `publisher` sends messages to its rooms and does nothing else. */
export const ROLES = ['viewer', 'operator', 'publisher'] as const;
export type Role = (typeof ROLES)[number];

/** A token as it is kept: the SHA-256 of its UTF-8 bytes in 64 hexadecimal digits, never the token itself. */
export interface TokenEntry {
  readonly name: string;
  readonly role: Role;
  /** Patterns of the rooms that a publisher may send to; other roles have none. */
  readonly rooms?: readonly string[];
  readonly sha256: string;
}

/** Whose token a request carries. */
export interface TokenHolder extends TokenEntry {
  /**
   * Whether one of its patterns covers a room, or a pattern of rooms: the `*` of that is then a character
   * that only a `*` covers. False for everything where it has none.
   */
  readonly covers: RoomMatcher;
}

/** Finds the holder of a token; null: the token is not known. */
export type TokenCheck = (token: string) => TokenHolder | null;

/**
 * Builds the check for a list of tokens. It takes the same time whichever token is right, and
 * however much of a wrong one is. Throws a `TypeError` for what is no SHA-256.
 */
export function tokenCheck(entries: readonly TokenEntry[]): TokenCheck {
  const known = entries.map((entry) => {
    const digest = Buffer.from(entry.sha256, 'hex');
    if (digest.length !== 32)
      throw new TypeError(`token "${entry.name}": sha256 must be 64 hexadecimal digits`);
    return { holder: { ...entry, covers: roomsMatcher(entry.rooms ?? []) }, digest };
  });
  return (token) => {
    // Node reads header bytes as Latin-1; encoded the same way, a token in UTF-8 has its own bytes again.
    const digest = createHash('sha256').update(token, 'latin1').digest();
    let found: TokenHolder | null = null;
    for (const each of known) {
      if (timingSafeEqual(each.digest, digest)) found ??= each.holder;
    }
    return found;
  };
}

/**
 * Finds the holder of the token in the `Authorization: Bearer` header. A token in the address is not
 * accepted, since it would end up in logs and histories. Throws a 401 `Refusal`.
 */
export function tokenHolder(request: Request, check: TokenCheck): TokenHolder {
  const authorization = request.headers.get('authorization');
  const token = authorization?.match(/^Bearer +(\S+)$/i)?.[1];
  const holder = token === undefined ? null : check(token);
  if (holder !== null) return holder;
  throw new Refusal(401, whyUnknown(request, authorization, token), {
    headers: { 'WWW-Authenticate': 'Bearer' },
  });
}

function whyUnknown(request: Request, authorization: string | null, token: string | undefined): string {
  if (token !== undefined) return 'this token is not known here';
  if (authorization !== null) return 'the Authorization header must read "Bearer <token>"';
  const inAddress = new URL(request.url).searchParams.has('access_token');
  return inAddress
    ? 'a token is not taken from the address: send the header "Authorization: Bearer <token>"'
    : 'a token is needed: send the header "Authorization: Bearer <token>"';
}
