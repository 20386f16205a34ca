import { setImmediate as nextTurn } from 'node:timers/promises';
import { type Hook, z } from '@hono/zod-openapi';
import { callDurationMs, DURATION_ACCEPTS } from '../duration.ts';
import { type InputError, Refusal, shown } from '../hub/errors.ts';
import {
  DEVICE_ACCEPTS,
  EVENT_ACCEPTS,
  isDeviceName,
  isEventName,
  isKey,
  isRoomName,
  isRoomPattern,
  isServerEvent,
  KEY_ACCEPTS,
  PATTERN_ACCEPTS,
  ROOM_ACCEPTS,
} from '../hub/event.ts';
import type { Limits } from '../limits.ts';
import type { AdminEnv } from './guard.ts';

/** What a request of the admin API may hold: its fields, what is answered where one does not fit, and its body. */

// Fields: each checks one value and says what it would accept.

/** A string that passes `test`; otherwise the message names it and what would be accepted. */
export function stringField(test: (value: string) => boolean, what: string, accepts: string) {
  return z
    .string({ error: `expected a string: ${accepts}` })
    .refine(test, { error: ({ input }) => `${shown(input)} is not ${what}: ${accepts}` })
    .describe(accepts);
}

/** A string that is read as something else: `parse` answers undefined for what it is not. */
export function parsedField<Value>(
  parse: (text: string) => Value | undefined,
  what: string,
  accepts: string,
) {
  return z
    .string({ error: `expected a string: ${accepts}` })
    .transform((input, { issues }): Value => {
      const value = parse(input);
      if (value !== undefined) return value;
      issues.push({ code: 'custom', input, message: `${shown(input)} is not ${what}: ${accepts}` });
      return z.NEVER;
    })
    .openapi({ type: 'string', description: accepts });
}

export const roomName = stringField(isRoomName, 'a room name', ROOM_ACCEPTS);
export const roomPattern = stringField(isRoomPattern, 'a room pattern', PATTERN_ACCEPTS);
export const eventName = stringField(isEventName, 'an event name', EVENT_ACCEPTS);
/** An event that a sender may name. */
export const sentEvent = eventName.refine((event) => !isServerEvent(event), {
  error: ({ input }) => `${shown(input)} is an event that only the server sends`,
});
export const keyName = stringField(isKey, 'a key', KEY_ACCEPTS);
export const deviceName = stringField(isDeviceName, 'a device', DEVICE_ACCEPTS);

/** A connection's id, a user or a schedule's name. Whether it exists is checked where it is looked up. */
export const SOME_NAME_ACCEPTS = 'at least one character';
export const someName = stringField((value) => value !== '', 'a name', SOME_NAME_ACCEPTS);

/** The reason that clients get when a room or a connection is closed. */
export const reason = stringField(
  (value) => /^[^\p{C}\p{Zl}\p{Zp}]{1,200}$/u.test(value),
  'a reason',
  '1 to 200 printable characters',
).optional();

/** A boolean in a query. */
export const flag = z
  .enum(['true', 'false'], { error: ({ input }) => `${shown(input)} is neither true nor false` })
  .transform((value) => value === 'true')
  .openapi({ type: 'boolean' });

/** A whole number in a query. */
export function wholeNumber(what: string, { max, byDefault }: { max: number; byDefault: number }) {
  const parse = (text: string) => {
    const value = /^\d{1,4}$/.test(text) ? Number(text) : 0;
    return value >= 1 && value <= max ? value : undefined;
  };
  return parsedField(parse, what, `a whole number from 1 to ${max}`)
    .default(byDefault)
    .openapi({ type: 'integer', minimum: 1, maximum: max, default: byDefault });
}

/** A time such as that of a lock, in milliseconds. */
export const duration = parsedField(callDurationMs, 'a duration', DURATION_ACCEPTS);

