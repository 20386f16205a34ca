import type { Limits } from '../limits.ts';
import type { Retention } from '../log/log.ts';
import type { Subscriber } from './subscriber.ts';

/** What the hub needs of the configuration in force. */
export interface HubSettings {
  readonly limits: Limits;
  /** Sent to clients in `hello`. */
  readonly heartbeatSeconds: number;
  /** How long an empty room is remembered. */
  readonly emptyRoomSeconds: number;
  /** How much is kept of a room. */
  retentionOf(room: string): Retention;
  /** How many of the newest messages a client gets that joins a room without an id. */
  joinHistoryOf(room: string): number;
  /** Whether a rule names the room exactly: `limits.rooms` does not refuse it. */
  isNamed(room: string): boolean;
  /** Whether a rule is meant for the room: one that matches it and is not for every room. */
  isExpected(room: string): boolean;
  /** Whether the rule of the room lets a client with this token, or without one, listen in it. */
  mayListen(room: string, subscriber: Subscriber | undefined): boolean;
  /** Whether ticks in a room may be replaced by newer ones for a slow client. */
  conflates(room: string): boolean;
}

/** Holds the snapshot in force, which a reload replaces: read `current` at each use, and keep none of it. */
export interface CurrentSettings {
  readonly current: HubSettings;
}
