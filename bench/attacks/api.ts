/** What good clients have seen between `begin` and `end`. */
export interface Seen {
  /** Ticks whose `previous` is later than the newest that the client had: breaks of the chain. */
  readonly missed: number;
  /** Instants of the clock that a client got no tick for, all clients together. */
  readonly absent: number;
  /** Clients whose connection is gone, now. */
  readonly gone: number;
  /** From `due` until received, in milliseconds, 99th percentile; nothing where no tick came. */
  readonly p99Ms?: number;
}

/** A process with good clients, each in one room with a clock of a second. */
export interface WatchersApi {
  open(options: { port: number; count: number; room: string; isProxy: boolean }): Promise<void>;
  begin(): void;
  /** Counts instants up to that time, in milliseconds since the epoch. */
  end(options: { untilMs: number }): Seen;
}

export interface Place {
  readonly port: number;
  readonly seconds: number;
}

/** Sends a request, waits until the server hangs up, and begins again. `{n}` in it is a new number each time. */
export interface Repeat {
  readonly kind: 'repeat';
  readonly request: string;
  readonly connections: number;
}

/** Sends requests one behind the other for as long as the socket takes them. */
export interface Pipeline {
  readonly kind: 'pipeline';
  readonly request: string;
  readonly connections: number;
  readonly reads: boolean;
  /** Sends so much on each socket and no more. */
  readonly mostBytes?: number;
}

/** WebSockets in rooms that send frames at a rate each. */
export interface Talk {
  readonly kind: 'talk';
  readonly path: string;
  readonly connections: number;
  /** Sent by turns. */
  readonly lines: readonly string[];
  readonly perSecond: number;
}

/** WebSockets that send pings and pongs as fast as the server reads. */
export interface Control {
  readonly kind: 'control';
  readonly path: string;
  readonly connections: number;
}

/** WebSockets that join rooms and stay; `{n}` in the path is the number of the connection. */
export interface Join {
  readonly kind: 'join';
  readonly path: string;
  readonly connections: number;
  readonly reads: boolean;
  readonly headers?: string;
  /** Whether they stay when the call is over: what other attacks need. */
  readonly stays?: boolean;
}

/** Sockets that say this, if anything, and no more; those that the server cuts come again. */
export interface Bare {
  readonly kind: 'bare';
  readonly says: string;
  readonly connections: number;
}

/** An operator's call, again when it was answered, at most so often. */
export interface Operate {
  readonly kind: 'operate';
  readonly request: string;
  readonly perSecond: number;
}

export type Attack = Repeat | Pipeline | Talk | Control | Join | Bare | Operate;

export interface AttackersApi {
  /** Resolves when the time is over, to how much was done: requests, frames or sockets. */
  attack(options: { attack: Attack; place: Place }): Promise<number>;
}
