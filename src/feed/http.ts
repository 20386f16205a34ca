import { STATUS_CODES, validateHeaderName, validateHeaderValue } from 'node:http';
import querystring from 'node:querystring';
import { z } from 'zod';
import { type Clock, instant } from '../clock.ts';
import type { JsonText, Tick } from '../hub/event.ts';
import { contentOptions, jsonText, namedStrings, readAtMost, tooLarge } from './content.ts';
import { FeedError, feedKind, type ReadFeed, type Reason, failureReason } from './feed.ts';
import { HostGuard } from './host-guard.ts';
import { type Answer, type Headers, request, safeUrl } from './http-client.ts';

const options = z.object({
  url: z
    .string()
    // The value is not named: it may hold a password.
    .refine((text) => /^https?:\/\//i.test(text) && URL.canParse(text), {
      error: 'is not a URL that can be asked: write one that starts with http:// or https://',
    })
    .describe(
      'URL to read. Redirects may lead to its host and to public addresses only, and a host that had a public address must keep one.',
    ),
  method: z
    .enum(['GET', 'POST'], {
      error: ({ input }) => `${JSON.stringify(input)} is not a method for a feed: write "GET" or "POST"`,
    })
    .default('GET')
    .describe('The method of the request, which has no body.'),
  headers: namedStrings(headerFault)
    .default({})
    .describe(
      'Headers of the request; a secret is written as a dollar sign and {NAME}, from the environment.',
    ),
  ...contentOptions,
});

/**
 * What a URL answers, read once per tick: JSON by its content type, otherwise its text. After a failure
 * the upstream is not asked for a while, except by runs by hand.
 */
export const httpFeed = feedKind({
  type: 'http',
  description: 'What a URL answers.',
  options,
  secrets: { url: 'address', headers: 'values' },
  create: (parsed, { clock }) => new HttpFeed(parsed, clock),
});

/** An answer that gives no value. Its message is written behind the name of the request, "GET http://…". */
class AnswerError extends FeedError {
  override readonly name = 'AnswerError';
  readonly retryAfterMs: number | undefined;

  constructor(reason: Reason, message: string, retryAfterMs?: number) {
    super(reason, message);
    this.retryAfterMs = retryAfterMs;
  }
}

/** The last value, and the headers that ask whether it is still valid. */
interface Cached {
  readonly url: string;
  readonly validators: Headers;
  readonly value: JsonText;
}

export class HttpFeed implements ReadFeed {
  readonly #options: z.output<typeof options>;
  readonly #clock: Clock;
  readonly #backOff: BackOff;
  readonly #url: URL;
  readonly #guard: HostGuard;
  readonly #headers: Headers;
  /** For error texts. */
  readonly #name: string;
  #cached: Cached | undefined;
  #isAsking = false;

  /** `guard`: of the host of the URL. */
  constructor(parsed: z.output<typeof options>, clock: Clock, guard?: HostGuard) {
    this.#options = parsed;
    this.#clock = clock;
    this.#backOff = new BackOff(clock);
    this.#url = new URL(parsed.url);
    this.#guard = guard ?? new HostGuard({ named: this.#url.hostname });
    this.#headers = requestHeaders(this.#url, parsed.headers);
    this.#url.username = '';
    this.#url.password = '';
    this.#name = `${parsed.method} ${safeUrl(this.#url)}`;
  }

  /**
   * When `signal` aborts, a read that waits for DNS ends only when the DNS look-up ends: Node cannot cancel a
   * look-up.
   */
  async read(tick: Tick, signal: AbortSignal): Promise<JsonText> {
    if (this.#isAsking) throw new FeedError('timeout', `${this.#name}: the request before has not ended`);
    if (!tick.manual) this.#backOff.check();
    this.#isAsking = true;
    try {
      const value = await this.#ask(signal);
      this.#backOff.succeeded();
      return value;
    } catch (error) {
      // An abort comes from the server and says nothing about the upstream.
      signal.throwIfAborted();
      const retryAfterMs = error instanceof AnswerError ? error.retryAfterMs : undefined;
      const failure = explained(error, this.#name);
      this.#backOff.failed(failure, retryAfterMs);
      throw failure;
    } finally {
      await this.#guard.settled();
      this.#isAsking = false;
    }
  }

  #ask(signal: AbortSignal): Promise<JsonText> {
    const { method, maxBytes } = this.#options;
    const cached = this.#cached;
    const question = {
      url: this.#url,
      method,
      headers: this.#headers,
      validators: (url: URL) => (cached?.url === url.href ? cached.validators : {}),
      // A chunk of one byte takes six bytes; headers, trailers and interim answers come on top.
      maxConnectionBytes: 8 * maxBytes + 262_144,
    };
    return request(question, this.#guard, signal, async (answer) => {
      if (answer.status === 304 && cached?.url === answer.url.href) return cached.value;
      const value = await this.#valueOf(answer);
      if (method === 'GET') this.#cached = { url: answer.url.href, validators: validatorsOf(answer), value };
      return value;
    });
  }

