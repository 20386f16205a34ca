import type { ConnectionLimiter } from './access/connection-limits.ts';
import type { Clock } from './clock.ts';
import { inSlices } from './hub/backpressure.ts';
import type { Connection } from './hub/connection.ts';
import { Refusal } from './hub/errors.ts';
import type { Hub } from './hub/hub.ts';
import type { Limits } from './limits.ts';
import { CLOSE } from './protocol/close-reason.ts';

/** Phases of a server, which it passes through once and in this order. */
export type Phase = 'new' | 'starting' | 'running' | 'draining' | 'stopped';

export interface LifecycleParts {
  readonly clock: Clock;
  readonly settings: { readonly current: { readonly server: { readonly drainSeconds: number } } };
  readonly connections: Pick<ConnectionLimiter, 'returnAfterMs'>;
  /** Prepares what `begin` needs, such as a log on disk. */
  prepare(): Promise<void>;
  /** Starts all parts or, where it throws, none. */
  begin(): void;
  /** Closes what a failed start has opened. */
  abandon(): Promise<void>;
  /**
   * Drains over `drainMs` and ends all parts; at once when `signal` aborts. Called also where none was started.
   */
  end(drainMs: number, signal: AbortSignal): Promise<void>;
}

const WHY_NO_START: Readonly<Record<Exclude<Phase, 'new'>, string>> = {
  starting: 'the server is starting already: call start or run once',
  running: 'the server runs already: call start or run once',
  draining: 'the server is stopping: make another one with createBelfry',
  stopped: 'the server was stopped: make another one with createBelfry',
};

const WHY_CLOSED: Readonly<Record<Exclude<Phase, 'running'>, string>> = {
  new: 'the server has not started yet',
  starting: 'the server is starting',
  draining: 'the server is restarting',
  stopped: 'the server has stopped',
};

/** No client comes back earlier after the end of a drain: the next process needs about as long to start. */
const RESTART_MS = 1000;

/** The phase of a server, and the changes from one to the next. */
export class Lifecycle {
  readonly #parts: LifecycleParts;
  readonly #hurry = new AbortController();
  #phase: Phase = 'new';
  /** When the drain ends, on the monotonic clock; set once it has begun. */
  #drainEndsAtMs = 0;
  /** Resolves when a start is over, failed or not; never rejects. */
  #starting: Promise<unknown> | undefined;
  #stopping: Promise<void> | undefined;

  constructor(parts: LifecycleParts) {
    this.#parts = parts;
  }

  get phase(): Phase {
    return this.#phase;
  }

  /** Whether requests are answered: from the start to the end of the drain. */
  get isServing(): boolean {
    return this.#phase === 'running' || this.#phase === 'draining';
  }

  /** Whether clients are admitted. */
  get isOpen(): boolean {
    return this.#phase === 'running';
  }

