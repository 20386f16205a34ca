import type { Clock } from '../clock.ts';
import { inSlices } from '../hub/backpressure.ts';
import type { Connection } from '../hub/connection.ts';
import { retryAfterMs } from '../hub/errors.ts';
import type { Hub } from '../hub/hub.ts';
import { CLOSE } from '../protocol/close-reason.ts';

/** How often some of the connections are closed. */
const STEP_MS = 50;

/**
 * Closes every connection with 1012, spread over `drainMs` so that they do not come back as a storm;
 * each is told its own time to return, after the drain. Resolves when nobody is left, or `signal`
 * aborts.
 */
export async function drain(options: {
  hub: Hub;
  clock: Clock;
  drainMs: number;
  /** How long closing many may hold the event loop in one go, in milliseconds. */
  sliceMs: number;
  signal: AbortSignal;
}): Promise<void> {
  const { hub, clock, drainMs, sliceMs, signal } = options;
  const connections = [...hub.connectionsHere()];
  const startedAt = clock.monotonic();
  let closed = 0;
  while (closed < connections.length && !signal.aborted) {
    const passedMs = clock.monotonic() - startedAt;
    const due = passedMs >= drainMs ? 1 : (passedMs + STEP_MS) / (drainMs + STEP_MS);
    const leftMs = Math.max(drainMs - passedMs, 0);
    const step = connections.slice(closed, Math.ceil(due * connections.length));
    const close = (connection: Connection) => {
      const after = retryAfterMs(leftMs, connections.length);
      if (!signal.aborted) hub.close(connection, { ...CLOSE.restart, retryAfterMs: after });
    };
    await inSlices(step, close, { clock, sliceMs });
    closed += step.length;
    if (closed < connections.length) await new Promise<void>((resolve) => clock.after(STEP_MS, resolve));
  }
}
