import type { z } from 'zod';
import type { Clock } from '../clock.ts';
import type { JsonText, RoomData, Tick } from '../hub/event.ts';

/** A feed whose value follows from the tick and the clock alone: synchronous, cannot fail. */
export interface ComputedFeed {
  /** `sentAtMs`: when the tick leaves, milliseconds since the epoch. */
  compute(tick: Tick, sentAtMs: number): RoomData;
}

/** A feed that asks somebody else: one read serves all rooms of a tick. */
export interface ReadFeed {
  /**
   * Resolves to the value. Rejects with an `Error` whose message an operator can act on, a `FeedError`
   * where it can tell viewers the kind of failure; they are never shown the message. When
   * `signal` aborts it rejects soon and leaves nothing running.
   */
  read(tick: Tick, signal: AbortSignal): Promise<JsonText>;
}

/** For feeds that hold something open, such as connections that are kept for the next read. */
export interface ClosableFeed {
  /** Lets go of it. Called once, after the last read was begun and aborted; must not throw. */
  close(): void;
}

export type Feed = (ComputedFeed | ReadFeed) & Partial<ClosableFeed>;

/** What a feed may use besides its options. */
export interface FeedContext {
  readonly clock: Clock;
  /** The folder that relative paths start from: the config file's. */
  readonly baseDirectory: string;
  /** The server's environment, secrets included: not to be handed on as a whole. */
  readonly env: NodeJS.ProcessEnv;
  /** The figures of the server at this moment, ready for JSON. */
  readonly stats: () => object;
}

/**
 * One `type` of feed. Kinds are handed to `createBelfry` as a list, from which the config schema is
 * built; an embedding program adds its own.
 */
export interface FeedKind {
  readonly type: string;
  /** One sentence for editors and the schema. */
  readonly description: string;
  /** The fields beside `type`, each with its default and a description. */
  readonly options: z.ZodObject;
  create(options: unknown, context: FeedContext): Feed;
}

/** Declares a kind with its options typed; the list of kinds needs them erased. */
export function feedKind<Options extends z.ZodObject>(kind: {
  readonly type: string;
  readonly description: string;
  readonly options: Options;
  create(options: z.output<Options>, context: FeedContext): Feed;
}): FeedKind {
  // The schema has parsed the options by the time `create` is called, so they are of its type.
  return { ...kind, create: (options, context) => kind.create(options as z.output<Options>, context) };
}
