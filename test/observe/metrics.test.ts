import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { beforeEach, describe, expect, it, vi } from 'vitest';
import { Watching } from './fixture.ts';

let watching: Watching;
beforeEach(() => {
  watching = new Watching();
});

/** Lets every series appear. */
function everythingHappens(): void {
  const { metrics } = watching;
  watching.ran('clock', { lateMs: 2, tookMs: 1 });
  watching.history('clock').addMissed({ count: 1, exact: true });
  watching.history('clock').addOverlapped();
  metrics.refused('origin');
  metrics.adminCalled('listRooms', 200);
  watching.close('restart');
}

/** Name, type and labels of each metric in an exposition. */
async function exported(): Promise<Map<string, string>> {
  const text = await watching.metrics.text();
  const found = new Map<string, string>();
  for (const [, name = '', type] of text.matchAll(/^# TYPE (\S+) (\S+)$/gm)) {
    const series = text.match(new RegExp(`^${name}(?:_bucket)?(?:\\{(.*)\\})? `, 'm'))?.[1] ?? '';
    const labels = [...series.matchAll(/(\w+)="/g)].map(([, label = '']) => label).filter((l) => l !== 'le');
    found.set(name, `${type} ${labels.join(' ')}`.trim());
  }
  return found;
}

describe('what is exported', () => {
  it('is read from the hub and the schedules at the moment of asking', async () => {
    const { hub, states } = watching;
    expect(await watching.value('belfry_rooms')).toBe(0);
    hub.roomCount = 3;
    hub.totals = { published: 4, events: 50, bytes: 600, conflated: 7 };
    hub.connections = [{ transport: 'sse', outbox: { isBehind: true } }];
    states.paused = 2;
    expect(await watching.value('belfry_rooms')).toBe(3);
    expect(await watching.value('belfry_connections{transport="sse"}')).toBe(1);
    expect(await watching.value('belfry_connections{transport="websocket"}')).toBe(0);
    expect(await watching.value('belfry_connections_slow')).toBe(1);
    expect(await watching.value('belfry_schedules{state="paused"}')).toBe(2);
    Object.assign(watching.broadcasts, { count: 2, missed: 1 });
    expect(await watching.value('belfry_broadcasts_waiting')).toBe(2);
    expect(await watching.value('belfry_broadcasts_missed_total')).toBe(1);
    expect(await watching.value('belfry_messages_published_total')).toBe(4);
    expect(await watching.value('belfry_events_delivered_total')).toBe(50);
    expect(await watching.value('belfry_sent_bytes_total')).toBe(600);
    expect(await watching.value('belfry_ticks_conflated_total')).toBe(7);
  });

  it('does not grow by being asked for', async () => {
    everythingHappens();
    watching.metrics.connected('sse');
    await watching.metrics.text();
    await watching.metrics.text();
    expect(await watching.value('belfry_connects_total{transport="sse"}')).toBe(1);
    expect(await watching.value('belfry_closes_total{code="1012"}')).toBe(1);
    expect(await watching.value('belfry_refusals_total{reason="origin"}')).toBe(1);
  });

  it('says of each schedule what came of its instants', async () => {
    watching.ran('clock');
    watching.ranInVain('clock', 'unchanged');
    watching.history('clock').addMissed({ count: 3, exact: true });
    watching.history('clock').addOverlapped();
    expect(await watching.value('belfry_runs_total{schedule="clock",outcome="sent"}')).toBe(1);
    expect(await watching.value('belfry_runs_total{schedule="clock",outcome="unchanged"}')).toBe(1);
    expect(await watching.value('belfry_instants_missed_total{schedule="clock"}')).toBe(3);
    expect(await watching.value('belfry_instants_overlapped_total{schedule="clock"}')).toBe(1);
  });

  it('counts lateness in seconds, and nothing by hand', async () => {
    watching.ran('clock', { lateMs: 5 });
    watching.ran('clock', { lateMs: 5000, manual: true });
    const bucket = (le: string) => `belfry_tick_lateness_seconds_bucket{le="${le}",schedule="clock"}`;
    expect(await watching.value(bucket('0.004'))).toBe(0);
    expect(await watching.value(bucket('0.006'))).toBe(1);
    expect(await watching.value('belfry_tick_lateness_seconds_count{schedule="clock"}')).toBe(1);
    expect(await watching.value('belfry_tick_lateness_seconds_sum{schedule="clock"}')).toBe(0.005);
  });

  it('counts how long feeds took, also where they failed', async () => {
    watching.ran('clock', { lateMs: 40, tookMs: 30 });
    watching.ranInVain('clock', 'failed', 10_000);
    expect(await watching.value('belfry_feed_duration_seconds_sum{schedule="clock"}')).toBe(10.03);
    expect(await watching.value('belfry_feed_duration_seconds_count{schedule="clock"}')).toBe(2);
  });

  it('lets no sum shrink where the clock was set back meanwhile', async () => {
    watching.ran('clock', { lateMs: -5000, tookMs: -5000 });
    expect(await watching.value('belfry_tick_lateness_seconds_sum{schedule="clock"}')).toBe(0);
    expect(await watching.value('belfry_feed_duration_seconds_sum{schedule="clock"}')).toBe(0);
  });

  it('tells steps of the clock by their direction', async () => {
    watching.clockSteps.forward++;
    watching.clockSteps.back += 2;
    expect(await watching.value('belfry_clock_steps_total{direction="forward"}')).toBe(1);
    expect(await watching.value('belfry_clock_steps_total{direction="back"}')).toBe(2);
  });

  it('forgets a schedule that is no longer there, and no other', async () => {
    everythingHappens();
    watching.ran('market');
    watching.histories.delete('clock');
    const text = await watching.metrics.text();
    expect(text).not.toContain('schedule="clock"');
    expect(text).toContain('schedule="market"');
  });

  it('is written in slices where there are many schedules', async () => {
    for (let count = 0; count < 100; count++) watching.ran(`schedule-${count}`);
    let ms = 0;
    watching.clock.monotonic = () => ms++;
    let turns = 0;
    const turn = () => {
      turns++;
      next = setImmediate(turn);
    };
    let next = setImmediate(turn);
    const text = await watching.metrics.text();
    clearImmediate(next);
    expect(turns).toBeGreaterThan(10);
    expect(text.match(/^belfry_tick_lateness_seconds_count/gm)).toHaveLength(100);
  });

  it('has bucket after bucket what is at or below its bound', async () => {
    for (const lateMs of [0, 0.5, 0.6, 9_999, 60_000]) watching.ran('a "quoted" \\ name', { lateMs });
    const text = await watching.metrics.text();
    const lines = text.match(/^belfry_tick_lateness_seconds_.*$/gm)?.map((line) => line.slice(29));
    const label = 'schedule="a \\"quoted\\" \\\\ name"';
    const bounds = [
      '0.0005',
      '0.001',
      '0.002',
      '0.004',
      '0.006',
      '0.01',
      '0.025',
      '0.1',
      '0.5',
      '1',
      '5',
      '10',
    ];
    const counts = [2, ...Array(10).fill(3), 4];
    expect(lines).toEqual([
      ...bounds.map((le, index) => `bucket{le="${le}",${label}} ${counts[index]}`),
      `bucket{le="+Inf",${label}} 5`,
      expect.stringMatching(/^sum\{.*\} 70\.0001/),
      `count{${label}} 5`,
    ]);
  });

  it('is counted apart for each server in a process', async () => {
    const other = new Watching();
    other.metrics.refused('token');
    expect(await watching.value('belfry_refusals_total{reason="token"}')).toBeUndefined();
  });

  it('is text of Prometheus', () => {
    expect(watching.metrics.contentType).toBe('text/plain; version=0.0.4; charset=utf-8');
  });
});

describe('the names', () => {
  it('are in base units, and counters say that they are totals', async () => {
    everythingHappens();
    for (const [name, type] of await exported()) {
      expect(name).toMatch(/^(belfry|process|nodejs)_[a-z_]+$/);
      expect(name).not.toMatch(/milli|micro|kilo|mega|_ms\b|minutes/);
      expect([name, name.endsWith('_total')]).toEqual([name, type.startsWith('counter')]);
      if (type.startsWith('histogram')) expect(name).toMatch(/_seconds$/);
    }
  });

  const promtool = spawnSync('promtool', ['--version']).status === 0;
  it.skipIf(!promtool)('are clean to promtool (skipped where it is not installed)', async () => {
    everythingHappens();
    const input = await watching.metrics.text();
    const { status, stdout, stderr } = spawnSync('promtool', ['check', 'metrics'], {
      input,
      encoding: 'utf8',
    });
    expect({ status, stdout, stderr }).toEqual({ status: 0, stdout: '', stderr: '' });
  });

  it('are those that docs/metrics.md explains, with their types and labels', async () => {
    everythingHappens();
    const page = readFileSync(new URL('../../docs/metrics.md', import.meta.url), 'utf8');
    const documented = [...page.matchAll(/^\| `(\w+)` \| (\w+) \| (.*?) ?\|/gm)].map(
      ([, name = '', type = '', labels = '']) => [name, [type, ...(labels.match(/\w+/g) ?? [])].join(' ')],
    );
    expect(Object.fromEntries(documented)).toEqual(Object.fromEntries(await exported()));
  });
});

describe('what is watched all the time', () => {
  /** Holds up everything else. */
  function block(ms: number): void {
    const end = performance.now() + ms;
    while (performance.now() < end);
  }
  const delay = 'belfry_event_loop_delay_seconds{stat="max"}';

  /** Lets the event loop be late for what was due. */
  async function beLate(): Promise<void> {
    watching.metrics.start();
    await vi.waitFor(async () => {
      block(200);
      await new Promise((resolve) => setTimeout(resolve, 0));
      expect(await watching.value(delay)).toBeGreaterThan(0.1);
    });
  }

  it('is how late the event loop is, from start to stop', async () => {
    await beLate();
    watching.metrics.stop();
    expect(await watching.value(delay)).toBe(0);
    expect(watching.clock.pending).toBe(0);
  });

  it('shows a maximum to each that asks', async () => {
    await beLate();
    for (let scrape = 0; scrape < 3; scrape++) expect(await watching.value(delay)).toBeGreaterThan(0.1);
    watching.metrics.stop();
  });

  it('shows a maximum for one to two minutes', async () => {
    watching.metrics.start();
    watching.clock.advance(59_000);
    await beLate();
    watching.clock.advance(60_999);
    expect(await watching.value(delay)).toBeGreaterThan(0.1);
    watching.clock.advance(1);
    expect(await watching.value(delay)).toBeLessThan(0.1);
    watching.metrics.stop();
  });
});
