import { appendFileSync } from 'node:fs';
import type { Kind } from './cases.ts';

/** What a kind may leave on the heap: compiled code and caches, whatever the number of cases. */
export const MAX_GROWTH_MIB = 32;

/** How far a kind has got: one line of JSON, of which `npm run fuzz` shows the last one of each kind. */
export interface Report {
  readonly kind: Kind;
  readonly cases: number;
  /** The longest time in which one case held the event loop. */
  readonly longestMs: number;
  /** The same of several cases at once. */
  readonly togetherMs?: number;
  /** Growth of the heap since a tenth of the cases, after garbage was collected. */
  readonly growthMiB: number;
  /** Why this kind may take longer than others. */
  readonly note?: string;
}

/** Hands a report to `npm run fuzz`. */
export function report(line: Report): void {
  const file = process.env.FUZZ_REPORT;
  if (file) appendFileSync(file, `${JSON.stringify(line)}\n`);
}
