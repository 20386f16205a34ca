import { type OpenAPIHono, z } from '@hono/zod-openapi';
import type { Administration } from '../hub/hub.ts';
import { CLOSE } from '../protocol/close-reason.ts';
import { TRANSPORTS } from '../protocol/event.ts';
import type { AdminEnv } from './guard.ts';
import { deviceName, flag, noQuery, reason, roomName, someName } from './input.ts';
import { adminCall, instantField, json, page, pageOf, pageQuery, refused, wrongLimit } from './schemas.ts';

const transport = z.enum(TRANSPORTS, { error: `expected ${TRANSPORTS.join(' or ')}` });

const entry = z
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

const example: z.input<typeof entry> = {
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

const params = z.object({ id: someName.openapi({ example: example.id }) });

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
      200: json('A page of connections.', pageOf(entry), {
        items: [example],
        next: null,
      }),
      ...wrongLimit,
    },
  }),
  get: adminCall('Connections', 'getConnection', 'get', '/admin/connections/{id}', {
    summary: 'One connection',
    description: 'Its client, rooms, unsent bytes and round trip.',
    request: { params: params, query: noQuery },
    responses: {
      200: json('The connection.', entry, example),
      ...unknownConnection,
    },
  }),
  close: adminCall('Connections', 'closeConnection', 'delete', '/admin/connections/{id}', {
    summary: 'Close a connection with 4004',
    description: 'Its client gets the reason and leaves all rooms. It does not connect again by itself.',
    request: {
      params: params,
      query: z.strictObject({
        reason: reason.openapi({
          description: 'Reason that its client gets.',
          example: 'replaced by wall-4',
        }),
      }),
    },
    responses: {
      200: json('Closed.', z.object({ id: z.string(), code: z.literal(4004), reason: z.string() }), {
        id: example.id,
        code: 4004,
        reason: 'replaced by wall-4',
      }),
      ...unknownConnection,
    },
  }),
};

export function addConnections(app: OpenAPIHono<AdminEnv>, hub: Administration): void {
  app.openapi(connectionRoutes.list, async (c) => {
    const found = await page('connections', c.req.valid('query'), 'id', (query) => hub.connections(query));
    return c.json(found, 200);
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
