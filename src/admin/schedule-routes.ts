import { createRoute, type OpenAPIHono, z } from '@hono/zod-openapi';
import { instantField, json, pageOf, refusals, toPage } from './answers.ts';
import { noQuery, pageQuery, someName } from './fields.ts';
import { type AdminEnv, operatorOnly } from './guard.ts';
import type { ScheduleAdministration } from './schedules.ts';

const scheduleEntry = z
  .object({
    name: z.string(),
    cadence: z.union([z.object({ every: z.string() }), z.object({ cron: z.string(), timezone: z.string() })]),
    feed: z.object({ type: z.string() }),
    event: z.string(),
    rooms: z.array(z.string()).readonly().openapi({ description: 'Room patterns.' }),
    state: z.enum(['ok', 'stale', 'error', 'paused']),
    since: instantField.openapi({ description: 'When it came into this state.' }),
    detail: z.string().nullable(),
    lastGood: instantField.nullable().openapi({ description: 'When the feed last gave a value.' }),
    next: z.array(instantField).readonly().openapi({ description: 'The next instants due, three at most.' }),
    last: z
      .object({ due: instantField, sent: instantField, rooms: z.int(), connections: z.int() })
      .nullable()
      .openapi({ description: 'The last tick that was sent.' }),
    counters: z.object({
      runs: z.int(),
      sent: z.int(),
      unchanged: z.int(),
      missed: z.int(),
      overlapped: z.int(),
      failed: z.int(),
    }),
    lateness: z
      .object({ lastMs: z.number(), medianMs: z.number(), p99Ms: z.number(), maxMs: z.number() })
      .nullable()
      .openapi({ description: 'How long after their `due` ticks were sent; null before the first.' }),
  })
  .openapi('Schedule');

const example: z.input<typeof scheduleEntry> = {
  name: 'clock',
  cadence: { every: '3s' },
  feed: { type: 'time' },
  event: 'time',
  rooms: ['*'],
  state: 'ok',
  since: '2026-11-20T17:12:40.518Z',
  detail: null,
  lastGood: '2026-11-20T18:00:03.001Z',
  next: ['2026-11-20T18:00:06.000Z', '2026-11-20T18:00:09.000Z', '2026-11-20T18:00:12.000Z'],
  last: { due: '2026-11-20T18:00:03.000Z', sent: '2026-11-20T18:00:03.001Z', rooms: 1, connections: 15 },
  counters: { runs: 948, sent: 948, unchanged: 0, missed: 0, overlapped: 0, failed: 0 },
  lateness: { lastMs: 1.1, medianMs: 1.2, p99Ms: 2.4, maxMs: 3.8 },
};

const params = z.object({ name: someName.openapi({ example: 'clock' }) });
const common = { tags: ['Schedules'], security: [{ token: [] }] };

function acting<Path extends string>(path: Path, operationId: string, summary: string) {
  return createRoute({
    ...common,
    method: 'post',
    path,
    operationId,
    summary,
    middleware: operatorOnly,
    request: { params, query: noQuery },
    responses: {
      200: json('The schedule afterwards.', scheduleEntry, example),
      ...refusals(400, 401, 403, 404),
    },
  });
}

export const scheduleRoutes = {
  list: createRoute({
    ...common,
    method: 'get',
    path: '/admin/schedules',
    operationId: 'listSchedules',
    summary: 'The schedules, by name',
    request: { query: pageQuery('schedules', {}) },
    responses: {
      200: json('A page of schedules.', pageOf(scheduleEntry), { items: [example], next: null }),
      ...refusals(400, 401),
    },
  }),
  get: createRoute({
    ...common,
    method: 'get',
    path: '/admin/schedules/{name}',
    operationId: 'getSchedule',
    summary: 'One schedule',
    request: { params, query: noQuery },
    responses: { 200: json('The schedule.', scheduleEntry, example), ...refusals(400, 401, 404) },
  }),
  run: acting('/admin/schedules/{name}/run', 'runSchedule', 'Send a tick now, of the newest due instant'),
  pause: acting('/admin/schedules/{name}/pause', 'pauseSchedule', 'Send no more ticks until resumed'),
  resume: acting('/admin/schedules/{name}/resume', 'resumeSchedule', 'Send ticks again'),
};

export function addSchedules(app: OpenAPIHono<AdminEnv>, schedules: ScheduleAdministration): void {
  app.openapi(scheduleRoutes.list, async (c) => {
    const { limit, cursor = '' } = c.req.valid('query');
    const found = (await schedules.list())
      .filter(({ name }) => name > cursor)
      .sort((a, b) => (a.name < b.name ? -1 : 1));
    return c.json(
      toPage('schedules', found, limit, ({ name }) => name),
      200,
    );
  });
  app.openapi(scheduleRoutes.get, async (c) => c.json(await schedules.get(c.req.valid('param').name), 200));
  app.openapi(scheduleRoutes.run, async (c) => c.json(await schedules.run(c.req.valid('param').name), 200));
  app.openapi(scheduleRoutes.pause, async (c) =>
    c.json(await schedules.pause(c.req.valid('param').name), 200),
  );
  app.openapi(scheduleRoutes.resume, async (c) =>
    c.json(await schedules.resume(c.req.valid('param').name), 200),
  );
}
