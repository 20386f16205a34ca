import { type OpenAPIHono, z } from '@hono/zod-openapi';
import { ROOM_ACCEPTS } from '../hub/event.ts';
import type { Administration } from '../hub/hub.ts';
import { CLOSE } from '../protocol/close-reason.ts';
import type { AdminEnv } from './guard.ts';
import {
  adminCall,
  deviceName,
  flag,
  instantField,
  json,
  lock,
  noQuery,
  page,
  pageOf,
  pageQuery,
  reason,
  refused,
  refusedInput,
  roomName,
  roomPattern,
  someName,
  wrongLimit,
} from './schemas.ts';

const roomEntry = z
  .object({
    name: z.string(),
    connections: z.object({ websocket: z.int(), sse: z.int() }),
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

const roomParams = z.object({ room: roomName.openapi({ example: 'lobby' }) });

const wrongRoom = { 400: refusedInput('room', `"-" is not a room name: ${ROOM_ACCEPTS}`) };
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
        lock: lock.optional().openapi({
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

const transport = z.enum(['websocket', 'sse'], { error: 'expected websocket or sse' });

const connectionEntry = z
  .object({
    id: z.string(),
    rooms: z.array(z.string()).readonly(),
    transport,
    device: z.string().nullable(),
    user: z.string().nullable(),
    remoteAddress: z.string(),
    userAgent: z.string().nullable(),
    connectedAt: instantField,
    lastSeenAt: instantField,
    sent: z.int().describe('Number of events handed to the socket.'),
    conflated: z.int().describe('Number of ticks that a newer one replaced before they were sent.'),
    bufferedBytes: z.int(),
    roundTripMs: z
      .number()
      .nullable()
      .describe('Round trip of the last ping in milliseconds; null before the first one and on SSE.'),
  })
  .openapi('Connection');

const connectionExample: z.input<typeof connectionEntry> = {
  id: 'q8d1-000000000007',
  rooms: ['lobby'],
  transport: 'websocket',
  device: 'wall-3',
  user: null,
  remoteAddress: '127.0.0.1',
  userAgent: 'Mozilla/5.0',
  connectedAt: '2026-11-20T17:12:40.518Z',
  lastSeenAt: '2026-11-20T18:00:01.003Z',
  sent: 951,
  conflated: 0,
  bufferedBytes: 0,
  roundTripMs: 1.4,
};

const connectionParams = z.object({ id: someName.openapi({ example: connectionExample.id }) });

const unknownConnection = { 404: refused(404, 'there is no connection "nobody"') };

export const connectionRoutes = {
  list: adminCall('Connections', 'listConnections', 'get', '/admin/connections', {
    summary: 'List the connections, ordered by id',
    description: 'All of them, or those of a room, a user, a device or a transport.',
    request: {
      query: pageQuery('connections', {
        room: roomName.optional().openapi({ example: 'lobby' }),
        user: someName.optional(),
        device: deviceName.optional().openapi({ example: 'wall-3' }),
        transport: transport.optional(),
        slow: flag.optional().describe('Only slow consumers; `false`: only the others.'),
      }),
    },
    responses: {
      200: json('A page of connections.', pageOf(connectionEntry), {
        items: [connectionExample],
        next: null,
      }),
      ...wrongLimit,
    },
  }),
  get: adminCall('Connections', 'getConnection', 'get', '/admin/connections/{id}', {
    summary: 'One connection',
    description: 'Its client, rooms, unsent bytes and round trip.',
    request: { params: connectionParams, query: noQuery },
    responses: {
      200: json('The connection.', connectionEntry, connectionExample),
      ...unknownConnection,
    },
  }),
  close: adminCall('Connections', 'closeConnection', 'delete', '/admin/connections/{id}', {
    summary: 'Close a connection with 4004',
    description: 'Its client gets the reason and leaves all rooms. It does not connect again by itself.',
    request: {
      params: connectionParams,
      query: z.strictObject({
        reason: reason.openapi({
          description: 'Reason that its client gets.',
          example: 'replaced by wall-4',
        }),
      }),
    },
    responses: {
      200: json('Closed.', z.object({ id: z.string(), code: z.literal(4004), reason: z.string() }), {
        id: connectionExample.id,
        code: 4004,
        reason: 'replaced by wall-4',
      }),
      ...unknownConnection,
    },
  }),
};

export function addRooms(app: OpenAPIHono<AdminEnv>, hub: Administration): void {
  app.openapi(roomRoutes.list, async (c) => {
    const rooms = await page(
      'rooms',
      c.req.valid('query'),
      (query) => hub.rooms(query),
      ({ name }) => name,
    );
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

  app.openapi(connectionRoutes.list, async (c) => {
    const query = c.req.valid('query');
    const connections = await page(
      'connections',
      query,
      (query) => hub.connections(query),
      ({ id }) => id,
    );
    return c.json(connections, 200);
  });
  app.openapi(connectionRoutes.get, async (c) => c.json(await hub.connection(c.req.valid('param').id), 200));
  app.openapi(connectionRoutes.close, async (c) => {
    const { id } = c.req.valid('param');
    const { code, reason: byDefault } = CLOSE.byAdministrator;
    const { reason = byDefault } = c.req.valid('query');
    await hub.closeConnection(id, reason);
    return c.json({ id, code, reason }, 200);
  });
}
