import type { z } from 'zod';
import type { Clock } from '../clock.ts';
import type { JsonText, RoomData, Tick } from '../hub/event.ts';
import { REASONS, type Reason } from '../protocol/status.ts';

export type { Reason };

/** A feed whose value follows from the tick and the clock alone: it is there at once. */
export interface ComputedFeed {
  /** `sentAtMs`: when the tick leaves, milliseconds since the epoch. Where it throws, the run has failed. */
  compute(tick: Tick, sentAtMs: number): RoomData;
}

/** A feed that reads an upstream: one read serves all rooms of a tick. */
export interface ReadFeed {
  /**
   * Resolves to the value. Rejects with an `Error` whose message tells an operator what to do; viewers
   * never see the message, but they see the `reason` of a `FeedError`. When `signal` aborts it rejects
   * soon and leaves nothing running.
   */
  read(tick: Tick, signal: AbortSignal): Promise<JsonText>;
}

/** For feeds that hold something open, such as connections that are kept for the next read. */
export interface ClosableFeed {
  /** Releases what is open. Called once, after the last read has ended or was aborted; must not throw. */
  close(): void;
}

export type Feed = (ComputedFeed | ReadFeed) & Partial<ClosableFeed>;

/** What a feed may use besides its options. */
export interface FeedContext {
  readonly clock: Clock;
  /** The folder that relative paths start from: the config file's. */
  readonly baseDirectory: string;
  /** The server's environment, secrets included: do not pass all of it on. */
  readonly env: NodeJS.ProcessEnv;
  /** The figures of the server at this moment, ready for JSON. */
  readonly stats: () => object;
}

/**
 * What of an option is secret: `all` of it; the `values` of an object, not its keys; user, password, query
 * and fragment of an `address`; the `arguments` of a command, not the program.
 */
export type SecretPart = 'all' | 'values' | 'address' | 'arguments';

/**
 * One `type` of feed. Kinds are given to `createBelfry` as a list, from which the config schema is
 * built; an embedding program adds its own.
 */
export interface FeedKind {
  readonly type: string;
  /** One sentence for editors and the schema. */
  readonly description: string;
  /** The fields beside `type`, each with its default and a description. */
  readonly options: z.ZodObject;
  /**
   * The options that hold secrets, by name; `{}` where none does. `GET /admin/config` and messages about the
   * configuration leave them out. Absent: every string of the options counts as a secret.
   */
  readonly secrets?: Readonly<Partial<Record<string, SecretPart>>>;
  create(options: unknown, context: FeedContext): Feed;
}

/** Declares a kind with its options typed; the list of kinds needs them erased. */
export function feedKind<Options extends z.ZodObject>(kind: {
  readonly type: string;
  readonly description: string;
  readonly options: Options;
  readonly secrets?: Readonly<Partial<Record<keyof z.output<Options>, SecretPart>>>;
  create(options: z.output<Options>, context: FeedContext): Feed;
}): FeedKind {
  // The schema has parsed the options by the time `create` is called, so they are of its type.
  return { ...kind, create: (options, context) => kind.create(options as z.output<Options>, context) };
}

/**
 * What a feed rejects with where it can say more than `failed`. `message` is for operators and may name
 * the upstream; `reason` goes to viewers. Any other error counts as `failed`.
 */
export class FeedError extends Error {
  override readonly name: string = 'FeedError';
  readonly reason: Reason;

  constructor(reason: Reason, message: string, options?: ErrorOptions) {
    super(message, options);
    this.reason = reason;
  }
}

/** What viewers are told of an error, whatever was thrown; always a word of `REASONS`. */
export function failureReason(error: unknown): Reason {
  // A program written in JavaScript can give any reason.
  return error instanceof FeedError && Object.hasOwn(REASONS, error.reason) ? error.reason : 'failed';
}
