import { z } from 'zod';
import {
  DEFAULT_RULE,
  HOUR_CYCLES,
  PUBLISHERS,
  SLOW_RULES,
  SUBSCRIBERS,
  THEMES,
} from '../access/room-rules.ts';
import type { TokenEntry } from '../access/tokens.ts';
import type { FeedKind } from '../feed/feed.ts';
import { LIMITS, type Limit } from '../limits.ts';
import { type Access, access } from './access.ts';
import { adminToken } from './admin-tokens.ts';
import {
  allowedOrigin,
  host,
  locale,
  publicUrl,
  roomPattern,
  scheduleName,
  timezone,
  trustedProxy,
} from './fields.ts';
import { isObject, valueAt } from './json.ts';
import { schedule } from './schedule.ts';

/** A day; timers of Node can wait 24 days at most. */
const MAX_SECONDS = 86_400;
const MIN_HEARTBEAT_SECONDS = 0.1;

const seconds = (min: number) => z.number().min(min).max(MAX_SECONDS);

const server = z
  .strictObject({
    host: host.describe('Address to listen on. "0.0.0.0": every IPv4 address.'),
    port: z.int().min(0).max(65_535).default(8080).describe('Port to listen on. 0: any free port.'),
    publicUrl: publicUrl
      .optional()
      .describe(
        'Origin of this server as clients see it, such as "https://wall.example.com". Used in links.',
      ),
    allowedOrigins: z
      .array(allowedOrigin)
      .prefault([])
      .describe(
        'Origins whose pages may connect: exact origins, "null" and "file://" (pages from disk), or "*".',
      ),
    trustProxy: z
      .array(trustedProxy)
      .default([])
      .describe('Proxies whose X-Forwarded-For and X-Forwarded-Proto are used: addresses or networks.'),
    openMetrics: z.boolean().default(false).describe('Whether /metrics can be read without a token.'),
    heartbeatSeconds: seconds(MIN_HEARTBEAT_SECONDS)
      .default(25)
      .describe('Interval between pings of a connection, in seconds.'),
    idleSeconds: seconds(MIN_HEARTBEAT_SECONDS)
      .default(60)
      .describe('A WebSocket is closed if the client sends nothing, not even a pong, for this many seconds.'),
    emptyRoomSeconds: seconds(0)
      .default(10)
      .describe('A room is removed when it has been empty for this many seconds.'),
    drainSeconds: seconds(0)
      .default(5)
      .describe('When the server stops, connections are closed over this many seconds.'),
  })
  .superRefine(checkIdle);

const MAX_TITLE_CHARACTERS = 100;

const page = z
  .strictObject({
    title: z
      .string()
      .min(1, { error: 'is empty: leave the key out, or write a title' })
      .max(MAX_TITLE_CHARACTERS)
      .optional()
      .describe("Shown in place of the room's name."),
    theme: z.enum(THEMES).default('auto').describe('Colours: as the browser prefers (auto), light or dark.'),
    schedules: z
      .array(scheduleName)
      .optional()
      .describe('Schedules that are shown, in this order. Default: all, in the order of this file.'),
    hourCycle: z
      .enum(HOUR_CYCLES)
      .optional()
      .describe('Hours to twelve (h12) or to 23 (h23). Default: as the locale has it.'),
    locale: locale
      .optional()
      .describe('Language tag of dates and numbers, such as "de-DE". Default: of the browser.'),
    timezone: timezone.optional().describe('IANA time zone of the clock. Default: that of the time feed.'),
  })
  .describe("What the room's page shows, and how.");

const room = z
  .strictObject({
    match: roomPattern.describe(
      'Rooms that the rule is for, as a pattern. The first rule that matches applies.',
    ),
    subscribe: z
      .enum(SUBSCRIBERS)
      .default(DEFAULT_RULE.subscribe)
      .describe('Who may join: anyone, clients with a token, or nobody.'),
    publish: z
      .enum(PUBLISHERS)
      .default(DEFAULT_RULE.publish)
      .describe('Who may publish: clients in the room (members), those with a token for it, or nobody.'),
    history: z
      .int()
      .min(0)
      .max(100_000)
      .default(DEFAULT_RULE.history)
      .describe('Number of messages that are kept.'),
    historySeconds: seconds(0)
      .default(DEFAULT_RULE.historySeconds)
      .describe('How long a message is kept, in seconds.'),
    joinHistory: z
      .int()
      .min(0)
      .max(100_000)
      .optional()
      .describe(
        `Number of the newest of them that a client gets when it joins. At most \`history\`. Default ${DEFAULT_RULE.joinHistory}, or \`history\` where that is less.`,
      ),
    slow: z
      .enum(SLOW_RULES)
      .default(DEFAULT_RULE.slow)
      .describe('What a slow client gets: the latest tick in place of each tick, or it is closed.'),
    page: page.prefault({}),
  })
  .superRefine(({ history, joinHistory = 0 }, context) => {
    if (joinHistory <= history) return;
    const message = `${joinHistory} is more than history, which is ${history}: write at most ${history}, or a larger history`;
    context.addIssue({ code: 'custom', path: ['joinHistory'], message });
  })
  .transform(({ joinHistory, ...rule }) => ({
    ...rule,
    joinHistory: joinHistory ?? Math.min(DEFAULT_RULE.joinHistory, rule.history),
  }));

function limitField({ byDefault, description, max, isWhole, isOffAtZero }: Limit) {
  const number = (isWhole === false ? z.number() : z.int()).min(0).max(max ?? Number.MAX_SAFE_INTEGER);
  if (isOffAtZero === false) return number.prefault(byDefault).describe(description);
  return number
    .prefault(byDefault)
    .transform((value) => (value === 0 ? Number.POSITIVE_INFINITY : value))
    .describe(`${description} 0: no limit.`);
}

