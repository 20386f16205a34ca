import { z } from 'zod';
import type { Tick } from '../hub/event.ts';
import { feedKind } from './feed.ts';

/** Looked for in JSON text: without quotes in it, it never reaches over the end of a string. */
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
        for (const message of faults(data)) context.addIssue({ code: 'custom', message });
      })
      .describe(
        'Any JSON. Strings in it may hold {{due}}, {{seq}}, {{next}}, {{room}} and {{schedule}}; {{seq}} is empty with cron, {{next}} when there is none.',
      ),
  }),
  create({ data }) {
    const around = JSON.stringify(data).split(ROOM);
    return {
      compute(tick) {
        const [first = '', ...rest] = around.map((text) => fill(text, tick));
        // Without a room in it the text is the same for all, and is encoded once.
        return rest.length === 0 ? first : (room) => [first, ...rest].join(escaped(room));
      },
    };
  },
});

function faults(data: unknown): string[] {
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
