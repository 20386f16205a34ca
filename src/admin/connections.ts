import { createRoute, type OpenAPIHono, z } from '@hono/zod-openapi';
import type { Administration } from '../hub/hub.ts';
import { CLOSE } from '../protocol/close-reason.ts';
import { instantField, json, refusals, refused, unknownParameter } from './answers.ts';
import { deviceName, flag, noQuery, reason, roomName, someName } from './fields.ts';
import { type AdminEnv, operatorOnly } from './guard.ts';
import { pageOf, pageQuery, toPage, wrongLimit } from './list.ts';

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
    sent: z.int().openapi({ description: 'Events handed to the socket.' }),
    conflated: z.int().openapi({ description: 'Ticks that a newer one replaced before they could leave.' }),
    bufferedBytes: z.int(),
    roundTripMs: z.number().nullable().openapi({ description: 'Of the last ping; always null on SSE.' }),
  })
  .openapi('Connection');

const example: z.input<typeof connectionEntry> = {
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
const common = { tags: ['Connections'], security: [{ token: [] }] };

const unknownConnection = { 404: refused(404, 'there is no connection "nobody"') };

export const connectionRoutes = {
  list: createRoute({
    ...common,
    method: 'get',
    path: '/admin/connections',
    operationId: 'listConnections',
    summary: 'The connections, by id',
    description: 'All of them, or those of a room, a user, a device or a transport.',
    request: {
      query: pageQuery('connections', {
        room: roomName.optional().openapi({ example: 'lobby' }),
        user: someName.optional(),
        device: deviceName.optional().openapi({ example: 'wall-3' }),
        transport: transport.optional(),
        slow: flag.optional().openapi({
          description: 'Only those whose peers do not keep up; `false`: only the others.',
        }),
      }),
    },
    responses: {
      200: json('A page of connections.', pageOf(connectionEntry), { items: [example], next: null }),
      ...wrongLimit,
      ...refusals(401, 429),
    },
  }),
  get: createRoute({
    ...common,
    method: 'get',
    path: '/admin/connections/{id}',
    operationId: 'getConnection',
    summary: 'One connection',
    description: 'Who it is, which rooms it is in, and how well it keeps up.',
    request: { params, query: noQuery },
    responses: {
      200: json('The connection.', connectionEntry, example),
      ...unknownParameter,
      ...unknownConnection,
      ...refusals(401, 429),
    },
  }),
  close: createRoute({
    ...common,
    method: 'delete',
    path: '/admin/connections/{id}',
    operationId: 'closeConnection',
    summary: 'Close a connection with 4004',
    description: 'It is told why and leaves all its rooms. Its client does not come back by itself.',
    middleware: operatorOnly,
    request: {
      params,
      query: z.strictObject({
        reason: reason.openapi({ description: 'What its client is told.', example: 'replaced by wall-4' }),
      }),
    },
    responses: {
      200: json('Closed.', z.object({ id: z.string(), code: z.literal(4004), reason: z.string() }), {
        id: example.id,
        code: 4004,
        reason: 'replaced by wall-4',
      }),
      ...unknownParameter,
      ...unknownConnection,
      ...refusals(401, 403, 429),
    },
  }),
};

export function addConnections(app: OpenAPIHono<AdminEnv>, hub: Administration): void {
  app.openapi(connectionRoutes.list, async (c) => {
    const { limit, cursor, ...narrowedBy } = c.req.valid('query');
    const found = await hub.connections({ ...narrowedBy, limit: limit + 1, after: cursor });
    return c.json(
      toPage('connections', found, limit, ({ id }) => id),
      200,
    );
  });
  app.openapi(connectionRoutes.get, async (c) => c.json(await hub.connection(c.req.valid('param').id), 200));
  app.openapi(connectionRoutes.close, async (c) => {
    const { id } = c.req.valid('param');
    const { code, reason: usual } = CLOSE.byAdministrator;
    const { reason: said = usual } = c.req.valid('query');
    await hub.closeConnection(id, said);
    return c.json({ id, code, reason: said }, 200);
  });
}
