import { OpenAPIHono, type RouteConfig, z } from '@hono/zod-openapi';
import { DEVICE_ACCEPTS } from '../hub/event.ts';
import { adminRoutes, methodsOf } from './app.ts';
import { instantField, json, refusals, refused, roomName } from './schemas.ts';

/**
 * The whole HTTP interface as one OpenAPI document: the calls under `/admin` as they are declared, and the
 * server's other routes, which are served elsewhere and described here.
 */

const tick = z
  .object({
    schedule: z.string(),
    due: instantField.openapi({ description: 'The instant it stands for.' }),
    previous: instantField.nullable().openapi({ description: 'The `due` sent before; null: the first.' }),
    next: instantField.nullable().openapi({ description: 'Null: the schedule is paused or over.' }),
    seq: z.int().optional().openapi({ description: '`floor(due / every)`, with `every` only.' }),
    manual: z.boolean().optional().openapi({ description: 'True on a run by hand.' }),
  })
  .openapi('Tick');

const roomEvent = z
  .object({
    id: z.string().optional().openapi({ description: 'On messages: opaque, for `since`.' }),
    room: z.string().optional(),
    event: z.string(),
    time: instantField,
    data: z.unknown(),
    tick: tick.optional(),
    from: z
      .object({ connection: z.string(), device: z.string().optional(), user: z.string().optional() })
      .optional()
      .openapi({ description: 'On what a client published.' }),
    replay: z.boolean().optional().openapi({ description: 'True on what is sent again.' }),
  })
  .openapi('Event', { description: 'What members receive: a tick with `tick`, a message with `id`.' });

