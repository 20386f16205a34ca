import { beforeEach, describe, expect, it } from 'vitest';
import { Refusal } from '../../src/hub/errors.ts';
import { FakeServer } from './fakes.ts';

let server: FakeServer;
beforeEach(() => {
  server = new FakeServer();
});

const OPS = { token: 'ops', address: '192.0.2.7' };
const post = (path: string, body: object, headers: Record<string, string> = {}, token = 'operator-token') =>
  server.call(`POST ${path}`, { body: JSON.stringify(body), headers, token });

describe('the audit log', () => {
  it.each([
    ['DELETE /admin/rooms/lobby?reason=x', { action: 'closeRoom', target: { room: 'lobby' }, reached: 3 }],
    ['PUT /admin/rooms/attic/lock', { action: 'lockRoom', target: { room: 'attic' }, reached: 0 }],
    ['DELETE /admin/rooms/lobby/lock', { action: 'unlockRoom', target: { room: 'lobby' } }],
    [
      'DELETE /admin/rooms/lobby/retained/lunch',
      { action: 'withdrawFromRoom', target: { room: 'lobby', key: 'lunch' }, reached: 3 },
    ],
    ['DELETE /admin/retained/lunch', { action: 'withdraw', target: { key: 'lunch' }, reached: 3 }],
    ['DELETE /admin/connections/q8d1-01', { action: 'closeConnection', target: { connection: 'q8d1-01' } }],
    ['POST /admin/schedules/clock/pause', { action: 'pauseSchedule', target: { schedule: 'clock' } }],
    ['POST /admin/schedules/clock/resume', { action: 'resumeSchedule', target: { schedule: 'clock' } }],
    ['POST /admin/reload', { action: 'reload' }],
    ['POST /rooms/lobby?event=notice', { action: 'publish', target: { room: 'lobby' }, reached: 3 }],
  ])('has an entry of %s', async (request, entry) => {
    expect((await server.call(request)).status).toBe(200);
    expect(server.acted).toEqual([{ ...OPS, ...entry, status: 200 }]);
  });

  it('tells how many a run reached, and that it reached none where its tick was not sent', async () => {
    // The run was sent at 18:00:03.
    server.clock.advance(3000);
    await server.call('POST /admin/schedules/clock/run');
    server.clock.advance(1);
    await server.call('POST /admin/schedules/clock/run');
    expect(server.acted.map(({ reached }) => reached)).toEqual([3, 0]);
  });

  it('names the targets of a broadcast, and never its data', async () => {
    await post('/admin/broadcast', {
      rooms: ['lobby', 'ops-*'],
      devices: 'wall-1',
      data: 'hunter2',
      key: 'k',
    });
    await post('/admin/broadcast', { data: 'hunter2' });
    await post('/admin/broadcast', { except: ['q8d1-01'], data: 'hunter2' });
    const common = { ...OPS, action: 'broadcast', status: 200, reached: 3 };
    expect(server.acted).toEqual([
      { ...common, target: { rooms: ['lobby', 'ops-*'], devices: ['wall-1'] } },
      { ...common, target: { rooms: ['*'] } },
      { ...common, target: { rooms: ['*'], except: ['q8d1-01'] } },
    ]);
  });

  it('tells a trial, a broadcast that waits, its end, and a request that was sent again', async () => {
    await post('/admin/broadcast', { rooms: 'lobby', data: 1, dryRun: true });
    await post('/admin/broadcast', { rooms: 'lobby', data: 1, in: '1h' });
    const [{ id = '' } = {}] = await server.broadcasts.list({ limit: 1 });
    await server.call(`DELETE /admin/broadcasts/${id}`);
    for (const data of [1, 1, 2]) await post('/admin/broadcast', { data }, { 'Idempotency-Key': 'k' });
    const [lobby, all] = [{ rooms: ['lobby'] }, { rooms: ['*'] }];
    const sent = { ...OPS, action: 'broadcast' };
    expect(server.acted).toEqual([
      { ...sent, target: lobby, status: 200, reached: 3, dryRun: true },
      { ...sent, target: lobby, status: 202 },
      { ...OPS, action: 'cancelBroadcast', target: { broadcast: id }, status: 200 },
      { ...sent, target: all, status: 200, reached: 3 },
      { ...sent, target: all, status: 200, reached: 3, repeated: true },
      { ...sent, target: all, status: 422 },
    ]);
  });

  it('has what was refused after the token was accepted', async () => {
    const kiosk = { token: 'kiosk', address: '192.0.2.7' };
    await server.call('POST /admin/reload', { token: 'viewer-token' });
    await server.call('DELETE /admin/rooms/attic');
    await server.call('DELETE /admin/rooms/-?x=1');
    await post('/rooms/hall', {}, {}, 'publisher-token');
    await post('/admin/broadcast', { rooms: 'hall', data: 1 }, {}, 'publisher-token');
    await post('/admin/broadcast', { rooms: 'lobby' });
    server.hub.failure = new Refusal(503, 'the disk is full');
    await post('/admin/broadcast', { rooms: 'lobby', data: 1 });
    server.hub.failure = new Error('the disk is on fire');
    await server.call('PUT /admin/rooms/lobby/lock');
    expect(server.acted).toEqual([
      { ...OPS, token: 'wall', action: 'reload', status: 403 },
      { ...OPS, action: 'closeRoom', target: { room: 'attic' }, status: 404 },
      { ...OPS, action: 'closeRoom', target: { room: '-' }, status: 400 },
      { ...kiosk, action: 'publish', target: { room: 'hall' }, status: 403 },
      { ...kiosk, action: 'broadcast', target: { rooms: ['hall'] }, status: 403 },
      { ...OPS, action: 'broadcast', status: 400 },
      { ...OPS, action: 'broadcast', target: { rooms: ['lobby'] }, status: 503 },
      { ...OPS, action: 'lockRoom', target: { room: 'lobby' }, status: 500 },
    ]);
  });

  it('names the user of a listener, who cannot be taken for a token of that name', async () => {
    const all = () => true;
    const verify = async (token: string) => ({
      user: token === 'e30.e30.a' ? 'ops' : undefined,
      mayJoin: all,
      mayPublish: all,
      expiresAtMs: undefined,
      endsAtMs: Number.POSITIVE_INFINITY,
    });
    Object.assign(server.settings, { subscribers: { verify } });
    for (const token of ['e30.e30.a', 'e30.e30.b']) await server.call('POST /rooms/lobby', { token });
    const entry = { action: 'publish', target: { room: 'lobby' }, status: 200, reached: 3 };
    expect(server.acted).toEqual([
      { user: 'ops', ...entry, address: OPS.address },
      { user: null, ...entry, address: OPS.address },
    ]);
  });

  it.each([
    ['GET /admin/rooms', 'operator-token'],
    ['HEAD /admin/config', 'viewer-token'],
    ['GET /admin/rooms', 'publisher-token'],
    ['PATCH /admin/rooms/lobby', 'operator-token'],
    ['POST /admin/nowhere', 'operator-token'],
    ['POST /admin/reload', 'wrong'],
    ['POST /rooms/lobby', null],
    ['DELETE /admin/rooms/lobby', null],
  ])('has nothing of %s with the token %s', async (request, token) => {
    await server.call(request, { token });
    expect(server.acted).toEqual([]);
  });

  it('is bounded, whatever was sent', async () => {
    const users = Array.from({ length: 1000 }, () => 'x'.repeat(900));
    await post('/admin/broadcast', { users: users.map((name, index) => `${index} ${name}`), data: 1 });
    await server.call(`DELETE /admin/connections/${'y'.repeat(9000)}`);
    const [sent, closed] = server.acted;
    expect(sent?.target?.users).toHaveLength(21);
    expect(sent?.target?.users?.at(-1)).toBe('and 980 more');
    expect(JSON.stringify(sent).length).toBeLessThan(3500);
    expect(closed?.target).toEqual({ connection: 'y'.repeat(128) });
  });

  it('leaves out an address that is not known', async () => {
    server.address = '';
    await server.call('POST /admin/reload');
    expect(server.acted).toEqual([{ token: 'ops', action: 'reload', status: 200 }]);
  });

  it('never holds a token', async () => {
    const token = 'operator-token';
    await server.call(`POST /rooms/lobby?access_token=${token}`);
    await server.call('POST /admin/reload', { headers: { Cookie: token, 'User-Agent': token } });
    await post('/admin/broadcast', { data: token, [token]: token });
    await post('/admin/broadcast', { data: token }, { 'Idempotency-Key': token });
    expect(server.acted).toHaveLength(4);
    expect(JSON.stringify(server.acted)).not.toContain(token);
  });
});
