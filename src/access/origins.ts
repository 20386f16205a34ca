import { isIPv4, isIPv6 } from 'node:net';
import { hostname } from 'node:os';
import { Refusal, shown } from '../hub/errors.ts';
import { isLoopback } from '../loopback.ts';
import type { HeaderSource } from './client-address.ts';

export interface OriginRules {
  /** The address that the server listens on. */
  readonly host: string;
  /** Origin of the server as clients see it. */
  readonly publicUrl?: string | undefined;
  /** Exact origins, `"null"`, `"file://"`, or `"*"`. */
  readonly allowedOrigins: readonly string[];
  /** What this machine is called, with its domain or without. Default: as the operating system says. */
  readonly machine?: string;
}

type Protocol = 'http' | 'https' | undefined;

const LOOPBACK_HOSTS: ReadonlySet<string> = new Set(['localhost', '127.0.0.1', '[::1]']);

/**
 * Headers that browsers send, and other clients seldom. The first three do not suffice: `Origin` is missing
 * when a page reads from its own origin, and the others over plain HTTP. `Accept-Language` is in every request
 * of a browser; a script can empty it, but not remove it. Seen with Chromium 156.
 */
const BROWSER_HEADERS = ['origin', 'sec-fetch-site', 'sec-fetch-mode', 'accept-language'];

/** What browsers call a page opened from disk: one for WebSocket, the other for `fetch` and SSE. */
const FROM_DISK: ReadonlySet<string> = new Set(['file://', 'null']);

/** Which pages may talk to the server: its own, and those that the config file names. */
export class Origins {
  readonly #onLoopback: boolean;
  readonly #publicUrl: URL | undefined;
  readonly #allowed: ReadonlySet<string>;
  /** Of this machine, where it listens for others. */
  readonly #names: ReadonlySet<string>;

  constructor({ host, publicUrl, allowedOrigins, machine = hostname() }: OriginRules) {
    this.#onLoopback = isLoopback(host);
    this.#publicUrl = publicUrl === undefined ? undefined : new URL(publicUrl);
    this.#allowed = new Set(allowedOrigins);
    this.#names = new Set(['localhost', host.toLowerCase(), ...namesOf(machine)]);
  }

  /**
   * Answers only for hosts that are this server's: a foreign name that leads here is how a page elsewhere
   * would get in (DNS rebinding). On a loopback address these are the names for it; elsewhere every IP address
   * and the names of this machine, none of which a page elsewhere can have. That holds for browsers there; no
   * page can mislead other clients. The host of `publicUrl` always counts. Throws a 421 `Refusal`.
   */
  checkHost(request: HeaderSource): void {
    const host = request.header('host');
    if (this.#answersTo(host) || (!this.#onLoopback && !isBrowser(request))) return;
    throw new Refusal(
      421,
      `this server does not answer to the host ${shown(host ?? '')}: ${this.#hostAdvice}`,
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

  /**
   * Who may show a page of this server in a frame, as a CSP writes it: the server itself, and pages that may
   * connect to it, as signage software does. Of these it names the one that asks, by its `Referer`, since any
   * stranger can read it; a page from disk sends none. A CSP cannot name `"null"`.
   */
  frameAncestors(referrer: string | undefined): string {
    if (this.#allowed.has('*')) return "'self' * file:";
    const asking = referrer !== undefined && URL.canParse(referrer) ? new URL(referrer).origin : '';
    const sources = ["'self'"];
    if (this.#allowed.has('file://')) sources.push('file:');
    if (asking !== 'null' && this.#allowed.has(asking)) sources.push(asking);
    return sources.join(' ');
  }

  /** Names no host of this server: the answer may go to a stranger. */
  get #hostAdvice(): string {
    const own = this.#onLoopback
      ? 'use localhost, 127.0.0.1 or [::1]'
      : 'use its IP address or the name of its machine';
    return this.#publicUrl === undefined
      ? `${own}, or set server.publicUrl to the address that the world uses`
      : `${own}, or the address in server.publicUrl; a proxy has to pass on Host`;
  }

  #answersTo(host: string | undefined): boolean {
    const isOwn = this.#onLoopback ? isLoopbackHost(host) : this.#isOwnHost(host);
    return isOwn || this.#isPublic(host);
  }

  #isOwnHost(host: string | undefined): boolean {
    const name = withoutPort(host);
    return isIPv4(name) || (/^\[.*\]$/.test(name) && isIPv6(name.slice(1, -1))) || this.#names.has(name);
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
  return LOOPBACK_HOSTS.has(withoutPort(host));
}

function withoutPort(host: string | undefined): string {
  return host?.toLowerCase().replace(/:\d+$/, '') ?? '';
}

/** `wall7.example.com` is also `wall7`, and `wall7.local` in the local network (RFC 6762). */
function namesOf(machine: string): string[] {
  const name = machine.toLowerCase();
  const [short = ''] = name.split('.');
  return short === '' ? [] : [name, short, `${short}.local`];
}

function isBrowser(request: HeaderSource): boolean {
  if (isNode(request)) return false;
  const agent = request.header('user-agent') ?? '';
  return agent.startsWith('Mozilla/') || BROWSER_HEADERS.some((name) => request.header(name) !== undefined);
}

/**
 * Whether `fetch` of Node sent this, which has headers of a browser. No script in a browser can send
 * `Sec-Fetch-Mode` without `Sec-Fetch-Site`, whatever name it takes.
 */
function isNode(request: HeaderSource): boolean {
  const agent = request.header('user-agent');
  if (agent !== 'node' && agent !== 'undici') return false;
  return request.header('sec-fetch-mode') !== undefined && request.header('sec-fetch-site') === undefined;
}
