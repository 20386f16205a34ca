import { availableParallelism } from 'node:os';
import { configDefaults, defineConfig } from 'vitest/config';

/**
 * Tests that ask whether instants are kept to a fraction of a second, which is asked in vain beside tests
 * that take the processors. They run last, and others that only wait run beside them.
 */
const WAITING = ['test/e2e/failing-feeds.test.ts', 'test/transport/heartbeat.test.ts'];

export default defineConfig({
  test: {
    testTimeout: 20_000,
    hookTimeout: 30_000,
    pool: 'forks',
    /**
     * No file has a worker of its own, since importing zod and the server takes longer than most files run.
     * So a test leaves nothing behind: no server, no timer, no changed global.
     */
    isolate: false,
    // Twice as many as there are processors: many tests wait for a clock, a socket or a program.
    maxWorkers: availableParallelism() * 2,
    projects: [
      {
        extends: true,
        test: {
          name: 'main',
          include: ['test/**/*.test.ts'],
          exclude: [...configDefaults.exclude, ...WAITING],
        },
      },
      { extends: true, test: { name: 'waiting', include: WAITING, sequence: { groupOrder: 1 } } },
    ],
  },
});
