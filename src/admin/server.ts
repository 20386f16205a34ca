import { type OpenAPIHono, z } from '@hono/zod-openapi';
import { type InputError, Refusal } from '../hub/errors.ts';
import type { AdminEnv } from './guard.ts';
import { adminCall, instantField, json, noQuery, refusals, refused } from './schemas.ts';

const counted = z.record(z.string(), z.int());

const statsEntry = z
  .object({
    version: z.string(),
    startedAt: instantField,
    uptimeSeconds: z.number(),
    rooms: z.int(),
    connections: z.object({ websocket: z.int(), sse: z.int() }),
    slow: z.int().openapi({ description: 'Connections whose peers do not keep up.' }),
    schedules: z
      .object({ ok: z.int(), stale: z.int(), error: z.int(), paused: z.int() })
      .openapi({ description: 'How many are in each state.' }),
    published: z.int().openapi({ description: 'Messages that got a number.' }),
    delivered: z.int().openapi({ description: 'Events handed to sockets.' }),
    conflated: z.int().openapi({ description: 'Ticks that a newer one replaced before they could leave.' }),
    sentBytes: z.int().openapi({ description: 'Bytes handed to sockets.' }),
    runs: z
      .object({ sent: z.int(), unchanged: z.int(), unheard: z.int(), failed: z.int() })
      .openapi({ description: 'Runs of schedules, by what came of them.' }),
    missed: z.int().openapi({
      description:
        'Due instants that passed while nothing could run; at least so many where some were too many to count.',
    }),
    overlapped: z.int().openapi({ description: 'Due instants left out while a feed was being read.' }),
    clockSteps: z.int().openapi({ description: "How often the computer's clock was set." }),
    closes: counted.openapi({ description: 'Connections that the server closed, by code.' }),
    refusals: counted.openapi({
      description: 'Requests and messages of clients that were turned down, by reason.',
    }),
    lateness: z
      .object({ medianMs: z.number(), p99Ms: z.number(), maxMs: z.number() })
      .nullable()
      .openapi({ description: 'How long after their `due` ticks left; null before the first.' }),
    memory: z.object({ rssBytes: z.int(), heapUsedBytes: z.int() }),
  })
  .openapi('Stats', { description: 'What is at this moment, and counts since the start.' });

const fault = z.object({
  path: z.string().openapi({ description: 'Such as `schedules[1].cron`; empty: the whole file.' }),
  message: z.string(),
});

const configEntry = z
  .object({
    source: z.string().openapi({ description: 'The file, or what else the configuration came from.' }),
    loadedAt: instantField.openapi({ description: 'When what is in force was loaded.' }),
    faults: z
      .array(fault)
      .readonly()
      .openapi({ description: 'Why the last reload was refused; none: it was not.' }),
    config: z.record(z.string(), z.unknown()).openapi({
      description:
        'What is in force, with the defaults, in the words of the file. What refers to the environment is shown as written. Removed: tokens and their hashes, the values of headers and of the variables of commands, the arguments of commands, user, query and fragment of addresses, and every string of a feed whose kind an embedding program has added.',
    }),
  })
  .openapi('Config');

const names = (description: string) => z.array(z.string()).readonly().openapi({ description });

const reloaded = z
  .object({
    added: names('Schedules that are new.'),
    changed: names('Schedules that are others now.'),
    removed: names('Schedules that are no longer there.'),
    kept: names('Schedules that went on untouched.'),
    needsRestart: names('Keys that are different now and take effect with the next start only.'),
  })
  .openapi('Reloaded');

export type StatsEntry = z.output<typeof statsEntry>;
export type ConfigEntry = z.output<typeof configEntry>;
export type Reloaded = z.output<typeof reloaded>;

/** Reads the configuration again and applies it. */
export interface Reloading {
  /**
   * Names of schedules, each list ordered, and of keys. Rejects with `refusedConfig` where the new configuration
   * is at fault; the old one then goes on. With 409 where there is no file to read.
   */
  reload(): Promise<Reloaded>;
}

