import http, { type IncomingHttpHeaders, type IncomingMessage, type RequestOptions } from 'node:http';
import https from 'node:https';
import type { Readable } from 'node:stream';
import type { HostGuard } from './host-guard.ts';
import { PacedSocket } from './paced-socket.ts';
import { FeedError } from './reason.ts';

export type Headers = Readonly<Record<string, string>>;

export interface Question {
  /** Without user and password. */
  readonly url: URL;
  readonly method: 'GET' | 'POST';
  /** For the origin of `url` only; see `STAYING`. */
  readonly headers: Headers;
  /** More headers for the URL that is asked in the end. */
  conditions(url: URL): Headers;
  /** How many bytes the connection may carry, headers and framing included. */
  readonly mostBytes: number;
}

export interface Answer {
  /** What answered: another than was asked for where there were redirects. */
  readonly url: URL;
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: Readable;
}

const MAX_REDIRECTS = 5;
const REDIRECTS: ReadonlySet<number> = new Set([301, 302, 303, 307, 308]);

/** What goes along to another origin. Anything else may be a secret, whatever its name. */
const STAYING: ReadonlySet<string> = new Set(['accept', 'accept-encoding', 'accept-language', 'user-agent']);

const MAX_SHOWN_CHARACTERS = 200;

/** A URL for error texts: without what may be secret in it, and not as long as an upstream likes. */
export const shown = (url: URL): string => `${url.origin}${url.pathname}`.slice(0, MAX_SHOWN_CHARACTERS);

/**
 * Asks, follows redirects, and hands the answer to `use`. Nothing of it outlives the promise: each
 * request has a connection of its own, because a feed is never told when it is used for the last
 * time. `guard` says where connections and redirects may lead.
 */
export async function ask<Value>(
  question: Question,
  guard: HostGuard,
  signal: AbortSignal,
  use: (answer: Answer) => Promise<Value>,
): Promise<Value> {
  const { lookup } = guard;
  const { mostBytes } = question;
  let { url, method, headers } = question;
  for (let redirects = 0; ; redirects++) {
    const all = { ...headers, ...question.conditions(url) };
    const response = await send(url, { method, headers: all, lookup, signal }, mostBytes);
    try {
      const { statusCode: status = 0, headers: answered } = response;
      const { location } = answered;
      if (!REDIRECTS.has(status) || location === undefined)
        return await use({ url, status, headers: answered, body: response });

      if (redirects === MAX_REDIRECTS)
        throw new FeedError(
          'http-status',
          `more than ${MAX_REDIRECTS} redirects, the last from ${shown(url)}`,
        );
      const next = redirected(url, location, guard);
      // Once dropped, headers stay so: who was led away is not led back with its secrets.
      if (next.origin !== url.origin) headers = staying(headers);
      if (status < 307) method = 'GET';
      url = next;
    } finally {
      response.destroy();
    }
  }
}

function send(url: URL, options: RequestOptions, mostBytes: number): Promise<IncomingMessage> {
  const isSecure = url.protocol === 'https:';
  const agent = isSecure ? new https.Agent() : new http.Agent();
  const connect = agent.createConnection.bind(agent);
  agent.createConnection = (...args) => {
    const socket = connect(...args);
    return socket && new PacedSocket(socket, mostBytes);
  };
  return new Promise((resolve, reject) => {
    let answer: IncomingMessage | undefined;
    let interim = 0;
    const request = (isSecure ? https : http)
      .request(url, { ...options, agent })
      .on('information', () => {
        interim += 1;
        if (interim > MAX_INTERIM) request.destroy(tooManyInterim());
      })
      .on('response', (response) => {
        answer = response.on('error', ignore);
        resolve(response);
      })
      .on('error', (error) => {
        // Of what breaks off in the body, the body itself would say no more than "aborted".
        answer?.destroy(error);
        reject(error);
      })
      // All that Node tells of a switch to another protocol.
      .on('close', () => reject(new FeedError('unreachable', 'the connection was closed without an answer')));
    request.end();
  });
}

/** Answers of status 1xx announce another one; there is no use in many. */
const MAX_INTERIM = 10;

function tooManyInterim(): FeedError {
  return new FeedError('failed', `more than ${MAX_INTERIM} interim answers (status 1xx), and no other`);
}

/** Whoever reads the body hears of its errors; where nobody does, they do not matter. */
function ignore(): void {}

/** Throws where a redirect must not lead. Names are looked up, and looked at, on connecting. */
function redirected(from: URL, location: string, guard: HostGuard): URL {
  const url = URL.canParse(location, from.href) ? new URL(location, from) : undefined;
  if (url?.protocol !== 'http:' && url?.protocol !== 'https:')
    throw new FeedError('refused', `${shown(from)} redirects to what is not an http:// or https:// URL`);
  url.username = '';
  url.password = '';
  guard.check(url);
  return url;
}

function staying(headers: Headers): Headers {
  return Object.fromEntries(Object.entries(headers).filter(([name]) => STAYING.has(name)));
}
