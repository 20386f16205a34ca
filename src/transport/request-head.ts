import type { IncomingMessage } from 'node:http';
import { Refusal, shown } from '../hub/errors.ts';

/**
 * How many headers a request may have. Each takes about 100 bytes of heap beside its characters: 900 of
 * three characters, 8 KB on the wire, took 110 KB, and 64 KB while only half of the head had come.
 */
const MAX_HEADERS = 100;

/** For Node, which drops the others in silence, an `Origin` perhaps: one more, so that these are seen. */
export const KEPT_HEADERS = MAX_HEADERS + 1;

/** Of a string on the heap, and of the place it has in an array, beside its characters. */
const STRING_BYTES = 32;

/** About how many bytes of memory the head of a request takes. */
export function headBytes({ url = '', rawHeaders }: IncomingMessage): number {
  return rawHeaders.reduce((bytes, { length }) => bytes + STRING_BYTES + length, url.length);
}

/**
 * What is wrong with the head of a request that Node's parser lets pass, on whatever way it goes on:
 * for the values that decide who may come in must not be ambiguous.
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
