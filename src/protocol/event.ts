/**
 * What server and clients agree on: the objects that travel between them, without their `data`. This folder
 * runs in browsers and Node and imports nothing, so that client and server depend on it and not on each other.
 */

/** The instant that a tick stands for, and its neighbours; all instants RFC 3339. */
export interface Tick {
  readonly schedule: string;
  readonly due: string;
  /** The `due` of the tick of this schedule sent before; null: the first since start. */
  readonly previous: string | null;
  /** Null: the schedule is paused or over. */
  readonly next: string | null;
  /** `floor(due / every)`, with `every` only. */
  readonly seq?: number;
  /** Set on a run by hand, which the admin API asked for. */
  readonly manual?: true;
  /** The schedule sends no value that equals the one before: at `next` there may be no tick. */
  readonly when?: 'changed';
}

/** Who published: present on what a client published, absent on what the server or an administrator sent. */
export interface Sender {
  /** Absent where it came over plain HTTP, from a user with a token. */
  readonly connection?: string;
  readonly device?: string;
  readonly user?: string;
}

/**
 * An event without its `data`, which the server holds as JSON text and a client as a value. With `tick`
 * it is a tick (no id, not kept); with `id` it is a message (numbered, kept); with neither it is one of
 * the server's own events, or a message for devices, connections or users.
 */
export interface EventHead {
  readonly id?: string;
  /** Absent on what is addressed to devices, connections or users. */
  readonly room?: string;
  readonly event: string;
  /** When it was sent, RFC 3339. */
  readonly time: string;
  readonly tick?: Tick;
  readonly from?: Sender;
  /** Of a retained message: the newest of its key replaces the one before. */
  readonly key?: string;
  /** When a retained message ends, RFC 3339; absent: it stays until it is replaced or withdrawn. */
  readonly until?: string;
  /** Sent again, to a client that joined after it was sent. */
  readonly replay?: true;
  /** How many older ticks this one replaced for this connection, which was slow. */
  readonly conflated?: number;
}

/** Events that only the server sends. */
export const SERVER_EVENTS: ReadonlySet<string> = new Set([
  'hello',
  'closing',
  'status',
  'heartbeat',
  'withdrawn',
]);

/** Why the server did not do what a client asked for; `status` is one of HTTP. */
export interface ReplyError {
  readonly status: number;
  readonly title: string;
  readonly detail: string;
}

/** How events reach a client. */
export const TRANSPORTS = ['websocket', 'sse'] as const;
export type Transport = (typeof TRANSPORTS)[number];
