import { setImmediate as nextTurn } from 'node:timers/promises';
import type { z } from '@hono/zod-openapi';
import { Refusal } from '../hub/errors.ts';
import { checkBody } from './schemas.ts';

/** How large a body may be. */
export interface BodyLimits {
  readonly maxBodyBytes: number;
  /** The most bytes of one event, which is what a body is sent for. */
  readonly eventBytes: number;
}

/**
 * Reads the body of a request as JSON whatever its content type says, since `curl -d` says it is a form,
 * and checks it. Throws a `Refusal`: 415 for `multipart/*`; 413 for more than `maxBodyBytes`, found while
 * reading where no length was given, and for more values than an event can hold; 400 for what is not
 * JSON in UTF-8, or does not fit `schema`.
 */
export async function jsonBody<Schema extends z.ZodType>(
  { headers, body }: Request,
  schema: Schema,
  { maxBodyBytes, eventBytes }: BodyLimits,
): Promise<z.output<Schema>> {
  if (/^\s*multipart\//i.test(headers.get('content-type') ?? ''))
    throw new Refusal(415, 'multipart is not accepted: send the JSON itself as the body');
  if (Number(headers.get('content-length') ?? 0) > maxBodyBytes) throw tooLarge(maxBodyBytes);
  const bytes = await read(body, maxBodyBytes);
  checkShape(bytes, eventBytes);
  if (bytes.length > LARGE_BYTES) await nextTurn();
  const value = parse(decode(bytes));
  if (bytes.length > LARGE_BYTES) await nextTurn();
  return checkBody(value, schema);
}

/** What each step costs is a few milliseconds for a MiB: a larger body is not read in one go. */
const LARGE_BYTES = 65_536;

/** As deep as a client may nest what it publishes. Writing JSON costs the square of the depth. */
const MAX_DEPTH = 100;

/** What a body may hold besides its event: five lists of a thousand names, and a few fields. */
const MAX_VALUES_BESIDES = 10_000;

/**
 * Refuses in one pass over the bytes what would take long to parse, check and write again: what costs
 * is not the length but the number of values. Each of these characters stands in the event as well, so
 * one with more of them than bytes are allowed is too large in any case.
 */
function checkShape(bytes: Buffer, eventBytes: number): void {
  const most = eventBytes + MAX_VALUES_BESIDES;
  let depth = 0;
  let marks = 0;
  let isInString = false;
  for (let index = 0; index < bytes.length; index++) {
    const mark = MARK_OF[bytes[index] ?? 0];
    if (mark === 0) continue;
    if (mark === ESCAPING) {
      if (isInString) index++;
    } else if (mark === QUOTING) {
      isInString = !isInString;
    } else if (!isInString) {
      if (mark === OPENING) depth++;
      if (mark === CLOSING) depth--;
      if (depth > MAX_DEPTH) throw Refusal.invalid('', `the body is nested deeper than ${MAX_DEPTH} levels`);
      if (++marks > most) {
        const detail = `the body holds more values than fit in ${eventBytes} bytes (limits.eventBytes)`;
        throw new Refusal(413, detail);
      }
    }
  }
}

const [OPENING, CLOSING, PARTING, QUOTING, ESCAPING] = [1, 2, 3, 4, 5];

/** What each byte of JSON does; 0: nothing that counts. */
const MARK_OF = new Uint8Array(256);
for (const [mark, characters] of [
  [OPENING, '{['],
  [CLOSING, '}]'],
  [PARTING, ',:'],
  [QUOTING, '"'],
  [ESCAPING, '\\'],
] as const)
  for (const byte of Buffer.from(characters)) MARK_OF[byte] = mark;

function tooLarge(maxBytes: number): Refusal {
  return new Refusal(413, `the body is larger than ${maxBytes} bytes (limits.maxBodyBytes)`);
}

/**
 * Counts the bytes itself, and cancels a body that is too large: `hono/body-limit` trusts a
 * `Content-Length`, and leaves the rest of the body open.
 */
async function read(body: ReadableStream<Uint8Array> | null, maxBytes: number): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  try {
    for await (const chunk of body ?? []) {
      bytes += chunk.byteLength;
      if (bytes > maxBytes) throw tooLarge(maxBytes);
      chunks.push(chunk);
    }
  } catch (cause) {
    if (cause instanceof Refusal) throw cause;
    throw new Refusal(400, 'the body broke off', { cause });
  }
  return Buffer.concat(chunks, bytes);
}

function decode(bytes: Buffer): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch (cause) {
    throw new Refusal(400, 'the body is not UTF-8', { cause });
  }
}

/** Its message says where the fault is; the framework's does not. */
function parse(text: string): unknown {
  if (text.trim() === '') throw new Refusal(400, 'the body is empty: send JSON, such as {"data":"hello"}');
  try {
    return JSON.parse(text);
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new Refusal(400, `the body is not JSON: ${why}`, { errors: [{ path: '', message: why }], cause });
  }
}
