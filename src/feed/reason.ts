/**
 * Every word that the `reason` of a `status` event can be, and what it says to a viewer. Strangers read
 * these events, so nothing of the upstream itself is in them: its address, its path and its output are
 * in the `detail`, for operators. `client/protocol/status.ts` has the same table, which a test compares.
 */
export const REASONS = {
  timeout: 'there was no answer in time',
  unreachable: 'the source cannot be reached',
  refused: 'the source refuses, or may not be asked',
  'http-status': 'the source answered with an error',
  'too-large': 'the value is too large',
  'not-json': 'the value is not valid JSON',
  'not-text': 'the value is not valid text',
  'not-found': 'the source was not found, or holds no such value',
  failed: 'no value could be read',
  stale: 'the last value is too old',
  paused: 'it is paused',
  missed: 'instants were left out',
  changed: 'it has another cadence or other rooms now',
  clock: "the server's clock was set",
} as const;

/** A word of a fixed list: all that viewers are told about the cause of a state. */
export type Reason = keyof typeof REASONS;

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

/** What viewers are told of an error, whatever was thrown; never a word that is not in the list. */
export function reasonOf(error: unknown): Reason {
  // A program written in JavaScript can give any reason.
  return error instanceof FeedError && Object.hasOwn(REASONS, error.reason) ? error.reason : 'failed';
}
