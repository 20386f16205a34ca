import { describe, expect, it } from 'vitest';
import { ClientAddresses } from '../src/access/client-address.ts';
import { ConnectionLimiter } from '../src/access/connection-limits.ts';
import type { Connection } from '../src/hub/connection.ts';
import { drain } from '../src/lifecycle.ts';
import type { CloseReason } from '../src/protocol/close-reason.ts';
import { limitsWith } from './helpers/limits.ts';
import { ManualClock } from './helpers/manual-clock.ts';

function setUp(connections: number) {
  const clock = new ManualClock();
  const busy = { ms: 0, perCloseMs: 0 };
  const monotonic = clock.monotonic.bind(clock);
  clock.monotonic = () => monotonic() + busy.ms;
  const closed: { atMs: number; reason: CloseReason }[] = [];
  const hub = {
    close: (_: Connection, reason: CloseReason) => {
      closed.push({ atMs: clock.monotonic(), reason });
      busy.ms += busy.perCloseMs;
    },
  };
  // Of a connection a drain asks nothing.
  const clients = Array.from({ length: connections }, () => ({ connection: {} as Connection }));
  const limits = limitsWith({ connectsPerSecond: 500 });
  const settings = { current: { limits, addresses: new ClientAddresses([]) } };
  const limiter = new ConnectionLimiter({ settings, clock });
  const abort = new AbortController();
  const start = (drainMs: number) =>
    drain({ clients, connections: limiter, hub, clock, drainMs, sliceMs: 10, signal: abort.signal });
  return { clock, closed, abort, busy, start };
}

describe('drain', () => {
  it('is over at once where nobody is there', async () => {
    const { clock, start } = setUp(0);
    await start(5000);
    expect(clock.pending).toBe(0);
  });

  it('lets other work have its turn while it closes very many at once', async () => {
    const { closed, busy, start } = setUp(1000);
    busy.perCloseMs = 0.1;
    const done = start(0);
    await new Promise(setImmediate);
    expect(closed.length).toBeGreaterThan(0);
    expect(closed.length).toBeLessThan(500);
    await done;
    expect(closed).toHaveLength(1000);
  });

  it('closes everybody with 1012, evenly over the time, each to come back at its own moment after it', async () => {
    const { clock, closed, start } = setUp(1000);
    const done = start(5000);
    await clock.advanceSettled(2500);
    expect(closed.length).toBeGreaterThan(450);
    expect(closed.length).toBeLessThan(550);
    await clock.advanceSettled(2500);
    await done;
    expect(closed).toHaveLength(1000);
    const backAtMs = closed.map(({ atMs, reason }) => {
      expect(reason).toMatchObject({ code: 1012, reconnect: true });
      return atMs + (reason.retryAfterMs ?? 0);
    });
    // The next process has a second to start, and takes 500 a second: 400 of those that come back.
    expect(Math.min(...backAtMs)).toBeGreaterThanOrEqual(6000);
    expect(Math.max(...backAtMs)).toBeLessThanOrEqual(8502);
    for (const ms of backAtMs) {
      expect(backAtMs.filter((other) => other >= ms && other < ms + 100).length).toBeLessThanOrEqual(41);
    }
    expect(clock.pending).toBe(0);
  });

  it('closes everybody at once where there is no time', async () => {
    const { closed, start } = setUp(10);
    await start(0);
    expect(closed).toHaveLength(10);
  });

  it('ends when it is told to', async () => {
    const { clock, closed, abort, start } = setUp(1000);
    const done = start(5000);
    await clock.advanceSettled(1000);
    const before = closed.length;
    abort.abort();
    await clock.advanceSettled(50);
    await done;
    expect(closed).toHaveLength(before);
  });
});
