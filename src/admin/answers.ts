import { STATUS_CODES } from 'node:http';
import { z } from '@hono/zod-openapi';

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

/** What a call says, for example, with each status. */
const SAID: Readonly<Record<number, string>> = {
  400: 'room: "-" is not a room name: 1 to 128 of A-Z a-z 0-9 . _ : -, starting with a letter or digit',
  401: 'a token is needed: send the header "Authorization: Bearer <token>"',
  403: 'this needs a token of the role "operator", and that of "wall" is a viewer\'s',
  404: 'nothing of this name is here',
  405: 'POST is not for /admin/rooms: it takes GET, HEAD',
  409: 'this server was given its configuration by a program: there is no file to read again',
  413: 'the body is larger than 1048576 bytes (limits.maxBodyBytes)',
  415: 'multipart is not accepted: send the JSON itself as the body',
  421: 'this server does not answer to the host "x": use localhost, 127.0.0.1 or [::1], or set server.publicUrl to the address that the world uses',
  422: 'belfry.json cannot be used, and what is in force goes on: schedules[1].every: 3 is not a duration: write "3s"',
  429: '10 wrong tokens came from this address within a minute: send a right one, or come back in 60 s',
  503: 'the server is restarting: come back soon',
};

/** A refusal in words of its own. */
export function refused(status: number, detail: string) {
  const title = STATUS_CODES[status] ?? 'Refused';
  const example = { type: 'about:blank', title, status, detail };
  return {
    description: title,
    content: { 'application/problem+json': { schema: problemField, example } },
  };
}

/** The refusals of a call, by status. */
export function refusals<Status extends number>(...statuses: readonly Status[]) {
  const entries = statuses.map((status) => [status, refused(status, SAID[status] ?? '')]);
  // Object.fromEntries forgets which keys it was given.
  return Object.fromEntries(entries) as Record<Status, ReturnType<typeof refused>>;
}
