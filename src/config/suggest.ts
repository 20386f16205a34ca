/** Longer words are not typing errors, and comparing them takes time. */
const MAX_WORD_CHARACTERS = 128;

/**
 * The candidate that was probably meant: at most one edit in three characters, whatever the case.
 * `undefined` where none is near, because a wrong suggestion is worse than none.
 */
export function suggest(word: string, candidates: Iterable<string>): string | undefined {
  if (word.length > MAX_WORD_CHARACTERS) return undefined;
  let best: string | undefined;
  let bound = Math.max(1, Math.floor(word.length / 3)) + 1;
  for (const candidate of candidates) {
    // A cheap lower bound of the distance.
    if (Math.abs(candidate.length - word.length) >= bound) continue;
    const edits = editDistance(word.toLowerCase(), candidate.toLowerCase(), bound);
    if (edits < bound) [best, bound] = [candidate, edits];
  }
  return best;
}

/**
 * Insertions, deletions, replacements and swaps of neighbours between two words (Damerau 1964). Stops
 * above `bound`, which the first letters show for most candidates.
 */
function editDistance(a: string, b: string, bound: number): number {
  let beforeLast: number[] = [];
  let last = Array.from({ length: b.length + 1 }, (_, column) => column);
  for (let row = 1; row <= a.length; row++) {
    const current = [row];
    for (let column = 1; column <= b.length; column++) {
      const isSwap = a[row - 1] === b[column - 2] && a[row - 2] === b[column - 1];
      current[column] = Math.min(
        at(last, column) + 1,
        at(current, column - 1) + 1,
        at(last, column - 1) + (a[row - 1] === b[column - 1] ? 0 : 1),
        isSwap ? at(beforeLast, column - 2) + 1 : Number.POSITIVE_INFINITY,
      );
    }
    // No later row gets lower: a swap, which looks two rows back, costs an edit as well.
    if (Math.min(...current) > bound) return bound + 1;
    [beforeLast, last] = [last, current];
  }
  return at(last, b.length);
}

/** Only columns that have been written are read. */
function at(row: readonly number[], column: number): number {
  return row[column] as number;
}
