import { beforeEach, describe, expect, it } from 'vitest';
import { Refusal } from '../../src/hub/errors.ts';
import { FakeServer, problemOf } from './fakes.ts';

let server: FakeServer;
beforeEach(() => {
  server = new FakeServer();
});

const READING = [
  'GET /admin/rooms',
  'GET /admin/rooms/lobby',
  'GET /admin/connections',
  'GET /admin/connections/q8d1-01',
  'GET /admin/schedules',
  'GET /admin/schedules/clock',
  'GET /admin/schedules/clock/runs',
  'GET /admin/schedules/clock/explain',
  'GET /admin/stats',
  'GET /admin/config',
];
const ACTING = [
  'DELETE /admin/rooms/lobby',
  'PUT /admin/rooms/lobby/lock',
  'DELETE /admin/rooms/lobby/lock',
  'DELETE /admin/connections/q8d1-01',
  'POST /admin/broadcast',
  'POST /admin/schedules/clock/run',
  'POST /admin/schedules/clock/pause',
  'POST /admin/schedules/clock/resume',
  'POST /admin/reload',
];

describe('who may call', () => {
  it.each([...READING, ...ACTING, 'GET /admin', 'GET /admin/nowhere', 'PUT /admin/rooms'])(
    '%s wants a token',
    async (request) => {
      const response = await server.call(request, { token: null });
      expect(response.headers.get('www-authenticate')).toBe('Bearer');
      await problemOf(response, 401);
      await problemOf(await server.call(request, { token: 'wrong' }), 401);
    },
  );

  it('takes no token from the address', async () => {
    const response = await server.call('GET /admin/rooms?access_token=operator-token', { token: null });
    expect((await problemOf(response, 401)).detail).toContain('send the header');
  });

  it('does not even take a token in the address beside a good one', async () => {
    const response = await server.call('GET /admin/rooms?access_token=operator-token');
    expect((await problemOf(response, 400)).errors).toMatchObject([{ path: 'access_token' }]);
  });

  it.each(READING)('%s is open to a viewer', async (request) => {
    expect((await server.call(request, { token: 'viewer-token' })).status).toBe(200);
  });

  it.each(ACTING)('%s is not for a viewer', async (request) => {
    const response = await server.call(request, { token: 'viewer-token', body: null });
    const roles = request === 'POST /admin/broadcast' ? '"publisher" or "operator"' : '"operator"';
    expect((await problemOf(response, 403)).detail).toBe(
      `this needs a token of the role ${roles}, and the token "wall" has the role "viewer"`,
    );
    const { hub, schedules, service } = server;
    const done = [hub.closed, hub.unlocked, hub.kicked, hub.published, schedules.done].flat();
    expect([done, service.reloads]).toEqual([[], 0]);
  });

  it('turns a viewer away before it reads the body', async () => {
    let pulled = 0;
    const body = new ReadableStream<Uint8Array>(
      { pull: (controller) => controller.enqueue(new Uint8Array(1 + pulled++)) },
      { highWaterMark: 0 },
    );
    await problemOf(await server.call('POST /admin/broadcast', { token: 'viewer-token', body }), 403);
    expect(pulled).toBe(0);
  });
});

describe('every answer', () => {
  it.each([...READING, 'DELETE /admin/rooms/lobby', 'GET /admin/nowhere', 'GET /admin/rooms/none'])(
    'to %s is kept out of caches and away from other origins',
    async (request) => {
      const { headers } = await server.call(request, { headers: { Origin: 'https://evil.example' } });
      expect(headers.get('cache-control')).toBe('no-store');
      expect([...headers.keys()].filter((name) => name.startsWith('access-control'))).toEqual([]);
    },
  );

  it('grants no preflight', async () => {
    const headers = { Origin: 'https://evil.example', 'Access-Control-Request-Method': 'DELETE' };
    const response = await server.call('OPTIONS /admin/rooms/lobby', { token: null, headers });
    await problemOf(response, 401);
    expect(response.headers.get('access-control-allow-origin')).toBeNull();
  });

  it('to HEAD is that to GET without the body', async () => {
    const response = await server.call('HEAD /admin/rooms');
    expect(response.status).toBe(200);
    expect(response.headers.get('content-type')).toBe('application/json');
    expect(await response.text()).toBe('');
    expect((await server.call('HEAD /admin/rooms/none')).status).toBe(404);
  });
});

describe('what is counted', () => {
  it.each([
    ['GET /admin/rooms', 'listRooms 200'],
    ['HEAD /admin/rooms', 'listRooms 200'],
    ['GET /admin/rooms/attic', 'getRoom 404'],
    ['GET /admin/rooms/-', 'getRoom 400'],
    ['POST /admin/schedules/clock/run', 'runSchedule 200'],
    ['GET /admin/schedules/clock/runs', 'listRuns 200'],
    ['PUT /admin/rooms', 'unknown 405'],
    ['GET /admin/hunter2', 'unknown 404'],
  ])('of %s is %s', async (request, counted) => {
    await server.call(request);
    expect(server.called).toEqual([counted]);
  });

  it('is also who was turned away', async () => {
    await server.call('GET /admin/rooms', { token: null });
    await server.call('POST /admin/reload', { token: 'viewer-token' });
    expect(server.called).toEqual(['listRooms 401', 'reload 403']);
  });
});

