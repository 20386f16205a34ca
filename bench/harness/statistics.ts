/** Where the measurements of one thing lie, in their own unit. */
export interface Spread {
  readonly count: number;
  readonly median: number;
  readonly p99: number;
  readonly max: number;
}

/** `NaN` where there are no values. */
export function median(values: Iterable<number>): number {
  return spread(values).median;
}

export function spread(values: Iterable<number>): Spread {
  const sorted = Float64Array.from(values).sort();
  return { count: sorted.length, median: at(sorted, 0.5), p99: at(sorted, 0.99), max: at(sorted, 1) };
}

/** Nearest rank: a value that was measured, never one between two. */
function at(sorted: Float64Array, part: number): number {
  return sorted[Math.max(Math.ceil(part * sorted.length) - 1, 0)] ?? Number.NaN;
}
