import type { Clock } from '../clock.ts';
import type { TokenOption } from './token.ts';
import type { TransportOptions } from './transports.ts';

export interface ConnectOptions extends TransportOptions {
  /** The rooms to listen to, at least one. */
  readonly rooms: readonly string[];
  /**
   * Of a listener: a token, or a function that gives one. The function is called before each attempt to connect,
   * and before the token runs out.
   */
  readonly token?: TokenOption;
  /** A name of this device, shown to administrators, who may address it. */
  readonly device?: string | undefined;
  /** The last id that was seen before: messages since then are handed over first. */
  readonly since?: string | undefined;
  /**
   * For a screen that no person looks after: where the server said to stay away, or to come back much later, it
   * tries again after about this time all the same.
   */
  readonly lookAgainMs?: number | undefined;
  /** The time and timers; for tests. */
  readonly clock?: Clock;
}

export interface PublishOptions {
  /** May be left out where the client is in one room. */
  readonly room?: string;
  /** Default `message`. */
  readonly event?: string;
  /** Anything that is JSON. */
  readonly data: unknown;
  /** False: this client does not get it. Default true. */
  readonly self?: boolean;
}
