import type { Bin, Spread } from '../statistics.ts';
import type { Transport } from './client.ts';

export interface OpenOptions {
  readonly transport: Transport;
  readonly port: number;
  /** They are spread evenly over this many rooms, `room-0` and so on. */
  readonly rooms?: number;
  readonly prefix?: string;
  readonly count: number;
  /** The number of the first one, where others were opened before. */
  readonly first?: number;
  /** How many are under way at a time. */
  readonly atOnce?: number;
  /** Where it is said, whether or not, it is followed how far each has come. */
  readonly stalls?: boolean;
  /** Otherwise it is an error if some do not get in. */
  readonly mayFail?: boolean;
  /** Whether to take the times of each event from its text. */
  readonly times?: boolean;
}

export interface Opened {
  readonly ms: number;
  /** How long each took from the call until it was in. */
  readonly each: Spread;
  readonly failed: number;
}

/** What came in since the start, all connections together. */
export interface Received {
  readonly events: number;
  readonly bytes: number;
}

/** What came in between two instants that a schedule is due at. */
export interface Wave {
  readonly events: number;
  /** When the last of it was there, after the instant. */
  readonly lastMs: number;
}

/** Of events whose times were taken, in milliseconds. */
export interface Times {
  /** From `tick.due` until `time`. */
  readonly late: Spread;
  readonly lateness: readonly Bin[];
  /** From `tick.due` until it was here. */
  readonly all: Spread;
  /** The oldest and the newest `tick.due`, in milliseconds since the epoch. */
  readonly firstDue: number;
  readonly lastDue: number;
}

export interface Fates {
  /** Those who are open and have a tick that was due since the given time. */
  readonly upToDate: number;
}

/** What the process that is the load can be asked for. */
export interface LoadApi {
  open(options: OpenOptions): Promise<Opened>;
  received(): Received;
  /** From here on waves are told apart. */
  watchWaves(options: { everyMs: number }): void;
  /** All whole waves since the last call. */
  waves(): Wave[];
  /** Of everything since the last call. */
  times(): Times;
  /** Those who stalled read again. */
  wake(): void;
  fates(options: { sinceMs: number }): Fates;
  closeAll(): void;
}
