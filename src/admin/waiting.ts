import { type OpenAPIHono, z } from '@hono/zod-openapi';
import { accepted, acceptedExample, type BroadcastParts } from './broadcast.ts';
import type { AdminEnv } from './guard.ts';
import { noQuery, someName } from './input.ts';
import {
  adminCall,
  instantField,
  json,
  page,
  pageOf,
  pageQuery,
  pageText,
  refused,
  wrongLimit,
} from './schemas.ts';

const names = z.array(z.string()).readonly().optional();

const waitingEntry = z
  .object({
    id: z.string(),
    at: instantField.describe('Instant at which it is sent.'),
    state: z
      .enum(['waiting', 'missed'])
      .describe(
        '`missed`: its time passed before it could be sent; it is listed for 24 hours, and never sent.',
      ),
    reason: z.string().nullable().describe('Why it was missed.'),
    missedWithinMs: z.number(),
    rooms: names,
    devices: names,
    connections: names,
    users: names,
    except: names,
    event: z.string(),
    key: z.string().optional(),
    ttlMs: z.number().optional(),
    data: z.unknown(),
  })
  .openapi('WaitingBroadcast');

const example: z.input<typeof waitingEntry> = {
  ...acceptedExample,
  state: 'waiting',
  reason: null,
  missedWithinMs: 60_000,
  rooms: ['lobby'],
  event: 'message',
  data: { text: 'hello' },
};

export const waitingRoutes = {
  list: adminCall('Broadcast', 'listBroadcasts', 'get', '/admin/broadcasts', {
    summary: 'List the broadcasts that wait, in the order of their times',
    description: 'Those that were sent with `at` or `in`, and those that were missed in the last 24 hours.',
    request: { query: pageQuery('broadcasts', {}) },
    responses: {
      200: json('A page of broadcasts.', pageOf(waitingEntry), { items: [example], next: null }),
      ...wrongLimit,
    },
  }),
  cancel: adminCall('Broadcast', 'cancelBroadcast', 'delete', '/admin/broadcasts/{id}', {
    summary: 'Cancel a broadcast that waits',
    description: 'It is not sent. One that was missed is not listed any more.',
    request: { params: z.object({ id: someName.openapi({ example: example.id }) }), query: noQuery },
    responses: {
      200: json('Cancelled.', accepted, acceptedExample),
      404: refused(404, 'there is no broadcast "nobody" that waits: it was sent, or never there'),
    },
  }),
};

export function addWaiting(app: OpenAPIHono<AdminEnv>, { broadcasts }: BroadcastParts): void {
  app.openapi(waitingRoutes.list, async (c) => {
    const found = await page('broadcasts', c.req.valid('query'), 'id', (query) => broadcasts.list(query));
    return pageText(found, ({ text }) => text);
  });
  app.openapi(waitingRoutes.cancel, async (c) =>
    c.json(await broadcasts.cancel(c.req.valid('param').id), 200),
  );
}
