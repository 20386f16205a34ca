import { commandFeed } from './command.ts';
import type { FeedKind } from './feed.ts';
import { fileFeed } from './file.ts';
import { httpFeed } from './http.ts';
import { messageFeed } from './computed.ts';
import { statsFeed } from './stats.ts';
import { timeFeed } from './time.ts';

/** The kinds of feed that come with Belfry. */
export const feedKinds: readonly FeedKind[] = [
  timeFeed,
  messageFeed,
  httpFeed,
  fileFeed,
  commandFeed,
  statsFeed,
];
