import { STATUS_CODES } from 'node:http';
import { createRoute, type Hook, type RouteConfig, z } from '@hono/zod-openapi';
import { durationMs } from '../duration.ts';
import { type InputError, Refusal, shown } from '../hub/errors.ts';
import {
  DEVICE_ACCEPTS,
  EVENT_ACCEPTS,
  isDeviceName,
  isEventName,
  isRoomName,
  isRoomPattern,
  PATTERN_ACCEPTS,
  ROOM_ACCEPTS,
} from '../hub/event.ts';
import { type AdminEnv, operatorOnly } from './guard.ts';

/** What the calls are declared with: fields of requests, answers, pages of lists, and the calls themselves. */

// Fields of requests: each checks one value and says what it would accept.

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
export const deviceName = stringField(isDeviceName, 'a device', DEVICE_ACCEPTS);

/** A connection's id, a user or a schedule's name: only its owner knows whether it exists. */
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

/** A longer lock is taken for a mistake, and is far below what an instant can hold. */
const MAX_LOCK_MS = 366 * 86_400_000;

/** How long a room stays locked, in milliseconds. */
export const lock = parsedField(
  (text) => {
    const ms = durationMs(text) ?? Number.POSITIVE_INFINITY;
    return ms <= MAX_LOCK_MS ? ms : undefined;
  },
  'a duration',
  'a number and one of ms s m h d, such as 30s, at most 366d',
);

/** The query of a call that takes none. */
export const noQuery = z.strictObject({});

// Input that does not fit

/** A hostile body can be wrong in a hundred thousand places: so many of them are reported. */
export const MAX_ERRORS = 20;

/** How much of an unknown key its path repeats. */
const MAX_KEY_LENGTH = 80;

/** What a part of a request is called in a message. */
const PART: Readonly<Record<string, string>> = { query: 'query parameter', json: 'field' };

/** The hook of every route: input that does not fit is a 400 that names each fault. */
export const refuseInput: Hook<unknown, AdminEnv, string, undefined> = (result) => {
  // The hook's type leaves out what was checked; it is there, failed or not.
  if (!result.success) throw invalid(result.target, result.error, (result as { data?: unknown }).data);
  return undefined;
};

