import { parseAccept } from 'hono/utils/accept';
import { Refusal } from '../hub/refusal.ts';

/** What a room's address gives without an upgrade. */
export type Representation = 'json' | 'sse' | 'html';

const OFFERED: Readonly<Record<string, Representation>> = {
  'application/json': 'json',
  'text/event-stream': 'sse',
  'text/html': 'html',
};

/** What the wildcards of `Accept` stand for here. */
const WILDCARDS: Readonly<Record<string, Representation>> = {
  '*/*': 'json',
  'application/*': 'json',
  'text/*': 'html',
};

/** Chooses by the `Accept` header, its q-values counted; JSON where it is silent. Throws a 406 `Refusal`. */
export function representationFor(accept: string | undefined): Representation {
  if (accept === undefined || accept.trim() === '') return 'json';
  const accepted = parseAccept(accept).map(({ type, q }) => ({ type: type.toLowerCase(), q }));
  const excluded = new Set(accepted.filter(({ q }) => q === 0).map(({ type }) => OFFERED[type]));
  // `parseAccept` sorts by q and keeps the order of the header otherwise.
  for (const { type, q } of accepted) {
    const representation = OFFERED[type] ?? WILDCARDS[type];
    if (q > 0 && representation && !excluded.has(representation)) return representation;
  }
  throw new Refusal(
    406,
    `a room comes as ${Object.keys(OFFERED).join(', ')} or over WebSocket, not as ${JSON.stringify(accept)}`,
  );
}
