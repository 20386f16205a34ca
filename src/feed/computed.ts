import { z } from 'zod';
import { instant } from '../clock.ts';
import type { Tick } from '../hub/event.ts';
import { feedKind } from './feed.ts';
import { isTimezone, localInstant } from './timezone.ts';

/** The time of day, stamped when it is sent: `{"iso","unixMs","timezone","local"}`. */
export const timeFeed = feedKind({
  type: 'time',
  description: 'The time of day, stamped when it is sent.',
  options: z.object({
    timezone: z
      .string()
      .refine(isTimezone, {
        error: ({ input }) =>
          `${JSON.stringify(input)} is not a time zone: write a name like "Europe/Berlin"`,
      })
      .default('UTC')
      .describe('The IANA time zone of `local`, such as "Europe/Berlin".'),
  }),
  secrets: {},
  create({ timezone }) {
    const local = localInstant(timezone);
    return {
      compute: (_tick, sentAtMs) =>
        JSON.stringify({ iso: instant(sentAtMs), unixMs: sentAtMs, timezone, local: local(sentAtMs) }),
    };
  },
});

/** The figures of `GET /admin/stats`, as they are when the tick leaves. */
export const statsFeed = feedKind({
  type: 'stats',
  description: 'The figures of the server, as GET /admin/stats answers them.',
  options: z.object({}),
  secrets: {},
  create: (_options, { stats }) => ({ compute: () => JSON.stringify(stats()) }),
});

/** Searched in JSON text: without quotes in it, a placeholder never reaches over the end of a string. */
const PLACEHOLDER = /\{\{([^{}"]*)\}\}/g;
const ROOM = '{{room}}';

/** What a placeholder becomes. What a tick does not have (`seq` of a `cron`, no `next`) is empty. */
const VALUES: ReadonlyMap<string, (tick: Tick) => string> = new Map([
  ['due', (tick) => tick.due],
  ['seq', (tick) => String(tick.seq ?? '')],
  ['next', (tick) => tick.next ?? ''],
  ['schedule', (tick) => tick.schedule],
]);

/**
 * The same words at each tick. `{{due}} {{seq}} {{next}} {{room}} {{schedule}}` are replaced in every
 * string of `data`, keys too; a string stays one, so `"{{seq}}"` becomes `"598399201"`.
 */
export const messageFeed = feedKind({
  type: 'message',
  description: 'Fixed words, with the tick and the room filled in.',
  options: z.object({
    data: z
      .unknown()
      .superRefine((data, context) => {
        for (const message of messageFaults(data)) context.addIssue({ code: 'custom', message });
      })
      .describe(
        'Any JSON. Strings in it may hold {{due}}, {{seq}}, {{next}}, {{room}} and {{schedule}}; {{seq}} is empty with cron, {{next}} when there is none.',
      ),
  }),
  secrets: {},
  create({ data }) {
    const aroundRoom = JSON.stringify(data).split(ROOM);
    return {
      compute(tick) {
        const [first = '', ...rest] = aroundRoom.map((text) => fill(text, tick));
        // Without a room in it the text is the same for all, and is encoded once.
        return rest.length === 0 ? first : (room) => [first, ...rest].join(escaped(room));
      },
    };
  },
});

function messageFaults(data: unknown): string[] {
  const text = JSON.stringify(data);
  if (text === undefined) return ['must be JSON: write the words to send, such as {"text":"Good morning"}'];
  return text
    .split(ROOM)
    .flatMap((part) => [...part.matchAll(PLACEHOLDER)])
    .filter(([, name = '']) => !VALUES.has(name))
    .map(([whole]) => `${whole} is not known: use {{due}}, {{seq}}, {{next}}, {{room}} or {{schedule}}`);
}

function fill(text: string, tick: Tick): string {
  return text.replace(PLACEHOLDER, (whole, name) => escaped(VALUES.get(name)?.(tick) ?? whole));
}

/** As it stands between the quotes of a JSON string. */
function escaped(text: string): string {
  return JSON.stringify(text).slice(1, -1);
}
