import { OpenAPIHono, type RouteConfig, z } from '@hono/zod-openapi';
import { HOUR_CYCLES, THEMES } from '../access/room-rules.ts';
import { DEVICE_ACCEPTS } from '../hub/event.ts';
import { adminRoutes, methodsOf } from './app.ts';
import { roomName } from './input.ts';
import { instantField, json, refusals, refused } from './schemas.ts';

const tick = z
  .object({
    schedule: z.string(),
    due: instantField.describe('Instant that the tick stands for.'),
    previous: instantField
      .nullable()
      .describe('`due` of the tick of this schedule sent before; null for the first since the start.'),
    next: instantField.nullable().describe('Next due instant; null where the schedule is paused or over.'),
    seq: z.int().optional().describe('`floor(due / every)`, with `every` only.'),
    manual: z.boolean().optional().describe('True on a run that an operator has requested.'),
    when: z
      .literal('changed')
      .optional()
      .describe('The schedule sends no value that equals the one before: at `next` there may be no tick.'),
  })
  .openapi('Tick');

const roomEvent = z
  .object({
    id: z.string().optional().describe('Id of a message: opaque; the value for `since`.'),
    room: z.string().optional(),
    event: z.string(),
    time: instantField,
    data: z.unknown(),
    tick: tick.optional(),
    from: z
      .object({ connection: z.string(), device: z.string().optional(), user: z.string().optional() })
      .optional()
      .describe('The publisher, on messages that a client published.'),
    key: z.string().optional().describe('Key of a retained message; the newest replaces the one before.'),
    until: instantField.optional().describe('Instant at which a retained message ends.'),
    replay: z
      .boolean()
      .optional()
      .describe('True on an event that is sent again, to a client that joined later.'),
  })
  .openapi('Event', { description: 'What a client receives. A tick has `tick`, a message has `id`.' });

const roomNow = z.object({
  room: z.string(),
  connections: z.int(),
  ticks: z.array(roomEvent).describe('The newest tick of each schedule.'),
  events: z.array(roomEvent).describe('Messages, the newest last.'),
  last: z.string().describe('The value of `since` for the next request.'),
  resumed: z.boolean().nullable().describe('False where there is a gap; null where no `since` was given.'),
});

const roomNowExample = {
  room: 'lobby',
  connections: 15,
  ticks: [
    {
      room: 'lobby',
      event: 'time',
      time: '2026-11-20T18:00:03.001Z',
      data: {
        iso: '2026-11-20T18:00:03.001Z',
        unixMs: 1795197603001,
        timezone: 'Europe/Berlin',
        local: '2026-11-20T19:00:03.001+01:00',
      },
      tick: {
        schedule: 'clock',
        due: '2026-11-20T18:00:03.000Z',
        previous: '2026-11-20T18:00:00.000Z',
        next: '2026-11-20T18:00:06.000Z',
        seq: 598399201,
      },
      replay: true,
    },
  ],
  events: [
    {
      id: 'k3f9-42',
      room: 'lobby',
      event: 'message',
      time: '2026-11-20T18:00:04.120Z',
      data: { text: 'hello' },
    },
  ],
  last: 'k3f9-42',
  resumed: null,
};

const roomPage = z.object({
  room: z.string(),
  title: z.string().optional().describe("Shown in place of the room's name."),
  theme: z.enum(THEMES),
  schedules: z.array(z.string()).describe('Schedules that are shown, in this order.'),
  hourCycle: z.enum(HOUR_CYCLES).optional(),
  locale: z.string().optional().describe('Language tag, BCP 47.'),
  timezone: z.string().optional().describe('IANA time zone of the clock.'),
  publish: z
    .object({ allowed: z.boolean(), detail: z.string().optional().describe('Why not.') })
    .describe('Whether the client may publish in the room.'),
});