/** A body that fits `schema`. Throws the same 400 as `refuseInput`. */
export function checkBody<Schema extends z.ZodType>(body: unknown, schema: Schema): z.output<Schema> {
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
      path: pathOf([...issue.path, key.slice(0, MAX_KEY_LENGTH)]),
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

// Answers

export const instantField = z.string().openapi({ format: 'date-time', example: '2026-11-20T18:00:03.000Z' });

/** The error of a request, RFC 9457. */
export const problemField = z
  .object({
    type: z.string(),
    title: z.string(),
    status: z.int(),
    detail: z.string(),
    errors: z.array(z.object({ path: z.string(), message: z.string() })).optional(),
  })
  .openapi('Problem', { description: 'Error of a request (RFC 9457).' });

/** An answer of 200 in JSON. */
export function json<Schema extends z.ZodType>(
  description: string,
  schema: Schema,
  example: z.input<Schema>,
) {
  return { description, content: { 'application/json': { schema, example } } };
}

/** Examples of the details that all calls share, by status. */
const DETAILS: Readonly<Record<number, string>> = {
  401: 'a token is needed: send the header "Authorization: Bearer <token>"',
  403: 'this needs a token of the role "operator", and the token "wall" has the role "viewer"',
  409: 'the configuration was not read from a file, so it cannot be reloaded',
  413: 'the body is larger than 1048576 bytes (limits.maxBodyBytes)',
  415: 'multipart is not accepted: send the JSON itself as the body',
  421: 'this server does not answer to the host "x": use localhost, 127.0.0.1 or [::1], or set server.publicUrl to the address that the world uses',
  429: '10 wrong tokens came from this address within a minute: send a right one, or try again in 60 s',
  503: 'the server has not started yet: come back in a moment',
};

/** An error with a detail of its own as its example. */
export function refused(status: number, detail: string, errors?: readonly InputError[]) {
  const title = STATUS_CODES[status] ?? 'Refused';
  const example = { type: 'about:blank', title, status, detail, ...(errors && { errors: [...errors] }) };
  return {
    description: title,
    content: { 'application/problem+json': { schema: problemField, example } },
  };
}

/** The 400 for one wrong input, as `refuseInput` writes it. */
export function refusedInput(path: string, message: string) {
  return refused(400, `${path}: ${message}`, [{ path, message }]);
}

/** Errors whose details are the same in every call, by status. */
export function refusals<Status extends number>(...statuses: readonly Status[]) {
  const entries = statuses.map((status) => [status, refused(status, DETAILS[status] ?? '')]);
  // Object.fromEntries forgets which keys it was given.
  return Object.fromEntries(entries) as Record<Status, ReturnType<typeof refused>>;
}

// Lists are answered in pages.

/** The query of a list, with the fields that narrow it. */
export function pageQuery<Shape extends z.ZodRawShape>(list: string, narrowedBy: Shape) {
  return z.strictObject({
    limit: wholeNumber('a limit', { max: 1000, byDefault: 100 }).openapi({ example: 100 }),
    cursor: parsedField(
      (text) => readCursor(list, text),
      'a cursor of this list',
      'what "next" of the page before said',
    )
      .optional()
      .describe('`next` of the page before; absent: the first page.'),
    ...narrowedBy,
  });
}

export const wrongLimit = {
  400: refusedInput('limit', '"0" is not a limit: a whole number from 1 to 1000'),
};

/** A page of a list. */
export function pageOf<Item extends z.ZodType>(item: Item) {
  return z.object({
    items: z.array(item).readonly(),
    next: z.string().nullable().describe('The `cursor` of the next page; null: this is the last.'),
  });
}

/**
 * Makes a page of what `find` finds. It is asked for one item more than fits on the page, which tells
 * whether there is a next page.
 */
export async function page<Item, Query>(
  list: string,
  { limit, cursor, ...query }: { limit: number; cursor?: string | undefined } & Query,
  find: (
    query: Omit<Query, 'limit' | 'cursor'> & { limit: number; after?: string },
  ) => Promise<readonly Item[]>,
  keyOf: (item: Item) => string,
) {
  const found = await find({ ...query, limit: limit + 1, after: cursor });
  const items = found.slice(0, limit);
  const last = items.at(-1);
  return { items, next: found.length > limit && last !== undefined ? writeCursor(list, keyOf(last)) : null };
}

/** Marks a cursor as one of this version, so that a foreign one is told from it. */
const MARK = 'belfry1';

/** Writes the last name or id of a page of a list as an opaque cursor. */
export function writeCursor(list: string, last: string): string {
  return Buffer.from(`${MARK} ${list} ${last}`).toString('base64url');
}

/** The last name or id of the page before; `undefined` for a cursor that was not made here for this list. */
export function readCursor(list: string, cursor: string): string | undefined {
  const bytes = Buffer.from(cursor, 'base64url');
  // Decoding skips what is not base64url: only what encodes to the same text again was made here.
  if (bytes.toString('base64url') !== cursor) return undefined;
  const text = bytes.toString();
  const head = `${MARK} ${list} `;
  return text.startsWith(head) ? text.slice(head.length) : undefined;
}

// Calls

/**
 * Declares a call under `/admin`, with the errors that every call has. One that is no GET acts: it is
 * for operators only.
 */
export function adminCall<
  const Method extends RouteConfig['method'],
  Path extends string,
  Rest extends Omit<RouteConfig, 'method' | 'path' | 'operationId'>,
>(tag: string, operationId: string, method: Method, path: Path, rest: Rest) {
  const acts = method !== 'get';
  return createRoute({
    tags: [tag],
    security: [{ token: [] }],
    method,
    path,
    operationId,
    ...rest,
    middleware: acts ? operatorOnly : [],
    responses: {
      400: refusedInput('colour', 'unknown query parameter "colour"'),
      ...(acts ? refusals(401, 403, 429) : refusals(401, 429)),
      ...rest.responses,
    },
  });
}