export interface ServerAdministration extends Reloading {
  /** The figures of this moment. */
  stats(): StatsEntry;
  /** The configuration in force, with nothing secret in it. */
  config(): ConfigEntry;
}

/**
 * The refusal of a configuration: 422, since the request was sound and what it asks to take over is
 * not. Each fault is one of its `errors`.
 */
export function refusedConfig(source: string, faults: readonly InputError[]): Refusal {
  const text = faults.map(({ path, message }) => (path === '' ? message : `${path}: ${message}`));
  return new Refusal(422, `${source} cannot be used, and what is in force goes on: ${text.join('; ')}`, {
    errors: faults.map(({ path, message }) => ({ path, message })),
  });
}

const statsExample: z.input<typeof statsEntry> = {
  version: '0.1.0',
  startedAt: '2026-11-20T17:12:40.518Z',
  uptimeSeconds: 2842.483,
  rooms: 3,
  connections: { websocket: 12, sse: 3 },
  slow: 0,
  schedules: { ok: 2, stale: 0, error: 0, paused: 0 },
  published: 42,
  delivered: 14_262,
  conflated: 0,
  sentBytes: 4_194_304,
  runs: { sent: 948, unchanged: 0, unheard: 0, failed: 0 },
  missed: 0,
  overlapped: 0,
  clockSteps: 0,
  closes: { '4004': 1 },
  refusals: { origin: 2 },
  lateness: { medianMs: 1, p99Ms: 2, maxMs: 4 },
  memory: { rssBytes: 71_303_168, heapUsedBytes: 18_874_368 },
};

export const serverRoutes = {
  stats: adminCall('Server', {
    method: 'get',
    path: '/admin/stats',
    operationId: 'getStats',
    summary: 'The figures of the server',
    description:
      'What is at this moment, and what was counted since the start. A feed of type `stats` sends the same.',
    request: { query: noQuery },
    responses: {
      200: json('The figures.', statsEntry, statsExample),
    },
  }),
  config: adminCall('Server', {
    method: 'get',
    path: '/admin/config',
    operationId: 'getConfig',
    summary: 'The configuration in force, and the faults of the last reload',
    description: 'With every default filled in and all secrets removed.',
    request: { query: noQuery },
    responses: {
      200: json('The configuration.', configEntry, {
        source: 'belfry.json',
        loadedAt: '2026-11-20T17:12:40.518Z',
        faults: [{ path: 'schedules[1].every', message: '3 is not a duration: write "3s"' }],
        config: { server: { host: '127.0.0.1', port: 8080 }, schedules: [] },
      }),
    },
  }),
  reload: adminCall('Server', {
    method: 'post',
    path: '/admin/reload',
    operationId: 'reload',
    summary: 'Read the configuration again',
    description:
      'The difference is applied and no connection closed. A configuration with faults is refused with 422, each fault one of `errors`, and the old one goes on.',
    request: { query: noQuery },
    responses: {
      200: json('Applied.', reloaded, {
        added: ['market'],
        changed: [],
        removed: [],
        kept: ['clock'],
        needsRestart: ['server.port'],
      }),
      ...refusals(409),
      422: refused(
        422,
        'belfry.json cannot be used, and what is in force goes on: schedules[1].every: 3 is not a duration: write "3s"',
        [{ path: 'schedules[1].every', message: '3 is not a duration: write "3s"' }],
      ),
    },
  }),
};

export function addServer(app: OpenAPIHono<AdminEnv>, server: ServerAdministration): void {
  app.openapi(serverRoutes.stats, (c) => c.json(server.stats(), 200));
  app.openapi(serverRoutes.config, (c) => c.json(server.config(), 200));
  app.openapi(serverRoutes.reload, async (c) => c.json(await server.reload(), 200));
}
