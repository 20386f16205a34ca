import { type OpenAPIHono, z } from '@hono/zod-openapi';
import type { PageQuery } from '../hub/views.ts';
import type { AdminEnv } from './guard.ts';
import {
  adminCall,
  instantField,
  json,
  noQuery,
  page,
  pageOf,
  pageQuery,
  refused,
  refusedInput,
  someName,
  stringField,
  wholeNumber,
  wrongLimit,
} from './schemas.ts';

const cadence = z.union([
  z.object({ every: z.string() }),
  z.object({ cron: z.string(), timezone: z.string() }),
]);

const scheduleEntry = z
  .object({
    name: z.string(),
    cadence,
    feed: z.object({ type: z.string() }),
    event: z.string(),
    rooms: z.array(z.string()).readonly().openapi({ description: 'Room patterns.' }),
    state: z.enum(['ok', 'stale', 'error', 'paused']),
    since: instantField.openapi({ description: 'When it came into this state.' }),
    reason: z
      .string()
      .nullable()
      .openapi({ description: 'Why, in the word that listeners are told; null where it is `ok`.' }),
    detail: z.string().nullable().openapi({
      description:
        'More of it, cut where it is very long; it may name the upstream, and listeners do not get it.',
    }),
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
      missedAtLeast: z
        .boolean()
        .optional()
        .openapi({ description: 'Some were too many to count: there were more than `missed`.' }),
      overlapped: z.int(),
      failed: z.int(),
    }),
    lateness: z
      .object({ lastMs: z.number(), medianMs: z.number(), p99Ms: z.number(), maxMs: z.number() })
      .nullable()
      .openapi({ description: 'How long after their `due` ticks were sent; null before the first.' }),
  })
  .openapi('Schedule');

const runEntry = z
  .object({
    id: z.string(),
    due: instantField,
    started: instantField,
    sent: instantField.nullable().openapi({ description: 'Null where nothing left.' }),
    lateMs: z.number().nullable().openapi({ description: 'From `due` to `sent`.' }),
    manual: z.boolean().openapi({ description: 'Whether somebody asked for it.' }),
    rooms: z.int(),
    connections: z.int(),
    bytes: z.int(),
    outcome: z
      .enum(['sent', 'unchanged', 'unheard', 'failed'])
      .openapi({ description: '`unheard`: nobody was there any more when the value was.' }),
    error: z.string().nullable(),
  })
  .openapi('Run');

const explanation = z
  .object({
    schedule: z.string(),
    cadence,
    words: z.string().openapi({ description: 'The cadence in words.' }),
    timezone: z.string(),
    runs: z
      .array(
        z.object({
          due: instantField,
          local: z.string().openapi({ description: 'On the wall in `timezone`, with its offset.' }),
          note: z.string().nullable().openapi({ description: 'What daylight saving does to it.' }),
        }),
      )
      .readonly(),
  })
  .openapi('Explanation');

export type ScheduleEntry = z.output<typeof scheduleEntry>;
export type RunEntry = z.output<typeof runEntry>;
export type Explanation = z.output<typeof explanation>;

/**
 * The schedules as the admin API sees them. Schedules are the config file's: they can be run,
 * paused and resumed, not edited. Each call throws a 404 `Refusal` for a name that is not known.
 */
export interface ScheduleAdministration {
  /** Ordered by name; `after` is the last one seen. */
  list(query: PageQuery): Promise<readonly ScheduleEntry[]>;
  get(name: string): Promise<ScheduleEntry>;
  /** Sends a tick now, of the newest due instant. */
  run(name: string): Promise<ScheduleEntry>;
  pause(name: string): Promise<ScheduleEntry>;
  resume(name: string): Promise<ScheduleEntry>;
  /** The newest runs, newest first; `after` is the id of the last one seen. */
  runs(name: string, query: PageQuery): Promise<readonly RunEntry[]>;
  /** The `count` runs after `fromMs`, milliseconds since the epoch; undefined: after now. */
  explain(name: string, query: { fromMs: number | undefined; count: number }): Promise<Explanation>;
}

const example: z.input<typeof scheduleEntry> = {
  name: 'clock',
  cadence: { every: '3s' },
  feed: { type: 'time' },
  event: 'time',
  rooms: ['*'],
  state: 'ok',
  since: '2026-11-20T17:12:40.518Z',
  reason: null,
  detail: null,
  lastGood: '2026-11-20T18:00:03.001Z',
  next: ['2026-11-20T18:00:06.000Z', '2026-11-20T18:00:09.000Z', '2026-11-20T18:00:12.000Z'],
  last: { due: '2026-11-20T18:00:03.000Z', sent: '2026-11-20T18:00:03.001Z', rooms: 1, connections: 15 },
  counters: { runs: 948, sent: 948, unchanged: 0, missed: 0, overlapped: 0, failed: 0 },
  lateness: { lastMs: 1, medianMs: 1, p99Ms: 2, maxMs: 4 },
};

const runExample: z.input<typeof runEntry> = {
  id: '947',
  due: '2026-11-20T18:00:03.000Z',
  started: '2026-11-20T18:00:03.001Z',
  sent: '2026-11-20T18:00:03.001Z',
  lateMs: 1,
  manual: false,
  rooms: 1,
  connections: 15,
  bytes: 4410,
  outcome: 'sent',
  error: null,
};

const runBefore = {
  id: '946',
  due: '2026-11-20T18:00:00.000Z',
  started: '2026-11-20T18:00:00.001Z',
  sent: '2026-11-20T18:00:00.001Z',
};