  /** Throws a 503 `Refusal` where no client is admitted. */
  checkOpen(): void {
    if (this.#phase === 'running') return;
    const { clock, connections } = this.#parts;
    const drainLeftMs = this.#phase === 'draining' ? Math.max(this.#drainEndsAtMs - clock.monotonic(), 0) : 0;
    const after = connections.returnAfterMs(drainLeftMs + RESTART_MS);
    throw new Refusal(503, `${WHY_CLOSED[this.#phase]}: come back in a moment`, {
      reason: 'draining',
      retryAfterMs: after,
      closing: { ...CLOSE.restart, retryAfterMs: after },
    });
  }

  /**
   * From new to running; `open` makes the server reachable, by a port for example. Rejects with an
   * `AbortError` where `stop` was called meanwhile. Where it fails, the server is new again.
   */
  async start<Result>(open: () => Promise<Result>): Promise<Result> {
    if (this.#phase !== 'new') throw new Error(WHY_NO_START[this.#phase]);
    this.#phase = 'starting';
    const starting = this.#start(open);
    // The caller of `start` gets the error.
    this.#starting = starting.catch(() => {});
    return starting;
  }

  /** Stops from any phase. Every call returns the same promise, and any `signal` ends the drain at once. */
  stop(signal?: AbortSignal): Promise<void> {
    const hurry = () => this.#hurry.abort();
    if (signal?.aborted) hurry();
    this.#stopping ??= this.#stop();
    if (signal && this.#phase !== 'stopped') {
      signal.addEventListener('abort', hurry);
      const unlisten = () => signal.removeEventListener('abort', hurry);
      this.#stopping.then(unlisten, unlisten);
    }
    return this.#stopping;
  }

  /** Read again after each `await`, since `stop` may have been called. */
  get #isStarting(): boolean {
    return this.#phase === 'starting';
  }

  async #start<Result>(open: () => Promise<Result>): Promise<Result> {
    try {
      await this.#parts.prepare();
      if (!this.#isStarting) return aborted();
      const result = await open();
      if (!this.#isStarting) return aborted();
      this.#parts.begin();
      this.#phase = 'running';
      return result;
    } catch (error) {
      if (this.#isStarting) await this.#parts.abandon();
      if (this.#isStarting) this.#phase = 'new';
      throw error;
    }
  }

  async #stop(): Promise<void> {
    this.#phase = 'draining';
    try {
      await this.#starting;
      const { clock, settings } = this.#parts;
      const drainMs = settings.current.server.drainSeconds * 1000;
      this.#drainEndsAtMs = clock.monotonic() + drainMs;
      await this.#parts.end(drainMs, this.#hurry.signal);
    } finally {
      this.#phase = 'stopped';
    }
  }
}

function aborted(): never {
  throw new DOMException('the server was stopped while it was starting', 'AbortError');
}

/** Something that ends with `close`. */
export interface OpenSocket {
  readonly closed: boolean;
  once(event: 'close', listener: () => void): unknown;
  destroy(): unknown;
}

export interface ShutDownParts {
  readonly clock: Clock;
  readonly settings: { readonly current: { readonly limits: Pick<Limits, 'fanoutSliceMs'> } };
  readonly hub: Pick<Hub, 'close' | 'stop'>;
  readonly connections: Pick<ConnectionLimiter, 'returnAfterMs'>;
  readonly heartbeat: {
    readonly clients: Iterable<{ readonly connection: Connection; readonly socket: OpenSocket }>;
    stop(): void;
  };
  readonly upgrades: { readonly held: Iterable<OpenSocket> };
  readonly listener: { cut(): void; close(): Promise<void> };
  readonly schedules: { stop(): Promise<void> };
  readonly metrics: { stop(): void };
}

/** Closes the clients over `drainMs`, then ends every other part; at once when `signal` aborts. */
export async function shutDown(parts: ShutDownParts, drainMs: number, signal: AbortSignal): Promise<void> {
  const { clock, settings, hub, connections, heartbeat, upgrades, listener, schedules, metrics } = parts;
  const sliceMs = settings.current.limits.fanoutSliceMs;
  await drain({ clients: heartbeat.clients, connections, hub, clock, drainMs, sliceMs, signal });
  heartbeat.stop();
  const cut = () => listener.cut();
  signal.addEventListener('abort', cut);
  if (signal.aborted) cut();
  // Those on the server of another program are on no list of the listener.
  const sockets = [...[...heartbeat.clients].map(({ socket }) => socket), ...upgrades.held];
  await Promise.all([schedules.stop(), allClosed(sockets, { clock, signal }), listener.close()]);
  signal.removeEventListener('abort', cut);
  metrics.stop();
  hub.stop();
}

/** How often some of the clients are closed during a drain. */
const DRAIN_STEP_MS = 50;

/**
 * Closes every client with 1012, spread over `drainMs`, and tells each a time of its own after the drain to
 * reconnect at, so that they do not reconnect all at once. Resolves when all are closed, or `signal` aborts.
 */
export async function drain(options: {
  clients: Iterable<{ readonly connection: Connection }>;
  connections: Pick<ConnectionLimiter, 'returnAfterMs'>;
  hub: Pick<Hub, 'close'>;
  clock: Clock;
  drainMs: number;
  /** How long closing many may hold the event loop in one go, in milliseconds. */
  sliceMs: number;
  signal: AbortSignal;
}): Promise<void> {
  const { connections, hub, clock, drainMs, sliceMs, signal } = options;
  const open = [...options.clients].map(({ connection }) => connection);
  const startedAt = clock.monotonic();
  let closed = 0;
  while (closed < open.length && !signal.aborted) {
    const passedMs = clock.monotonic() - startedAt;
    const due = passedMs >= drainMs ? 1 : (passedMs + DRAIN_STEP_MS) / (drainMs + DRAIN_STEP_MS);
    const leftMs = Math.max(drainMs - passedMs, 0);
    const step = open.slice(closed, Math.ceil(due * open.length));
    const close = (connection: Connection) => {
      const after = connections.returnAfterMs(leftMs + RESTART_MS, open.length);
      if (!signal.aborted) hub.close(connection, { ...CLOSE.restart, retryAfterMs: after });
    };
    await inSlices(step, close, { clock, sliceMs });
    closed += step.length;
    if (closed < open.length) {
      await new Promise<void>((resolve) => clock.after(DRAIN_STEP_MS, resolve));
    }
  }
}

/** How long sockets may take to close by themselves. */
const CLOSE_MS = 1000;

/** Resolves when all sockets are closed: cut after a second, or as soon as `signal` aborts. */
async function allClosed(
  sockets: readonly OpenSocket[],
  { clock, signal }: { clock: Clock; signal: AbortSignal },
): Promise<void> {
  const open = sockets.filter(({ closed }) => !closed);
  if (open.length === 0) return;
  const cut = () => {
    for (const socket of open) socket.destroy();
  };
  const all = Promise.all(
    open.map((socket) => new Promise<void>((resolve) => socket.once('close', resolve))),
  );
  const cancel = clock.after(CLOSE_MS, cut);
  signal.addEventListener('abort', cut);
  if (signal.aborted) cut();
  await all;
  signal.removeEventListener('abort', cut);
  cancel();
}
