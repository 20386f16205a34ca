import type { RoomMatcher } from './event.ts';

/** What the token of a client allows. */
export interface Subscriber {
  readonly user: string | undefined;
  /** The rooms whose rule asks for a token. */
  readonly mayJoin: RoomMatcher;
  readonly mayPublish: RoomMatcher;
  /** When the token expires, milliseconds since the epoch; absent: never. */
  readonly expiresAtMs: number | undefined;
  /** When the connection is closed: some seconds later, since clocks differ. `Infinity`: never. */
  readonly endsAtMs: number;
}
