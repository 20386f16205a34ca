import type { Retention } from '../log/log.ts';

/** The bounds of queues and of work; a limit that is off is `Infinity`. */
export interface HubLimits {
  /** Bytes of JSON in an event's data. */
  readonly eventBytes: number;
  /** How long writing to many connections may hold the event loop in one go. */
  readonly fanoutSliceMs: number;
  /** Above so many unsent bytes of a connection its ticks are replaced by newer ones. */
  readonly conflateAboveBytes: number;
  /**
   * A connection that stays above so many unsent bytes for `slowSeconds`, or comes above twice as many,
   * is closed.
   */
  readonly maxBufferedBytes: number;
  readonly slowSeconds: number;
  /** Of all connections together; above it those with most unsent bytes are closed. */
  readonly totalBufferedBytes: number;
  /** How many rooms there may be. */
  readonly rooms: number;
  /** How many messages are retained, and how much memory they may take. */
  readonly retained: number;
  readonly retainedBytes: number;
}

/** What the hub needs of the configuration in force. */
export interface HubSettings {
  readonly limits: HubLimits;
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
  /** Whether ticks in a room may be replaced by newer ones for a slow client. */
  conflates(room: string): boolean;
}

/** Holds the snapshot in force, which a reload replaces: read `current` at each use, and keep none of it. */
export interface CurrentSettings {
  readonly current: HubSettings;
}
