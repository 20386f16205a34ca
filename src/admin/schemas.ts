import { STATUS_CODES } from 'node:http';
import { createRoute, type RouteConfig, z } from '@hono/zod-openapi';
import type { TypedResponse } from 'hono';
import type { Role } from '../access/tokens.ts';
import type { InputError } from '../hub/errors.ts';
import type { Transport } from '../protocol/event.ts';
import { onlyFor, wrongRoleText } from './guard.ts';
import { parsedField, wholeNumber } from './input.ts';

/** What the calls are declared with: answers, pages of lists, and the calls themselves. */

// Answers

export const instantField = z.string().openapi({ format: 'date-time', example: '2026-11-20T18:00:03.000Z' });

/** A number for each transport. */
export const byTransport = z.object({ websocket: z.int(), sse: z.int() } satisfies Record<
  Transport,
  z.ZodInt
>);

/** The error of a request, RFC 9457. */
export const problemField = z
  .object({
    type: z.string(),
    title: z.string(),
    status: z.int(),
    detail: z.string(),
    errors: z.array(z.object({ path: z.string(), message: z.string() })).optional(),
    retryAfterMs: z.int().optional().describe('When it is worth trying again; absent: not by itself.'),
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
  409: 'the configuration was not read from a file, so it cannot be reloaded',
  413: 'the body is larger than 1048576 bytes (limits.maxBodyBytes)',
  415: 'multipart is not accepted: send the JSON itself as the body',
  421: 'this server does not answer to the host "x": use localhost, 127.0.0.1 or [::1], or set server.publicUrl to the address that the world uses',
  429: '10 wrong tokens came from this address within a minute: send a right one, or try again in 60 s',
  503: 'the server has not started yet: come back in a moment',
};

/** Examples of how long to wait, by the status of what passes by itself. */
const RETRY_AFTER_MS: Readonly<Record<number, number>> = { 423: 30_500, 429: 60_000, 503: 1500 };

/** An error with `detail` as its example. */
export function refused(status: number, detail: string, errors?: readonly InputError[]) {
  const title = STATUS_CODES[status] ?? 'Refused';
  const retryAfterMs = RETRY_AFTER_MS[status];
  const example = {
    type: 'about:blank',
    title,
    status,
    detail,
    ...(errors && { errors: [...errors] }),
    ...(retryAfterMs !== undefined && { retryAfterMs }),
  };
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
 * Makes a page of what `find` finds; its cursor is the `key` of the last item. `find` is asked for one item
 * more than fits on the page, which tells whether there is a next page.
 */
export async function page<Key extends string, Item extends Readonly<Record<Key, string>>, Query>(
  list: string,
  { limit, cursor, ...query }: { limit: number; cursor?: string | undefined } & Query,
  key: Key,
  find: (
    query: Omit<Query, 'limit' | 'cursor'> & { limit: number; after?: string },
  ) => Promise<readonly Item[]>,
) {
  const found = await find({ ...query, limit: limit + 1, after: cursor });
  const items = found.slice(0, limit);
  const last = items.at(-1);
  return { items, next: found.length > limit && last !== undefined ? writeCursor(list, last[key]) : null };
}

interface Page<Item> {
  readonly items: readonly Item[];
  readonly next: string | null;
}

/**
 * Answers a page whose items are JSON already, by `textOf`: messages can be many and long, and parsing them
 * to write them again would hold the event loop.
 */
export function pageText<Item, Answered>(
  { items, next }: Page<Item>,
  textOf: (item: Item) => string,
): TypedResponse<Page<Answered>, 200, 'json'> & Response {
  const text = `{"items":[${items.map(textOf).join(',')}],"next":${JSON.stringify(next)}}`;
  const response = new Response(text, { headers: { 'Content-Type': 'application/json' } });
  // Hono knows the type of a body only from `c.json`; the test of openapi.yaml compares it with the schema.
  return response as TypedResponse<Page<Answered>, 200, 'json'> & Response;
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

/** The roles that a call is for, the one with the fewest rights first. */
const READING: readonly Role[] = ['viewer', 'operator'];
const ACTING: readonly Role[] = ['operator'];
export const SENDING: readonly Role[] = ['publisher', 'operator'];

/** The tokens of the examples. */
const VIEWER = { name: 'wall', role: 'viewer' } as const;
const PUBLISHER = { name: 'desk', role: 'publisher' } as const;

/**
 * Declares a call of the admin API, with the errors that every call has. `x-roles` holds the roles that it is
 * for, and tells them to readers of `openapi.yaml`; absent: a call with another method than GET acts.
 */
export function adminCall<
  const Method extends RouteConfig['method'],
  Path extends string,
  Rest extends Omit<RouteConfig, 'method' | 'path' | 'operationId'> & { 'x-roles'?: readonly Role[] },
>(tag: string, operationId: string, method: Method, path: Path, rest: Rest) {
  const { 'x-roles': roles = method === 'get' ? READING : ACTING } = rest;
  return createRoute({
    tags: [tag],
    security: [{ token: [] }],
    method,
    path,
    operationId,
    ...rest,
    'x-roles': roles,
    middleware: onlyFor(roles),
    responses: {
      400: refusedInput('colour', 'unknown query parameter "colour"'),
      ...refusals(401, 429),
      403: refused(403, wrongRoleText(roles, roles === READING ? PUBLISHER : VIEWER)),
      ...rest.responses,
    },
  });
}
