import { type OpenAPIHono, z } from '@hono/zod-openapi';
import { Refusal } from '../hub/errors.ts';
import { DEVICE_ACCEPTS, EVENT_ACCEPTS, KEY_ACCEPTS, PATTERN_ACCEPTS } from '../hub/event.ts';
import type { Administration } from '../hub/hub.ts';
import type { IdempotencyKeys } from '../hub/idempotency.ts';
import type { Published } from '../hub/publication.ts';
import type { Accepted, WaitingBroadcasts } from '../hub/waiting-broadcasts.ts';
import { type BodyLimits, bodyOf, checkType, jsonOf } from './body.ts';
import { type AdminEnv, checkTargetOf } from './guard.ts';
import {
  deviceName,
  duration,
  instantMs,
  keyName,
  MAX_ERRORS,
  noQuery,
  roomPattern,
  SOME_NAME_ACCEPTS,
  secondOrMore,
  sentEvent,
  someName,
  someTime,
} from './input.ts';
import { once, onceHeaders, usedKey } from './once.ts';
import { adminCall, instantField, json, refusals, refused, refusedInput, SENDING } from './schemas.ts';

/** Each pattern is compared with each room: this bounds the cost of one call. */
const MAX_NAMED = 1000;

/**
 * A name or a list of names. Not a union of zod: that checks every item, of a million too, and reports none
 * of the faults.
 */
function named(name: z.ZodType<string>, accepts: string, fewest: number) {
  const each = { type: 'string' as const, description: accepts };
  const list = { type: 'array' as const, items: each, minItems: fewest, maxItems: MAX_NAMED };
  return z
    .unknown()
    .openapi({ anyOf: [each, list] })
    .transform((value, context): string[] => {
      const fault = (message: string, ...path: number[]) =>
        context.issues.push({ code: 'custom', input: value, path, message });
      const names: readonly unknown[] = Array.isArray(value) ? value : [value];
      if (names.length < fewest) fault('an empty list reaches nobody: name at least one, or leave this out');
      else if (names.length > MAX_NAMED) fault(`more than ${MAX_NAMED} are named`);
      else if (!names.every((item) => typeof item === 'string'))
        fault('expected a string or a list of strings');
      else {
        for (const [index, item] of names.entries()) {
          const { error } = name.safeParse(item);
          if (error) fault(error.issues[0]?.message ?? '', ...(Array.isArray(value) ? [index] : []));
          if (context.issues.length === MAX_ERRORS) break;
        }
        return [...new Set(names)];
      }
      return z.NEVER;
    })
    .optional();
}

/** The clients that are addressed. An empty list is refused, since a message without a target is for every client. */
const target = (name: z.ZodType<string>, accepts: string) => named(name, accepts, 1);

const broadcast = z
  .strictObject(
    {
      rooms: target(roomPattern, PATTERN_ACCEPTS).describe('Room patterns.'),
      devices: target(deviceName, DEVICE_ACCEPTS).describe('Device names.'),
      connections: target(someName, SOME_NAME_ACCEPTS).describe('Connection ids.'),
      users: target(someName, SOME_NAME_ACCEPTS).describe('User names.'),
      except: named(someName, SOME_NAME_ACCEPTS, 0).describe('Connection ids that get nothing.'),
      event: sentEvent.optional().describe(`${EVENT_ACCEPTS}. Default \`message\`.`),
      data: z
        .unknown()
        .refine((data) => data !== undefined, { error: 'missing: any JSON will do, null too' })
        .describe('Any JSON.'),
      key: keyName
        .optional()
        .describe(
          `${KEY_ACCEPTS}. Retains the message in place of the one with this key, for clients that join later.`,
        ),
      ttl: someTime
        .optional()
        .describe('Time for which it is retained. Default: until it is replaced or withdrawn.'),
      at: instantMs
        .optional()
        .describe('Instant at which it is sent, at most 366 days from now. Default: now.'),
      in: duration.optional().describe('Time after which it is sent; in place of `at`.'),
      missedWithin: secondOrMore
        .optional()
        .describe(
          'With `at` or `in`: it is not sent where it would be later than this, since the server was down. At least `1s`. Default `1m`.',
        ),
      dryRun: z
        .boolean({ error: 'expected true or false' })
        .optional()
        .describe('Compute the answer, and send nothing. Default `false`.'),
    },
    { error: 'expected a JSON object, such as {"data":"hello"}' },
  )
  .openapi('Broadcast');

