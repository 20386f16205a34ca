// Loaded into a server under test with --import and --expose-gc: at SIGUSR2 it collects garbage and says on
// standard error what the process has on the heap and what keeps it alive.

import { setTimeout as sleep } from 'node:timers/promises';

/** What is on the heap after garbage was collected, and how many handles and timers there are of each kind. */
export interface Inside {
  readonly heapKiB: number;
  /** Memory of buffers and other native objects. */
  readonly externalKiB: number;
  readonly resources: Readonly<Record<string, number>>;
}

process.on('SIGUSR2', async () => {
  // Twice, with a pause: finalizers of the first let go of what the second collects.
  globalThis.gc?.();
  await sleep(200);
  globalThis.gc?.();
  const { heapUsed, external } = process.memoryUsage();
  const resources: Record<string, number> = {};
  for (const kind of process.getActiveResourcesInfo()) resources[kind] = (resources[kind] ?? 0) + 1;
  const inside: Inside = { heapKiB: heapUsed / 1024, externalKiB: external / 1024, resources };
  process.stderr.write(`inside: ${JSON.stringify(inside)}\n`);
});
