import { availableParallelism } from 'node:os';
import { configDefaults, defineConfig } from 'vitest/config';

/** Folders whose tests need nothing but the modules they import: no socket, no program, no descriptor. */
const PURE = ['test/{access,admin,config,hub,log,schedule}/**/*.test.ts'];

/** What asks whether instants are kept at 250 ms: it runs last and by itself, since others take the processors. */
const ALONE = ['test/e2e/failing-feeds.test.ts'];

/**
 * No file has a worker of its own, since importing zod and the server takes longer than most files run.
 * So a test leaves nothing behind: no server, no timer, no changed global.
 */
const shared = { isolate: false } as const;

export default defineConfig({
  test: {
    testTimeout: 20_000,
    hookTimeout: 30_000,
    // Twice as many as there are processors: many tests wait for a clock, a socket or a program.
    maxWorkers: availableParallelism() * 2,
    // The names decide which are first: those that wait most.
    projects: [
      {
        extends: true,
        test: {
          ...shared,
          name: 'processes',
          pool: 'forks',
          include: ['test/**/*.test.ts'],
          exclude: [...configDefaults.exclude, ...PURE, ...ALONE],
        },
      },
      { extends: true, test: { ...shared, name: 'threads', pool: 'threads', include: PURE } },
      {
        extends: true,
        test: { name: 'alone', pool: 'forks', include: ALONE, maxWorkers: 1, sequence: { groupOrder: 1 } },
      },
    ],
  },
});
