/**
 * Every word that the `reason` of a `status` event can be, and what it says to a viewer. Strangers read
 * these events, so nothing of the upstream itself is in them: no address, no path and no output.
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
