import { spawnSync } from 'node:child_process';
import { renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { requireTool } from '../helpers/browser.ts';
import { isTick, type Received, visit } from './listeners.ts';
import { emptyFolder, type Server, serve } from './process.ts';

const faketime = requireTool('faketime');

/** How far from the time that was set a tick or an answer may be. */
const NEAR_MS = 5000;

/** A server whose wall clock the test sets, in seconds ahead of the real one; the monotonic one goes on. */
async function serveAhead(config: object) {
  const file = join(emptyFolder(), 'ahead');
  let ahead = 0;
  const set = (seconds: number) => {
    ahead = seconds;
    // In one piece: the server reads it whenever it asks for the time.
    writeFileSync(`${file}.new`, seconds < 0 ? `${seconds}` : `+${seconds}`);
    renameSync(`${file}.new`, file);
  };
  set(0);
  const library = spawnSync(faketime ?? '', ['-f', '+0', 'printenv', 'LD_PRELOAD'], { encoding: 'utf8' });
  const server = await serve({
    config,
    env: {
      LD_PRELOAD: library.stdout.trim(),
      FAKETIME_TIMESTAMP_FILE: file,
      FAKETIME_NO_CACHE: '1',
      FAKETIME_DONT_FAKE_MONOTONIC: '1',
    },
  });
  return { server, set, now: () => Date.now() + ahead * 1000 };
}

const isChanged = ({ event, data }: Received) =>
  event === 'status' &&
  typeof data === 'object' &&
  data !== null &&
  'state' in data &&
  data.state === 'changed';

/** The instant of the tick that a room shows to who polls it. */
async function polled({ url }: Server, room: string): Promise<number> {
  const answer = await fetch(`${url}/rooms/${room}`, { headers: { accept: 'application/json' } });
  // As the contract has it.
  const { ticks } = (await answer.json()) as { ticks: Received[] };
  return Date.parse(ticks[0]?.tick?.due ?? '');
}

describe.skipIf(!faketime)('a server whose clock is set', () => {
  test('shows the new time to all, and tells it before the first tick by it', {
    timeout: 60_000,
  }, async () => {
    const { server, set, now } = await serveAhead({
      schedules: [{ name: 'clock', every: '1s', feed: { type: 'time' } }],
    });
    const wall = await visit(`${server.url}/rooms/lobby`);
    await wall.received.find(isTick);
    for (const ahead of [3600, 0, 86_400, -86_400, 0]) {
      const from = wall.received.all.length;
      set(ahead);
      // An empty room, asked before any timer of the server's has fired.
      const due = await polled(server, 'quiet');
      expect(Math.abs(due - now())).toBeLessThan(NEAR_MS);
      const isNew = (received: Received) =>
        isTick(received) && Math.abs(Date.parse(received.tick?.due ?? '') - now()) < NEAR_MS;
      const since = await wall.received.filled(() => {
        const all = wall.received.all.slice(from);
        return all.some(isNew) ? all : undefined;
      }, 10_000);
      const told = since.findIndex(isChanged);
      expect(told).toBeGreaterThanOrEqual(0);
      expect(told).toBeLessThan(since.findIndex(isNew));
    }
    const metrics = await fetch(`${server.url}/metrics`, {
      headers: { authorization: `Bearer ${server.token}` },
    });
    const text = await metrics.text();
    expect(text).toContain('belfry_clock_steps_total{direction="forward"} 3');
    expect(text).toContain('belfry_clock_steps_total{direction="back"} 2');
  });
});