const limitFields = Object.fromEntries(
  Object.entries(LIMITS).map(([key, limit]) => [key, limitField(limit)]),
  // Object.fromEntries forgets the keys.
) as Record<keyof typeof LIMITS, ReturnType<typeof limitField>>;

const limits = z
  .strictObject(limitFields)
  .superRefine(checkBuffers, { when: ({ value }) => isObject(value) });

const MIB = 1_048_576;

const store = z.strictObject({
  path: z
    .string()
    .min(1, { error: 'is empty: write the path of a folder, such as "belfry-data"' })
    .refine((path) => !path.includes('\0'), { error: 'holds a NUL character: no folder has such a name' })
    .default('./belfry-data')
    .describe('Folder of the store, relative to the folder of this file. It is made where it is missing.'),
  maxBytes: z
    .int()
    .min(MIB)
    .default(1024 * MIB)
    .describe('Size of the store on disk, in bytes. Above it the oldest messages are removed.'),
});

/** Built once for each list of kinds: that takes as long as starting a server does otherwise. */
const schemas = new WeakMap<readonly FeedKind[], ReturnType<typeof build>>();

/** The config file: each key with its default, unit and description, and the checks between keys. */
export function configSchema(feedKinds: readonly FeedKind[]) {
  const schema = schemas.get(feedKinds) ?? build(feedKinds);
  schemas.set(feedKinds, schema);
  return schema;
}

function build(feedKinds: readonly FeedKind[]) {
  return z
    .strictObject({
      $schema: z.string().optional().describe('Schema of this file, for editors.'),
      server: server.prefault({}).describe('Where the server listens, and how long it keeps connections.'),
      admin: z
        .strictObject({
          tokens: listOfNamed(adminToken).describe('Tokens of the admin API, besides BELFRY_ADMIN_TOKEN.'),
        })
        .prefault({})
        .describe('The admin API.'),
      access: access
        .optional()
        .describe('Tokens of listeners. Absent: a token in a request is not looked at.'),
      rooms: z
        .array(room)
        .default([])
        .describe('Rules for rooms. The first rule that matches a room applies.'),
      schedules: listOfNamed(schedule(feedKinds)).describe('What is sent, when, and to which rooms.'),
      store: store
        .optional()
        .describe(
          'Keeps messages, and what else has to outlive a restart, on disk. Absent: all is kept in memory alone.',
        ),
      limits: limits.prefault({}).describe('Upper limits for connections, rooms, rates, sizes and memory.'),
    })
    .transform(({ $schema, ...config }) => config);
}

/** The configuration as the program uses it: complete, checked, its tokens only as hashes. */
export type Config = Omit<z.output<ReturnType<typeof build>>, 'admin' | 'access'> & {
  admin: { tokens: TokenEntry[] };
  access?: Access;
};

/** The schema of the config file for editors (JSON Schema, draft 2020-12). */
export function configJsonSchema(feedKinds: readonly FeedKind[]): object {
  const schema = z.toJSONSchema(configSchema(feedKinds), {
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

/** A client that has nothing to send answers pings, so it must be pinged before it counts as idle. */
function checkIdle(
  { heartbeatSeconds, idleSeconds }: { heartbeatSeconds: number; idleSeconds: number },
  context: z.RefinementCtx,
): void {
  // A value below the minimum has a fault already.
  if (idleSeconds > heartbeatSeconds || Math.min(idleSeconds, heartbeatSeconds) < MIN_HEARTBEAT_SECONDS)
    return;
  context.addIssue({
    code: 'custom',
    path: ['idleSeconds'],
    message: `${idleSeconds} is not more than heartbeatSeconds, so that clients would be closed before they are pinged: write more than ${heartbeatSeconds}, or a smaller heartbeatSeconds`,
  });
}

/**
 * `maxBufferedBytes` must not be less than `eventBytes` or `conflateAboveBytes`; a key without a limit,
 * here `Infinity`, is not compared. Also checked if other keys are wrong; hence `unknown`.
 */
function checkBuffers(
  limits: { conflateAboveBytes?: unknown; eventBytes?: unknown; maxBufferedBytes?: unknown },
  context: z.RefinementCtx,
): void {
  const { maxBufferedBytes: max } = limits;
  if (typeof max !== 'number') return;
  const check = (key: 'conflateAboveBytes' | 'eventBytes', consequence: string) => {
    const bytes = limits[key];
    if (typeof bytes !== 'number' || !Number.isFinite(bytes) || bytes <= max) return;
    context.addIssue({
      code: 'custom',
      path: [key],
      message: `${bytes} is more than maxBufferedBytes, ${consequence}: write at most ${max}, or a larger maxBufferedBytes`,
    });
  };
  check('conflateAboveBytes', 'so that clients would be closed before they get fewer ticks');
  check('eventBytes', 'so that one event could close every client that it is sent to');
}

/** A list whose entries have different names. Also checked if the entries have other faults; hence `unknown`. */
function listOfNamed<Entry extends z.ZodType>(entry: Entry) {
  return z
    .array(entry)
    .superRefine(uniqueNames, { when: ({ value }) => Array.isArray(value) })
    .prefault([]);
}

function uniqueNames(entries: readonly unknown[], context: z.RefinementCtx): void {
  const first = new Map<string, number>();
  entries.forEach((entry, index) => {
    const name = valueAt(entry, 'name');
    if (typeof name !== 'string') return;
    const earlier = first.get(name);
    if (earlier === undefined) first.set(name, index);
    else
      context.addIssue({
        code: 'custom',
        path: [index, 'name'],
        message: `"${name}" is the name of entry ${earlier} already: write another`,
      });
  });
}
