/** Where many measurements of one thing lie, in their own unit. */
export interface Spread {
  readonly count: number;
  readonly median: number;
  readonly p99: number;
  readonly max: number;
}

/** `NaN` where there is nothing to take it of. */
export function median(values: readonly number[]): number {
  return spread(values).median;
}

export function spread(values: readonly number[]): Spread {
  const sorted = Float64Array.from(values).sort();
  return { count: sorted.length, median: at(sorted, 0.5), p99: at(sorted, 0.99), max: at(sorted, 1) };
}

/** Nearest rank: a value that was measured, never one between two. */
function at(sorted: Float64Array, part: number): number {
  return sorted[Math.max(Math.ceil(part * sorted.length) - 1, 0)] ?? Number.NaN;
}

/** How many of the values are above the bound before and not above this one. */
export interface Bin {
  readonly atMost: number;
  readonly count: number;
}

const BOUNDS = [0, 1, 2, 3, 4, 6, 10, 20, 50, 100, Number.POSITIVE_INFINITY];

/** Where milliseconds lie, fine where a tick should be. */
export function distribution(values: readonly number[]): Bin[] {
  let below = 0;
  return BOUNDS.map((atMost) => {
    const upTo = values.filter((value) => value <= atMost).length;
    const count = upTo - below;
    below = upTo;
    return { atMost: Math.min(atMost, Number.MAX_VALUE), count };
  });
}
