import { z } from 'zod';
import type { FeedKind } from '../feed/feed.ts';
import { isLoopback } from '../loopback.ts';
import { isObject } from './document.ts';
import { roomPattern } from './fields.ts';
import { allowedOrigin, hostFault, isHost, publicUrl } from './host.ts';
import { trustedProxy } from './proxy.ts';
import { schedule } from './schedule.ts';
import { adminToken, sha256Of, tokenFault } from './token.ts';

/** A day: what a timer can be set to, and more than anybody waits. */
const LONGEST_SECONDS = 86_400;

const LEAST_BEAT_SECONDS = 0.1;

const seconds = (least: number) => z.number().min(least).max(LONGEST_SECONDS);

/** 0 in the file is none, which comparisons understand best as infinity. */
const limit = (byDefault: number, most = Number.MAX_SAFE_INTEGER) =>
  z
    .int()
    .min(0)
    .max(most)
    .prefault(byDefault)
    .transform((value) => (value === 0 ? Number.POSITIVE_INFINITY : value));

const host = z
  .string()
  .transform((text) => text.replace(/^\[(.*)\]$/, '$1'))
  .refine(isHost, { error: ({ input }) => hostFault(String(input)) });

const server = z
  .strictObject({
    host: host.prefault('127.0.0.1').describe('The address to listen on; "0.0.0.0" is every one.'),
    port: z.int().min(0).max(65_535).default(8080).describe('The port to listen on; 0 is any that is free.'),
    publicUrl: publicUrl
      .optional()
      .describe('What the world calls this server, such as "https://wall.example.com"; links use it.'),
    allowedOrigins: z
      .array(allowedOrigin)
      .default([])
      .describe('Where pages may come from: exact origins, "null" and "file://" (from disk), or "*".'),
    trustProxy: z
      .array(trustedProxy)
      .default([])
      .describe(
        'The proxies whose X-Forwarded-For and X-Forwarded-Proto are believed: addresses or networks.',
      ),
    openMetrics: z.boolean().default(false).describe('Whether /metrics needs no token.'),
    heartbeatSeconds: seconds(LEAST_BEAT_SECONDS)
      .default(25)
      .describe('How often connections are pinged, in seconds.'),
    idleSeconds: seconds(LEAST_BEAT_SECONDS)
      .default(60)
      .describe('After how many seconds without a sign of life one is closed.'),
    emptyRoomSeconds: seconds(0).default(10).describe('How long an empty room is remembered, in seconds.'),
    drainSeconds: seconds(0)
      .default(5)
      .describe('How long a stop spreads the closing of connections, in seconds.'),
  })
  .superRefine(checkIdle);

const room = z.strictObject({
  match: roomPattern.describe('The rooms it is for, as a pattern; the first rule that matches holds.'),
  subscribe: z.enum(['anyone', 'token', 'nobody']).default('anyone').describe('Who may listen.'),
  publish: z
    .enum(['members', 'token', 'nobody'])
    .default('nobody')
    .describe('Who may publish: who is in the room, who is in it with a token for it, or nobody.'),
  history: z.int().min(0).max(100_000).default(10).describe('How many messages are kept.'),
  historySeconds: seconds(0).default(3600).describe('How long a message is kept, in seconds.'),
  slow: z
    .enum(['latest', 'close'])
    .default('latest')
    .describe('Who does not keep up: gets the latest tick instead of each, or is closed.'),
});

