import { parseAccept } from 'hono/utils/accept';
import { Refusal, shown } from '../hub/errors.ts';

/** What a room's address gives without an upgrade. */
export type Representation = 'json' | 'sse' | 'html';

const OFFERED: ReadonlyMap<string, Representation> = new Map([
  ['application/json', 'json'],
  ['text/event-stream', 'sse'],
  ['text/html', 'html'],
]);

/** What the ranges of `Accept` stand for here, the best first. */
const RANGES: ReadonlyMap<string, readonly Representation[]> = new Map([
  ['*/*', ['json', 'html', 'sse']],
  ['application/*', ['json']],
  ['text/*', ['html', 'sse']],
]);

/** Chooses by the `Accept` header, its q-values counted; JSON where it is silent. Throws a 406 `Refusal`. */
export function representationFor(accept: string | undefined): Representation {
  if (accept === undefined || accept.trim() === '') return 'json';
  const accepted = parseAccept(accept).map(({ type, q }) => ({ type: type.toLowerCase(), q }));
  const excluded = new Set(accepted.filter(({ q }) => q === 0).map(({ type }) => OFFERED.get(type)));
  // `parseAccept` sorts by q and keeps the order of the header otherwise.
  for (const { type, q } of accepted) {
    if (q === 0) continue;
    const exact = OFFERED.get(type);
    const meant = exact ? [exact] : (RANGES.get(type) ?? []);
    const representation = meant.find((each) => !excluded.has(each));
    if (representation) return representation;
  }
  throw new Refusal(
    406,
    `a room comes as ${[...OFFERED.keys()].join(', ')} or over WebSocket, not as ${shown(accept)}`,
  );
}
