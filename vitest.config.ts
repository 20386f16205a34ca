import { availableParallelism } from 'node:os';
import { configDefaults, defineConfig } from 'vitest/config';

/** Folders whose tests need nothing but the modules they import: no socket, no program, no descriptor. */
const PURE = ['test/{access,admin,config,hub,log,schedule}/**/*.test.ts'];

/**
 * Tests that wait most of their time. They run last: one of them asks whether instants are kept at 250 ms,
 * which it cannot beside tests that take the processors.
 */
const WAITING = [
  'test/e2e/failing-feeds.test.ts',
  'test/config/watch-file.test.ts',
  'test/transport/heartbeat.test.ts',
];

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
          exclude: [...configDefaults.exclude, ...PURE, ...WAITING],
        },
      },
      {
        extends: true,
        test: {
          ...shared,
          name: 'threads',
          pool: 'threads',
          include: PURE,
          exclude: [...configDefaults.exclude, ...WAITING],
        },
      },
      {
        extends: true,
        test: {
          ...shared,
          name: 'waiting',
          pool: 'forks',
          include: WAITING,
          sequence: { groupOrder: 1 },
        },
      },
    ],
  },
});
