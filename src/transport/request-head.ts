import type { IncomingMessage } from 'node:http';
import type { Caller, RequestTarget } from '../access/admission.ts';
import { Refusal, shown } from '../hub/errors.ts';

/**
 * Each header takes about 100 bytes of heap beside its characters: 900 of three characters, 8 KB on the
 * wire, took 110 KB, and 64 KB while only half of the head had come.
 */
const MAX_HEADERS = 100;

/**
 * How many headers Node is told to keep, one more than are allowed: Node drops the rest in silence, perhaps
 * an `Origin`.
 */
export const KEPT_HEADERS = MAX_HEADERS + 1;

/** What a string in an array takes on the heap, beside its characters. */
const STRING_BYTES = 32;

/** About how many bytes of memory the head of a request takes. */
export function headBytes({ url = '', rawHeaders }: IncomingMessage): number {
  return rawHeaders.reduce((bytes, { length }) => bytes + STRING_BYTES + length, url.length);
}

/**
 * What is wrong with the head of a request that Node's parser accepts: headers that access control reads must
 * not be ambiguous. To be asked for every request, an upgrade or not.
 */
export function headFault(request: IncomingMessage): Refusal | undefined {
  const { rawHeaders, httpVersion, httpVersionMajor } = request;
  if (httpVersionMajor > 1) {
    return new Refusal(505, `HTTP/${httpVersion} is not spoken here: send HTTP/1.1`, { reason: 'input' });
  }
  if (rawHeaders.length > 2 * MAX_HEADERS) {
    return new Refusal(431, `there are too many headers: at most ${MAX_HEADERS}`);
  }
  if (countHosts(rawHeaders) > 1) return new Refusal(400, 'there are two Host headers: send one');
  const { expect } = request.headers;
  // HTTP/1.0 knows no expectations.
  if (expect === undefined || request.httpVersionMinor < 1 || /100-continue/i.test(expect)) return undefined;
  return new Refusal(417, `Expect is ${shown(expect)}: only 100-continue can be expected`);
}

function countHosts(rawHeaders: readonly string[]): number {
  let count = 0;
  for (let at = 0; at < rawHeaders.length; at += 2) {
    const name = rawHeaders[at] ?? '';
    if (name.length === 4 && name.toLowerCase() === 'host') count++;
  }
  return count;
}

// Upgrades

/** RFC 6455, 4.1: 16 bytes in Base64. */
const KEY = /^[+/0-9A-Za-z]{22}==$/;
/** RFC 9110, 5.6.2: a token, and lists of them. */
const TOKENS = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+(?:[ \t]*,[ \t]*[!#$%&'*+\-.^_`|~0-9A-Za-z]+)*$/;
/** The only version of the WebSocket protocol, RFC 6455. */
export const WEBSOCKET_VERSION = '13';

/** Whether a request asks to become a WebSocket. */
export function isWebSocketUpgrade({ headers }: IncomingMessage): boolean {
  return headers.upgrade?.toLowerCase() === 'websocket';
}

/** Throws a `Refusal` for a request that is no valid WebSocket handshake. */
export function checkHandshake(request: IncomingMessage): void {
  const fault = headFault(request);
  if (fault) throw fault;
  const { headers, method } = request;
  if (!isWebSocketUpgrade(request)) {
    throw new Refusal(400, `cannot upgrade to ${headerText(headers.upgrade)}: only to websocket`);
  }
  if (method !== 'GET') {
    throw new Refusal(405, `a WebSocket is opened with GET, not ${method}`, { headers: { Allow: 'GET' } });
  }
  const version = headers['sec-websocket-version'];
  if (version !== WEBSOCKET_VERSION) {
    throw new Refusal(426, `Sec-WebSocket-Version is ${headerText(version)}: send ${WEBSOCKET_VERSION}`, {
      headers: { 'Sec-WebSocket-Version': WEBSOCKET_VERSION, Upgrade: 'websocket' },
    });
  }
  const key = headers['sec-websocket-key'];
  if (key === undefined || !KEY.test(key)) {
    throw new Refusal(400, `Sec-WebSocket-Key is ${headerText(key)}: send 16 bytes in Base64`);
  }
  const protocols = headers['sec-websocket-protocol'];
  if (protocols !== undefined && !(TOKENS.test(protocols) && areDistinct(protocols))) {
    throw new Refusal(400, 'Sec-WebSocket-Protocol is not a list of different tokens: send "belfry"');
  }
}

function areDistinct(list: string): boolean {
  const names = list.split(',').map((name) => name.trim());
  return new Set(names).size === names.length;
}

function headerText(header: string | undefined): string {
  return header === undefined ? 'missing' : shown(header);
}

/** A request of Node's server as access control sees it. */
export class RequestCaller implements Caller {
  readonly #request: IncomingMessage;
  #url: RequestTarget | undefined;

  constructor(request: IncomingMessage) {
    this.#request = request;
  }

  /** Read when it is asked for, since most refusals need none. Throws a 400 `Refusal` for a malformed address. */
  get url(): RequestTarget {
    this.#url ??= targetOf(this.#request.url ?? '');
    return this.#url;
  }

  get peerAddress(): string | undefined {
    return this.#request.socket.remoteAddress;
  }

  header(name: string): string | undefined {
    const value = this.#request.headers[name];
    return Array.isArray(value) ? value.join(', ') : value;
  }
}

/** The address of one room without a query, which most clients ask for: `URL` would change nothing in it. */
const PLAIN_TARGET = /^\/rooms\/[0-9A-Za-z][0-9A-Za-z._:-]*$/;
const NO_QUERY = new URLSearchParams();

/** RFC 9112, 3.2: a path with its query, or a whole address. */
function targetOf(target: string): RequestTarget {
  if (PLAIN_TARGET.test(target)) return { pathname: target, searchParams: NO_QUERY };
  try {
    // The path is put behind an authority, not resolved against one: "//x" is a path here, not a host.
    return target.startsWith('/') ? new URL(`http://localhost${target}`) : new URL(target);
  } catch {
    throw new Refusal(400, `${shown(target)} is not an address: ask for /rooms/{room}`);
  }
}
