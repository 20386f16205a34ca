import { STATUS_CODES } from 'node:http';
import { z } from 'zod';
import type { Clock } from '../clock.ts';
import type { JsonText, Tick } from '../hub/event.ts';
import { HostGuard } from './host-guard.ts';
import { BackOff } from './back-off.ts';
import { contentOptions, jsonText, readAtMost, tooLarge } from './content.ts';
import { feedKind, type ReadFeed } from './feed.ts';
import { headerFault, isHttpUrl, requestHeaders } from './http-options.ts';
import { FeedError, type Reason, reasonOf } from './reason.ts';
import { type Answer, ask, type Headers, shown } from './http-client.ts';

const options = z.object({
  url: z
    .string()
    // The value is not named: it may hold a password.
    .refine(isHttpUrl, {
      error: 'is not a URL that can be asked: write one that starts with http:// or https://',
    })
    .describe(
      'What to ask. It may be anywhere; redirects lead to its host and to public addresses only, and a host that was public has to stay so.',
    ),
  method: z
    .enum(['GET', 'POST'], {
      error: ({ input }) => `${JSON.stringify(input)} is not a method for a feed: write "GET" or "POST"`,
    })
    .default('GET')
    .describe('The method of the request, which has no body.'),
  headers: z
    .record(z.string(), z.string())
    .superRefine((headers, context) => {
      for (const [name, value] of Object.entries(headers)) {
        const message = headerFault(name, value);
        if (message) context.addIssue({ code: 'custom', path: [name], message });
      }
    })
    .default({})
    .describe(
      'Headers of the request; a secret is written as a dollar sign and {NAME}, from the environment.',
    ),
  ...contentOptions,
});

/**
 * What a URL answers, read once per tick: JSON by its content type, otherwise its text. An upstream
 * that fails is left in peace for a while, except by runs by hand.
 */
export const httpFeed = feedKind({
  type: 'http',
  description: 'What a URL answers.',
  options,
  create: (parsed, { clock }) => new HttpFeed(parsed, clock),
});

/** An answer that is no value. Its message goes on where "GET http://…" ends. */
class AnswerError extends FeedError {
  override readonly name = 'AnswerError';
  readonly retryAfterMs: number | undefined;

  constructor(reason: Reason, message: string, retryAfterMs?: number) {
    super(reason, message);
    this.retryAfterMs = retryAfterMs;
  }
}

/** A value, and the headers that ask whether it is still the one. */
interface Kept {
  readonly url: string;
  readonly conditions: Headers;
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
  #kept: Kept | undefined;
  #asking = false;

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
    this.#name = `${parsed.method} ${shown(this.#url)}`;
  }

  /** Where a name server does not answer it does not end when `signal` aborts, but when the look-up does. */
  async read(tick: Tick, signal: AbortSignal): Promise<JsonText> {
    if (this.#asking) throw new FeedError('timeout', `${this.#name}: the request before has not ended`);
    if (!tick.manual) this.#backOff.check();
    this.#asking = true;
    try {
      const value = await this.#ask(signal);
      this.#backOff.succeeded();
      return value;
    } catch (error) {
      // Nobody wants it any more: that says nothing about the upstream.
      signal.throwIfAborted();
      const answered = error instanceof AnswerError;
      const message = `${this.#name}${answered ? ' ' : ': '}${explained(error)}`;
      const failure = new FeedError(reasonOfFailure(error), message, { cause: error });
      this.#backOff.failed(failure, answered ? error.retryAfterMs : undefined);
      throw failure;
    } finally {
      await this.#guard.settled();
      this.#asking = false;
    }
  }

  #ask(signal: AbortSignal): Promise<JsonText> {
    const { method, maxBytes } = this.#options;
    const kept = this.#kept;
    const conditions = (url: URL) => (kept?.url === url.href ? kept.conditions : {});
    const question = {
      url: this.#url,
      method,
      headers: this.#headers,
      conditions,
      mostBytes: mostBytes(maxBytes),
    };
    return ask(question, this.#guard, signal, async (answer) => {
      if (answer.status === 304 && kept?.url === answer.url.href) return kept.value;
      const value = await this.#value(answer);
      if (method === 'GET') this.#kept = { url: answer.url.href, conditions: validators(answer), value };
      return value;
    });
  }

  async #value(answer: Answer): Promise<JsonText> {
    const { maxBytes, pick } = this.#options;
    const { status } = answer;
    if (status < 200 || status > 299) {
      const meaning = STATUS_CODES[status] ?? 'with a status that has no name';
      throw new AnswerError('http-status', `answered ${status} ${meaning}`, this.#retryAfterMs(answer));
    }
    if ((answer.headers['content-encoding'] ?? 'identity') !== 'identity')
      throw new AnswerError('not-text', 'answered with a compressed body, although it was asked not to');
    if (Number(answer.headers['content-length']) > maxBytes) throw tooLarge(maxBytes, 'the answer');
    const bytes = await readAtMost(answer.body, maxBytes, 'the answer');
    const form = JSON_TYPE.test(answer.headers['content-type'] ?? '') ? 'json' : 'text';
    return jsonText(bytes, form, pick, 'the answer');
  }

  /** Seconds or a date (RFC 9110); anything else is as if it were not there. */
  #retryAfterMs(answer: Answer): number | undefined {
    const text = answer.headers['retry-after'] ?? '';
    const ms = /^\d+$/.test(text) ? Number(text) * 1_000 : Date.parse(text) - this.#clock.now();
    return ms > 0 ? ms : undefined;
  }
}

/** Chunks of one byte take six; headers, trailers and interim answers come on top. */
const mostBytes = (maxBytes: number) => 8 * maxBytes + 262_144;

const JSON_TYPE = /^(?:application\/json|[^;\s]+\+json)\s*(?:;|$)/i;

function validators(answer: Answer): Headers {
  const tag = answer.headers.etag;
  const modified = answer.headers['last-modified'];
  return {
    ...(tag === undefined ? {} : { 'if-none-match': tag }),
    ...(modified === undefined ? {} : { 'if-modified-since': modified }),
  };
}

/** Where every address of a host refuses, Node's error has a code and no message. */
function explained(error: unknown): string {
  const { message, code } = error as NodeJS.ErrnoException; // nothing else is thrown here
  return message || code || 'failed';
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

function reasonOfFailure(error: unknown): Reason {
  const { code } = error as NodeJS.ErrnoException; // as above
  return REASONS_OF_CODES.get(code) ?? reasonOf(error);
}
