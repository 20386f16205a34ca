import { type OpenAPIHono, z } from '@hono/zod-openapi';
import { type InputError, Refusal } from '../hub/errors.ts';
import type { AdminEnv } from './guard.ts';
import { detailOf, noQuery } from './input.ts';
import { adminCall, byTransport, instantField, json, refusals, refused } from './schemas.ts';

const counted = z.record(z.string(), z.int());

const statsEntry = z
  .object({
    version: z.string(),
    startedAt: instantField,
    uptimeSeconds: z.number(),
    rooms: z.int(),
    connections: byTransport,
    slow: z.int().describe('Connections that are slow consumers.'),
    schedules: z
      .object({ ok: z.int(), stale: z.int(), error: z.int(), paused: z.int() })
      .describe('Number of schedules in each state.'),
    published: z.int().describe('Number of messages that got an id.'),
    broadcasts: z
      .object({ waiting: z.int(), missed: z.int() })
      .describe('Number of broadcasts that wait for their time, and of those that were missed.'),
    delivered: z.int().describe('Number of events handed to the sockets.'),
    conflated: z.int().describe('Number of ticks that a newer one replaced before they were sent.'),
    sentBytes: z.int().describe('Number of bytes handed to the sockets.'),
    runs: z
      .object({ sent: z.int(), unchanged: z.int(), unheard: z.int(), failed: z.int() })
      .describe('Number of runs of schedules, by outcome.'),
    missed: z
      .int()
      .describe(
        'Due instants that passed while nothing could run; a lower bound where they were too many to count.',
      ),
    overlapped: z.int().describe('Due instants left out while a feed was being read.'),
    clockSteps: z.int().describe('Number of times that the clock of the computer was set.'),
    closes: counted.describe('Number of connections that the server closed, by code.'),
    refusals: counted.describe('Number of refused requests and client messages, by reason.'),
    lateness: z
      .object({ medianMs: z.number(), p99Ms: z.number(), maxMs: z.number() })
      .nullable()
      .describe('Time from `due` until ticks were sent, in milliseconds; null before the first tick.'),
    memory: z.object({ rssBytes: z.int(), heapUsedBytes: z.int() }),
  })
  .openapi('Stats', { description: 'Current values, and counts since the start.' });

const fault = z.object({
  path: z.string().describe('Place such as `schedules[1].cron`; empty: the whole file.'),
  message: z.string(),
});

const configEntry = z
  .object({
    source: z.string().describe('File or other source of the configuration.'),
    loadedAt: instantField.describe('Instant at which the configuration in force was loaded.'),
    faults: z.array(fault).readonly().describe('Faults of the last reload; empty where it was applied.'),
    config: z
      .record(z.string(), z.unknown())
      .describe(
        'Configuration in force, in the form of the file, with every default. References to the environment are shown as written. Removed: tokens and their hashes, and what the kinds of feed call secret: the values of headers and of the variables of commands, the arguments of commands, user, query and fragment of addresses. Of a kind that does not say what is secret, every string.',
      ),
  })
  .openapi('Config');

const names = (description: string) => z.array(z.string()).readonly().describe(description);

const reloaded = z
  .object({
    added: names('New schedules.'),
    changed: names('Changed schedules.'),
    removed: names('Removed schedules.'),
    kept: names('Unchanged schedules.'),
    needsRestart: names('Changed keys that take effect at the next start.'),
  })
  .openapi('Reloaded');

export type StatsEntry = z.output<typeof statsEntry>;
export type ConfigEntry = z.output<typeof configEntry>;
export type Reloaded = z.output<typeof reloaded>;

export interface ServerAdministration {
  /** Current values, and counts since the start. */
  stats(): StatsEntry;
  /** The configuration in force, with nothing secret in it. */
  config(): ConfigEntry;
  /**
   * Reads the configuration again and applies it; the answer names schedules, each list ordered, and keys.
   * Rejects with `refusedConfig` where the new configuration has faults: the configuration in force then
   * stays. Rejects with 409 where there is no file to read.
   */
  reload(): Promise<Reloaded>;
}

/** The 422 for a configuration with faults: the request itself was sound. Each fault is one of `errors`. */
export function refusedConfig(source: string, faults: readonly InputError[]): Refusal {
  const errors = faults.map(({ path, message }) => ({ path, message }));
  const detail = `${source} cannot be used, and the configuration in force stays: ${detailOf(errors)}`;
  return new Refusal(422, detail, { errors });
}

const statsExample: z.input<typeof statsEntry> = {
  version: '1.2.3',
  startedAt: '2026-11-20T17:12:40.518Z',
  uptimeSeconds: 2842.483,
  rooms: 3,
  connections: { websocket: 12, sse: 3 },
  slow: 0,
  schedules: { ok: 2, stale: 0, error: 0, paused: 0 },
  published: 42,
  broadcasts: { waiting: 1, missed: 0 },
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
  stats: adminCall('Server', 'getStats', 'get', '/admin/stats', {
    summary: 'Statistics of the server',
    description: 'Current values, and counts since the start. A feed of type `stats` sends the same.',
    request: { query: noQuery },
    responses: {
      200: json('The statistics.', statsEntry, statsExample),
    },
  }),
  config: adminCall('Server', 'getConfig', 'get', '/admin/config', {
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
  reload: adminCall('Server', 'reload', 'post', '/admin/reload', {
    summary: 'Read the configuration again',
    description:
      'Applies the difference and closes no connection. A configuration with faults is refused with 422, each fault one of `errors`, and the configuration in force stays.',
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
        'belfry.json cannot be used, and the configuration in force stays: schedules[1].every: 3 is not a duration: write "3s"',
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
