import { beforeEach, describe, expect, it } from 'vitest';
import { FakeServer, problemOf, roomEntry } from './fakes.ts';

let server: FakeServer;
beforeEach(() => {
  server = new FakeServer();
});

describe('GET /admin/rooms', () => {
  it('lists a hundred rooms unless told otherwise', async () => {
    const response = await server.call('GET /admin/rooms');
    expect(await response.json()).toEqual({
      items: [roomEntry('lobby'), roomEntry('ops-1'), roomEntry('ops-2')],
      next: null,
    });
    expect(server.hub.asked).toEqual([{ limit: 101 }]);
  });

  it('hands the pattern to the hub', async () => {
    const { items } = await server.list('/admin/rooms?match=ops-*');
    expect(items).toEqual([roomEntry('ops-1'), roomEntry('ops-2')]);
  });

  it('says that there is no next page when the last one is just full', async () => {
    expect((await server.list('/admin/rooms?limit=3')).next).toBeNull();
    expect((await server.list('/admin/rooms?limit=2')).next).toEqual(expect.any(String));
  });

  it('shows each room that stays exactly once while others come and go', async () => {
    const { roomNames } = server.hub;
    for (let index = 10; index < 60; index += 1) roomNames.add(`room-${index}`);
    const staying = [...roomNames].filter((name) => name !== 'room-20' && name !== 'ops-1');
    const seen: string[] = [];
    let cursor: string | null = '';
    for (let turn = 0; cursor !== null; turn += 1) {
      const query: string = cursor === '' ? '' : `&cursor=${cursor}`;
      const { items, next } = await server.list(`/admin/rooms?limit=7${query}`);
      seen.push(...items.map(({ name = '' }) => name));
      cursor = next;
      roomNames.delete(turn === 0 ? 'ops-1' : 'room-20');
      roomNames.add(`a-newcomer-${turn}`);
    }
    expect(seen.filter((name) => staying.includes(name))).toEqual(staying.sort());
    expect(new Set(seen).size).toBe(seen.length);
  });

  it('goes on after a room that is gone', async () => {
    const { next } = await server.list('/admin/rooms?limit=2');
    server.hub.roomNames.delete('ops-1');
    const { items } = await server.list(`/admin/rooms?cursor=${next}`);
    expect(items).toEqual([roomEntry('ops-2')]);
  });

  it.each(['%20', 'a%00b', '-x', 'a'.repeat(129), '%F0%9F%94%94'])(
    'refuses the pattern %s',
    async (match) => {
      const { errors } = await problemOf(await server.call(`GET /admin/rooms?match=${match}`), 400);
      expect(errors?.[0]?.message).toMatch(/is not a room pattern: a room name in which \*/);
    },
  );
});

describe('GET /admin/rooms/{room}', () => {
  it('shows the room', async () => {
    expect(await (await server.call('GET /admin/rooms/lobby')).json()).toEqual(roomEntry('lobby'));
  });

  it('does not know every room', async () => {
    await problemOf(await server.call('GET /admin/rooms/attic'), 404);
  });

  it.each(['ops-*', '%20', '%2e%2e%2Fetc', '%zz', '%00', 'a'.repeat(129), '<img>'])(
    'refuses the name %s',
    async (name) => {
      const { errors } = await problemOf(await server.call(`GET /admin/rooms/${name}`), 400);
      expect(errors).toMatchObject([
        { path: 'room', message: expect.stringContaining('is not a room name') },
      ]);
    },
  );
});

