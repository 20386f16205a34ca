/** How many steps are taken between two looks at the clock. */
const STEPS_A_LOOK = 32;

export interface SliceOptions {
  /** Milliseconds on a clock that never steps. */
  readonly monotonic: () => number;
  /** How long a piece of work may hold the event loop. */
  readonly sliceMs: () => number;
}

/**
 * Does something to each of many items without holding the event loop: after each slice everything
 * else gets its turn. Resolves when all is done; rejects with what `step` throws. Small work is done
 * at once, before this returns.
 */
export async function inSlices<Item>(
  items: Iterable<Item>,
  step: (item: Item) => void,
  { monotonic, sliceMs }: SliceOptions,
): Promise<void> {
  let endsAt = monotonic() + sliceMs();
  let steps = 0;
  for (const item of items) {
    step(item);
    if (++steps % STEPS_A_LOOK !== 0 || monotonic() < endsAt) continue;
    await nextTurn();
    endsAt = monotonic() + sliceMs();
  }
}

/** Resolves after what else is ready in the event loop has run. */
export function nextTurn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
