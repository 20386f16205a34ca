import type { Hook } from '@hono/zod-openapi';
import type { MiddlewareHandler } from 'hono';
import type { z } from 'zod';
import { type InputError, Refusal, shown } from '../hub/refusal.ts';
import type { AdminEnv } from './guard.ts';

/** A hostile body can be wrong in a hundred thousand places; so many of them are told. */
const MOST_ERRORS = 20;

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
  const errors = error.issues.flatMap((issue) => inputErrors(issue, target, input)).slice(0, MOST_ERRORS);
  throw invalid(errors);
};

/** The 400 for these faults, its text made of theirs. */
export function invalid(errors: readonly InputError[]): Refusal {
  const text = errors.map(({ path, message }) => (path === '' ? message : `${path}: ${message}`));
  return new Refusal(400, text.join('; '), { errors });
}

function inputErrors(issue: z.core.$ZodIssue, target: string, input: unknown): InputError[] {
  if (issue.code === 'unrecognized_keys')
    return issue.keys.map((key) => ({
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

/**
 * Reads the body as JSON whatever its content type says, since `curl -d` says it is a form. What
 * comes after finds JSON that parses. `multipart/*` is a 415, more than `mostBytes` a 413, found
 * out while reading where no length was given; anything but JSON in UTF-8 is a 400.
 */
export function jsonBody(mostBytes: () => number): MiddlewareHandler {
  return async (c, next) => {
    const maxBytes = mostBytes();
    const { url, method, body } = c.req.raw;
    const headers = new Headers(c.req.raw.headers);
    if (/^\s*multipart\//i.test(headers.get('content-type') ?? ''))
      throw new Refusal(415, 'multipart is not accepted: send the JSON itself as the body');
    if (Number(headers.get('content-length') ?? 0) > maxBytes) throw tooLarge(maxBytes);
    const text = decode(await read(body, maxBytes));
    parse(text);
    headers.set('content-type', 'application/json');
    c.req.raw = new Request(url, { method, headers, body: text });
    await next();
  };
}

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

/** Parses for the sake of the message, which says where the fault is; the framework's does not. */
function parse(text: string): void {
  if (text.trim() === '') throw new Refusal(400, 'the body is empty: send JSON, such as {"data":"hello"}');
  try {
    JSON.parse(text);
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new Refusal(400, `the body is not JSON: ${why}`, { errors: [{ path: '', message: why }], cause });
  }
}
