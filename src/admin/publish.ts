import { type OpenAPIHono, z } from '@hono/zod-openapi';
import { EVENT_ACCEPTS, KEY_ACCEPTS } from '../hub/event.ts';
import type { Published } from '../hub/publication.ts';
import { bodyOf, dataOf } from './body.ts';
import { type PublishParts, published, publishedExample, tooManyRetained } from './broadcast.ts';
import { type AdminEnv, checkTargetOf } from './guard.ts';
import { keyName, sentEvent, someTime } from './input.ts';
import type { ListenerParts } from './listener-guard.ts';
import { once, onceHeaders, usedKey } from './once.ts';
import { roomParams } from './rooms.ts';
import { adminCall, json, refusals, refusedInput, SENDING } from './schemas.ts';

/**
 * `POST /rooms/{room}`: the call of the admin API that is at a room's address, so that a notice is one line of
 * `curl`. `transport/rooms-route.ts` checks name, host and origin before.
 */
export const publishRoute = adminCall('Broadcast', 'publish', 'post', '/rooms/{room}', {
  'x-roles': SENDING,
  summary: 'Send a message to one room',
  description:
    'The body becomes `data`: JSON where it is JSON, otherwise a string, whatever the content type. The room keeps the message in its history also when it is empty. A publisher names a room that one of its patterns covers. A listener whose token has the claim `publish` for the room may send as well, unless nobody may publish there; `from` then holds its user, and its rates are limited as those of a client.',
  request: {
    headers: onceHeaders,
    params: roomParams,
    query: z.strictObject({
      event: sentEvent.optional().openapi({ description: `${EVENT_ACCEPTS}. Default \`message\`.` }),
      key: keyName.optional().openapi({
        description: `${KEY_ACCEPTS}. Retains the message in place of the one with this key, for clients that join later.`,
        example: 'lunch',
      }),
      ttl: someTime.optional().openapi({
        description: 'Time for which it is retained. Default: until it is replaced or withdrawn.',
        example: '1h',
      }),
    }),
    body: {
      content: {
        'application/json': { schema: z.unknown(), example: { text: 'hello' } },
        'text/plain': { schema: z.string(), example: 'Lunch is ready' },
      },
    },
  },
  responses: {
    200: json('Sent.', published, publishedExample),
    400: refusedInput('colour', 'unknown query parameter "colour"'),
    409: tooManyRetained,
    422: usedKey,
    ...refusals(413, 421, 503),
  },
});

export function addPublish(
  app: OpenAPIHono<AdminEnv>,
  { hub, settings, idempotency, countMessage }: PublishParts & ListenerParts,
): void {
  // The framework would read the body by its content type.
  const { params, query } = publishRoute.request;
  app.openapi({ ...publishRoute, request: { params, query } }, async (c) => {
    const { room } = c.req.valid('param');
    const target = { rooms: [room] };
    const { holder, subscriber } = c.var;
    if (subscriber) settings.current.rooms.checkPublish(room, subscriber, false);
    else checkTargetOf(holder, target);
    const { event = 'message', key, ttl: ttlMs } = c.req.valid('query');
    const { limits } = settings.current;
    const bytes = await bodyOf(c.req.raw, limits);
    const user = subscriber?.user;
    const from = subscriber && { from: user === undefined ? {} : { user } };
    const publication = { target, event, data: dataOf(bytes, limits), key, ttlMs, ...from };
    const beforehand = subscriber && { beforehand: () => countMessage(room, holder.sha256) };
    const answer = await once<Published>(c, bytes, idempotency, (changesOf) =>
      hub.publish(publication, { changesOf, ...beforehand }),
    );
    return c.json(answer, 200);
  });
}
