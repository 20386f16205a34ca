import { get as getHttp, type IncomingMessage } from 'node:http';
import { get as getHttps } from 'node:https';
import type { Cancel, Clock } from '../clock.ts';
import { type Refusal, retryAfterMs } from '../hub/errors.ts';
import { cannotVerify, type KeySource, unknownKey } from './subscriber-tokens.ts';
import { jwkKey, KeyError, type VerificationKey } from './verification-keys.ts';

/** Keys are fetched again after this, so that one which is withdrawn is not used for longer. */
const REFRESH_MS = 600_000;
/** At least so long between two fetches, whatever tokens come and whatever fails. */
const MIN_INTERVAL_MS = 30_000;
/** How long the last keys are used while they cannot be fetched. */
const MAX_AGE_MS = 86_400_000;
/** How long one fetch may take. */
const TIMEOUT_MS = 5000;
/**
 * So many tokens with unknown names may wait for a fetch. More can be verified at once, so that made-up
 * names leave room for tokens whose key is known.
 */
const MAX_WAITING = 64;
const MAX_BYTES = 262_144;
const MAX_KEYS = 100;

export interface RemoteKeysParts {
  readonly clock: Clock;
  /** Called when keys could not be fetched, once until they can be again; the error names no secret. */
  readonly onFault: (what: string, error: unknown) => void;
}

interface NamedKey extends VerificationKey {
  readonly kid: string | undefined;
}

/**
 * The keys at the address of a JSON Web Key Set (RFC 7517, 5). They are fetched when the first token comes,
 * and every 10 minutes from then on. A token that names an unknown key has them fetched again, at most every
 * 30 s: a new key counts soon after it was published, and tokens with made-up names cost no requests. While
 * the address does not answer, the keys that are known count for a day.
 */
export class RemoteKeys implements KeySource {
  readonly address: string;
  readonly #parts: RemoteKeysParts;
  #keys: readonly NamedKey[] | undefined;
  /** When `#keys` were fetched, and when the last fetch began; on the monotonic clock. */
  #fetchedAtMs = 0;
  #triedAtMs = Number.NEGATIVE_INFINITY;
  #isFailing = false;
  #waiting = 0;
  /** The fetch under way; never rejects. */
  #fetching: Promise<void> | undefined;
  #cancel: Cancel | undefined;
  readonly #stopped = new AbortController();

  constructor(address: string, parts: RemoteKeysParts) {
    this.address = address;
    this.#parts = parts;
  }

  async find(algorithm: string, kid: string | undefined): Promise<VerificationKey> {
    const known = this.#find(algorithm, kid);
    if (known) return known;
    if (this.#keys && this.#fetching && this.#waiting >= MAX_WAITING)
      throw cannotVerify('the keys are being fetched', retryAfterMs(TIMEOUT_MS, this.#waiting));
    this.#waiting++;
    try {
      await this.#refresh();
    } finally {
      this.#waiting--;
    }
    const found = this.#find(algorithm, kid);
    if (found) return found;
    throw this.#keys ? unknownKey() : this.#noKeys();
  }

  /** Ends a fetch under way, and fetches no more. */
  stop(): void {
    this.#stopped.abort(new Error('the server has stopped'));
    this.#cancel?.();
  }

  /** A token that names no key counts where one key alone fits. */
  #find(algorithm: string, kid: string | undefined): VerificationKey | undefined {
    if (this.#parts.clock.monotonic() - this.#fetchedAtMs > MAX_AGE_MS) this.#keys = undefined;
    const fitting = this.#keys?.filter((key) => key.algorithm === algorithm) ?? [];
    if (kid !== undefined) return fitting.find((key) => key.kid === kid);
    return fitting.length === 1 ? fitting[0] : undefined;
  }

  /** Resolves when the fetch under way is over, or at once where it is too soon for another. */
  async #refresh(): Promise<void> {
    const isTooSoon = this.#parts.clock.monotonic() - this.#triedAtMs < MIN_INTERVAL_MS;
    await (isTooSoon ? this.#fetching : this.#begin());
  }

  #begin(): Promise<void> | undefined {
    if (this.#fetching || this.#isStopped) return this.#fetching;
    this.#triedAtMs = this.#parts.clock.monotonic();
    this.#fetching = this.#fetch().finally(() => {
      this.#fetching = undefined;
    });
    return this.#fetching;
  }

  get #isStopped(): boolean {
    return this.#stopped.signal.aborted;
  }

