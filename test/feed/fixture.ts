import type { Clock } from '../../src/clock.ts';
import type { ComputedFeed, FeedKind, ReadFeed } from '../../src/feed/feed.ts';
import type { JsonText, Tick } from '../../src/hub/event.ts';
import { ManualClock } from '../helpers/manual-clock.ts';

export const tick: Tick = {
  schedule: 'clock',
  due: '2026-11-20T18:00:03.000Z',
  previous: '2026-11-20T18:00:00.000Z',
  next: '2026-11-20T18:00:06.000Z',
  seq: 598399201,
};

interface Context {
  readonly clock?: Clock;
  readonly baseDirectory?: string;
  readonly env?: NodeJS.ProcessEnv;
  readonly stats?: () => object;
}

/** A feed of a kind, its options parsed as the config does it. */
function create(kind: FeedKind, options: unknown, context: Context) {
  return kind.create(kind.options.parse(options), {
    clock: new ManualClock(),
    baseDirectory: '/nowhere',
    env: {},
    stats: () => ({}),
    ...context,
  });
}

export function computed(kind: FeedKind, options: unknown, context: Context = {}): ComputedFeed {
  const feed = create(kind, options, context);
  if (!('compute' in feed)) throw new Error(`${kind.type} is not computed`);
  return feed;
}

export function readable(kind: FeedKind, options: unknown, context: Context = {}): ReadFeed {
  const feed = create(kind, options, context);
  if (!('read' in feed)) throw new Error(`${kind.type} is not read`);
  return feed;
}

/** One read that nobody aborts. */
export function read(feed: ReadFeed, at: Tick = tick): Promise<JsonText> {
  return feed.read(at, new AbortController().signal);
}

/** What is wrong with the options of a kind: `path: message`, each. */
export function faults(kind: FeedKind, options: unknown): string[] {
  const { error } = kind.options.safeParse(options);
  return error?.issues.map(({ path, message }) => `${path.join('.')}: ${message}`) ?? [];
}
