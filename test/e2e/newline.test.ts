import { expect, test } from 'vitest';
import { exchange, handshake } from '../helpers/raw.ts';
import { startServer } from '../helpers/server.ts';

test('every answer in JSON ends with a newline, refusals too', async () => {
  const server = await startServer({ rooms: [{ match: 'cellar', subscribe: 'nobody' }] });
  try {
    const authorization = `Bearer ${server.belfry.madeToken}`;
    const ask = (path: string, method = 'GET', body?: string) =>
      fetch(server.url + path, { method, headers: { authorization }, ...(body && { body }) });
    const answers = await Promise.all([
      ask('/rooms/lobby'),
      ask('/rooms/cellar'),
      ask('/rooms/lobby', 'POST', 'hi'),
      ask('/time'),
      ask('/time?t0=x'),
      ask('/nowhere'),
      ask('/admin/nowhere'),
      ask('/admin/rooms'),
      ask('/admin/rooms/lobby/retained'),
      ask('/admin/stats'),
      ask('/admin/config'),
      ask('/admin/reload', 'POST'),
      ask('/admin/broadcast', 'POST', '{"data":1,"dryRun":true}'),
      ask('/admin/broadcast', 'POST', '{'),
    ]);
    for (const answer of answers) {
      expect(answer.headers.get('content-type')).toMatch(/^application\/(problem\+)?json$/);
      expect(await answer.text(), answer.url).toMatch(/[^\n]\n$/);
    }
    const upgrade = await exchange(server.port, handshake('/rooms/cellar'));
    expect(upgrade.body).toMatch(/\}\n$/);
    const head = await ask('/admin/rooms', 'HEAD');
    expect([head.status, await head.text()]).toEqual([200, '']);
  } finally {
    await server.stop();
  }
});