export const published = z
  .object({
    id: z.string().nullable().describe('Id of the last message; null where no room was addressed.'),
    rooms: z.array(z.string()).readonly().describe('The addressed rooms that have a connection.'),
    connections: z.int().describe('Number of connections that get it; each is counted once.'),
    unreached: z
      .array(z.string())
      .readonly()
      .describe('Named devices, connections and users without a connection.'),
    unknown: z
      .array(z.string())
      .readonly()
      .describe('Rooms that were named exactly, that nobody is in, and that no rule is meant for.'),
    kept: z.boolean().describe('Whether a history keeps the message, or it is retained.'),
  })
  .openapi('Published');

export const publishedExample: z.input<typeof published> = {
  id: 'k3f9-42',
  rooms: ['lobby'],
  connections: 15,
  unreached: [],
  unknown: [],
  kept: true,
};

/** The answer to a broadcast that waits. */
export const accepted = z
  .object({ id: z.string(), at: instantField.describe('Instant at which it is sent.') })
  .openapi('Accepted');

export const acceptedExample: z.input<typeof accepted> = {
  id: '0mi7qjfk0-5f2c9a01d4',
  at: '2026-11-20T19:00:00.000Z',
};

/** The answer where a message with a key is one too many. */
export const tooManyRetained = refused(
  409,
  'there would be 1001 retained messages, and limits.retained is 1000: withdraw one with DELETE /admin/retained/{key}, or send them with a ttl',
);

export const broadcastRoute = adminCall('Broadcast', 'broadcast', 'post', '/admin/broadcast', {
  'x-roles': SENDING,
  summary: 'Send a message to rooms, devices, connections or users',
  description:
    'Without a target it goes to every room; several kinds of target are their union. The body is read as JSON whatever its content type. A room named exactly keeps the message in its history also when it is empty; a pattern reaches the rooms that exist. A publisher names rooms that its own patterns cover, and nothing else.',
  request: {
    body: {
      required: true,
      content: {
        'application/json': { schema: broadcast, example: { rooms: 'lobby', data: { text: 'hello' } } },
      },
    },
    headers: onceHeaders,
    query: noQuery,
  },
  responses: {
    200: json('Sent.', published, publishedExample),
    202: json('It waits for its time.', accepted, acceptedExample),
    400: refusedInput('data', 'missing: any JSON will do, null too'),
    409: tooManyRetained,
    422: usedKey,
    ...refusals(413, 415),
  },
});

/** What calls that send messages are made of. */
export interface PublishParts {
  readonly hub: Administration;
  readonly settings: { readonly current: { readonly limits: BodyLimits } };
  readonly idempotency: Pick<IdempotencyKeys, 'once'>;
}

export interface BroadcastParts extends PublishParts {
  readonly broadcasts: Pick<WaitingBroadcasts, 'dueOf' | 'add' | 'list' | 'cancel'>;
}

export function addBroadcast(
  app: OpenAPIHono<AdminEnv>,
  { hub, settings, idempotency, broadcasts }: BroadcastParts,
): void {
  // The framework would read the body by its content type; here it is JSON in any case.
  const request = { query: noQuery };
  app.openapi({ ...broadcastRoute, request }, async (c) => {
    const { limits } = settings.current;
    checkType(c.req.raw);
    const bytes = await bodyOf(c.req.raw, limits);
    const body = await jsonOf(bytes, broadcast, limits);
    const {
      event = 'message',
      data,
      key,
      ttl: ttlMs,
      at,
      in: inMs,
      missedWithin,
      dryRun = false,
      ...target
    } = body;
    Object.assign(c.var.notes, { target, dryRun });
    checkTargetOf(c.var.holder, target);
    const publication = { target, event, data: JSON.stringify(data), key, ttlMs, dryRun };
    const when = { atMs: at, inMs, missedWithinMs: missedWithin };
    const isForNow = at === undefined && inMs === undefined;
    if (isForNow && missedWithin !== undefined) {
      throw Refusal.invalid('missedWithin', 'only a broadcast with at or in has it: leave it out');
    }
    if (dryRun) {
      broadcasts.dueOf(when);
      return c.json(await hub.publish(publication), 200);
    }
    if (!isForNow) {
      const answer = await once<Accepted>(c, bytes, idempotency, (recordsOf) =>
        broadcasts.add(publication, when, recordsOf),
      );
      return c.json(answer, 202);
    }
    const answer = await once<Published>(c, bytes, idempotency, (changesOf) =>
      hub.publish(publication, { changesOf }),
    );
    return c.json(answer, 200);
  });
}
