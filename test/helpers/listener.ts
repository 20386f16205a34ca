import { systemClock } from '../../src/clock.ts';
import type { UnreadAnswer } from '../../src/hub/slow-consumers.ts';
import { Listener, type ListenerParts } from '../../src/transport/http-server.ts';

/** A listener without limits, and what it has told. */
export function listenerOf(parts: Partial<ListenerParts>) {
  const unread = new Set<UnreadAnswer>();
  const faults: unknown[] = [];
  const crowded: string[] = [];
  const listener = new Listener({
    request: (_, response) => response.end(),
    upgrade: (_, socket) => socket.destroy(),
    clock: systemClock,
    settings: {
      current: { limits: { sockets: Number.POSITIVE_INFINITY, headersSeconds: Number.POSITIVE_INFINITY } },
    },
    connections: { takeSocket: () => ({ release() {} }) },
    unread: { add: (answer) => unread.add(answer), remove: (answer) => unread.delete(answer) },
    onRefused: () => {},
    onCrowded: (detail) => crowded.push(detail),
    onFault: (_, error) => faults.push(error),
    ...parts,
  });
  return { listener, unread, faults, crowded };
}
