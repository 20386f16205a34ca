import { describe, expect, test } from 'vitest';
import { embedded } from './embedded.ts';
import { isTick, stream, visit } from './listeners.ts';

const clock = { name: 'clock', every: '100ms', feed: { type: 'time' } };

describe('GET /metrics', () => {
  test('needs a token, and counts what happens', async () => {
    const { url, admin } = await embedded({ schedules: [clock] });
    expect((await fetch(`${url}/metrics`)).status).toBe(401);
    const metrics = async () => {
      const response = await fetch(`${url}/metrics`, { headers: { authorization: 'Bearer test' } });
      expect(response.headers.get('content-type')).toContain('text/plain');
      return response.text();
    };
    const { received, over } = await visit(`${url}/rooms/lobby`);
    await stream(`${url}/rooms/lobby`);
    await received.several(3, isTick);
    await admin('POST', '/broadcast', { data: 'hi' });
    const before = await metrics();
    expect(seriesValue(before, 'belfry_rooms')).toBe(1);
    expect(seriesValue(before, 'belfry_connections{transport="websocket"}')).toBe(1);
    expect(seriesValue(before, 'belfry_connections{transport="sse"}')).toBe(1);
    expect(seriesValue(before, 'belfry_messages_published_total')).toBe(1);
    expect(before).toMatch(/^belfry_refusals_total\{.+\} 1$/m);
    expect(seriesValue(before, 'belfry_admin_calls_total{operation="broadcast",status="200"}')).toBe(1);
    expect(seriesValue(before, 'belfry_schedules{state="ok"}')).toBe(1);
    expect(
      seriesValue(before, 'belfry_tick_lateness_seconds_count{schedule="clock"}'),
    ).toBeGreaterThanOrEqual(3);
    expect(before).not.toContain('lobby');

    const { answer } = await admin('GET', '/connections?transport=websocket');
    await admin('DELETE', `/connections/${answer.items?.[0]?.id}`);
    expect(await over).toBe(4004);
    const after = await metrics();
    expect(seriesValue(after, 'belfry_connections{transport="websocket"}')).toBe(0);
    expect(seriesValue(after, 'belfry_closes_total{code="4004"}')).toBe(1);
  });

  test('is open to all where the file says so', async () => {
    const { url } = await embedded({ server: { openMetrics: true } });
    expect((await fetch(`${url}/metrics`)).status).toBe(200);
    expect((await fetch(`${url}/admin/stats`)).status).toBe(401);
  });
});

describe('the admin API', () => {
  test('answers the figures of the moment at /admin/stats, as the feed does', async () => {
    const feed = { name: 'figures', every: '100ms', feed: { type: 'stats' } };
    const { url, admin } = await embedded({ schedules: [clock, feed] });
    const { received } = await visit(`${url}/rooms/lobby`);
    const figures = await received.find((one) => isTick(one) && one.tick?.schedule === 'figures');
    const { answer } = await admin('GET', '/stats');
    expect(answer).toMatchObject({
      version: expect.any(String),
      rooms: 1,
      connections: { websocket: 1, sse: 0 },
      schedules: { ok: 2, stale: 0, error: 0, paused: 0 },
      missed: 0,
      memory: { rssBytes: expect.any(Number) },
    });
    expect(Object.keys(Object(figures.data)).sort()).toEqual(Object.keys(answer).sort());
  });

  test('shows the configuration in force without a secret, at /admin/config', async () => {
    const { admin } = await embedded(
      {
        admin: { tokens: [{ name: 'ops', token: 's3cret', role: 'viewer' }] },
        schedules: [
          {
            name: 'prices',
            every: '1h',
            feed: {
              type: 'http',
              url: 'http://me:s3cret@127.0.0.1:1/?key=s3cret',
              headers: { authorization: 's3cret' },
            },
          },
        ],
      },
      { env: { BELFRY_ADMIN_TOKEN: 'test' } },
    );
    const { answer } = await admin('GET', '/config');
    expect(JSON.stringify(answer)).not.toContain('s3cret');
    expect(answer).toMatchObject({
      faults: [],
      config: {
        server: { heartbeatSeconds: 25 },
        admin: { tokens: [{ name: 'ops', role: 'viewer' }] },
        schedules: [{ name: 'prices', every: '1h' }],
        limits: { connections: 20_000 },
      },
    });
  });

  test('pages through the runs of a schedule, the newest first', async () => {
    const { url, admin } = await embedded({ schedules: [clock] });
    const { received } = await visit(`${url}/rooms/lobby`);
    await received.several(4, isTick);
    await admin('POST', '/schedules/clock/pause');
    const runsAt = async (path: string) => {
      // The tests look at each member.
      const { answer } = await admin('GET', path);
      return answer as unknown as { items: Run[]; next: string | null };
    };
    const first = await runsAt('/schedules/clock/runs?limit=2');
    expect(first.items).toHaveLength(2);
    expect(first.items[0]).toMatchObject({ outcome: 'sent', rooms: 1, connections: 1, error: null });
    const second = await runsAt(`/schedules/clock/runs?limit=2&cursor=${first.next}`);
    const dues = [...first.items, ...second.items].map(({ due }) => Date.parse(due));
    expect(dues).toEqual([...new Set(dues)].sort((a, b) => b - a));
    const ticks = received.all.flatMap(({ tick }) => (tick ? [Date.parse(tick.due)] : []));
    expect(ticks).toEqual(expect.arrayContaining(dues.slice(1)));
    expect((await admin('GET', '/schedules/none/runs')).status).toBe(404);
  });

  test('explains a schedule, also a paused one', async () => {
    const timezone = 'Europe/Berlin';
    const nightly = { name: 'nightly', cron: '30 2 * * *', timezone, paused: true, feed: { type: 'time' } };
    const { admin } = await embedded({ schedules: [nightly] });
    const { answer } = await admin('GET', '/schedules/nightly/explain?from=2026-03-29T00:00:00Z&count=1');
    expect(answer).toMatchObject({
      schedule: 'nightly',
      words: 'at 02:30',
      timezone,
      runs: [
        {
          due: '2026-03-29T01:00:00.000Z',
          local: '2026-03-29T03:00:00.000+02:00',
          note: 'the clocks go forward: 02:30 does not exist, runs at 03:00',
        },
      ],
    });
    expect((await admin('GET', '/schedules/nightly/explain?from=tomorrow')).status).toBe(400);
    expect((await admin('GET', '/schedules/none/explain')).status).toBe(404);
  });
});

interface Run {
  readonly due: string;
}

/** What a line of an exposition says; NaN where there is none. */
function seriesValue(text: string, series: string): number {
  const line = text.split('\n').find((one) => one.startsWith(`${series} `));
  return Number(line?.slice(series.length + 1) ?? Number.NaN);
}
