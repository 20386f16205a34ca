/** The API for programs that embed Belfry: what `import … from 'belfry'` gives. */

export type {
  Action,
  ActionCall,
  ActionClient,
  Belfry,
  BelfryEvents,
  BelfryOptions,
  DocumentSource,
  Presence,
  PublishedMessage,
  Reloaded,
  Started,
} from './api.ts';
export type { Cancel, Clock } from './clock.ts';
export { ConfigError, type Fault } from './config/errors.ts';
export type { Config } from './config/schema.ts';
export {
  type ClosableFeed,
  type ComputedFeed,
  type Feed,
  type FeedContext,
  FeedError,
  type FeedKind,
  feedKind,
  type ReadFeed,
  type Reason,
  type SecretPart,
} from './feed/feed.ts';
export { type InputError, Refusal, type RefusalDetails, type RefusalReason } from './hub/errors.ts';
export type { JsonText, RoomData, Sender, Target, Tick } from './hub/event.ts';
export type { Published } from './hub/publication.ts';
export type { Logger } from './observe/log.ts';
export type { CloseReason } from './protocol/close-reason.ts';
export type { Applied } from './schedule/schedules.ts';
export { createBelfry } from './server.ts';
export type { Sent } from './transport/action-table.ts';
