import { createHash } from 'node:crypto';
import { z } from '@hono/zod-openapi';
import type { Context } from 'hono';
import { Refusal, shown } from '../hub/errors.ts';
import { DEVICE_ACCEPTS, isDeviceName } from '../hub/event.ts';
import type { IdempotencyKeys, RecordsOf } from '../hub/idempotency.ts';
import type { AdminEnv } from './guard.ts';
import { refused } from './schemas.ts';

const HEADER = 'Idempotency-Key';

/** The header of a call that a client may send again, for its declaration. */
export const onceHeaders = z.object({
  [HEADER]: z
    .string()
    .optional()
    .openapi({
      description: `${DEVICE_ACCEPTS}, kept for 24 hours for each token: the same request with the same key gets the first answer again, and sends nothing.`,
      example: '8f14e45f',
    }),
});

/** The 422 of such a call. */
export const usedKey = refused(
  422,
  'the Idempotency-Key "8f14e45f" came with another request before: take a new key, or send the same again',
);

/**
 * Acts on a request and answers; with an `Idempotency-Key` once, however often the same request comes. `body`
 * is what was sent: the same JSON written in another way is another request. Throws a 400 `Refusal` for a
 * header that is no key, a 422 for a key of another request.
 */
export async function once<Answer>(
  c: Context<AdminEnv>,
  body: Buffer,
  keys: Pick<IdempotencyKeys, 'once'>,
  act: (recordsOf?: RecordsOf<Answer>) => Promise<Answer>,
): Promise<Answer> {
  const header = c.req.header(HEADER);
  if (header === undefined) return act();
  // Node reads header bytes as Latin-1.
  const key = Buffer.from(header, 'latin1').toString();
  if (!isDeviceName(key)) throw Refusal.invalid(HEADER, `${shown(key)} is not a key: ${DEVICE_ACCEPTS}`);
  const { pathname, search } = new URL(c.req.url);
  const hash = createHash('sha256').update(`${pathname}${search}\n`).update(body).digest('base64url');
  let isRepeated = true;
  const answer = await keys.once<Answer>({ sender: c.var.holder.sha256, key, hash }, (recordsOf) => {
    isRepeated = false;
    return act(recordsOf);
  });
  c.var.notes.repeated = isRepeated;
  return answer;
}
