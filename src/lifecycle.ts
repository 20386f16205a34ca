import { Refusal, retryAfterMs } from './hub/errors.ts';
import { CLOSE } from './protocol/close-reason.ts';

/** Where in its life a server is: it passes through these once, in this order. */
export type Phase = 'new' | 'starting' | 'running' | 'draining' | 'stopped';

export interface LifecycleParts {
  /** Makes ready what everything else needs. */
  prepare(): Promise<void>;
  /** Begins to work; all of it or, where it throws, nothing. */
  begin(): void;
  /** Closes what a start that failed has opened. */
  abandon(): Promise<void>;
  /** Drains and ends everything; at once when `signal` aborts. Also where nothing has begun. */
  end(signal: AbortSignal): Promise<void>;
}

const WHY_NO_START: Readonly<Record<Exclude<Phase, 'new'>, string>> = {
  starting: 'the server is starting already: call start or run once',
  running: 'the server runs already: call start or run once',
  draining: 'the server is stopping: make another one with createBelfry',
  stopped: 'the server was stopped: make another one with createBelfry',
};

/** The one place that knows in which phase a server is, and what may follow it. */
export class Lifecycle {
  readonly #parts: LifecycleParts;
  readonly #hurry = new AbortController();
  #phase: Phase = 'new';
  /** Settled when nothing of a start goes on any more; never rejects. */
  #starting: Promise<unknown> | undefined;
  #stopping: Promise<void> | undefined;

  constructor(parts: LifecycleParts) {
    this.#parts = parts;
  }

  get phase(): Phase {
    return this.#phase;
  }

  /**
   * From new to running; `open` opens the way in, such as a port. Rejects with an `AbortError` where
   * `stop` was called meanwhile. Where it fails, the server is new again.
   */
  async start<Result>(open: () => Promise<Result>): Promise<Result> {
    if (this.#phase !== 'new') throw new Error(WHY_NO_START[this.#phase]);
    this.#phase = 'starting';
    const starting = this.#start(open);
    // Why it failed is told to the caller.
    this.#starting = starting.catch(() => {});
    return starting;
  }

  /** To the end from wherever it is; every call gives the same promise, any `signal` hastens it. */
  stop(signal?: AbortSignal): Promise<void> {
    const hurry = () => this.#hurry.abort();
    if (signal?.aborted) hurry();
    this.#stopping ??= this.#stop();
    if (signal && this.#phase !== 'stopped') {
      signal.addEventListener('abort', hurry);
      const forget = () => signal.removeEventListener('abort', hurry);
      this.#stopping.then(forget, forget);
    }
    return this.#stopping;
  }

  /** Read anew after each `await`, since `stop` may have been called. */
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
      await this.#parts.end(this.#hurry.signal);
    } finally {
      this.#phase = 'stopped';
    }
  }
}

function aborted(): never {
  throw new DOMException('the server was stopped while it was starting', 'AbortError');
}

const NOT_RUNNING: Readonly<Record<Exclude<Phase, 'running'>, string>> = {
  new: 'the server has not started yet',
  starting: 'the server is starting',
  draining: 'the server is restarting',
  stopped: 'the server has stopped',
};

/**
 * Why nobody is let in at the moment; `undefined`: they are. `drainLeftMs`: how long a drain still takes,
 * and `connections` how many will come back after it.
 */
export function whyClosed(phase: Phase, drainLeftMs: number, connections: number): Refusal | undefined {
  if (phase === 'running') return undefined;
  const after = retryAfterMs(phase === 'draining' ? Math.max(drainLeftMs, 0) : 0, connections);
  return new Refusal(503, `${NOT_RUNNING[phase]}: come back in a moment`, {
    reason: 'draining',
    retryAfterMs: after,
    closing: { ...CLOSE.restart, retryAfterMs: after },
  });
}
