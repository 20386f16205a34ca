import { connect, type Socket } from 'node:net';
import { expect, onTestFinished, test, vi } from 'vitest';
import { isTick, visit } from './listeners.ts';
import { BELFRY, fileWith, ready, start } from './process.ts';

/** The modules are read all at once when the program starts, which takes some 300. */
const DESCRIPTORS = 512;

test('a server without free descriptors sends its ticks, and accepts clients again as soon as it can', async () => {
  const config = fileWith({
    limits: { headersSeconds: 2 },
    schedules: [{ name: 'clock', every: '200ms', feed: { type: 'time' } }],
  });
  const command = `ulimit -n ${DESCRIPTORS}; exec "$0" "$@"`;
  const server = await ready(
    start('sh', ['-c', command, process.execPath, BELFRY, 'serve', '--port', '0', '--config', config]),
  );
  const { received } = await visit(`${server.url}/rooms/lobby`);
  const silent: Socket[] = [];
  onTestFinished(() => {
    for (const socket of silent) socket.destroy();
  });
  const port = Number(new URL(server.url).port);
  let closed = 0;
  for (let come = 0; come < DESCRIPTORS + 100; come++) {
    const socket = connect({ port, host: '127.0.0.1' });
    silent.push(
      socket
        .on('error', () => {})
        .on('close', () => closed++)
        .resume(),
    );
  }
  // More than there are descriptors for; so some are closed or wait, and the others say nothing.
  await vi.waitFor(() => expect(silent.filter(({ connecting }) => connecting)).toEqual([]), 10_000);
  const filledAt = Date.now();
  await received.find((one) => isTick(one) && Date.parse(one.tick?.due ?? '') > filledAt);
  // No client closes: the server ends the sockets without a request.
  await vi.waitFor(
    async () => {
      const signal = AbortSignal.timeout(1000);
      expect((await fetch(`${server.url}/livez`, { signal })).status).toBe(200);
      expect(closed).toBe(silent.length);
    },
    { timeout: 15_000, interval: 100 },
  );
  server.child.kill('SIGTERM');
  expect(await server.ended).toBe(0);
  expect(server.stderr.all.filter((line) => line.includes('"level":50'))).toEqual([]);
});