const listening = {
  device: z.string().optional().openapi({
    description: "Name of the client's device: 1 to 128 printable characters.",
    example: 'wall-3',
  }),
  since: z
    .string()
    .optional()
    .openapi({ description: 'Last id that the client has seen.', example: 'k3f9-41' }),
};

const lastEventId = z.object({
  'Last-Event-ID': z.string().optional().describe('The same as `since`.'),
});

const stream = {
  schema: z.string(),
  example:
    'id: k3f9-42\ndata: {"id":"k3f9-42","room":"lobby","event":"message","time":"2026-11-20T18:00:04.120Z","data":{"text":"hello"}}\n\n',
};

const webSocket = {
  description: 'With `Upgrade: websocket`: a subscription; one JSON object per text frame.',
};
const closedForGood = { description: 'On SSE: the room is closed for good; do not connect again.' };
const livePage = { schema: z.string(), example: '<!doctype html>…' };

/** The 400 for one wrong parameter. */
const refusedParameter = (path: string, message: string) => refused(400, message, [{ path, message }]);

const crossOriginErrors = {
  403: refused(
    403,
    'origin "https://x" is not allowed: add it to server.allowedOrigins, or set server.publicUrl if it is this server behind a proxy',
  ),
  ...refusals(421),
};

const listeningErrors = {
  400: refusedParameter('device', `"\\u0000" is not a device: ${DEVICE_ACCEPTS}`),
  401: refused(401, 'room "a" needs a token: rooms[0].subscribe is "token"'),
  404: refused(404, 'there is nothing at "/rooms/a/b": rooms are at /rooms/{room}'),
  ...crossOriginErrors,
  405: refused(405, 'DELETE does nothing here: publish with POST /rooms/{room} or POST /admin/broadcast'),
  406: refused(
    406,
    'a room comes as application/json, text/event-stream, text/html or over WebSocket, not as "image/png"',
  ),
  426: refused(426, 'Sec-WebSocket-Version is "8": send 13'),
  423: refused(423, 'room "a" is closed until 2026-11-20T18:01:04.120Z: room closed'),
  429: refused(429, '203.0.113.1 has 1000 connections (limits.connectionsPerAddress): come back in a moment'),
  503: refused(503, 'all places are taken (limits.connections): come back in a moment'),
  501: refused(501, 'a stream needs the Node server below: pass on its bindings'),
};

const plain = (description: string) => ({
  description,
  content: { 'text/plain': { schema: z.string(), example: 'ok\n' } },
});

const readOnly = (path: string) => ({
  405: refused(405, `POST does nothing at ${path}: it takes GET, HEAD`),
});

/** Declares a call without a token. */
function publicCall(
  tag: string,
  operationId: string,
  path: string,
  rest: Omit<RouteConfig, 'method' | 'path'>,
): RouteConfig {
  return { tags: [tag], security: [], method: 'get', path, operationId, ...rest };
}

