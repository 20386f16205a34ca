import { commandFeed } from './command.ts';
import { messageFeed, statsFeed, timeFeed } from './computed.ts';
import type { FeedKind } from './feed.ts';
import { fileFeed } from './file.ts';
import { httpFeed } from './http.ts';

/** The kinds of feed that come with Belfry. A file of its own, since each kind imports `feed.ts`. */
export const feedKinds: readonly FeedKind[] = [
  timeFeed,
  messageFeed,
  httpFeed,
  fileFeed,
  commandFeed,
  statsFeed,
];
