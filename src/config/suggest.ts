/**
 * The candidate that was probably meant, or `undefined` where none is near: at most one edit in
 * three characters, whatever the case. A suggestion that is far off is worse than none.
 */
export function suggest(word: string, candidates: Iterable<string>): string | undefined {
  if (word.length > LONGEST_WORD) return undefined;
  let best: string | undefined;
  let bound = Math.max(1, Math.floor(word.length / 3)) + 1;
  const small = word.toLowerCase();
  for (const candidate of candidates) {
    // The difference in length is a lower bound, and keeps long words cheap.
    if (candidate.length > LONGEST_WORD || Math.abs(candidate.length - word.length) >= bound) continue;
    const edits = distance(small, candidate.toLowerCase(), bound);
    if (edits < bound) [best, bound] = [candidate, edits];
  }
  return best;
}

/** `: did you mean "…"?`, or nothing. */
export function didYouMean(word: string, candidates: Iterable<string>): string {
  const meant = suggest(word, candidates);
  return meant === undefined ? '' : `: did you mean "${meant}"?`;
}

/** Three rows of the table of edits, for words up to this long; longer ones are not typing errors. */
const LONGEST_WORD = 128;
const rows = Array.from({ length: 3 }, () => new Uint8Array(LONGEST_WORD + 1)) as Rows;
type Rows = [Uint8Array, Uint8Array, Uint8Array]; // as many as are made

/**
 * Edits from one word to another: insert, delete, replace, swap neighbours (Damerau 1964). Counted no
 * further than `bound`, which few letters show of most candidates.
 */
function distance(a: string, b: string, bound: number): number {
  let [beforeLast, last, current] = rows;
  for (let column = 0; column <= b.length; column++) last[column] = column;
  for (let row = 1; row <= a.length; row++) {
    const letter = a.charCodeAt(row - 1);
    const letterBefore = a.charCodeAt(row - 2);
    let left = row;
    let least = row;
    current[0] = row;
    for (let column = 1; column <= b.length; column++) {
      const other = b.charCodeAt(column - 1);
      let edits = Math.min(at(last, column), left) + 1;
      edits = Math.min(edits, at(last, column - 1) + (letter === other ? 0 : 1));
      if (letter === b.charCodeAt(column - 2) && letterBefore === other) {
        edits = Math.min(edits, at(beforeLast, column - 2) + 1);
      }
      current[column] = edits;
      left = edits;
      least = Math.min(least, edits);
    }
    // A swap reaches back two rows, but that costs one as well.
    if (least > bound) return least;
    [beforeLast, last, current] = [last, current, beforeLast];
  }
  return at(last, b.length);
}

/** Only asked for columns that were written. */
function at(row: Uint8Array, column: number): number {
  return row[column] as number;
}