const roomNow = z.object({
  room: z.string(),
  connections: z.int(),
  ticks: z.array(roomEvent).openapi({ description: 'The newest of each schedule.' }),
  events: z.array(roomEvent).openapi({ description: 'Messages, the newest last.' }),
  last: z.string().openapi({ description: 'What to send as `since` next time.' }),
  resumed: z.boolean().nullable().openapi({ description: 'False: there is a gap; null: no `since` given.' }),
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

const listening = {
  device: z.string().optional().openapi({
    description: 'What the listener is called: 1 to 128 printable characters.',
    example: 'wall-3',
  }),
  since: z.string().optional().openapi({ description: 'The last id seen.', example: 'k3f9-41' }),
};

const lastEventId = z.object({
  'Last-Event-ID': z.string().optional().openapi({ description: 'The same as `since`.' }),
});

const stream = {
  schema: z.string(),
  example:
    'id: k3f9-42\ndata: {"id":"k3f9-42","room":"lobby","event":"message","time":"2026-11-20T18:00:04.120Z","data":{"text":"hello"}}\n\n',
};

const switching = {
  description: 'With `Upgrade: websocket`: a subscription; one JSON object per text frame.',
};
const goneForGood = { description: 'On SSE: closed for good, do not come back.' };
const livePage = { schema: z.string(), example: '<!doctype html>…' };

const fromElsewhere = {
  403: refused(
    403,
    'origin "https://x" is not allowed: add it to server.allowedOrigins, or set server.publicUrl if it is this server behind a proxy',
  ),
  ...refusals(421),
};

const turnedDown = {
  400: refused(400, `"\\u0000" is not a device: ${DEVICE_ACCEPTS}`, [
    { path: 'device', message: `"\\u0000" is not a device: ${DEVICE_ACCEPTS}` },
  ]),
  401: refused(401, 'room "a" needs a token: rooms[0].subscribe is "token"'),
  404: refused(404, 'there is nothing at "/rooms/a/b": rooms are at /rooms/{room}'),
  ...fromElsewhere,
  405: refused(405, 'DELETE does nothing here: publish over WebSocket, or with POST /admin/broadcast'),
  406: refused(
    406,
    'a room comes as application/json, text/event-stream, text/html or over WebSocket, not as "image/png"',
  ),
  426: refused(426, 'Sec-WebSocket-Version is "8": send 13'),
  423: refused(423, 'room "a" is closed until 2026-11-20T18:01:04.120Z: room closed'),
  429: refused(429, '203.0.113.1 has 1000 connections (limits.connectionsPerAddress): come back in a moment'),
  503: refused(503, 'all 20000 places are taken (limits.connections): come back in a moment'),
  501: refused(501, 'a stream needs the Node server below: pass on its bindings'),
};

const plain = (description: string) => ({
  description,
  content: { 'text/plain': { schema: z.string(), example: 'ok\n' } },
});

/** What can only be looked at. */
const readOnly = (path: string) => ({
  405: refused(405, `POST does nothing at ${path}: it takes GET, HEAD`),
});

const common = { method: 'get' as const, security: [] };

const publicRoutes: readonly RouteConfig[] = [
  {
    ...common,
    path: '/',
    tags: ['Listening'],
    operationId: 'front',
    summary: 'The page to look at first',
    description: 'Redirects to the lobby until there is more to choose from.',
    responses: {
      302: {
        description: 'To `/rooms/lobby`, as a relative address: it holds behind a path prefix too.',
        headers: z.object({ Location: z.string().openapi({ example: 'rooms/lobby' }) }),
      },
      ...readOnly('/'),
      ...refusals(421, 503),
    },
  },
  {
    ...common,
    path: '/rooms/{room}',
    tags: ['Listening'],
    operationId: 'listen',
    summary: 'Listen to a room, or look at it',
    description:
      'One address, four representations: `Upgrade: websocket` is a subscription over WebSocket; `Accept: text/event-stream` one over SSE; `text/html` first, the live page, which holds no data itself; `application/json`, `*/*` or no `Accept` the current ticks and the newest messages. On SSE `data` holds one event as JSON and messages have an `id`; there is no `event` field, so that `onmessage` gets everything; a refusal for a while is `retry`, one `closing` event and the end. All of them vary by `Accept` and `Origin` and are not cached; any other `Accept` is a 406.',
    request: {
      params: z.object({ room: roomName.openapi({ example: 'lobby' }) }),
      query: z.object({
        ...listening,
        limit: z.int().optional().openapi({
          description: 'JSON: how many messages at most.',
          minimum: 1,
          maximum: 1000,
          default: 10,
        }),
      }),
      headers: lastEventId,
    },
    responses: {
      101: switching,
      200: {
        description: 'The room, as asked for.',
        content: {
          'application/json': { schema: roomNow, example: roomNowExample },
          'text/event-stream': stream,
          'text/html': livePage,
        },
      },
      204: goneForGood,
      ...turnedDown,
    },
  },
  {
    ...common,
    path: '/rooms',
    tags: ['Listening'],
    operationId: 'listenToSeveral',
    summary: 'Listen to several rooms on one connection',
    description:
      'As `/rooms/{room}`, over WebSocket or SSE: `/rooms?room=a&room=b`. A locked room is left out; `data.rooms` of `hello` names those that were joined.',
    request: {
      query: z.object({
        room: z
          .array(z.string())
          .min(1)
          .openapi({ description: 'Once for each room.', example: ['lobby', 'ops-1'] }),
        ...listening,
      }),
      headers: lastEventId,
    },
    responses: {
      101: switching,
      200: { description: 'The stream.', content: { 'text/event-stream': stream } },
      204: goneForGood,
      ...turnedDown,
    },
  },
  {
    ...common,
    path: '/time',
    tags: ['Listening'],
    operationId: 'time',
    summary: "The server's clock, for those who have no WebSocket",
    description:
      'Answers when the request came and when the answer left, so that a client can work out how far its own clock is off.',
    request: {
      query: z.object({
        t0: z.number().optional().openapi({
          description: "The client's clock, milliseconds; it comes back as it is.",
          example: 1795197603001,
        }),
      }),
    },
    responses: {
      200: json(
        'When the request came and when the answer left, milliseconds since the epoch.',
        z.object({ t0: z.number().nullable(), t1: z.number(), t2: z.number() }),
        { t0: 1795197603001, t1: 1795197603004, t2: 1795197603004 },
      ),
      400: refused(400, '"x" is not a time: send milliseconds as a number', [
        { path: 't0', message: '"x" is not a time: send milliseconds as a number' },
      ]),
      ...fromElsewhere,
      405: refused(405, 'POST does nothing here: it is asked for with GET'),
      ...refusals(503),
    },
  },
  {
    ...common,
    path: '/livez',
    tags: ['Health'],
    operationId: 'live',
    summary: 'Whether the process lives',
    description: '200 as long as the process answers, whether it takes connections or not.',
    responses: { 200: plain('It does.'), ...readOnly('/livez') },
  },
  {
    ...common,
    path: '/readyz',
    tags: ['Health'],
    operationId: 'ready',
    summary: 'Whether newcomers are welcome',
    description: '503 while the server starts or stops.',
    responses: {
      200: plain('They are.'),
      503: refused(503, 'the server is restarting: come back in a moment'),
      ...readOnly('/readyz'),
    },
  },
  {
    ...common,
    security: [{ token: [] }, {}],
    path: '/metrics',
    tags: ['Health'],
    operationId: 'metrics',
    summary: 'Figures for Prometheus',
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
  },
  {
    ...common,
    path: '/openapi.yaml',
    tags: ['Health'],
    operationId: 'openapi',
    summary: 'This document',
    description: 'This document, with an `ETag`.',
    responses: {
      200: {
        description: 'OpenAPI 3.1.',
        content: { 'application/yaml': { schema: z.string(), example: 'openapi: 3.1.0\n' } },
      },
      304: { description: 'The same as before, by its `ETag`.' },
      ...readOnly('/openapi.yaml'),
      ...refusals(421, 503),
    },
  },
];

const ABOUT = {
  openapi: '3.1.0',
  info: {
    title: 'Belfry',
    version: '1',
    contact: { name: 'Whoever runs the server that this document came from' },
    description:
      'Pushes the time, or any other feed, to every room on a schedule; listeners come over WebSocket or SSE. Every refusal is a problem of RFC 9457. Durations are strings with a unit, `30s`; instants are RFC 3339 in UTC.',
  },
  servers: [{ url: '/', description: 'The server that this document came from.' }],
  tags: [
    { name: 'Listening', description: 'Rooms, as their members see them.' },
    { name: 'Rooms', description: 'Look at rooms, close them, open them again.' },
    { name: 'Connections', description: 'Look at connections and close them.' },
    { name: 'Broadcast', description: 'Send an event.' },
    { name: 'Schedules', description: 'Look at schedules, run, pause and resume them.' },
    { name: 'Server', description: 'Its figures and its configuration.' },
    { name: 'Health', description: 'For those who watch the server.' },
  ],
};

/** What no call under `/admin` answers itself: another method at its address, another host, no server. */
function guarded(path: string, routes: readonly RouteConfig[]) {
  const allow = routes.filter((route) => route.path === path).flatMap(methodsOf);
  const address = path.replace(/\{\w+\}/g, 'a');
  return {
    405: refused(405, `PUT is not for ${address}: it takes ${allow.join(', ')}`),
    ...refusals(421, 503),
  };
}

/**
 * The whole HTTP interface as an OpenAPI 3.1 document, made from the routes' own declarations. The
 * server sends the file `openapi.yaml` that is written from it, and never calls this: it takes 30 ms.
 */
export function openApiDocument(): object {
  const { openAPIRegistry, getOpenAPI31Document } = new OpenAPIHono();
  openAPIRegistry.registerComponent('securitySchemes', 'token', {
    type: 'http',
    scheme: 'bearer',
    description: 'A token of `admin.tokens`; a `viewer` reads, an `operator` also acts.',
  });
  const routes: readonly RouteConfig[] = [...publicRoutes, ...adminRoutes];
  for (const { middleware: _code, responses, ...route } of routes) {
    const more = route.path.startsWith('/admin/') ? guarded(route.path, routes) : {};
    openAPIRegistry.registerPath({ ...route, responses: { ...more, ...responses } });
  }
  return getOpenAPI31Document(ABOUT);
}
