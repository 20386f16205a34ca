import { STATUS_CODES } from 'node:http';
import { z } from '@hono/zod-openapi';
import type { InputError } from '../hub/errors.ts';

/** What answers are declared with. */

export const instantField = z.string().openapi({ format: 'date-time', example: '2026-11-20T18:00:03.000Z' });

/** Why a request was turned down, RFC 9457. */
export const problemField = z
  .object({
    type: z.string(),
    title: z.string(),
    status: z.int(),
    detail: z.string(),
    errors: z.array(z.object({ path: z.string(), message: z.string() })).optional(),
  })
  .openapi('Problem', { description: 'Why a request was turned down (RFC 9457).' });

/** An answer of 200 in JSON. */
export function json<Schema extends z.ZodType>(
  description: string,
  schema: Schema,
  example: z.input<Schema>,
) {
  return { description, content: { 'application/json': { schema, example } } };
}

/** What every call says, for example, with each status. */
const SAID: Readonly<Record<number, string>> = {
  401: 'a token is needed: send the header "Authorization: Bearer <token>"',
  403: 'this needs a token of the role "operator", and that of "wall" is a viewer\'s',
  409: 'there is no file that the configuration could be read from again',
  413: 'the body is larger than 1048576 bytes (limits.maxBodyBytes)',
  415: 'multipart is not accepted: send the JSON itself as the body',
  421: 'this server does not answer to the host "x": use localhost, 127.0.0.1 or [::1], or set server.publicUrl to the address that the world uses',
  429: '10 wrong tokens came from this address within a minute: send a right one, or come back in 60 s',
  503: 'the server has not started yet: come back in a moment',
};

/** A refusal in words of its own. */
export function refused(status: number, detail: string, errors?: readonly InputError[]) {
  const title = STATUS_CODES[status] ?? 'Refused';
  const example = { type: 'about:blank', title, status, detail, ...(errors && { errors: [...errors] }) };
  return {
    description: title,
    content: { 'application/problem+json': { schema: problemField, example } },
  };
}

/** The 400 for one input that is wrong, in the words of `refuseInput`. */
export function refusedInput(path: string, message: string) {
  return refused(400, `${path}: ${message}`, [{ path, message }]);
}

export const unknownParameter = { 400: refusedInput('colour', 'unknown query parameter "colour"') };

/** The refusals of a call that are in the same words everywhere, by status. */
export function refusals<Status extends number>(...statuses: readonly Status[]) {
  const entries = statuses.map((status) => [status, refused(status, SAID[status] ?? '')]);
  // Object.fromEntries forgets which keys it was given.
  return Object.fromEntries(entries) as Record<Status, ReturnType<typeof refused>>;
}
