import { Refusal, shown } from '../hub/errors.ts';
import { isLoopback } from '../loopback.ts';

export interface OriginRules {
  /** The address that the server listens on. */
  readonly host: string;
  /** Origin of the server as clients see it. */
  readonly publicUrl?: string | undefined;
  /** Exact origins, `"null"`, `"file://"`, or `"*"`. */
  readonly allowedOrigins: readonly string[];
}

type Protocol = 'http' | 'https' | undefined;

const LOOPBACK_HOSTS: ReadonlySet<string> = new Set(['localhost', '127.0.0.1', '[::1]']);

/** What browsers call a page opened from disk: one for WebSocket, the other for `fetch` and SSE. */
const FROM_DISK: ReadonlySet<string> = new Set(['file://', 'null']);

/** Which pages may talk to the server: its own, and those that the config file names. */
export class Origins {
  readonly #onLoopback: boolean;
  readonly #publicUrl: URL | undefined;
  readonly #allowed: ReadonlySet<string>;

  constructor({ host, publicUrl, allowedOrigins }: OriginRules) {
    this.#onLoopback = isLoopback(host);
    this.#publicUrl = publicUrl === undefined ? undefined : new URL(publicUrl);
    this.#allowed = new Set(allowedOrigins);
  }

  /**
   * On a loopback address only the names of this machine are answered: a foreign name
   * that leads here is how a page elsewhere would get in (DNS rebinding). Throws a 421 `Refusal`.
   */
  checkHost(host: string | undefined): void {
    if (this.#answersTo(host)) return;
    throw new Refusal(
      421,
      `this server does not answer to the host ${shown(host ?? '')}: ` +
        'use localhost, 127.0.0.1 or [::1], or set server.publicUrl to the address that the world uses',
    );
  }

  /**
   * Throws a 403 `Refusal` that names the keys to set where pages of that origin may not listen.
   * `protocol`: what a trusted proxy says that the client spoke.
   */
  check(origin: string | undefined, host: string | undefined, protocol?: Protocol): void {
    if (origin === undefined || this.#allows(origin, host, protocol)) return;
    const both = FROM_DISK.has(origin) ? ' (pages opened from disk need both "null" and "file://")' : '';
    throw new Refusal(
      403,
      `origin ${shown(origin)} is not allowed: add it to server.allowedOrigins${both}, ` +
        'or set server.publicUrl if it is this server behind a proxy',
      { reason: 'origin' },
    );
  }

  /** The origin to name in `Access-Control-Allow-Origin`; `undefined`: none may read the answer. */
  readableBy(origin: string | undefined, host: string | undefined, protocol?: Protocol): string | undefined {
    const isReadable = origin !== undefined && this.#answersTo(host) && this.#allows(origin, host, protocol);
    return isReadable ? origin : undefined;
  }

  #answersTo(host: string | undefined): boolean {
    return !this.#onLoopback || isLoopbackHost(host) || this.#isPublic(host);
  }

  #allows(origin: string, host: string | undefined, protocol: Protocol): boolean {
    return this.#isOwn(origin, host, protocol) || this.#allowed.has(origin) || this.#allowed.has('*');
  }

  #isOwn(origin: string, host: string | undefined, protocol: Protocol = 'http'): boolean {
    if (origin === this.#publicUrl?.origin) return true;
    if (host === undefined || origin !== `${protocol}://${host.toLowerCase()}`) return false;
    return this.#publicUrl === undefined || (this.#onLoopback && isLoopbackHost(host));
  }

  /** With or without the default port: proxies send either. */
  #isPublic(host: string | undefined): boolean {
    const { protocol, host: expected } = this.#publicUrl ?? {};
    const given = `${protocol}//${host}`;
    return expected !== undefined && URL.canParse(given) && new URL(given).host === expected;
  }
}

function isLoopbackHost(host: string | undefined): boolean {
  return LOOPBACK_HOSTS.has(host?.toLowerCase().replace(/:\d+$/, '') ?? '');
}
