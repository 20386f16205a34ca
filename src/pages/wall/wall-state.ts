import type { Schedule } from '../../client/freshness.ts';
import type { ClientState } from '../../client/reconnecting-client.ts';
import { spanWords } from './age.ts';

/** How far the wall can be trusted, as `<html data-state>` says it. */
export type StateName = 'live' | 'late' | 'lost' | 'closed';

export interface WallState {
  readonly name: StateName;
  /** For people; `''` where all is well. */
  readonly words: string;
}

/**
 * `lost`: no connection, or nothing comes although something should; `late`: at least one schedule is overdue or in
 * trouble; `closed`: the server said to stay away. `heardMs`: how long ago anything came.
 */
export function wallState(
  client: ClientState,
  schedules: Iterable<Pick<Schedule, 'name' | 'state' | 'freshness'>>,
  heardMs: number,
): WallState {
  if (client.name === 'closed') return { name: 'closed', words: `Closed${why(client)}` };
  if (client.name !== 'open') {
    const words =
      heardMs === Number.POSITIVE_INFINITY ? 'Connecting' : `No connection for ${spanWords(heardMs)}`;
    return { name: 'lost', words: words + why(client) };
  }
  const all = [...schedules];
  const bad = all.filter(({ freshness }) => freshness !== 'live');
  if (bad.length === 0) return { name: 'live', words: '' };
  // Paused schedules, and values that the server itself calls old, say nothing about the connection.
  const isSilent =
    bad.length === all.length && bad.every(({ state, freshness }) => state === 'ok' && freshness === 'stale');
  if (isSilent) return { name: 'lost', words: `Nothing heard for ${spanWords(heardMs)}` };
  const names = bad.map(({ name, freshness, state }) => `${name} ${state === 'paused' ? state : freshness}`);
  const more = names.length > 2 ? ` and ${names.length - 2} more` : '';
  return { name: 'late', words: names.slice(0, 2).join(', ') + more };
}

/** Why there is no connection, as far as the server said it. */
function why(state: ClientState): string {
  if (!('ending' in state)) return '';
  const { ending } = state;
  if (ending.how === 'closed') return ending.closing?.reason ? `: ${ending.closing.reason}` : '';
  return ending.how === 'refused' ? `: ${ending.text}` : '';
}
