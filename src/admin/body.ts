import { setImmediate as nextTurn } from 'node:timers/promises';
import type { z } from '@hono/zod-openapi';
import { Refusal } from '../hub/errors.ts';
import type { JsonText } from '../hub/event.ts';
import type { Limits } from '../limits.ts';
import { checkBody } from './input.ts';

/** How large a body may be, and the event in it. */
export type BodyLimits = Pick<Limits, 'maxBodyBytes' | 'eventBytes'>;

/**
 * Reads the body of a request. Throws a 413 `Refusal` for more than `maxBodyBytes`, found while reading where
 * no length was given.
 */
export async function bodyOf(
  { headers, body }: Request,
  { maxBodyBytes }: Pick<BodyLimits, 'maxBodyBytes'>,
): Promise<Buffer> {
  if (Number(headers.get('content-length') ?? 0) > maxBodyBytes) throw tooLarge(maxBodyBytes);
  return read(body, maxBodyBytes);
}

/** Throws a 415 `Refusal` for `multipart/*`. Other types are read as JSON, since `curl -d` says it is a form. */
export function checkType({ headers }: Request): void {
  if (/^\s*multipart\//i.test(headers.get('content-type') ?? ''))
    throw new Refusal(415, 'multipart is not accepted: send the JSON itself as the body');
}

/**
 * Reads a body as JSON and checks it. Throws a `Refusal`: 413 for more values than an event can hold; 400 for
 * what is not JSON in UTF-8, or does not fit `schema`.
 */
export async function jsonOf<Schema extends z.ZodType>(
  bytes: Buffer,
  schema: Schema,
  { eventBytes }: BodyLimits,
): Promise<z.output<Schema>> {
  const fault = shapeFault(bytes, eventBytes);
  if (fault) throw fault;
  if (bytes.length > LARGE_BYTES) await nextTurn();
  const value = parse(decode(bytes));
  if (bytes.length > LARGE_BYTES) await nextTurn();
  return checkBody(value, schema);
}

/**
 * A body as the data of an event: JSON where it is JSON, otherwise a string, whatever its content type says.
 * Throws a `Refusal`: 413 for more values than an event can hold, 400 for what is not UTF-8, or JSON that is
 * nested too deep.
 */
export function dataOf(bytes: Buffer, { eventBytes }: BodyLimits): JsonText {
  const fault = shapeFault(bytes, eventBytes);
  if (fault?.status === 413) throw fault;
  const text = decode(bytes);
  // A string that is longer than an event may be is refused in any case.
  const value = bytes.length > eventBytes && fault ? undefined : parsed(text);
  if (value !== undefined && fault) throw fault;
  return JSON.stringify(value === undefined ? text : value);
}

/** `undefined` for what is not JSON. */
function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** A larger body is handled in several turns of the event loop: each step takes a few milliseconds for a MiB. */
const LARGE_BYTES = 65_536;

/** As deep as a client may nest what it publishes. Writing JSON costs the square of the depth. */
const MAX_DEPTH = 100;

/** What a body may hold besides its event: five lists of a thousand names, and a few fields. */
const MAX_VALUES_BESIDES = 10_000;

/**
 * Why a body is refused that would take long to parse, check and write again. That depends on the number of
 * values, not on the length, so the characters between values are counted, in one pass over the bytes. An
 * event with more of them than `eventBytes` is too large in any case.
 */
function shapeFault(bytes: Buffer, eventBytes: number): Refusal | undefined {
  const maxMarks = eventBytes + MAX_VALUES_BESIDES;
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
      if (depth > MAX_DEPTH) return Refusal.invalid('', `the body is nested deeper than ${MAX_DEPTH} levels`);
      if (++marks > maxMarks) {
        const detail = `the body holds more values than fit in ${eventBytes} bytes (limits.eventBytes)`;
        return new Refusal(413, detail);
      }
    }
  }
  return undefined;
}

const [OPENING, CLOSING, PARTING, QUOTING, ESCAPING] = [1, 2, 3, 4, 5];

/** What each byte means in JSON; 0: nothing that is counted. */
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