const explanationExample: z.input<typeof explanation> = {
  schedule: 'clock',
  cadence: { every: '3s' },
  words: 'every 3 seconds',
  timezone: 'UTC',
  runs: [{ due: '2026-11-20T18:00:06.000Z', local: '2026-11-20T18:00:06.000+00:00', note: null }],
};

const params = z.object({ name: someName.openapi({ example: 'clock' }) });

/** Far more than anybody reads; each run of a calendar takes a tenth of a millisecond to find. */
const MAX_EXPLAINED = 100;

const INSTANT = z.iso.datetime({ offset: true });

const unknownSchedule = { 404: refused(404, 'there is no schedule "tides"; known: clock') };

function acting<Path extends string>(
  path: Path,
  operationId: string,
  summary: string,
  description: string,
  afterwards = example,
) {
  return adminCall('Schedules', {
    method: 'post',
    path,
    operationId,
    summary,
    description,
    request: { params, query: noQuery },
    responses: {
      200: json('The schedule afterwards.', scheduleEntry, afterwards),
      ...unknownSchedule,
    },
  });
}

export const scheduleRoutes = {
  list: adminCall('Schedules', {
    method: 'get',
    path: '/admin/schedules',
    operationId: 'listSchedules',
    summary: 'The schedules, by name',
    description: 'When each is due, how it is, and what came of its instants.',
    request: { query: pageQuery('schedules', {}) },
    responses: {
      200: json('A page of schedules.', pageOf(scheduleEntry), { items: [example], next: null }),
      ...wrongLimit,
    },
  }),
  get: adminCall('Schedules', {
    method: 'get',
    path: '/admin/schedules/{name}',
    operationId: 'getSchedule',
    summary: 'One schedule',
    description: 'When it is due, how it is, and what came of its instants.',
    request: { params, query: noQuery },
    responses: {
      200: json('The schedule.', scheduleEntry, example),
      ...unknownSchedule,
    },
  }),
  runs: adminCall('Schedules', {
    method: 'get',
    path: '/admin/schedules/{name}/runs',
    operationId: 'listRuns',
    summary: 'The newest runs of a schedule, newest first',
    description: 'What became of the newest instants: sent, unchanged, unheard or failed, and why.',
    request: { params, query: pageQuery('runs', {}) },
    responses: {
      200: json('A page of runs.', pageOf(runEntry), {
        items: [runExample, { ...runExample, ...runBefore }],
        next: null,
      }),
      ...wrongLimit,
      ...unknownSchedule,
    },
  }),
  explain: adminCall('Schedules', {
    method: 'get',
    path: '/admin/schedules/{name}/explain',
    operationId: 'explainSchedule',
    summary: 'When a schedule will run',
    description:
      'Its next runs, in UTC and on the wall of its timezone, and what daylight saving does to them.',
    request: {
      params,
      query: z.strictObject({
        from: stringField(
          (value) => INSTANT.safeParse(value).success,
          'an instant',
          'such as 2026-11-20T18:00:00Z',
        )
          .transform((value) => Date.parse(value))
          .optional()
          .openapi({
            type: 'string',
            format: 'date-time',
            description: 'The runs after this instant; absent: after now.',
            example: '2027-03-27T00:00:00Z',
          }),
        count: wholeNumber('a count', { max: MAX_EXPLAINED, byDefault: 10 }).openapi({ example: 1 }),
      }),
    },
    responses: {
      200: json('The runs to come.', explanation, explanationExample),
      400: refusedInput('count', `"0" is not a count: a whole number from 1 to ${MAX_EXPLAINED}`),
      ...unknownSchedule,
    },
  }),
  run: acting(
    '/admin/schedules/{name}/run',
    'runSchedule',
    'Send a tick now, of the newest due instant',
    'The feed is read in any case. Answers when it is done; whether it failed is in the schedule.',
  ),
  pause: acting(
    '/admin/schedules/{name}/pause',
    'pauseSchedule',
    'Send no more ticks until resumed',
    'Viewers are told by a `status`. To pause what is paused changes nothing.',
    { ...example, state: 'paused', reason: 'paused', next: [] },
  ),
  resume: acting(
    '/admin/schedules/{name}/resume',
    'resumeSchedule',
    'Send ticks again',
    'From the next due instant on. To resume what is not paused changes nothing.',
  ),
};

export function addSchedules(app: OpenAPIHono<AdminEnv>, schedules: ScheduleAdministration): void {
  app.openapi(scheduleRoutes.list, async (c) => {
    const found = await page(
      'schedules',
      c.req.valid('query'),
      (q) => schedules.list(q),
      ({ name }) => name,
    );
    return c.json(found, 200);
  });
  app.openapi(scheduleRoutes.get, async (c) => c.json(await schedules.get(c.req.valid('param').name), 200));
  app.openapi(scheduleRoutes.runs, async (c) => {
    const { name } = c.req.valid('param');
    const runs = await page(
      'runs',
      c.req.valid('query'),
      (q) => schedules.runs(name, q),
      ({ id }) => id,
    );
    return c.json(runs, 200);
  });
  app.openapi(scheduleRoutes.explain, async (c) => {
    const { from, count } = c.req.valid('query');
    return c.json(await schedules.explain(c.req.valid('param').name, { fromMs: from, count }), 200);
  });
  app.openapi(scheduleRoutes.run, async (c) => c.json(await schedules.run(c.req.valid('param').name), 200));
  app.openapi(scheduleRoutes.pause, async (c) =>
    c.json(await schedules.pause(c.req.valid('param').name), 200),
  );
  app.openapi(scheduleRoutes.resume, async (c) =>
    c.json(await schedules.resume(c.req.valid('param').name), 200),
  );
}
