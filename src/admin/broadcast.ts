import { createRoute, type OpenAPIHono, z } from '@hono/zod-openapi';
import type { Administration } from '../hub/administration.ts';
import type { JsonText } from '../hub/event.ts';
import { isServerEvent } from '../hub/names.ts';
import { shown } from '../hub/refusal.ts';
import { json, refusals } from './answers.ts';
import { deviceName, eventName, noQuery, roomPattern, someName } from './fields.ts';
import { type AdminEnv, operatorOnly } from './guard.ts';
import { invalid, jsonBody } from './input.ts';

/** Each pattern is held against each room: what one call may cost has to end somewhere. */
const MOST_NAMED = 1000;

const named = <Item extends z.ZodType<string>>(item: Item, fewest: number) =>
  z
    .union(
      [
        item,
        z
          .array(item)
          .min(fewest, { error: 'an empty list reaches nobody: name at least one, or leave this out' })
          // Not `max`: it ends the reading of the list, and the union then tells nothing of it.
          .refine(({ length }) => length <= MOST_NAMED, { error: `more than ${MOST_NAMED} are named` })
          .openapi({ maxItems: MOST_NAMED }),
      ],
      { error: 'expected a string or a list of strings' },
    )
    .transform((names) => (Array.isArray(names) ? [...new Set(names)] : [names]))
    .optional();

/** Whom to reach. An empty list is refused: it must not pass for no list, which is everybody. */
const target = <Item extends z.ZodType<string>>(item: Item) => named(item, 1);

const broadcast = z
  .strictObject(
    {
      rooms: target(roomPattern).openapi({ description: 'Room patterns.' }),
      devices: target(deviceName),
      connections: target(someName).openapi({ description: 'Connection ids.' }),
      users: target(someName),
      except: named(someName, 0).openapi({ description: 'Connection ids that get nothing.' }),
      event: eventName
        .refine((event) => !isServerEvent(event), {
          error: ({ input }) => `${shown(input)} is an event that only the server sends`,
        })
        .default('message'),
      data: z
        .unknown()
        .refine((data) => data !== undefined, { error: 'missing: any JSON will do, null too' })
        .openapi({ description: 'Any JSON.' }),
      dryRun: z
        .boolean({ error: 'expected true or false' })
        .default(false)
        .openapi({ description: 'Answer as if it had been sent, and send nothing.' }),
    },
    { error: 'expected a JSON object, such as {"data":"hello"}' },
  )
  .openapi('Broadcast');

const published = z
  .object({
    id: z
      .string()
      .nullable()
      .openapi({ description: 'The last id given; null where no room was addressed.' }),
    rooms: z.array(z.string()).readonly().openapi({ description: 'The rooms with somebody in them.' }),
    connections: z.int().openapi({ description: 'Each connection counted once.' }),
    unreached: z.array(z.string()).readonly().openapi({
      description: 'Devices, connections and users that were named and are not here.',
    }),
  })
  .openapi('Published');

export const broadcastRoute = createRoute({
  tags: ['Broadcast'],
  security: [{ token: [] }],
  method: 'post',
  path: '/admin/broadcast',
  operationId: 'broadcast',
  summary: 'Send an event to rooms, devices, connections or users',
  description:
    'No target is every room; several kinds of target are their union. The body is read as JSON whatever its content type. A room named exactly keeps the message in its history also when nobody is in it; a pattern reaches the rooms that exist.',
  request: {
    body: {
      required: true,
      content: {
        'application/json': { schema: broadcast, example: { rooms: 'lobby', data: { text: 'hello' } } },
      },
    },
    query: noQuery,
  },
  responses: {
    200: json('Sent.', published, { id: 'k3f9-42', rooms: ['lobby'], connections: 15, unreached: [] }),
    ...refusals(400, 401, 403, 413, 415, 429, 503),
  },
});

/** JSON on one line; a 400 for what nests so deeply that it cannot be written again. */
function jsonText(data: unknown): JsonText {
  try {
    return JSON.stringify(data);
  } catch (cause) {
    if (!(cause instanceof RangeError)) throw cause;
    throw invalid([{ path: 'data', message: 'nested too deeply' }]);
  }
}

export function addBroadcast(
  app: OpenAPIHono<AdminEnv>,
  hub: Administration,
  maxBodyBytes: () => number,
): void {
  const middleware = [operatorOnly, jsonBody(maxBodyBytes)];
  app.openapi({ ...broadcastRoute, middleware }, async (c) => {
    const { event, data, dryRun, ...whom } = c.req.valid('json');
    return c.json(await hub.publish({ target: whom, event, data: jsonText(data), dryRun }), 200);
  });
}
