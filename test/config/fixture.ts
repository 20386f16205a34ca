import { z } from 'zod';
import { ConfigError, type Fault } from '../../src/config/errors.ts';
import { parseConfig } from '../../src/config/parse.ts';
import type { Config } from '../../src/config/schema.ts';
import { type FeedKind, feedKind } from '../../src/feed/feed.ts';

const create = () => ({ compute: () => 'null' });

/** Two kinds of feed: one without options, one with a string that has to be an address. */
export const kinds: readonly FeedKind[] = [
  feedKind({ type: 'plain', description: 'Nothing.', options: z.object({}), create }),
  feedKind({
    type: 'address',
    description: 'An address.',
    options: z.object({
      url: z.url({ error: ({ input }) => `${JSON.stringify(input)} is not a URL` }).describe('Where.'),
      headers: z.record(z.string(), z.string()).default({}).describe('More.'),
    }),
    create,
  }),
];

export function parse(document: unknown, env: NodeJS.ProcessEnv = {}): Config {
  return parseConfig(document, { feedKinds: kinds, env });
}

/** The faults of what throws a `ConfigError`; fails where nothing is thrown. */
export function faultsOf(act: () => unknown): readonly Fault[] {
  try {
    act();
  } catch (error) {
    if (error instanceof ConfigError) return error.faults;
    throw error;
  }
  throw new Error('no fault was found');
}

/** A schedule without a fault, but for what is given. */
export function schedule(more: object): object {
  return { name: 'a', every: '3s', feed: { type: 'plain' }, ...more };
}
