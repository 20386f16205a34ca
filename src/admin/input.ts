import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Hook } from '@hono/zod-openapi';
import type { MiddlewareHandler } from 'hono';
import type { z } from 'zod';
import { type InputError, Refusal, shown } from '../hub/errors.ts';
import type { AdminEnv } from './guard.ts';

/** A hostile body can be wrong in a hundred thousand places; so many of them are told. */
export const MOST_ERRORS = 20;

/** How much of an unknown key its path repeats. */
const LONGEST_KEY = 80;

/** What a part of a request is called in a message. */
const PART: Readonly<Record<string, string>> = { query: 'query parameter', json: 'field' };

/** The hook of every route: input that does not fit is a 400 that names each fault. */
export const refuseInput: Hook<unknown, AdminEnv, string, undefined> = (result) => {
  if (result.success) return undefined;
  const { target, error } = result;
  // The hook's type leaves out what was checked; it is there, failed or not.
  const input = (result as { data?: unknown }).data;
  const issues = error.issues.slice(0, MOST_ERRORS);
  const errors = issues.flatMap((issue) => inputErrors(issue, target, input)).slice(0, MOST_ERRORS);
  throw invalid(errors);
};

/** The 400 for these faults, its text made of theirs. */
export function invalid(errors: readonly InputError[]): Refusal {
  const text = errors.map(({ path, message }) => (path === '' ? message : `${path}: ${message}`));
  return new Refusal(400, text.join('; '), { errors });
}

function inputErrors(issue: z.core.$ZodIssue, target: string, input: unknown): InputError[] {
  if (issue.code === 'unrecognized_keys')
    return issue.keys.slice(0, MOST_ERRORS).map((key) => ({
      path: pathText([...issue.path, key.slice(0, LONGEST_KEY)]),
      message: `unknown ${PART[target] ?? 'value'} ${shown(key)}`,
    }));
  const path = pathText(issue.path);
  const repeated = target === 'query' && Array.isArray(Object(input)[path]);
  return [{ path, message: repeated ? 'given more than once' : issue.message }];
}

/** A place as the faults of the config file write it: `rooms[1]`. */
function pathText(path: readonly PropertyKey[]): string {
  return path.reduce<string>((text, step) => {
    if (typeof step === 'number') return `${text}[${step}]`;
    return text === '' ? String(step) : `${text}.${String(step)}`;
  }, '');
}

/** How large a body may be; read again for each. */
export interface BodyLimits {
  readonly maxBodyBytes: number;
  /** The most bytes that one event may have, which is what a body is sent for. */
  readonly eventBytes: number;
}

/**
 * Reads the body as JSON whatever its content type says, since `curl -d` says it is a form. What
 * comes after finds it parsed. `multipart/*` is a 415, more than `maxBodyBytes` a 413, found out while
 * reading where no length was given, and so is one with more in it than an event can hold; anything but
 * JSON in UTF-8 is a 400.
 */
export function jsonBody(limits: () => BodyLimits): MiddlewareHandler {
  return async (c, next) => {
    const { maxBodyBytes, eventBytes } = limits();
    const { url, method, body } = c.req.raw;
    const headers = new Headers(c.req.raw.headers);
    if (/^\s*multipart\//i.test(headers.get('content-type') ?? ''))
      throw new Refusal(415, 'multipart is not accepted: send the JSON itself as the body');
    if (Number(headers.get('content-length') ?? 0) > maxBodyBytes) throw tooLarge(maxBodyBytes);
    const bytes = await read(body, maxBodyBytes);
    checkShape(bytes, eventBytes);
    if (bytes.length > LARGE_BYTES) await nextTurn();
    const value = parse(decode(bytes));
    if (bytes.length > LARGE_BYTES) await nextTurn();
    headers.set('content-type', 'application/json');
    c.req.raw = new Request(url, { method, headers });
    // Parsed once, here: the framework asks for it by this method, whose type promises whatever is asked for.
    c.req.json = async <Value>() => value as Value;
    await next();
  };
}

/** What each step costs is a few milliseconds for a MiB: a larger body is not read in one go. */
const LARGE_BYTES = 65_536;

/** As deep as a client may nest what it publishes. Writing JSON costs the square of the depth. */
const DEEPEST = 100;

/** What a body may hold besides its event: five lists of a thousand names, and a few fields. */
const MOST_BESIDES = 10_000;

/**
 * Refuses in one pass over the bytes what would take long to parse, check and write again: what costs
 * is not the length but the number of values. Each of these characters stands in the event as well, so
 * one with more of them than bytes are allowed is too large in any case.
 */
function checkShape(bytes: Buffer, eventBytes: number): void {
  const most = eventBytes + MOST_BESIDES;
  let depth = 0;
  let marks = 0;
  let isInString = false;
  for (let index = 0; index < bytes.length; index++) {
    const mark = MARKS[bytes[index] ?? 0];
    if (mark === 0) continue;
    if (mark === ESCAPING) {
      if (isInString) index++;
    } else if (mark === QUOTING) {
      isInString = !isInString;
    } else if (!isInString) {
      if (mark === OPENING) depth++;
      if (mark === CLOSING) depth--;
      if (depth > DEEPEST) throw Refusal.invalid('', `the body is nested deeper than ${DEEPEST} levels`);
      if (++marks > most) {
        const detail = `the body holds more values than fit in ${eventBytes} bytes (limits.eventBytes)`;
        throw new Refusal(413, detail);
      }
    }
  }
}

const [OPENING, CLOSING, PARTING, QUOTING, ESCAPING] = [1, 2, 3, 4, 5];

/** What each byte of JSON does; 0: nothing that counts. */
const MARKS = new Uint8Array(256);
for (const [mark, characters] of [
  [OPENING, '{['],
  [CLOSING, '}]'],
  [PARTING, ',:'],
  [QUOTING, '"'],
  [ESCAPING, '\\'],
] as const)
  for (const byte of Buffer.from(characters)) MARKS[byte] = mark;

function tooLarge(maxBytes: number): Refusal {
  return new Refusal(413, `the body is larger than ${maxBytes} bytes (limits.maxBodyBytes)`);
}

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