  async #fetch(): Promise<void> {
    const { clock, onFault } = this.#parts;
    try {
      this.#keys = keysOf(await read(this.address, clock, this.#stopped.signal));
      this.#fetchedAtMs = clock.monotonic();
      this.#isFailing = false;
    } catch (error) {
      if (!this.#isFailing && !this.#isStopped) {
        onFault('the keys of access.jwksUrl could not be fetched: the last ones count for a day', error);
      }
      this.#isFailing = true;
    }
    this.#cancel?.();
    if (this.#isStopped) return;
    this.#cancel = clock.after(this.#isFailing ? MIN_INTERVAL_MS : REFRESH_MS, () => void this.#begin());
  }

  #noKeys(): Refusal {
    const waitMs = Math.max(this.#triedAtMs + MIN_INTERVAL_MS - this.#parts.clock.monotonic(), 0);
    return cannotVerify('tokens cannot be verified at the moment', retryAfterMs(waitMs, 0));
  }
}

/** The keys of a set that can be used here; those of other kinds are for others. Throws a `KeyError`. */
function keysOf(text: string): NamedKey[] {
  const document: unknown = JSON.parse(text);
  const keys = typeof document === 'object' && document !== null && 'keys' in document && document.keys;
  if (!Array.isArray(keys)) throw new KeyError('is no JSON Web Key Set: it has no list "keys"');
  return keys.slice(0, MAX_KEYS).flatMap((jwk: Record<string, unknown>) => {
    try {
      const { key, algorithm } = jwkKey(jwk);
      if (jwk.use === 'enc' || (jwk.alg !== undefined && jwk.alg !== algorithm)) return [];
      return { key, algorithm, kid: typeof jwk.kid === 'string' ? jwk.kid : undefined };
    } catch (error) {
      if (error instanceof KeyError) return [];
      throw error;
    }
  });
}

/** Reads an address, and leaves no connection behind. */
async function read(address: string, clock: Clock, stopped: AbortSignal): Promise<string> {
  const timeout = new AbortController();
  const cancel = clock.after(TIMEOUT_MS, () => timeout.abort(new Error(`no answer within ${TIMEOUT_MS} ms`)));
  const signal = AbortSignal.any([timeout.signal, stopped]);
  try {
    return await text(await answer(address, signal));
  } catch (error) {
    throw signal.aborted ? signal.reason : error;
  } finally {
    cancel();
  }
}

function answer(address: string, signal: AbortSignal): Promise<IncomingMessage> {
  const get = address.toLowerCase().startsWith('https:') ? getHttps : getHttp;
  const headers = { Accept: 'application/jwk-set+json, application/json' };
  return new Promise((resolve, reject) => {
    get(address, { agent: false, headers, signal }, resolve)
      .on('error', reject)
      // After an answer of 101 neither of the others comes.
      .on('close', () => reject(new Error('the connection was closed without an answer')));
  });
}

async function text(response: IncomingMessage): Promise<string> {
  try {
    // A redirect could lead to keys of others.
    if (response.statusCode !== 200) throw new Error(`the answer is ${response.statusCode}, not 200`);
    const chunks: Buffer[] = [];
    let bytes = 0;
    for await (const chunk of response as AsyncIterable<Buffer>) {
      bytes += chunk.length;
      if (bytes > MAX_BYTES) throw new Error(`the answer is larger than ${MAX_BYTES} bytes`);
      chunks.push(chunk);
    }
    return Buffer.concat(chunks).toString();
  } finally {
    response.destroy();
  }
}