const limits = z
  .strictObject({
    connections: limit(20_000).describe('How many connections there may be; 0 is no limit.'),
    connectionsPerAddress: limit(1000).describe('How many of them from one address; 0 is no limit.'),
    connectsPerSecondPerAddress: limit(100).describe(
      'How many an address may open in a second; 0 is no limit.',
    ),
    sockets: limit(25_000).describe(
      'How many TCP sockets there may be, with a connection on them or not; 0 is no limit.',
    ),
    headersSeconds: seconds(0)
      .prefault(10)
      .transform((value) => (value === 0 ? Number.POSITIVE_INFINITY : value))
      .describe('How long the headers of a request may take to come, in seconds; 0 is no limit.'),
    messagesPerSecond: limit(20).describe('How many messages a client may send in a second; 0 is no limit.'),
    messageBurst: limit(100).describe('How many of them at once; 0 is no limit.'),
    roomMessagesPerSecond: limit(100).describe(
      'How many messages clients may publish in one room in a second, all of them together; 0 is no limit.',
    ),
    rooms: limit(10_000).describe('How many rooms there may be; 0 is no limit.'),
    roomsPerConnection: limit(100).describe('How many rooms a connection may be in; 0 is no limit.'),
    roomsPerAddress: limit(1000).describe(
      'How many rooms may exist because one address entered them first, not counting those that a rule names exactly; 0 is no limit.',
    ),
    maxPayloadBytes: limit(16_384).describe('The largest frame a client may send, in bytes; 0 is no limit.'),
    maxBodyBytes: limit(1_048_576).describe('The largest body of an admin request, in bytes; 0 is no limit.'),
    eventBytes: limit(65_536).describe('The largest data of one event, in bytes of JSON; 0 is no limit.'),
    historyBytes: limit(262_144).describe(
      'What is kept of the messages of one room, in bytes; 0 is no limit.',
    ),
    totalHistoryBytes: limit(67_108_864).describe('The same of all rooms together, in bytes; 0 is no limit.'),
    conflateAboveBytes: limit(65_536).describe(
      'With more unsent bytes than this a connection gets the newest tick instead of each; 0 is never.',
    ),
    maxBufferedBytes: limit(1_048_576).describe(
      'With more unsent bytes than this for slowSeconds, or twice as many at once, a connection is closed; 0 is never.',
    ),
    totalBufferedBytes: limit(268_435_456).describe(
      'Unsent bytes of all connections; above it the slowest are closed; 0 is no limit.',
    ),
    slowSeconds: seconds(0)
      .default(5)
      .describe('How long a connection may have too many unsent bytes, in seconds.'),
    fanoutSliceMs: limit(10, 1000).describe(
      'How long writing to many may hold up everything else in one go, in milliseconds; 0 is as long as it takes.',
    ),
  })
  .superRefine(checkBuffers, { when: ({ value }) => isObject(value) });

/** What the schema is built from. */
export interface SchemaOptions {
  /** The types that a schedule's feed may have. */
  readonly feedKinds: readonly FeedKind[];
  /** Where `tokenEnv` and `BELFRY_ADMIN_TOKEN` are looked up. */
  readonly env: NodeJS.ProcessEnv;
}

/** The config file: each key with its default, unit and description, and what holds between keys. */
export function configSchema({ feedKinds, env }: SchemaOptions) {
  return z
    .strictObject({
      $schema: z.string().optional().describe('Where editors find the schema of this file.'),
      server: server.prefault({}).describe('Where the server listens, and how it keeps connections.'),
      admin: z
        .strictObject({
          tokens: z
            .array(adminToken(env))
            .superRefine(uniqueNames, { when: ({ value }) => Array.isArray(value) })
            .default([])
            .describe('Who may use the admin API, besides BELFRY_ADMIN_TOKEN.'),
        })
        .prefault({})
        .describe('The admin API.'),
      rooms: z.array(room).default([]).describe('Rules for rooms; the first that matches holds.'),
      schedules: z
        .array(schedule(feedKinds))
        .superRefine(uniqueNames, { when: ({ value }) => Array.isArray(value) })
        .default([])
        .describe('What is sent, and when.'),
      limits: limits.prefault({}).describe('The most of everything.'),
    })
    .superRefine((config, context) => checkAccess(config, env, context), {
      when: ({ value }) => isObject(value),
    })
    .transform(({ $schema, ...config }) => {
      const token = env.BELFRY_ADMIN_TOKEN;
      if (!token) return config;
      const named = { name: 'env', role: 'operator' as const, sha256: sha256Of(token) };
      return { ...config, admin: { tokens: [...config.admin.tokens, named] } };
    });
}

/** The configuration as the program uses it: complete, checked, secrets only as hashes. */
export type Config = z.output<ReturnType<typeof configSchema>>;
export type RoomRule = Config['rooms'][number];

