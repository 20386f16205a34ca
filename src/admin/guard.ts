import type { Context, MiddlewareHandler } from 'hono';
import { type TokenCheck, type TokenHolder, tokenHolder } from '../access/tokens.ts';
import type { Clock } from '../clock.ts';
import { Refusal } from '../hub/refusal.ts';

/** What the calls know besides the request. */
export interface AdminEnv {
  Variables: { holder: TokenHolder };
}

export interface GuardParts {
  readonly tokens: TokenCheck;
  readonly attempts: FailedAttempts;
  /** Where a request comes from. */
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
    // Who sends no token guesses none.
    if (c.req.header('authorization') === undefined) return tokenHolder(c.req.raw, tokens);
    const address = addressOf(c);
    attempts.check(address);
    try {
      return tokenHolder(c.req.raw, tokens);
    } catch (refusal) {
      attempts.failed(address);
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
const MOST_ADDRESSES = 4096;

export interface AttemptsParts {
  readonly clock: Clock;
  /** Whether an address is counted at all: one that many share, such as a proxy's, is better not. */
  readonly appliesTo: (address: string) => boolean;
}

/**
 * Wrong tokens, counted by address: after ten of them no token is looked at until the minute is over
 * that began with the first. A right one is refused as well, for if it were let through, guessing
 * would be told apart from hitting and so would not be limited at all.
 */
export class FailedAttempts {
  readonly #parts: AttemptsParts;
  /** In the order in which their minutes end, on the monotonic clock. */
  readonly #byAddress = new Map<string, { failed: number; readonly endsAtMs: number }>();

  constructor(parts: AttemptsParts) {
    this.#parts = parts;
  }

  /** Throws a 429 `Refusal` where nobody at this address is listened to at the moment. */
  check(address: string): void {
    const attempts = this.#byAddress.get(address);
    if (attempts === undefined || attempts.failed < MOST_FAILED) return;
    const retryAfterMs = attempts.endsAtMs - this.#parts.clock.monotonic();
    if (retryAfterMs <= 0) return;
    const comeBack = `come back in ${Math.ceil(retryAfterMs / 1000)} s`;
    throw new Refusal(
      429,
      `${MOST_FAILED} wrong tokens came from this address within a minute: ${comeBack}`,
      { reason: 'attempts', retryAfterMs },
    );
  }

  failed(address: string): void {
    if (!this.#parts.appliesTo(address)) return;
    const now = this.#parts.clock.monotonic();
    for (const [known, { endsAtMs }] of this.#byAddress) {
      if (endsAtMs > now) break;
      this.#byAddress.delete(known);
    }
    const attempts = this.#byAddress.get(address);
    if (attempts) {
      attempts.failed++;
      return;
    }
    const [soonest] = this.#byAddress.keys();
    if (this.#byAddress.size >= MOST_ADDRESSES && soonest !== undefined) this.#byAddress.delete(soonest);
    this.#byAddress.set(address, { failed: 1, endsAtMs: now + WINDOW_MS });
  }
}
