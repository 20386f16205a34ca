import { beforeEach, describe, expect, it } from 'vitest';
import { connectionEntry, FakeServer, problemOf } from './fakes.ts';

let server: FakeServer;
beforeEach(() => {
  server = new FakeServer();
});

describe('GET /admin/connections', () => {
  it('lists the connections by id', async () => {
    expect(await (await server.call('GET /admin/connections')).json()).toEqual({
      items: [connectionEntry('q8d1-01'), connectionEntry('q8d1-02')],
      next: null,
    });
  });

  it('hands what narrows the list to the hub', async () => {
    await server.call('GET /admin/connections?room=lobby&user=ann&device=Wand%203&transport=sse&limit=5');
    expect(server.hub.asked).toEqual([
      { room: 'lobby', user: 'ann', device: 'Wand 3', transport: 'sse', limit: 6 },
    ]);
  });

  it.each([
    ['true', true],
    ['false', false],
  ])('asks for those behind or the others where slow=%s', async (text, slow) => {
    await server.call(`GET /admin/connections?slow=${text}`);
    expect(server.hub.asked).toEqual([{ slow, limit: 101 }]);
  });

  it('goes on where the page before ended, also when that connection is gone', async () => {
    const { items, next } = await server.list('/admin/connections?limit=1');
    expect(items).toEqual([connectionEntry('q8d1-01')]);
    server.hub.connectionIds.delete('q8d1-01');
    const after = await server.list(`/admin/connections?limit=1&cursor=${next}`);
    expect(after).toEqual({ items: [connectionEntry('q8d1-02')], next: null });
  });

  it.each([
    ['room=ops-*', 'room'],
    ['device=', 'device'],
    ['device=a%0Ab', 'device'],
    ['user=', 'user'],
    ['transport=carrier-pigeon', 'transport'],
    ['slow=', 'slow'],
    ['slow=1', 'slow'],
    ['slow=true&slow=true', 'slow'],
    ['transport=sse&transport=websocket', 'transport'],
  ])('refuses ?%s', async (query, path) => {
    const { errors } = await problemOf(await server.call(`GET /admin/connections?${query}`), 400);
    expect(errors).toMatchObject([{ path }]);
  });
});

describe('GET /admin/connections/{id}', () => {
  it('shows the connection', async () => {
    expect(await (await server.call('GET /admin/connections/q8d1-01')).json()).toEqual(
      connectionEntry('q8d1-01'),
    );
  });

  it('does not know every id', async () => {
    await problemOf(await server.call('GET /admin/connections/nobody'), 404);
  });
});

describe('DELETE /admin/connections/{id}', () => {
  it('closes it with 4004 and the usual words', async () => {
    const response = await server.call('DELETE /admin/connections/q8d1-01');
    expect(await response.json()).toEqual({
      id: 'q8d1-01',
      code: 4004,
      reason: 'closed by an administrator',
    });
    expect(server.hub.kicked).toEqual([{ id: 'q8d1-01', reason: 'closed by an administrator' }]);
  });

  it('closes it with the words that are given', async () => {
    const response = await server.call('DELETE /admin/connections/q8d1-02?reason=too%20loud');
    expect(await response.json()).toMatchObject({ reason: 'too loud' });
    expect(server.hub.kicked).toEqual([{ id: 'q8d1-02', reason: 'too loud' }]);
  });

  it('does not know every id', async () => {
    await problemOf(await server.call('DELETE /admin/connections/nobody'), 404);
  });
});