describe('what is not there', () => {
  it.each([
    '/admin',
    '/admin/',
    '/admin/nowhere',
    '/admin/rooms/',
    '/admin/rooms/lobby/keys',
    '/admin/statistics',
    '/admin//rooms',
  ])('%s is a 404', async (path) => {
    expect((await problemOf(await server.call(`GET ${path}`), 404)).detail).toContain('/openapi.yaml');
  });

  it.each([
    ['POST /admin/rooms', 'GET, HEAD'],
    ['PUT /admin/rooms/lobby', 'GET, HEAD, DELETE'],
    ['GET /admin/rooms/lobby/lock', 'PUT, DELETE'],
    ['HEAD /admin/broadcast', 'POST'],
    ['GET /admin/broadcast', 'POST'],
    ['DELETE /admin/schedules/clock/run', 'POST'],
    ['OPTIONS /admin/connections/q8d1-01', 'GET, HEAD, DELETE'],
  ])('%s is a 405 that allows %s', async (request, allow) => {
    const response = await server.call(request);
    expect(response.status).toBe(405);
    expect(response.headers.get('allow')).toBe(allow);
  });
});

describe('what goes wrong behind it', () => {
  it('is refused as the hub says', async () => {
    server.hub.failure = new Refusal(503, 'no number to be had', { retryAfterMs: 1500 });
    const response = await server.broadcast({ data: 1 });
    expect(response.headers.get('retry-after')).toBe('2');
    expect((await problemOf(response, 503)).detail).toBe('no number to be had');
  });

  it('is a 500 that reveals nothing, and comes to whoever logs', async () => {
    server.hub.failure = new Error('password is hunter2');
    const { detail } = await problemOf(await server.call('GET /admin/rooms'), 500);
    expect(detail).not.toContain('hunter2');
    expect(server.thrown).toEqual([server.hub.failure]);
  });
});

describe('queries', () => {
  it.each([...READING, ...ACTING])('%s refuses a parameter that it does not know', async (request) => {
    const { errors } = await problemOf(await server.call(`${request}?colour=red`, sent(request)), 400);
    expect(errors).toEqual([{ path: 'colour', message: 'unknown query parameter "colour"' }]);
  });

  it.each([
    ['limit=0', 'limit', '"0" is not a limit: a whole number from 1 to 1000'],
    ['limit=1001', 'limit', '"1001" is not a limit: a whole number from 1 to 1000'],
    ['limit=-1', 'limit', '"-1" is not a limit: a whole number from 1 to 1000'],
    ['limit=1.5', 'limit', '"1.5" is not a limit: a whole number from 1 to 1000'],
    ['limit=1e2', 'limit', '"1e2" is not a limit: a whole number from 1 to 1000'],
    ['limit=', 'limit', '"" is not a limit: a whole number from 1 to 1000'],
    ['limit=5&limit=6', 'limit', 'given more than once'],
    ['cursor=lobby', 'cursor', '"lobby" is not a cursor of this list: what "next" of the page before said'],
    ['cursor=', 'cursor', '"" is not a cursor of this list: what "next" of the page before said'],
    ['__proto__=1', '__proto__', 'unknown query parameter "__proto__"'],
    ['constructor=1', 'constructor', 'unknown query parameter "constructor"'],
    ['LIMIT=5', 'LIMIT', 'unknown query parameter "LIMIT"'],
  ])('?%s is refused in every list', async (query, path, message) => {
    for (const list of ['rooms', 'connections', 'schedules', 'schedules/clock/runs']) {
      const { detail, errors } = await problemOf(await server.call(`GET /admin/${list}?${query}`), 400);
      expect(errors).toEqual([{ path, message }]);
      expect(detail).toBe(`${path}: ${message}`);
    }
  });

  it('names every fault at once, but not a thousand', async () => {
    const { errors } = await problemOf(await server.call('GET /admin/rooms?limit=0&match=%20&x=1'), 400);
    expect(errors?.map(({ path }) => path).sort()).toEqual(['limit', 'match', 'x']);
    const many = Array.from({ length: 500 }, (_, index) => `x${index}=1`).join('&');
    expect((await problemOf(await server.call(`GET /admin/rooms?${many}`), 400)).errors).toHaveLength(20);
  });

  it('refuses the cursor of another list', async () => {
    const { next } = await server.list('/admin/schedules?limit=1');
    await problemOf(await server.call(`GET /admin/rooms?cursor=${next}`), 400);
  });
});

/** A body for the one call that wants one. */
const sent = (request: string) => (request.endsWith('/broadcast') ? { body: '{"data":1}' } : {});