describe('DELETE /admin/rooms/{room}', () => {
  it('locks for 30 s and lets members come back unless told otherwise', async () => {
    const response = await server.call('DELETE /admin/rooms/lobby');
    expect(await response.json()).toEqual({
      room: 'lobby',
      connections: 3,
      lockedUntil: '2026-11-20T18:00:03.000Z',
    });
    expect(server.hub.closed).toEqual([
      { name: 'lobby', how: { lockMs: 30_000, reconnect: true, reason: undefined } },
    ]);
  });

  it.each([
    ['reconnect=true', { lockMs: 30_000, reconnect: true }],
    ['reconnect=false', { lockMs: 30_000, reconnect: false }],
    ['reconnect=false&lock=5m', { lockMs: 300_000, reconnect: false }],
    ['lock=0s', { lockMs: 0, reconnect: true }],
    ['lock=250ms', { lockMs: 250, reconnect: true }],
    ['lock=1h', { lockMs: 3_600_000, reconnect: true }],
    ['lock=366d', { lockMs: 366 * 86_400_000, reconnect: true }],
    ['reason=Bis%20sp%C3%A4ter!', { lockMs: 30_000, reconnect: true, reason: 'Bis später!' }],
  ])('does what ?%s asks for', async (query, how) => {
    expect((await server.call(`DELETE /admin/rooms/lobby?${query}`)).status).toBe(200);
    expect(server.hub.closed[0]?.how).toEqual(how);
  });

  it.each([
    ['lock=30', 'lock'],
    ['lock=s', 'lock'],
    ['lock=-1s', 'lock'],
    ['lock=1,5h', 'lock'],
    ['lock=1w', 'lock'],
    ['lock=367d', 'lock'],
    ['lock=999999999999d', 'lock'],
    ['lock=1s&lock=2s', 'lock'],
    ['reconnect=yes', 'reconnect'],
    ['reconnect=', 'reconnect'],
    ['reconnect=true&reconnect=true', 'reconnect'],
    ['reason=', 'reason'],
    ['reason=a%0Ab', 'reason'],
    [`reason=${'x'.repeat(201)}`, 'reason'],
    ['room=lobby', 'room'],
  ])('refuses ?%s and closes nothing', async (query, path) => {
    const { errors } = await problemOf(await server.call(`DELETE /admin/rooms/lobby?${query}`), 400);
    expect(errors).toMatchObject([{ path }]);
    expect(server.hub.closed).toEqual([]);
  });

  it('does not know every room', async () => {
    await problemOf(await server.call('DELETE /admin/rooms/attic'), 404);
  });
});

describe('PUT /admin/rooms/{room}/lock', () => {
  it('locks any room for 30 s, and lets members come back, unless told otherwise', async () => {
    const response = await server.call('PUT /admin/rooms/attic/lock');
    expect(await response.json()).toEqual({
      room: 'attic',
      connections: 0,
      lockedUntil: '2026-11-20T18:00:03.000Z',
    });
    expect(server.hub.closed).toEqual([
      { name: 'attic', how: { lockMs: 30_000, reconnect: true, reason: undefined } },
    ]);
  });

  it('does what its query asks for', async () => {
    const query = 'for=1.5h&reason=night&reconnect=false';
    expect((await server.call(`PUT /admin/rooms/lobby/lock?${query}`)).status).toBe(200);
    expect(server.hub.closed[0]?.how).toEqual({ lockMs: 5_400_000, reconnect: false, reason: 'night' });
  });

  it.each([
    ['for=0s', 'for', '"0s" is not a duration: a number and one of ms s m h d, such as 30s, at most 366d'],
    ['for=0ms', 'for', 'and more than 0'],
    ['for=30', 'for', '"30"'],
    ['for=', 'for', '""'],
    ['for=367d', 'for', 'at most 366d'],
    ['for=1s&for=2s', 'for', 'given more than once'],
    ['lock=1s', 'lock', 'unknown query parameter "lock"'],
    ['reconnect=no', 'reconnect', '"no" is neither true nor false'],
    ['reason=%07', 'reason', 'is not a reason: 1 to 200 printable characters'],
  ])('refuses ?%s and locks nothing', async (query, path, message) => {
    const { errors } = await problemOf(await server.call(`PUT /admin/rooms/lobby/lock?${query}`), 400);
    expect(errors).toMatchObject([{ path, message: expect.stringContaining(message) }]);
    expect(server.hub.closed).toEqual([]);
  });

  it.each(['ops-*', '%00', 'a'.repeat(129), '-'])('refuses the name %s', async (name) => {
    const { errors } = await problemOf(await server.call(`PUT /admin/rooms/${name}/lock`), 400);
    expect(errors).toMatchObject([{ path: 'room' }]);
  });
});

describe('DELETE /admin/rooms/{room}/lock', () => {
  it('opens the room', async () => {
    const response = await server.call('DELETE /admin/rooms/lobby/lock');
    expect(await response.json()).toEqual({ room: 'lobby', lockedUntil: null });
    expect(server.hub.unlocked).toEqual(['lobby']);
  });

  it('refuses a room that is not locked', async () => {
    await problemOf(await server.call('DELETE /admin/rooms/attic/lock'), 404);
  });
});
