import { beforeEach, describe, expect, it } from 'vitest';
import { Watching } from './fixture.ts';

let watching: Watching;
beforeEach(() => {
  watching = new Watching();
});

const stats = () => watching.metrics.stats();

describe('the statistics', () => {
  it('begin with nothing', () => {
    const { memory, ...rest } = stats();
    expect(rest).toEqual({
      version: '1.2.3',
      startedAt: '2026-11-20T18:00:00.000Z',
      uptimeSeconds: 0,
      rooms: 0,
      connections: { websocket: 0, sse: 0 },
      slow: 0,
      schedules: { ok: 0, stale: 0, error: 0, paused: 0 },
      published: 0,
      broadcasts: { waiting: 0, missed: 0 },
      delivered: 0,
      conflated: 0,
      sentBytes: 0,
      runs: { sent: 0, unchanged: 0, unheard: 0, failed: 0 },
      missed: 0,
      overlapped: 0,
      clockSteps: 0,
      closes: {},
      refusals: {},
      lateness: null,
    });
    expect(memory.rssBytes).toBeGreaterThan(memory.heapUsedBytes);
  });

  it('look at the hub and the schedules when they are asked for', () => {
    const { hub, states } = watching;
    hub.roomCount = 3;
    hub.totals = { published: 4, events: 50, bytes: 600, conflated: 7 };
    Object.assign(watching.broadcasts, { count: 2, missed: 1 });
    hub.connections = [
      { transport: 'websocket', outbox: { isBehind: true } },
      { transport: 'websocket', outbox: { isBehind: false } },
      { transport: 'sse', outbox: { isBehind: false } },
    ];
    states.error = 2;
    expect(stats()).toMatchObject({
      rooms: 3,
      connections: { websocket: 2, sse: 1 },
      slow: 1,
      schedules: { ok: 0, stale: 0, error: 2, paused: 0 },
      published: 4,
      broadcasts: { waiting: 2, missed: 1 },
      delivered: 50,
      sentBytes: 600,
      conflated: 7,
    });
  });

  it('count what is reported', () => {
    const { metrics } = watching;
    watching.close('restart');
    watching.close('restart');
    watching.close('byAdministrator');
    metrics.refused('origin');
    watching.history('clock').addMissed({ count: 3, exact: true });
    watching.history('market').addMissed({ count: 1, exact: true });
    watching.history('clock').addOverlapped();
    watching.clockSteps.back++;
    watching.clockSteps.forward++;
    watching.ran('clock');
    for (const outcome of ['unchanged', 'unheard', 'failed', 'failed'] as const)
      watching.ranInVain('clock', outcome);
    expect(stats()).toMatchObject({
      closes: { '1012': 2, '4004': 1 },
      refusals: { origin: 1 },
      missed: 4,
      overlapped: 1,
      clockSteps: 2,
      runs: { sent: 1, unchanged: 1, unheard: 1, failed: 2 },
    });
  });

  it('take the uptime from the clock that never steps', () => {
    watching.clock.advance(90_250);
    watching.clock.step(-3_600_000);
    expect(stats()).toMatchObject({ startedAt: '2026-11-20T18:00:00.000Z', uptimeSeconds: 90.25 });
  });

  it('say how late ticks were, in milliseconds', () => {
    for (let lateMs = 1; lateMs <= 100; lateMs++) watching.ran('clock', { lateMs });
    const { medianMs, p99Ms, maxMs } = stats().lateness ?? {};
    expect(medianMs).toBeCloseTo(50, 0);
    expect(p99Ms).toBeCloseTo(99, 0);
    expect(maxMs).toBeCloseTo(100, 0);
  });

  it('call nothing late that was asked for by hand, nor what never left', () => {
    watching.ran('clock', { lateMs: 5000, manual: true });
    watching.ranInVain('clock', 'failed', 9);
    expect(stats().lateness).toBeNull();
  });

  it.each([
    [-3_600_000, 0],
    [365 * 86_400_000, 86_400_000],
  ])('stand a clock that was set under way: %i ms late', (lateMs, shown) => {
    watching.ran('clock', { lateMs });
    expect(Math.abs((stats().lateness?.maxMs ?? Number.NaN) / (shown || 1) - (shown ? 1 : 0))).toBeLessThan(
      0.001,
    );
  });
});
