import { Refusal } from '../hub/refusal.ts';

export interface OriginRules {
  /** The address that the server listens on. */
  readonly host: string;
  /** What the world calls the server. */
  readonly publicUrl?: string | undefined;
  /** Exact origins, `"null"`, `"file://"`, or `"*"`. */
  readonly allowedOrigins: readonly string[];
}

const LOOPBACK_ADDRESSES: ReadonlySet<string> = new Set(['localhost', '127.0.0.1', '::1']);
const LOOPBACK_HOSTS: ReadonlySet<string> = new Set(['localhost', '127.0.0.1', '[::1]']);

/** Which pages may talk to the server: its own, and those that the config file names. */
export class Origins {
  readonly #onLoopback: boolean;
  readonly #publicUrl: URL | undefined;
  readonly #allowed: ReadonlySet<string>;

  constructor({ host, publicUrl, allowedOrigins }: OriginRules) {
    this.#onLoopback = LOOPBACK_ADDRESSES.has(host) || host.startsWith('127.');
    this.#publicUrl = publicUrl === undefined ? undefined : new URL(publicUrl);
    this.#allowed = new Set(allowedOrigins);
  }

  /**
   * On a loopback address only the names of this machine are answered: a name of somebody else's
   * that leads here is how a page elsewhere would get in (DNS rebinding). Throws a 421 `Refusal`.
   */
  checkHost(host: string | undefined): void {
    if (!this.#onLoopback || this.#isLoopback(host)) return;
    if (this.#publicUrl && host?.toLowerCase() === this.#publicUrl.host) return;
    throw new Refusal(
      421,
      `this server does not answer to the host ${JSON.stringify(host ?? '')}: ` +
        'use localhost, 127.0.0.1 or [::1], or set server.publicUrl to the address that the world uses',
    );
  }

  /**
   * Throws a 403 `Refusal` that names the keys to set where pages of that origin may not listen.
   * No origin is no browser, and allowed.
   */
  check(origin: string | undefined, host: string | undefined): void {
    if (origin === undefined || this.#isOwn(origin, host)) return;
    if (this.#allowed.has(origin) || this.#allowed.has('*')) return;
    throw new Refusal(
      403,
      `origin ${JSON.stringify(origin)} is not allowed: add it to server.allowedOrigins, ` +
        'or set server.publicUrl if it is this server behind a proxy',
    );
  }

  #isOwn(origin: string, host: string | undefined): boolean {
    if (origin === this.#publicUrl?.origin) return true;
    if (origin !== `http://${host?.toLowerCase()}`) return false;
    return this.#publicUrl === undefined || (this.#onLoopback && this.#isLoopback(host));
  }

  #isLoopback(host: string | undefined): boolean {
    return LOOPBACK_HOSTS.has(host?.toLowerCase().replace(/:\d+$/, '') ?? '');
  }
}
