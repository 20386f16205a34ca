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
