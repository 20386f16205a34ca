import type { Clock } from '../clock.ts';
import type { Logger } from '../observe/log.ts';

/** A second signal sooner than this is the first one sent twice, as Ctrl-C under `npm start` is. */
const SAME_SIGNAL_MS = 1000;
/** A server that has not ended so long after a second signal hangs, and its process is ended. */
const HANGING_MS = 500;
/** What stopping may take besides the drain, after a fault that may have broken what stopping needs. */
const STOP_MS = 5000;

export interface ProcessEndParts {
  readonly clock: Pick<Clock, 'monotonic' | 'after'>;
  readonly logger: Pick<Logger, 'info' | 'fatal'>;
  /** Drains and stops the server; at once when `signal` aborts. */
  readonly stop: (signal: AbortSignal) => Promise<unknown>;
  /** How long the drain takes with the configuration in force. */
  readonly drainSeconds: () => number;
  /** Writes what is left of the log and ends the process. */
  readonly exit: (code: number) => void;
}

/**
 * Ends the process of a server: with exit code 0 for a signal, and 1 for a fault that nothing has caught.
 * The first of either stops the server with a drain; a second one of the same kind ends the drain.
 */
export class ProcessEnd {
  readonly #parts: ProcessEndParts;
  readonly #hurry = new AbortController();
  #isStopping = false;
  #isExiting = false;
  #firstSignalAtMs: number | undefined;
  #exitCode = 0;

  constructor(parts: ProcessEndParts) {
    this.#parts = parts;
  }

  /** Handles the signals and faults of a process, which nothing else may do. */
  listen(process: NodeJS.Process): void {
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => this.onSignal(signal));
    process.on('uncaughtException', (error) =>
      this.onFault(error, 'an exception was not caught: the server stops'),
    );
    // By default Node makes an exception of it, but an option of Node can change that.
    process.on('unhandledRejection', (reason) =>
      this.onFault(reason, 'a rejected promise was not handled: the server stops'),
    );
  }

  onSignal(signal: NodeJS.Signals): void {
    const { clock, logger } = this.#parts;
    if (this.#firstSignalAtMs === undefined) {
      this.#firstSignalAtMs = clock.monotonic();
      logger.info({ signal }, 'stopping');
      this.#stop();
    } else if (clock.monotonic() - this.#firstSignalAtMs > SAME_SIGNAL_MS) {
      this.#hurry.abort();
      clock.after(HANGING_MS, () => this.#exit(1));
    }
  }

  /** The state of the program may be broken: a second fault ends the process at once. */
  onFault(err: unknown, what: string): void {
    // What keeps throwing until the process has ended would flood the log.
    if (this.#isExiting) return;
    const { clock, logger, drainSeconds } = this.#parts;
    logger.fatal({ err }, what);
    if (this.#exitCode !== 0) {
      this.#exit(1);
      return;
    }
    this.#exitCode = 1;
    clock.after(drainSeconds() * 1000 + STOP_MS, () => this.#exit(1));
    this.#stop();
  }

  #stop(): void {
    if (this.#isStopping) return;
    this.#isStopping = true;
    const { logger, stop } = this.#parts;
    stop(this.#hurry.signal).then(
      () => {
        logger.info('stopped');
        this.#exit(this.#exitCode);
      },
      (err) => {
        logger.fatal({ err }, 'the server could not be stopped');
        this.#exit(1);
      },
    );
  }

  #exit(code: number): void {
    if (this.#isExiting) return;
    this.#isExiting = true;
    this.#parts.exit(code);
  }
}