/** The schema of the config file for editors (JSON Schema, draft 2020-12). */
export function configJsonSchema(feedKinds: readonly FeedKind[]): object {
  const schema = z.toJSONSchema(configSchema({ feedKinds, env: {} }), {
    io: 'input',
    target: 'draft-2020-12',
  });
  return {
    ...schema,
    title: 'Belfry',
    description: 'The configuration of Belfry, a server-push broadcaster.',
  };
}

/** The text of `belfry.schema.json`. */
export function configJsonSchemaText(feedKinds: readonly FeedKind[]): string {
  return `${JSON.stringify(configJsonSchema(feedKinds), null, 2)}\n`;
}

/** A quiet client gives a sign of life when it is pinged, and not before. */
function checkIdle(
  { heartbeatSeconds, idleSeconds }: { heartbeatSeconds: number; idleSeconds: number },
  context: z.RefinementCtx,
): void {
  // What is too small has a fault of its own.
  if (idleSeconds > heartbeatSeconds || Math.min(idleSeconds, heartbeatSeconds) < LEAST_BEAT_SECONDS) return;
  context.addIssue({
    code: 'custom',
    path: ['idleSeconds'],
    message: `${idleSeconds} is not more than heartbeatSeconds, so that clients would be closed before they are pinged: write more than ${heartbeatSeconds}, or a smaller heartbeatSeconds`,
  });
}

/**
 * What waits for one client has to find room: an event, and what comes before ticks are conflated. Also
 * checked where other keys are wrong; hence `unknown`. No limit is `Infinity` here, and asks for nothing.
 */
function checkBuffers(
  limits: { conflateAboveBytes?: unknown; eventBytes?: unknown; maxBufferedBytes?: unknown },
  context: z.RefinementCtx,
): void {
  const { maxBufferedBytes: most } = limits;
  if (typeof most !== 'number') return;
  const check = (key: 'conflateAboveBytes' | 'eventBytes', so: string) => {
    const bytes = limits[key];
    if (typeof bytes !== 'number' || !Number.isFinite(bytes) || bytes <= most) return;
    context.addIssue({
      code: 'custom',
      path: [key],
      message: `${bytes} is more than maxBufferedBytes, ${so}: write at most ${most}, or a larger maxBufferedBytes`,
    });
  };
  check('conflateAboveBytes', 'so that clients would be closed before they get fewer ticks');
  check('eventBytes', 'so that one event could close every client that it is sent to');
}

/** The entries may be wrong in other ways, and then are not what their type says. */
function uniqueNames(entries: readonly unknown[], context: z.RefinementCtx): void {
  const first = new Map<unknown, number>();
  entries.forEach((entry, index) => {
    const name: unknown = Object(entry).name;
    const earlier = first.get(name);
    if (typeof name !== 'string') return;
    if (earlier === undefined) first.set(name, index);
    else
      context.addIssue({
        code: 'custom',
        path: [index, 'name'],
        message: `"${name}" is the name of entry ${earlier} already: write another`,
      });
  });
}

/** Whoever can reach the server from elsewhere must not find it without a token. */
function checkAccess(
  config: { server?: { host?: unknown }; admin?: { tokens?: unknown } },
  env: NodeJS.ProcessEnv,
  context: z.RefinementCtx,
): void {
  const token = env.BELFRY_ADMIN_TOKEN ?? '';
  const fault = token === '' ? undefined : tokenFault(token);
  if (fault !== undefined) context.addIssue(`the environment variable BELFRY_ADMIN_TOKEN ${fault}`);

  const host = config.server?.host;
  const tokens = config.admin?.tokens;
  // Tokens that are wrong have faults of their own.
  const configured =
    token !== '' || (tokens !== undefined && !(Array.isArray(tokens) && tokens.length === 0));
  if (configured || typeof host !== 'string' || !isHost(host) || isLoopback(host)) return;
  context.addIssue({
    code: 'custom',
    path: ['admin', 'tokens'],
    message: `a token is needed when server.host is "${host}", which others can reach: add one here or set BELFRY_ADMIN_TOKEN`,
  });
}
