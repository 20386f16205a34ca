import type { Context, MiddlewareHandler } from 'hono';
import { countedAs } from '../access/connection-limits.ts';
import { type TokenCheck, type TokenHolder, tokenHolder } from '../access/tokens.ts';
import type { Clock } from '../clock.ts';
import { Refusal } from '../hub/errors.ts';
import { isLoopback } from '../loopback.ts';

/** What the calls know besides the request. */
export interface AdminEnv {
  Variables: { holder: TokenHolder };
}

export interface GuardParts {
  readonly tokens: TokenCheck;
  readonly attempts: FailedAttempts;
  /** Where a request comes from; `''` where nothing says so, as without the bindings of a Node server. */
  readonly addressOf: (c: Context) => string;
}

/** Lets nobody in without a token, and keeps every answer out of caches. */
export function guard({ tokens, attempts, addressOf }: GuardParts): MiddlewareHandler<AdminEnv> {
  return async (c, next) => {
    c.set('holder', authenticate(c));
    await next();
    c.header('Cache-Control', 'no-store');
  };

  function authenticate(c: Context): TokenHolder {
    try {
      return tokenHolder(c.req.raw, tokens);
    } catch (refusal) {
      // Who sends no token guesses none.
      if (c.req.header('authorization') !== undefined) attempts.failed(addressOf(c));
      throw refusal;
    }
  }
}

/** Stands before the calls that act. */
export const operatorOnly: MiddlewareHandler<AdminEnv> = async (c, next) => {
  const { name, role } = c.var.holder;
  if (role !== 'operator')
    throw new Refusal(
      403,
      `this needs a token of the role "operator", and that of "${name}" is a ${role}'s`,
      {
        reason: 'role',
      },
    );
  await next();
};

const MOST_FAILED = 10;
const WINDOW_MS = 60_000;
/** Beyond so many addresses the one whose minute ends first is forgotten. */
const MOST_SOURCES = 4096;

/**
 * Wrong tokens, counted by address: after ten of them further wrong ones are a 429 until the minute is
 * over that began with the first, and end their connection, so that guesses cannot be pipelined.
 *
 * A right token is never refused, or anybody at a shared address could lock the operator out. So a
 * guess can always be told from a hit, by its status; what stands against guessing is the length of a
 * token, and that comparing takes the same time for every wrong one. Every token is therefore looked at,
 * which costs a hash and a comparison for each that is configured.
 */
export class FailedAttempts {
  readonly #clock: Clock;
  /** In the order in which their minutes end, on the monotonic clock. */
  readonly #bySource = new Map<string, { failed: number; readonly endsAtMs: number }>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Counts a wrong token. Throws a 429 `Refusal` where there were ten in this minute before. */
  failed(address: string): void {
    const now = this.#clock.monotonic();
    for (const [known, { endsAtMs }] of this.#bySource) {
      if (endsAtMs > now) break;
      this.#bySource.delete(known);
    }
    const source = sourceOf(address);
    const attempts = this.#bySource.get(source);
    if (!attempts) this.#remember(source, now + WINDOW_MS);
    else if (attempts.failed < MOST_FAILED) attempts.failed++;
    else throw tooMany(attempts.endsAtMs - now);
  }

  #remember(source: string, endsAtMs: number): void {
    const [soonest] = this.#bySource.keys();
    if (this.#bySource.size >= MOST_SOURCES && soonest !== undefined) this.#bySource.delete(soonest);
    this.#bySource.set(source, { failed: 1, endsAtMs });
  }
}

/** What counts as one: an IPv6 network, this machine whichever of its addresses, and all that have none. */
function sourceOf(address: string): string {
  return isLoopback(address) ? 'loopback' : countedAs(address);
}

function tooMany(retryAfterMs: number): Refusal {
  const comeBack = `come back in ${Math.ceil(retryAfterMs / 1000)} s`;
  return new Refusal(
    429,
    `${MOST_FAILED} wrong tokens came from this address within a minute: send a right one, or ${comeBack}`,
    { reason: 'attempts', retryAfterMs, headers: { Connection: 'close' } },
  );
}
