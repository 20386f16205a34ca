import { type Clock, instant } from '../clock.ts';
import { FeedError } from './reason.ts';

const FIRST_MS = 1_000;
const LONGEST_MS = 60_000;
/** An upstream may ask for more patience than ours, within reason. */
const LONGEST_ASKED_MS = 10 * 60_000;

/**
 * Leaves an upstream that fails in peace: a second after the first failure, twice as long after each
 * further one up to a minute, longer where it asks for it, up to ten.
 */
export class BackOff {
  readonly #clock: Clock;
  #failures = 0;
  #last: FeedError | undefined;
  /** On the monotonic clock. */
  #until = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Throws while it is too early to ask again: the last failure, with the time. */
  check(): void {
    const leftMs = this.#until - this.#clock.monotonic();
    if (!this.#last || leftMs <= 0) return;
    const { reason, message } = this.#last;
    const until = instant(this.#clock.now() + leftMs);
    throw new FeedError(reason, `${message}; not asked again before ${until}`);
  }

  succeeded(): void {
    this.#failures = 0;
    this.#last = undefined;
  }

  /** `askedMs`: the patience that the upstream asked for. */
  failed(failure: FeedError, askedMs = 0): void {
    const ownMs = Math.min(FIRST_MS * 2 ** this.#failures, LONGEST_MS);
    this.#failures += 1;
    this.#last = failure;
    this.#until = this.#clock.monotonic() + Math.max(ownMs, Math.min(askedMs, LONGEST_ASKED_MS));
  }
}
