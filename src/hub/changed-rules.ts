import type { Clock } from '../clock.ts';
import { CLOSE, type CloseReason } from '../protocol/close-reason.ts';
import { inSlices } from './backpressure.ts';
import type { Connection } from './connection.ts';
import type { CurrentSettings } from './settings.ts';

/** A client leaves a room because its rule, as a reload has it, does not let it listen there. */
export const FORBIDDEN_NOW: CloseReason = { ...CLOSE.forbidden, reason: 'the rule of the room has changed' };

/** The token of a client was verified with keys, or for an issuer, that do not count any more. */
const TOKEN_OUTDATED: CloseReason = {
  ...CLOSE.forbidden,
  reason: 'the token has to be verified again',
  reconnect: true,
};

export interface ChangedRules {
  /** Whether tokens are verified in another way than before, or not at all. */
  readonly areTokensOutdated: boolean;
  /** When one of so many clients that are sent away should come back, in milliseconds. */
  readonly returnAfterMs: (clients: number) => number;
}

export interface ChangedRulesParts {
  readonly connections: Iterable<Connection>;
  readonly clock: Pick<Clock, 'monotonic'>;
  readonly settings: CurrentSettings;
  readonly close: (connection: Connection, reason: CloseReason) => void;
  /** Ends the place of a member in a room. */
  readonly dismiss: (connection: Connection, room: string, reason: CloseReason) => void;
}

/**
 * Applies the rules of a reload to the connections that are there, in slices. A client that came with a token
 * which has to be verified again is closed, and told to come back; any other leaves the rooms that it would not
 * be let into now.
 */
export async function applyChangedRules(
  { areTokensOutdated, returnAfterMs }: ChangedRules,
  { connections, clock, settings, close, dismiss }: ChangedRulesParts,
): Promise<void> {
  // A copy: those that come meanwhile were admitted by the new rules.
  const open = [...connections];
  const withToken = areTokensOutdated ? open.filter(({ subscriber }) => subscriber).length : 0;
  const apply = (connection: Connection) => {
    const { subscriber } = connection;
    if (areTokensOutdated && subscriber) {
      close(connection, { ...TOKEN_OUTDATED, retryAfterMs: returnAfterMs(withToken) });
      return;
    }
    for (const room of [...connection.rooms]) {
      if (!settings.current.mayListen(room, subscriber)) dismiss(connection, room, FORBIDDEN_NOW);
    }
  };
  await inSlices(open, apply, { clock, sliceMs: settings.current.limits.fanoutSliceMs });
}
