import { type OpenAPIHono, z } from '@hono/zod-openapi';
import { ROOM_ACCEPTS } from '../hub/event.ts';
import type { Administration } from '../hub/hub.ts';
import type { AdminEnv } from './guard.ts';
import { duration, flag, noQuery, reason, roomName, roomPattern } from './input.ts';
import {
  adminCall,
  byTransport,
  instantField,
  json,
  page,
  pageOf,
  pageQuery,
  refused,
  refusedInput,
  wrongLimit,
} from './schemas.ts';

const roomEntry = z
  .object({
    name: z.string(),
    connections: byTransport,
    createdAt: instantField,
    last: z
      .object({ id: z.string(), event: z.string(), time: instantField })
      .nullable()
      .describe('The newest message; null before there is one.'),
    history: z.int().describe('Number of messages that are kept now.'),
    locked: z.object({ until: instantField, reconnect: z.boolean(), reason: z.string() }).nullable(),
  })
  .openapi('Room');

const roomExample: z.input<typeof roomEntry> = {
  name: 'lobby',
  connections: { websocket: 12, sse: 3 },
  createdAt: '2026-11-20T17:12:40.518Z',
  last: { id: 'k3f9-42', event: 'message', time: '2026-11-20T18:00:04.120Z' },
  history: 10,
  locked: null,
};

export const roomParams = z.object({ room: roomName.openapi({ example: 'lobby' }) });

export const wrongRoom = { 400: refusedInput('room', `"-" is not a room name: ${ROOM_ACCEPTS}`) };
const unknownRoom = { 404: refused(404, 'there is no room "attic": no client is in it') };

export const roomRoutes = {
  list: adminCall('Rooms', 'listRooms', 'get', '/admin/rooms', {
    summary: 'List the rooms, ordered by name',
    description: 'Rooms with connections, rooms that became empty a moment ago, and locked rooms.',
    request: {
      query: pageQuery('rooms', {
        match: roomPattern
          .optional()
          .openapi({ description: 'Only rooms of this pattern.', example: 'ops-*' }),
      }),
    },
    responses: {
      200: json('A page of rooms.', pageOf(roomEntry), { items: [roomExample], next: null }),
      ...wrongLimit,
    },
  }),
  get: adminCall('Rooms', 'getRoom', 'get', '/admin/rooms/{room}', {
    summary: 'One room',
    description:
      'Number of its connections, its newest message and its lock. A locked room is listed until its lock ends.',
    request: { params: roomParams, query: noQuery },
    responses: {
      200: json('The room.', roomEntry, roomExample),
      ...wrongRoom,
      ...unknownRoom,
    },
  }),
  close: adminCall('Rooms', 'closeRoom', 'delete', '/admin/rooms/{room}', {
    summary: 'Close a room',
    description:
      'A connection that is in no other room is closed with 4001; others stay open. Each member gets `closing` with the reason, and whether and when to connect again. The room admits no client while the lock lasts.',
    request: {
      params: roomParams,
      query: z.strictObject({
        reason: reason.openapi({ description: 'Reason that the members get.', example: 'maintenance' }),
        lock: duration.optional().openapi({
          description:
            'Time during which the room admits no client. Default `30s`, with `reconnect=true` `0s`.',
          example: '10m',
        }),
        reconnect: flag.optional().describe('Whether members connect again after the lock. Default `false`.'),
      }),
    },
    responses: {
      200: json(
        'Closed.',
        z.object({
          room: z.string(),
          connections: z.int().describe('Number of connections that were in the room.'),
          lockedUntil: instantField.nullable(),
        }),
        { room: 'lobby', connections: 15, lockedUntil: '2026-11-20T18:00:34.120Z' },
      ),
      ...wrongRoom,
      ...unknownRoom,
    },
  }),
  unlock: adminCall('Rooms', 'unlockRoom', 'delete', '/admin/rooms/{room}/lock', {
    summary: 'Open a locked room again',
    description: 'Ends its lock before the time is over.',
    request: { params: roomParams, query: noQuery },
    responses: {
      200: json('Open.', z.object({ room: z.string(), lockedUntil: z.null() }), {
        room: 'lobby',
        lockedUntil: null,
      }),
      ...wrongRoom,
      404: refused(404, 'room "attic" is not locked'),
    },
  }),
};

/** The lock of a closed room, where the call names none and the members are not to connect again. */
const LOCK_MS = 30_000;

export function addRooms(app: OpenAPIHono<AdminEnv>, hub: Administration): void {
  app.openapi(roomRoutes.list, async (c) => {
    const rooms = await page('rooms', c.req.valid('query'), 'name', (query) => hub.rooms(query));
    return c.json(rooms, 200);
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
