import { dirname } from 'node:path';
import { expect, test } from 'vitest';
import { Upstream } from '../feed/upstream.ts';
import { isTick, type Received, visit } from './listeners.ts';
import { BELFRY, fileWith, ready, start } from './process.ts';

/** At the first SIGUSR2 it opens all that the system gives it, at the next one it lets go. */
const HOG = `
  const { closeSync, openSync } = require('node:fs');
  let held = [];
  process.on('SIGUSR2', () => {
    if (held.length > 0) {
      for (const descriptor of held) closeSync(descriptor);
      held = [];
    } else {
      try {
        for (;;) held.push(openSync('/dev/null'));
      } catch {}
    }
  });
`;

// Files of /proc are read each time.
test.skipIf(process.platform !== 'linux')(
  'a server without a free file descriptor lives, says that its feeds fail, and comes back',
  async () => {
    const upstream = await Upstream.start((_request, response) => response.end('1'));
    const feeds = {
      command: { type: 'command', argv: ['echo', '1'] },
      file: { type: 'file', path: '/proc/uptime' },
      http: { type: 'http', url: upstream.url() },
      time: { type: 'time' },
    };
    const schedules = Object.entries(feeds).map(([name, feed]) => ({ name, every: '200ms', feed }));
    const config = fileWith({ server: { drainSeconds: 0 }, schedules });
    const hog = fileWith(HOG, 'hog.cjs');
    const line = 'ulimit -n 256; exec "$@"';
    const command = [process.execPath, '-r', hog, BELFRY, 'serve', '--port', '0', '--config', config];
    const server = await ready(start('bash', ['-c', line, 'bash', ...command], { cwd: dirname(config) }));
    const { received } = await visit(`${server.url}/rooms/lobby`);
    const failing = ['command', 'file', 'http'];
    for (const name of [...failing, 'time']) await received.find(ofSchedule(name));

    server.child.kill('SIGUSR2');
    for (const name of failing) {
      const { data } = await received.find(isStatus(name, 'error'), 20_000);
      expect(data).toMatchObject({ reason: 'failed' });
    }
    // Each is tried again meanwhile.
    const runs = await received.several(
      received.all.filter(ofSchedule('time')).length + 10,
      ofSchedule('time'),
    );
    const seqs = runs.map(({ tick }) => tick?.seq ?? 0);
    expect(seqs).toEqual(seqs.map((_, index) => (seqs[0] ?? 0) + index));
    server.child.kill('SIGUSR2');
    for (const name of failing) {
      await received.find(isStatus(name, 'ok'), 20_000);
      const ticks = received.all.filter(ofSchedule(name)).length;
      await received.several(ticks + 2, ofSchedule(name));
    }

    const detail = await fetch(`${server.url}/admin/schedules/command/runs?limit=1000`, {
      headers: { authorization: `Bearer ${server.token}` },
    });
    expect(await detail.text()).toContain('\\"echo\\" cannot be started: EMFILE');
    server.child.kill('SIGTERM');
    expect(await server.ended).toBe(0);
    expect(server.stderr.all.join('\n')).not.toMatch(/Unhandled|Uncaught|node:internal/);
  },
  90_000,
);

function isStatus(schedule: string, state: string) {
  return ({ event, data }: Received) =>
    event === 'status' && Object(data).schedule === schedule && Object(data).state === state;
}

function ofSchedule(name: string) {
  return (received: Received) => isTick(received) && received.tick?.schedule === name;
}
