import { type OpenAPIHono, z } from '@hono/zod-openapi';
import { eventText } from '../hub/frame.ts';
import type { Administration } from '../hub/hub.ts';
import { published, publishedExample } from './broadcast.ts';
import type { AdminEnv } from './guard.ts';
import { keyName, noQuery } from './input.ts';
import { roomParams, wrongRoom } from './rooms.ts';
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

const retainedEntry = z
  .object({
    id: z.string(),
    room: z.string(),
    event: z.string(),
    time: instantField,
    data: z.unknown(),
    key: z.string(),
    until: instantField.optional().describe('Instant at which it ends; absent: when it is withdrawn.'),
  })
  .openapi('Retained');

const example: z.input<typeof retainedEntry> = {
  id: 'k3f9-42',
  room: 'lobby',
  event: 'message',
  time: '2026-11-20T18:00:04.120Z',
  data: { text: 'Lunch is ready' },
  key: 'lunch',
  until: '2026-11-20T19:00:04.120Z',
};

const keyParam = { key: keyName.openapi({ example: example.key }) };
const withdrawn = { ...publishedExample, id: 'k3f9-43' };

export const retainedRoutes = {
  list: adminCall('Rooms', 'listRetained', 'get', '/admin/rooms/{room}/retained', {
    summary: 'List the retained messages of a room, ordered by key',
    description: 'The messages that every client gets that joins the room, which need not exist.',
    request: { params: roomParams, query: pageQuery('retained', {}) },
    responses: {
      200: json('A page of retained messages.', pageOf(retainedEntry), { items: [example], next: null }),
      ...wrongRoom,
      ...wrongLimit,
    },
  }),
  withdraw: adminCall('Rooms', 'withdrawFromRoom', 'delete', '/admin/rooms/{room}/retained/{key}', {
    summary: 'Withdraw a retained message from one room',
    description:
      'Its members get `withdrawn`. Other rooms keep the message, also where it was sent to a pattern.',
    request: { params: roomParams.extend(keyParam), query: noQuery },
    responses: {
      200: json('Withdrawn.', published, withdrawn),
      ...wrongRoom,
      404: refused(404, 'room "attic" does not retain a message with the key "lunch"'),
    },
  }),
  withdrawEverywhere: adminCall('Rooms', 'withdraw', 'delete', '/admin/retained/{key}', {
    summary: 'Withdraw a retained message from every room',
    description: 'The members of each room that retains a message with this key get `withdrawn`.',
    request: { params: z.object(keyParam), query: noQuery },
    responses: {
      200: json('Withdrawn.', published, withdrawn),
      404: refused(404, 'no room retains a message with the key "lunch"'),
    },
  }),
};

export function addRetained(app: OpenAPIHono<AdminEnv>, hub: Administration): void {
  app.openapi(retainedRoutes.list, async (c) => {
    const { room } = c.req.valid('param');
    const found = await page('retained', c.req.valid('query'), 'key', async ({ after = '', limit }) => {
      const events = await hub.retained(room);
      return events
        .map((event) => ({ key: event.key ?? '', event }))
        .filter(({ key }) => key > after)
        .sort((a, b) => (a.key < b.key ? -1 : 1))
        .slice(0, limit);
    });
    return pageText(found, ({ event }) => eventText(event));
  });
  app.openapi(retainedRoutes.withdraw, async (c) => {
    const { room, key } = c.req.valid('param');
    return c.json(await hub.withdraw(key, room), 200);
  });
  app.openapi(retainedRoutes.withdrawEverywhere, async (c) =>
    c.json(await hub.withdraw(c.req.valid('param').key), 200),
  );
}
