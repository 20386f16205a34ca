import { type OpenAPIHono, z } from '@hono/zod-openapi';
import type { PageQuery } from '../hub/views.ts';
import type { AdminEnv } from './guard.ts';
import { instantMs, noQuery, someName, wholeNumber } from './input.ts';
import {
  adminCall,
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
    rooms: z.array(z.string()).readonly().describe('Room patterns.'),
    state: z.enum(['ok', 'stale', 'error', 'paused']),
    since: instantField.describe('Instant at which this state began.'),
    reason: z
      .string()
      .nullable()
      .describe('Reason of the state, as in the `status` event; null where the state is `ok`.'),
    detail: z
      .string()
      .nullable()
      .describe(
        'Details for operators; a long text is cut. It may name the upstream, and is not sent to listeners.',
      ),
    lastGood: instantField.nullable().describe('Last instant at which the feed returned a value.'),
    next: z.array(instantField).readonly().describe('The next instants due, three at most.'),
    last: z
      .object({ due: instantField, sent: instantField, rooms: z.int(), connections: z.int() })
      .nullable()
      .describe('The last tick that was sent.'),
    counters: z.object({
      runs: z.int(),
      sent: z.int(),
      unchanged: z.int(),
      missed: z.int(),
      missedAtLeast: z
        .boolean()
        .optional()
        .describe('True where more instants were missed than could be counted: `missed` is a lower bound.'),
      overlapped: z.int(),
      failed: z.int(),
    }),
    lateness: z
      .object({ lastMs: z.number(), medianMs: z.number(), p99Ms: z.number(), maxMs: z.number() })
      .nullable()
      .describe('Time from `due` until a tick was sent, in milliseconds; null before the first tick.'),
  })
  .openapi('Schedule');

const runEntry = z
  .object({
    id: z.string(),
    due: instantField,
    started: instantField,
    sent: instantField.nullable().describe('Instant at which the tick was sent; null where none was sent.'),
    lateMs: z.number().nullable().describe('Time from `due` to `sent` in milliseconds.'),
    manual: z.boolean().describe('True for a run that an operator has requested.'),
    rooms: z.int(),
    connections: z.int(),
    bytes: z.int(),
    outcome: z
      .enum(['sent', 'unchanged', 'unheard', 'failed'])
      .describe('`unheard`: no listener was left when the value had been read.'),
    error: z.string().nullable(),
  })
  .openapi('Run');

const explanation = z
  .object({
    schedule: z.string(),
    cadence,
    words: z.string().describe('The cadence in words.'),
    timezone: z.string(),
    runs: z
      .array(
        z.object({
          due: instantField,
          local: z.string().describe('Local time in `timezone`, with its offset.'),
          note: z.string().nullable().describe('Effect of daylight saving on this run; null for none.'),
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

/** Finding one run of a calendar takes a tenth of a millisecond. */
const MAX_EXPLAINED = 100;

const unknownSchedule = { 404: refused(404, 'there is no schedule "tides"; known: clock') };

function acting<Path extends string>(
  path: Path,
  operationId: string,
  summary: string,
  description: string,
  afterwards = example,
  more: Partial<ReturnType<typeof refusals<503>>> = {},
) {
  return adminCall('Schedules', operationId, 'post', path, {
    summary,
    description,
    request: { params, query: noQuery },
    responses: {
      200: json('The schedule afterwards.', scheduleEntry, afterwards),
      ...unknownSchedule,
      ...more,
    },
  });
}

export const scheduleRoutes = {
  list: adminCall('Schedules', 'listSchedules', 'get', '/admin/schedules', {
    summary: 'List the schedules, ordered by name',
    description: 'State, next due instants and counters of each schedule.',
    request: { query: pageQuery('schedules', {}) },
    responses: {
      200: json('A page of schedules.', pageOf(scheduleEntry), { items: [example], next: null }),
      ...wrongLimit,
    },
  }),
  get: adminCall('Schedules', 'getSchedule', 'get', '/admin/schedules/{name}', {
    summary: 'One schedule',
    description: 'Its state, next due instants and counters.',
    request: { params, query: noQuery },
    responses: {
      200: json('The schedule.', scheduleEntry, example),
      ...unknownSchedule,
    },
  }),
  runs: adminCall('Schedules', 'listRuns', 'get', '/admin/schedules/{name}/runs', {
    summary: 'The newest runs of a schedule, newest first',
    description: 'Outcome of the newest runs: sent, unchanged, unheard or failed, and why.',
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
  explain: adminCall('Schedules', 'explainSchedule', 'get', '/admin/schedules/{name}/explain', {
    summary: 'When a schedule will run',
    description:
      'Its next runs, in UTC and in the local time of its time zone, and the effect of daylight saving on them.',
    request: {
      params,
      query: z.strictObject({
        from: instantMs.optional().openapi({
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
    'The feed is read in any case. Answers when the run is over; the schedule in the answer shows whether it failed.',
  ),
  pause: acting(
    '/admin/schedules/{name}/pause',
    'pauseSchedule',
    'Send no more ticks until resumed',
    'Listeners get a `status`. Pausing a paused schedule changes nothing. It stays paused, also after a restart, until it is resumed or `paused` is changed in the config file. 503 where that cannot be stored.',
    { ...example, state: 'paused', reason: 'paused', next: [] },
    refusals(503),
  ),
  resume: acting(
    '/admin/schedules/{name}/resume',
    'resumeSchedule',
    'Send ticks again',
    'From the next due instant on. Resuming a schedule that is not paused changes nothing. It stays resumed, also after a restart, until it is paused or `paused` is changed in the config file. 503 where that cannot be stored.',
    example,
    refusals(503),
  ),
};

export function addSchedules(app: OpenAPIHono<AdminEnv>, schedules: ScheduleAdministration): void {
  app.openapi(scheduleRoutes.list, async (c) => {
    const found = await page('schedules', c.req.valid('query'), 'name', (q) => schedules.list(q));
    return c.json(found, 200);
  });
  app.openapi(scheduleRoutes.get, async (c) => c.json(await schedules.get(c.req.valid('param').name), 200));
  app.openapi(scheduleRoutes.runs, async (c) => {
    const { name } = c.req.valid('param');
    const runs = await page('runs', c.req.valid('query'), 'id', (q) => schedules.runs(name, q));
    return c.json(runs, 200);
  });
  app.openapi(scheduleRoutes.explain, async (c) => {
    const { from, count } = c.req.valid('query');
    return c.json(await schedules.explain(c.req.valid('param').name, { fromMs: from, count }), 200);
  });
  for (const act of ['run', 'pause', 'resume'] as const)
    app.openapi(scheduleRoutes[act], async (c) =>
      c.json(await schedules[act](c.req.valid('param').name), 200),
    );
}
