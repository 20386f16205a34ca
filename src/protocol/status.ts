/**
 * Every word that the `reason` of a `status` event can be, and what it says to a viewer. Anonymous
 * listeners read these events, so they name no address, path or output of the upstream.
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

/** Why a schedule is in its state, in one word of a fixed list: viewers get no more than this. */
export type Reason = keyof typeof REASONS;
