import { createRoute, type OpenAPIHono, z } from '@hono/zod-openapi';
import { ROOM_ACCEPTS } from '../hub/event.ts';
import type { Administration } from '../hub/hub.ts';
import { instantField, json, refusals, refused, refusedInput } from './answers.ts';
import { flag, lock, noQuery, reason, roomName, roomPattern } from './fields.ts';
import { type AdminEnv, operatorOnly } from './guard.ts';
import { pageOf, pageQuery, toPage, wrongLimit } from './list.ts';

const roomEntry = z
  .object({
    name: z.string(),
    connections: z.object({ websocket: z.int(), sse: z.int() }),
    createdAt: instantField,
    last: z.object({ id: z.string(), event: z.string(), time: instantField }).nullable().openapi({
      description: 'The newest message; null before there is one.',
    }),
    history: z.int().openapi({ description: 'How many messages are kept.' }),
    locked: z.object({ until: instantField, reconnect: z.boolean(), reason: z.string() }).nullable(),
  })
  .openapi('Room');

const example = {
  name: 'lobby',
  connections: { websocket: 12, sse: 3 },
  createdAt: '2026-11-20T17:12:40.518Z',
  last: { id: 'k3f9-42', event: 'message', time: '2026-11-20T18:00:04.120Z' },
  history: 10,
  locked: null,
};

const params = z.object({ room: roomName.openapi({ example: 'lobby' }) });
const common = { tags: ['Rooms'], security: [{ token: [] }] };

const wrongRoom = { 400: refusedInput('room', `"-" is not a room name: ${ROOM_ACCEPTS}`) };
const unknownRoom = { 404: refused(404, 'there is no room "attic": nobody is in it') };

export const roomRoutes = {
  list: createRoute({
    ...common,
    method: 'get',
    path: '/admin/rooms',
    operationId: 'listRooms',
    summary: 'The rooms, by name',
    description: 'Rooms with members, those that were left a moment ago, and those that are locked.',
    request: {
      query: pageQuery('rooms', {
        match: roomPattern
          .optional()
          .openapi({ description: 'Only rooms of this pattern.', example: 'ops-*' }),
      }),
    },
    responses: {
      200: json('A page of rooms.', pageOf(roomEntry), { items: [example], next: null }),
      ...wrongLimit,
      ...refusals(401, 429),
    },
  }),
  get: createRoute({
    ...common,
    method: 'get',
    path: '/admin/rooms/{room}',
    operationId: 'getRoom',
    summary: 'One room',
    description:
      'Who is in it, its newest message and its lock. A locked room is listed until its lock ends.',
    request: { params, query: noQuery },
    responses: {
      200: json('The room.', roomEntry, example),
      ...wrongRoom,
      ...unknownRoom,
      ...refusals(401, 429),
    },
  }),
  close: createRoute({
    ...common,
    method: 'delete',
    path: '/admin/rooms/{room}',
    operationId: 'closeRoom',
    summary: 'Close a room',
    description:
      'Who is left with no room is closed with 4001; who is in others stays. Each is told why, and whether and when to come back. Nobody comes in while the lock lasts.',
    middleware: operatorOnly,
    request: {
      params,
      query: z.strictObject({
        reason: reason.openapi({ description: 'What the members are told.', example: 'maintenance' }),
        lock: lock.optional().openapi({
          description: 'How long nobody may come in. Default `30s`, with `reconnect=true` `0s`.',
          example: '10m',
        }),
        reconnect: flag.optional().openapi({
          description: 'Whether the members may come back when the lock is over. Default `false`.',
        }),
      }),
    },
    responses: {
      200: json(
        'Closed.',
        z.object({
          room: z.string(),
          connections: z.int().openapi({ description: 'How many were in it.' }),
          lockedUntil: instantField.nullable(),
        }),
        { room: 'lobby', connections: 15, lockedUntil: '2026-11-20T18:00:34.120Z' },
      ),
      ...wrongRoom,
      ...unknownRoom,
      ...refusals(401, 403, 429),
    },
  }),
  unlock: createRoute({
    ...common,
    method: 'delete',
    path: '/admin/rooms/{room}/lock',
    operationId: 'unlockRoom',
    summary: 'Open a locked room again',
    description: 'Ends its lock before the time is over.',
    middleware: operatorOnly,
    request: { params, query: noQuery },
    responses: {
      200: json('Open.', z.object({ room: z.string(), lockedUntil: z.null() }), {
        room: 'lobby',
        lockedUntil: null,
      }),
      ...wrongRoom,
      404: refused(404, 'room "attic" is not locked'),
      ...refusals(401, 403, 429),
    },
  }),
};

/** How long a closed room stays shut where nothing else is asked for and nobody is to come back. */
const LOCK_MS = 30_000;

export function addRooms(app: OpenAPIHono<AdminEnv>, hub: Administration): void {
  app.openapi(roomRoutes.list, async (c) => {
    const { limit, cursor, match } = c.req.valid('query');
    const found = await hub.rooms({ limit: limit + 1, after: cursor, match });
    return c.json(
      toPage('rooms', found, limit, ({ name }) => name),
      200,
    );
  });
  app.openapi(roomRoutes.get, async (c) => c.json(await hub.room(c.req.valid('param').room), 200));
  app.openapi(roomRoutes.close, async (c) => {
    const { reconnect = false, lock: lockMs = reconnect ? 0 : LOCK_MS, reason } = c.req.valid('query');
    const how = { lockMs, reconnect, reason };
    return c.json(await hub.closeRoom(c.req.valid('param').room, how), 200);
  });
  app.openapi(roomRoutes.unlock, async (c) => {
    const { room } = c.req.valid('param');
    await hub.unlockRoom(room);
    return c.json({ room, lockedUntil: null }, 200);
  });
}