/** The same, more than nothing. */
export const someTime = parsedField(
  (text) => callDurationMs(text) || undefined,
  'a duration',
  `${DURATION_ACCEPTS}, and more than 0`,
);

/** The query of a call that takes none. */
export const noQuery = z.strictObject({});

// Input that does not fit

/** Errors that an answer lists: a hostile body can have a hundred thousand. */
export const MAX_ERRORS = 20;

/** Characters of an unknown key that its path repeats. */
const MAX_KEY_CHARACTERS = 80;

/** What a part of a request is called in a message. */
const PART: Readonly<Record<string, string>> = { query: 'query parameter', json: 'field' };

/** The hook of every route: input that does not fit is a 400 that names each fault. */
export const refuseInput: Hook<unknown, AdminEnv, string, undefined> = (result) => {
  // The hook's type leaves out what was checked; it is there, failed or not.
  if (!result.success) throw invalid(result.target, result.error, (result as { data?: unknown }).data);
  return undefined;
};

/** A body that fits `schema`. Throws the same 400 as `refuseInput`. */
function checkBody<Schema extends z.ZodType>(body: unknown, schema: Schema): z.output<Schema> {
  const { success, data, error } = schema.safeParse(body);
  if (!success) throw invalid('json', error, body);
  return data;
}

function invalid(target: string, error: z.core.$ZodError, input: unknown): Refusal {
  const issues = error.issues.slice(0, MAX_ERRORS);
  const errors = issues.flatMap((issue) => inputErrors(issue, target, input)).slice(0, MAX_ERRORS);
  return new Refusal(400, detailOf(errors), { errors });
}

/** Several wrong inputs in one line. */
export function detailOf(errors: readonly InputError[]): string {
  return errors.map(({ path, message }) => (path === '' ? message : `${path}: ${message}`)).join('; ');
}

function inputErrors(issue: z.core.$ZodIssue, target: string, input: unknown): InputError[] {
  if (issue.code === 'unrecognized_keys')
    return issue.keys.slice(0, MAX_ERRORS).map((key) => ({
      path: pathOf([...issue.path, key.slice(0, MAX_KEY_CHARACTERS)]),
      message: `unknown ${PART[target] ?? 'value'} ${shown(key)}`,
    }));
  const path = pathOf(issue.path);
  const isRepeated = target === 'query' && Array.isArray(Object(input)[path]);
  return [{ path, message: isRepeated ? 'given more than once' : issue.message }];
}

/** A place as the faults of the config file write it: `rooms[1]`. */
function pathOf(steps: readonly PropertyKey[]): string {
  return steps.reduce<string>((path, step) => {
    if (typeof step === 'number') return `${path}[${step}]`;
    return path === '' ? String(step) : `${path}.${String(step)}`;
  }, '');
}

// The body

/** How large a body may be, and the event in it. */
export type BodyLimits = Pick<Limits, 'maxBodyBytes' | 'eventBytes'>;

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

/** A larger body is handled in several turns of the event loop: each step takes a few milliseconds for a MiB. */
const LARGE_BYTES = 65_536;

/** As deep as a client may nest what it publishes. Writing JSON costs the square of the depth. */
const MAX_DEPTH = 100;

/** What a body may hold besides its event: five lists of a thousand names, and a few fields. */
const MAX_VALUES_BESIDES = 10_000;

/**
 * Refuses a body that would take long to parse, check and write again. That depends on the number of values,
 * not on the length, so the characters between values are counted, in one pass over the bytes. An event with
 * more of them than `eventBytes` is too large in any case.
 */
function checkShape(bytes: Buffer, eventBytes: number): void {
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
      if (depth > MAX_DEPTH) throw Refusal.invalid('', `the body is nested deeper than ${MAX_DEPTH} levels`);
      if (++marks > maxMarks) {
        const detail = `the body holds more values than fit in ${eventBytes} bytes (limits.eventBytes)`;
        throw new Refusal(413, detail);
      }
    }
  }
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
