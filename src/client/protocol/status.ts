import { members } from './received.ts';

/**
 * What the words of the server's `status` events say to people. A test compares them with those that the
 * server has.
 */
export const REASON_WORDS: Readonly<Record<string, string>> = {
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
};

/** Why a schedule is as its `status` says, in words; empty where there is nothing to say. */
export function reasonWords(data: unknown): string {
  const { reason, missed, missedAtLeast } = members(data);
  const known = typeof reason === 'string' && Object.hasOwn(REASON_WORDS, reason);
  // A newer server may have words that are not known here.
  const why = known ? REASON_WORDS[reason] : typeof reason === 'string' ? reason : '';
  const number = missedAtLeast === true ? `more than ${missed}` : missed;
  const count = typeof missed === 'number' ? `${number} of its instants left out` : '';
  return [reason === 'missed' && count !== '' ? '' : why, count].filter(Boolean).join('; ');
}

/** The data of a `status` event as a line: "prices: error, the source cannot be reached". */
export function statusWords(data: unknown): string {
  const { schedule, state } = members(data);
  return [`${schedule}: ${state}`, reasonWords(data)].filter(Boolean).join(', ');
}
