import { availableParallelism } from 'node:os';
import { configDefaults, defineConfig } from 'vitest/config';
import { BaseSequencer, type TestSpecification } from 'vitest/node';

/**
 * Tests that ask whether instants are kept to a fraction of a second, which is asked in vain beside tests
 * that take the processors. They run last, and others that only wait run beside them.
 */
const TIMED = ['test/e2e/failing-feeds.test.ts', 'test/transport/heartbeat.test.ts'];

/**
 * Tests that need nothing but the modules they import, and wait for nothing. Not `nights`: it takes longest
 * of them, and would go on alone at the end.
 */
const PURE = /\/test\/(access|admin|config|hub|log|schedule)\/(?!watch-file|nights)/;

/** Pure tests run after the others: they fill the processors while the last of those wait. */
class PureLast extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const isPure = ({ moduleId }: TestSpecification) => Number(PURE.test(moduleId));
    return (await super.sort(files)).toSorted((a, b) => isPure(a) - isPure(b));
  }
}

export default defineConfig({
  test: {
    testTimeout: 20_000,
    hookTimeout: 30_000,
    // A second, the default, is short on a machine that does other things as well.
    expect: { poll: { timeout: 15_000 } },
    sequence: { sequencer: PureLast },
    pool: 'forks',
    /**
     * No file has a worker of its own, since importing zod and the server takes longer than most files run.
     * So a test leaves nothing behind: no server, no timer, no changed global.
     */
    isolate: false,
    // More than there are processors: many tests wait for a clock, a socket or a program.
    maxWorkers: availableParallelism() * 3,
    projects: [
      {
        extends: true,
        test: {
          name: 'main',
          include: ['test/**/*.test.ts'],
          exclude: [...configDefaults.exclude, ...TIMED],
        },
      },
      {
        extends: true,
        test: { name: 'timed', include: TIMED, sequence: { groupOrder: 1 }, maxWorkers: TIMED.length },
      },
    ],
  },
});