  async #valueOf({ status, headers, body }: Answer): Promise<JsonText> {
    const { maxBytes, pick } = this.#options;
    if (status < 200 || status > 299) {
      const meaning = STATUS_CODES[status] ?? 'with a status that has no name';
      const retryAfterMs = this.#retryAfterMs(headers['retry-after']);
      throw new AnswerError('http-status', `answered ${status} ${meaning}`, retryAfterMs);
    }
    if ((headers['content-encoding'] ?? 'identity') !== 'identity')
      throw new AnswerError('not-text', 'answered with a compressed body, although it was asked not to');
    if (Number(headers['content-length']) > maxBytes) throw tooLarge(maxBytes, 'the answer');
    const bytes = await readAtMost(body, maxBytes, 'the answer');
    const form = JSON_TYPE.test(headers['content-type'] ?? '') ? 'json' : 'text';
    return jsonText(bytes, form, pick, 'the answer');
  }

  /** Seconds or a date (RFC 9110); anything else is ignored. */
  #retryAfterMs(text = ''): number | undefined {
    const ms = /^\d+$/.test(text) ? Number(text) * 1_000 : Date.parse(text) - this.#clock.now();
    return ms > 0 ? ms : undefined;
  }
}

const FIRST_BACK_OFF_MS = 1_000;
const MAX_BACK_OFF_MS = 60_000;
/** Longest `Retry-After` that is followed. */
const MAX_RETRY_AFTER_MS = 10 * 60_000;

/**
 * How long an upstream that fails is not asked: a second after the first failure, twice as long after each
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

  /** `retryAfterMs`: what the upstream asked for. */
  failed(failure: FeedError, retryAfterMs = 0): void {
    const ownMs = Math.min(FIRST_BACK_OFF_MS * 2 ** this.#failures, MAX_BACK_OFF_MS);
    this.#failures += 1;
    this.#last = failure;
    this.#until = this.#clock.monotonic() + Math.max(ownMs, Math.min(retryAfterMs, MAX_RETRY_AFTER_MS));
  }
}

/** Headers that belong to the connection, not to the request. */
const CONNECTION_HEADERS: ReadonlySet<string> = new Set(
  'connection content-length expect keep-alive te trailer transfer-encoding upgrade'.split(' '),
);

function headerFault(name: string, value: string): string | undefined {
  if (CONNECTION_HEADERS.has(name.toLowerCase())) return `${name} is not for a feed to set: leave it out`;
  try {
    validateHeaderName(name);
  } catch {
    return `${JSON.stringify(name)} is not a header name: write letters, digits and hyphens`;
  }
  try {
    validateHeaderValue(name, value);
  } catch {
    return 'holds a character that no header may have, such as a line break';
  }
  return undefined;
}

/** The headers of the file over our own, in lower case; user and password of the URL as a header. */
function requestHeaders(url: URL, headers: Headers): Headers {
  const login = `${querystring.unescape(url.username)}:${querystring.unescape(url.password)}`;
  return {
    accept: 'application/json, */*;q=0.8',
    'accept-encoding': 'identity',
    'user-agent': 'belfry',
    ...(login === ':' ? {} : { authorization: `Basic ${Buffer.from(login).toString('base64')}` }),
    ...Object.fromEntries(Object.entries(headers).map(([name, value]) => [name.toLowerCase(), value])),
  };
}

const JSON_TYPE = /^(?:application\/json|[^;\s]+\+json)\s*(?:;|$)/i;

function validatorsOf({ headers }: Answer): Headers {
  const { etag, 'last-modified': modified } = headers;
  return {
    ...(etag !== undefined && { 'if-none-match': etag }),
    ...(modified !== undefined && { 'if-modified-since': modified }),
  };
}

const REASONS_OF_CODES: ReadonlyMap<unknown, Reason> = new Map([
  ['ECONNREFUSED', 'refused'],
  ['ETIMEDOUT', 'timeout'],
  ['ENOTFOUND', 'unreachable'],
  ['EAI_AGAIN', 'unreachable'],
  ['EHOSTUNREACH', 'unreachable'],
  ['ENETUNREACH', 'unreachable'],
  ['EADDRNOTAVAIL', 'unreachable'],
  ['ECONNRESET', 'unreachable'],
  ['EPIPE', 'unreachable'],
  ['HPE_HEADER_OVERFLOW', 'too-large'],
  ['HPE_CHUNK_EXTENSIONS_OVERFLOW', 'too-large'],
]);

/** `name`: of the request. Where every address of a host refuses, Node's error has a code and no message. */
function explained(cause: unknown, name: string): FeedError {
  const { message, code } = cause as NodeJS.ErrnoException; // nothing else is thrown here
  const reason = REASONS_OF_CODES.get(code) ?? failureReason(cause);
  const colon = cause instanceof AnswerError ? '' : ':';
  return new FeedError(reason, `${name}${colon} ${message || code || 'failed'}`, { cause });
}
