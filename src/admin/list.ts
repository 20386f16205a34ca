import { z } from '@hono/zod-openapi';
import { refusedInput } from './answers.ts';
import { text } from './fields.ts';

/** Lists are given in pages: what asks for one, what one looks like, and the cursor between them. */

/** The query of a list, with the fields that narrow it. */
export function pageQuery<Shape extends z.ZodRawShape>(list: string, narrowedBy: Shape) {
  return z.strictObject({
    limit: text(
      (value) => /^\d{1,4}$/.test(value) && Number(value) >= 1 && Number(value) <= 1000,
      'a limit',
      'a whole number from 1 to 1000',
    )
      .default('100')
      .transform(Number)
      .openapi({ type: 'integer', minimum: 1, maximum: 1000, default: 100, example: 100 }),
    cursor: text(
      (value) => readCursor(list, value) !== undefined,
      'a cursor of this list',
      'what "next" of the page before said',
    )
      .transform((value) => readCursor(list, value))
      .optional()
      .openapi({ type: 'string', description: '`next` of the page before; absent: the first page.' }),
    ...narrowedBy,
  });
}

export const wrongLimit = {
  400: refusedInput('limit', '"0" is not a limit: a whole number from 1 to 1000'),
};

/** A page of a list. */
export function pageOf<Item extends z.ZodType>(item: Item) {
  return z.object({
    items: z.array(item).readonly(),
    next: z
      .string()
      .nullable()
      .openapi({ description: 'The `cursor` of the next page; null: this is the last.' }),
  });
}

/** Cuts what was asked for with one item more than fits on the page, which tells if there is another. */
export function toPage<Item>(
  list: string,
  found: readonly Item[],
  limit: number,
  key: (item: Item) => string,
) {
  const items = found.slice(0, limit);
  const last = items.at(-1);
  return { items, next: found.length > limit && last !== undefined ? writeCursor(list, key(last)) : null };
}

/** Says that a cursor is ours and of which shape, so that a foreign one is told from it. */
const MARK = 'belfry1';

/** Writes the last name or id of a page of a list as an opaque cursor. */
export function writeCursor(list: string, last: string): string {
  return Buffer.from(`${MARK} ${list} ${last}`).toString('base64url');
}

/** What the page ended with; `undefined` for a cursor that was not made by us for this list. */
export function readCursor(list: string, cursor: string): string | undefined {
  const bytes = Buffer.from(cursor, 'base64url');
  // Decoding skips what is not base64url: only what encodes to the same text again was ours.
  if (bytes.toString('base64url') !== cursor) return undefined;
  const text = bytes.toString();
  const head = `${MARK} ${list} `;
  return text.startsWith(head) ? text.slice(head.length) : undefined;
}
