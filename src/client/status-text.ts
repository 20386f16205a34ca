import { REASONS } from '../protocol/status.ts';
import { members } from './messages.ts';

/** Why a schedule is as its `status` says, in words; empty where there is nothing to say. */
export function reasonWords(data: unknown): string {
  const { reason, missed, missedAtLeast } = members(data);
  const word = typeof reason === 'string' ? reason : '';
  // A newer server may have words that are not known here.
  const why = Object.entries(REASONS).find(([known]) => known === word)?.[1] ?? word;
  const number = missedAtLeast === true ? `more than ${missed}` : missed;
  const count = typeof missed === 'number' ? `${number} of its instants left out` : '';
  return [reason === 'missed' && count !== '' ? '' : why, count].filter(Boolean).join('; ');
}

/** The data of a `status` event as a line: "prices: error, the source cannot be reached". */
export function statusWords(data: unknown): string {
  const { schedule, state } = members(data);
  return [`${schedule}: ${state}`, reasonWords(data)].filter(Boolean).join(', ');
}
