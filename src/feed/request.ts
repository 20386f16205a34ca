import { isIP } from 'node:net';
import type { Readable } from 'node:stream';
import { Agent, request } from 'undici';
import { guardedLookup, isPublic, notPublic } from './address.ts';

export type Headers = Readonly<Record<string, string>>;

export interface Question {
  readonly url: URL;
  readonly method: 'GET' | 'POST';
  /** For the origin of `url` only; see `STAYING`. */
  readonly headers: Headers;
  /** More headers for the URL that is asked in the end. */
  conditions(url: URL): Headers;
}

export interface Answer {
  /** What answered: another than was asked for where there were redirects. */
  readonly url: URL;
  readonly status: number;
  /** One value each: the first where the upstream sent several. */
  header(name: string): string | undefined;
  readonly body: Readable;
}

const MAX_REDIRECTS = 5;
const REDIRECTS: ReadonlySet<number> = new Set([301, 302, 303, 307, 308]);

/** What goes along to another origin. Anything else may be a secret, whatever its name. */
const STAYING: ReadonlySet<string> = new Set(['accept', 'accept-encoding', 'accept-language', 'user-agent']);

/** A URL for error texts: without what may be secret in it. */
export const shown = (url: URL): string => `${url.origin}${url.pathname}`;

/**
 * Asks, follows redirects, and hands the answer to `use`. Nothing of it outlives the promise: each
 * call has connections of its own, because a feed is never told when it is used for the last time.
 * Redirects lead to public addresses and to the host of the question, nowhere else.
 */
export async function ask<Value>(
  question: Question,
  signal: AbortSignal,
  use: (answer: Answer) => Promise<Value>,
): Promise<Value> {
  const over = new AbortController();
  const agent = new Agent({
    // The agent does not know the sockets that are still connecting; the signal ends those.
    connect: {
      lookup: guardedLookup(question.url.hostname),
      signal: AbortSignal.any([signal, over.signal]),
      timeout: 0,
    },
    // `signal` is the only time limit.
    headersTimeout: 0,
    bodyTimeout: 0,
  });
  try {
    return await use(await follow(question, agent, signal));
  } finally {
    await agent.destroy();
    over.abort();
  }
}

async function follow(question: Question, dispatcher: Agent, signal: AbortSignal): Promise<Answer> {
  let { url, method, headers } = question;
  for (let redirects = 0; ; redirects++) {
    const all = { ...headers, ...question.conditions(url) };
    const {
      statusCode,
      headers: answered,
      body,
    } = await request(url, {
      dispatcher,
      method,
      headers: all,
      signal,
    });
    // A body that nobody reads fails when its connection ends.
    body.on('error', () => {});
    const header = (name: string) => [answered[name]].flat()[0];
    const location = header('location');
    if (!REDIRECTS.has(statusCode) || location === undefined)
      return { url, status: statusCode, header, body };

    body.destroy();
    if (redirects === MAX_REDIRECTS)
      throw new Error(`more than ${MAX_REDIRECTS} redirects, the last from ${shown(url)}`);
    const next = redirected(url, location, question.url.hostname);
    // Once dropped, headers stay so: who was led away is not led back with its secrets.
    if (next.origin !== url.origin) headers = staying(headers);
    if (statusCode < 307) method = 'GET';
    url = next;
  }
}

/** Throws where a redirect must not lead. Names are looked up, and looked at, on connecting. */
function redirected(from: URL, location: string, named: string): URL {
  const url = URL.canParse(location, from.href) ? new URL(location, from) : undefined;
  if (url?.protocol !== 'http:' && url?.protocol !== 'https:')
    throw new Error(`${shown(from)} redirects to what is not a http:// or https:// URL`);
  url.username = '';
  url.password = '';
  const host = url.hostname.replace(/^\[|\]$/g, '');
  if (url.hostname !== named && isIP(host) !== 0 && !isPublic(host)) throw notPublic(host, host);
  return url;
}

function staying(headers: Headers): Headers {
  return Object.fromEntries(Object.entries(headers).filter(([name]) => STAYING.has(name)));
}
