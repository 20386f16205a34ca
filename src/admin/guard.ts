import type { Context, MiddlewareHandler } from 'hono';
import { LRUCache } from 'lru-cache';
import { countedAs } from '../access/connection-limits.ts';
import { type Role, type TokenCheck, type TokenHolder, tokenHolder } from '../access/tokens.ts';
import type { Clock } from '../clock.ts';
import { Refusal, shown } from '../hub/errors.ts';
import { type Target, targetRooms } from '../hub/event.ts';
import type { Subscriber } from '../hub/subscriber.ts';
import { isLoopback } from '../loopback.ts';

/** What is known of a request. */
export interface AdminEnv {
  Variables: {
    /** The owner of its token, once the guard has let it in. */
    holder: TokenHolder;
    /** Set where it came with the token of a listener. */
    subscriber?: Subscriber;
    notes: CallNotes;
  };
}

/** What only the handler of a call knows, for the log. */
export interface CallNotes {
  target?: Target;
  dryRun?: boolean;
  /** The same request had come before with its `Idempotency-Key`. */
  repeated?: boolean;
  /** The answer, JSON. */
  answer?: string;
}

export interface GuardParts {
  /** `current` is read for each request; a reload replaces it. */
  readonly settings: { readonly current: { readonly tokens: TokenCheck } };
  readonly attempts: FailedAttempts;
  /** The address of the client; `''` where it is not known, as without the bindings of a Node server. */
  readonly addressOf: (c: Context) => string;
}

/** Middleware: refuses requests without a token, and keeps every answer out of caches. */
export function guard({ settings, attempts, addressOf }: GuardParts): MiddlewareHandler<AdminEnv> {
  return async (c, next) => {
    c.set('holder', authenticate(c));
    await next();
    c.header('Cache-Control', 'no-store');
  };

  function authenticate(c: Context): TokenHolder {
    try {
      return tokenHolder(c.req.raw, settings.current.tokens);
    } catch (refusal) {
      // Only a request with a token is a guess.
      if (c.req.header('authorization') !== undefined) attempts.failed(addressOf(c));
      throw refusal;
    }
  }
}

/** Middleware of a call: refuses tokens of other roles. */
export function onlyFor(roles: readonly Role[]): MiddlewareHandler<AdminEnv> {
  return async (c, next) => {
    const { holder } = c.var;
    if (!roles.includes(holder.role)) throw wrongRole(wrongRoleText(roles, holder));
    await next();
  };
}

/** Why a token is refused by a call that is for other roles. */
export function wrongRoleText(
  roles: readonly Role[],
  { name, role }: Pick<TokenHolder, 'name' | 'role'>,
): string {
  const needed = roles.map((each) => `"${each}"`).join(' or ');
  return `this needs a token of the role ${needed}, and the token "${name}" has the role "${role}"`;
}

/**
 * Checks what a token may send to: an operator's to every target, a publisher's to rooms that its patterns
 * cover. Throws a 403 `Refusal`.
 */
export function checkTargetOf({ name, role, rooms = [], covers }: TokenHolder, target: Target): void {
  if (role === 'operator') return;
  const whose = `the token "${name}" has the role "${role}" for ${shown(rooms)}`;
  const named = (['devices', 'connections', 'users', 'except'] as const).find((key) => target[key]);
  if (named !== undefined) throw wrongRole(`${whose}: it may name "rooms", not "${named}"`);
  const foreign = targetRooms(target).find((pattern) => !covers(pattern));
  if (foreign === undefined) return;
  const what = target.rooms ? shown(foreign) : 'every room, which is where a message goes that names none';
  throw wrongRole(`${whose}: it may not send to ${what}`);
}

function wrongRole(detail: string): Refusal {
  return new Refusal(403, detail, { reason: 'role' });
}

const MAX_FAILED = 10;
const WINDOW_MS = 60_000;
/** At the limit the address whose minute ends first is forgotten. */
const MAX_ADDRESSES = 4096;

/**
 * Counts wrong tokens by address: after ten of them further wrong ones are a 429, until the minute that
 * began with the first is over. A 429 ends its connection, so that guesses cannot be pipelined.
 *
 * A right token is never refused: otherwise anyone at a shared address could lock the operator out. So a
 * guess can always be told from a hit by its status. The protection against guessing is the length of a
 * token, and a comparison that takes the same time for every wrong one. Every token is therefore checked,
 * which costs a hash, and a comparison with each that is configured.
 */
export class FailedAttempts {
  readonly #clock: Pick<Clock, 'monotonic'>;
  readonly #byAddress = new LRUCache<string, { failed: number; readonly endsAtMs: number }>({
    max: MAX_ADDRESSES,
  });

  constructor(clock: Pick<Clock, 'monotonic'>) {
    this.#clock = clock;
  }

  /** Counts a wrong token. Throws a 429 `Refusal` where there were ten in this minute before. */
  failed(address: string): void {
    const now = this.#clock.monotonic();
    const source = sourceOf(address);
    // Not `get`: addresses are forgotten in the order in which their minutes began.
    const attempts = this.#byAddress.peek(source);
    if (!attempts || attempts.endsAtMs <= now)
      this.#byAddress.set(source, { failed: 1, endsAtMs: now + WINDOW_MS });
    else if (attempts.failed < MAX_FAILED) attempts.failed++;
    else throw tooMany(attempts.endsAtMs - now);
  }
}

/** What is counted as one address: an IPv6 network, all loopback addresses, all requests without an address. */
function sourceOf(address: string): string {
  return isLoopback(address) ? 'loopback' : countedAs(address);
}

function tooMany(retryAfterMs: number): Refusal {
  const seconds = Math.ceil(retryAfterMs / 1000);
  return new Refusal(
    429,
    `${MAX_FAILED} wrong tokens came from this address within a minute: send a right one, or try again in ${seconds} s`,
    { reason: 'attempts', retryAfterMs, headers: { Connection: 'close' } },
  );
}
