import { type OpenAPIHono, z } from '@hono/zod-openapi';
import { ROOM_ACCEPTS } from '../hub/event.ts';
import type { Administration } from '../hub/hub.ts';
import type { AdminEnv } from './guard.ts';
import { duration, flag, noQuery, reason, roomName, roomPattern, someTime } from './input.ts';
import {
  adminCall,
  byTransport,
  instantField,
  json,
  page,
  pageOf,
  pageQuery,
  refusals,
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
const closedRoom = z.object({
  room: z.string(),
  connections: z.int().describe('Number of connections that were in the room.'),
  lockedUntil: instantField.nullable(),
});

const closedReason = reason.openapi({ description: 'Reason that the members get.', example: 'maintenance' });

const reconnect = flag
  .optional()
  .describe(
    'Whether members are told to connect again after the lock. With `false` they are told not to. Default `true`.',
  );

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
      'A connection that is in no other room is closed with 4001; others stay open. Each member gets `closing` with the reason, whether the connection or only its place in the room ends, and whether and when to connect again. The room admits no client while the lock lasts, also after a restart. A room that is locked already gets the new lock. 503 where the lock cannot be stored.',
    request: {
      params: roomParams,
      query: z.strictObject({
        reason: closedReason,
        lock: duration.optional().openapi({
          description: 'Time during which the room admits no client; `0s`: none. Default `30s`.',
          example: '10m',
        }),
        reconnect,
      }),
    },
    responses: {
      200: json('Closed.', closedRoom, {
        room: 'lobby',
        connections: 15,
        lockedUntil: '2026-11-20T18:00:34.120Z',
      }),
      ...wrongRoom,
      ...unknownRoom,
      ...refusals(503),
    },
  }),
  lock: adminCall('Rooms', 'lockRoom', 'put', '/admin/rooms/{room}/lock', {
    summary: 'Close a room and lock it',
    description:
      'As `DELETE /admin/rooms/{room}`, also where no client is in the room or it does not exist yet. 503 where the lock cannot be stored, or there may be no more rooms.',
    request: {
      params: roomParams,
      query: z.strictObject({
        for: someTime.optional().openapi({
          description: 'Time during which the room admits no client. Default `30s`.',
          example: '10m',
        }),
        reason: closedReason,
        reconnect,
      }),
    },
    responses: {
      200: json('Locked.', closedRoom, {
        room: 'lobby',
        connections: 15,
        lockedUntil: '2026-11-20T18:00:34.120Z',
      }),
      ...wrongRoom,
      ...refusals(503),
    },
  }),
  unlock: adminCall('Rooms', 'unlockRoom', 'delete', '/admin/rooms/{room}/lock', {
    summary: 'Open a locked room again',
    description:
      'Ends its lock before the time is over. Clients that were told when to connect again do so then, or before. 503 where that cannot be stored.',
    request: { params: roomParams, query: noQuery },
    responses: {
      200: json('Open.', z.object({ room: z.string(), lockedUntil: z.null() }), {
        room: 'lobby',
        lockedUntil: null,
      }),
      ...wrongRoom,
      404: refused(404, 'room "attic" is not locked'),
      ...refusals(503),
    },
  }),
};

/** The lock of a room where the call does not say how long it lasts. */
const LOCK_MS = 30_000;

export function addRooms(app: OpenAPIHono<AdminEnv>, hub: Administration): void {
  app.openapi(roomRoutes.list, async (c) => {
    const rooms = await page('rooms', c.req.valid('query'), 'name', (query) => hub.rooms(query));
    return c.json(rooms, 200);
  });
  app.openapi(roomRoutes.get, async (c) => c.json(await hub.room(c.req.valid('param').room), 200));
  app.openapi(roomRoutes.close, async (c) => {
    const { reconnect = true, lock: lockMs = LOCK_MS, reason } = c.req.valid('query');
    const closed = await hub.closeRoom(c.req.valid('param').room, { lockMs, reconnect, reason });
    return c.json(closed, 200);
  });
  app.openapi(roomRoutes.lock, async (c) => {
    const { reconnect = true, for: lockMs = LOCK_MS, reason } = c.req.valid('query');
    const closed = await hub.lockRoom(c.req.valid('param').room, { lockMs, reconnect, reason });
    return c.json(closed, 200);
  });
  app.openapi(roomRoutes.unlock, async (c) => {
    const { room } = c.req.valid('param');
    await hub.unlockRoom(room);
    return c.json({ room, lockedUntil: null }, 200);
  });
}