const publicRoutes: readonly RouteConfig[] = [
  publicCall('Listening', 'front', '/', {
    summary: 'Front page',
    description:
      'With `text/html` first in `Accept`: the rooms that a rule names and anyone may listen in, and their next ticks. Else it redirects to `/rooms/lobby`.',
    responses: {
      200: { description: 'The page.', content: { 'text/html': livePage } },
      302: {
        description: 'To `/rooms/lobby`, as a relative URL, which also works behind a path prefix.',
        headers: z.object({ Location: z.string().openapi({ example: 'rooms/lobby' }) }),
      },
      ...readOnly('/'),
      ...refusals(421, 503),
    },
  }),
  publicCall('Listening', 'listen', '/rooms/{room}', {
    summary: 'Listen to a room, or read its current values',
    description: `One URL has four representations:

- \`Upgrade: websocket\`: a subscription over WebSocket.
- \`Accept: text/event-stream\`: a subscription over SSE. \`data\` holds one event as JSON, and messages have an \`id\`; there is no \`event\` field, so that \`onmessage\` gets everything. A refusal for a limited time is \`retry\`, one \`closing\` event and the end of the stream.
- \`Accept: text/html\` first: the live page, which holds no data itself.
- \`Accept: application/json\`, \`*/*\` or none: the current ticks and the newest messages.

Any other \`Accept\` is a 406. Each answer varies by \`Accept\` and \`Origin\` and is not cached.`,
    request: {
      params: z.object({ room: roomName.openapi({ example: 'lobby' }) }),
      query: z.object({
        ...listening,
        limit: z
          .int()
          .optional()
          .openapi({ minimum: 1, maximum: 1000, default: 10 })
          .describe('For JSON: largest number of messages.'),
      }),
      headers: lastEventId,
    },
    responses: {
      101: webSocket,
      200: {
        description: 'The room in the requested representation.',
        content: {
          'application/json': { schema: roomNow, example: roomNowExample },
          'text/event-stream': stream,
          'text/html': livePage,
        },
      },
      204: closedForGood,
      ...listeningErrors,
    },
  }),
  publicCall('Listening', 'listenToSeveral', '/rooms', {
    summary: 'Listen to several rooms on one connection',
    description:
      'As `/rooms/{room}`, over WebSocket or SSE: `/rooms?room=a&room=b`. A locked room is left out; `data.rooms` of `hello` names those that were joined.',
    request: {
      query: z.object({
        room: z
          .array(z.string())
          .min(1)
          .openapi({ description: 'Name of a room; repeat it for each room.', example: ['lobby', 'ops-1'] }),
        ...listening,
      }),
      headers: lastEventId,
    },
    responses: {
      101: webSocket,
      200: { description: 'The stream.', content: { 'text/event-stream': stream } },
      204: closedForGood,
      ...listeningErrors,
    },
  }),
  publicCall('Listening', 'page', '/page', {
    summary: 'How the pages of rooms look',
    description:
      'What `page` of the rule of each room says, which schedules reach it, and whether the client may publish there. Who may listen in the rooms may ask.',
    request: {
      query: z.object({
        room: z
          .array(z.string())
          .min(1)
          .openapi({ description: 'Name of a room; repeat it for each room.', example: ['lobby'] }),
      }),
    },
    responses: {
      200: json(
        'The rooms, in the order in which they were asked for.',
        z.object({ rooms: z.array(roomPage) }),
        {
          rooms: [
            {
              room: 'lobby',
              title: 'Main lobby',
              theme: 'auto',
              schedules: ['clock'],
              publish: { allowed: true },
            },
          ],
        },
      ),
      400: refusedParameter('room', 'no room is named: use /rooms/{room} or /rooms?room=a&room=b'),
      401: listeningErrors[401],
      ...crossOriginErrors,
      ...readOnly('/page'),
      423: listeningErrors[423],
      ...refusals(503),
    },
  }),
  publicCall('Listening', 'time', '/time', {
    summary: 'Clock of the server, for clients without a WebSocket',
    description:
      'Answers when the request arrived and when the answer was sent, so that a client can compute the offset of its own clock.',
    request: {
      query: z.object({
        t0: z.number().optional().openapi({
          description: "The client's clock in milliseconds; returned unchanged.",
          example: 1795197603001,
        }),
      }),
    },
    responses: {
      200: json(
        'When the request arrived and when the answer was sent, in milliseconds since the epoch.',
        z.object({ t0: z.number().nullable(), t1: z.number(), t2: z.number() }),
        { t0: 1795197603001, t1: 1795197603004, t2: 1795197603004 },
      ),
      400: refusedParameter('t0', '"x" is not a time: send milliseconds as a number'),
      ...crossOriginErrors,
      405: refused(405, 'POST does nothing here: it is asked for with GET'),
      ...refusals(503),
    },
  }),
  publicCall('Health', 'live', '/livez', {
    summary: 'Whether the process runs',
    description: '200 as long as the process answers, whether it accepts connections or not.',
    responses: { 200: plain('The process runs.'), ...readOnly('/livez') },
  }),
  publicCall('Health', 'ready', '/readyz', {
    summary: 'Whether the server accepts connections',
    description: '503 while the server starts or stops.',
    responses: {
      200: plain('The server accepts connections.'),
      503: refused(503, 'the server is restarting: come back in a moment'),
      ...readOnly('/readyz'),
    },
  }),
  publicCall('Health', 'metrics', '/metrics', {
    security: [{ token: [] }, {}],
    summary: 'Metrics for Prometheus',
    description: 'Needs a token of any role, unless `server.openMetrics` is true.',
    responses: {
      200: {
        description: 'The text format 0.0.4.',
        content: {
          'text/plain': { schema: z.string(), example: '# TYPE belfry_rooms gauge\nbelfry_rooms 3\n' },
        },
      },
      ...readOnly('/metrics'),
      ...refusals(401, 421, 429, 503),
    },
  }),
  publicCall('Health', 'openapi', '/openapi.yaml', {
    summary: 'This document',
    description: 'This document, with an `ETag`.',
    responses: {
      200: {
        description: 'OpenAPI 3.1.',
        content: { 'application/yaml': { schema: z.string(), example: 'openapi: 3.1.0\n' } },
      },
      304: { description: 'Not changed since the `ETag` that was sent.' },
      ...readOnly('/openapi.yaml'),
      ...refusals(421, 503),
    },
  }),
];

const ABOUT = {
  openapi: '3.1.0',
  info: {
    title: 'Belfry',
    version: '1',
    contact: { name: 'The operator of this server' },
    description:
      'Pushes the time, or any other feed, to every room on a schedule; clients listen over WebSocket or SSE. Every error is an RFC 9457 problem. Durations are strings with a unit, `30s`; instants are RFC 3339 in UTC.',
  },
  servers: [{ url: '/', description: 'The server that serves this document.' }],
  tags: [
    { name: 'Listening', description: 'Room URLs, for clients that listen.' },
    { name: 'Rooms', description: 'List rooms, close them, open them again.' },
    { name: 'Connections', description: 'List connections and close them.' },
    { name: 'Broadcast', description: 'Send a message.' },
    { name: 'Schedules', description: 'List, run, pause and resume schedules.' },
    { name: 'Server', description: 'Statistics and configuration of the server.' },
    { name: 'Health', description: 'Health checks and metrics.' },
  ],
};

/** Errors that a call under `/admin` does not answer itself: another method, another host, no running server. */
function guarded(path: string, routes: readonly RouteConfig[]) {
  const allow = routes.filter((route) => route.path === path).flatMap(methodsOf);
  const address = path.replace(/\{\w+\}/g, 'a');
  return {
    405: refused(405, `PATCH is not for ${address}: it takes ${allow.join(', ')}`),
    ...refusals(421, 503),
  };
}

/**
 * The whole HTTP interface as an OpenAPI 3.1 document: the calls under `/admin` as they are declared, and the
 * server's other routes, which are served elsewhere and described here. The server sends the file
 * `openapi.yaml`, which is written from it, and never calls this: it takes 30 ms.
 */
export function openApiDocument(): object {
  const { openAPIRegistry, getOpenAPI31Document } = new OpenAPIHono();
  openAPIRegistry.registerComponent('securitySchemes', 'token', {
    type: 'http',
    scheme: 'bearer',
    description:
      'A token of `admin.tokens`: a `viewer` reads, an `operator` also acts, a `publisher` sends messages to its rooms. `x-roles` of a call names the roles that it is for.',
  });
  const routes: readonly RouteConfig[] = [...publicRoutes, ...adminRoutes];
  for (const { middleware: _code, responses, ...route } of routes) {
    const more = route.path.startsWith('/admin/') ? guarded(route.path, routes) : {};
    openAPIRegistry.registerPath({ ...route, responses: { ...more, ...responses } });
  }
  return getOpenAPI31Document(ABOUT);
}
