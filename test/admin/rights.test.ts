import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { type Belfry, createBelfry } from '../../src/belfry.ts';
import { FakeServer } from './fakes.ts';

/**
 * Who may make each call that openapi.yaml declares for a token. Written by hand, and not derived from the
 * code: a call that is added has to be entered here as well.
 */
const CALLS: Readonly<Record<string, 'reads' | 'acts' | 'sends'>> = {
  'GET /admin/rooms': 'reads',
  'GET /admin/rooms/{room}': 'reads',
  'DELETE /admin/rooms/{room}': 'acts',
  'PUT /admin/rooms/{room}/lock': 'acts',
  'DELETE /admin/rooms/{room}/lock': 'acts',
  'GET /admin/rooms/{room}/retained': 'reads',
  'DELETE /admin/rooms/{room}/retained/{key}': 'acts',
  'DELETE /admin/retained/{key}': 'acts',
  'GET /admin/connections': 'reads',
  'GET /admin/connections/{id}': 'reads',
  'DELETE /admin/connections/{id}': 'acts',
  'POST /admin/broadcast': 'sends',
  'GET /admin/broadcasts': 'reads',
  'DELETE /admin/broadcasts/{id}': 'acts',
  'POST /rooms/{room}': 'sends',
  'GET /admin/schedules': 'reads',
  'GET /admin/schedules/{name}': 'reads',
  'GET /admin/schedules/{name}/runs': 'reads',
  'GET /admin/schedules/{name}/explain': 'reads',
  'POST /admin/schedules/{name}/run': 'acts',
  'POST /admin/schedules/{name}/pause': 'acts',
  'POST /admin/schedules/{name}/resume': 'acts',
  'GET /admin/stats': 'reads',
  'GET /admin/config': 'reads',
  'POST /admin/reload': 'acts',
};

/** What each role may; its token in the fakes. The room of every call is `lobby`. */
const ROLES = {
  'no token': { token: null, may: [] },
  'a wrong token': { token: 'wrong', may: [] },
  'a viewer': { token: 'viewer-token', may: ['reads'] },
  'a publisher with the room': { token: 'publisher-token', may: ['sends'] },
  'a publisher without the room': { token: 'elsewhere-token', may: [] },
  'an operator': { token: 'operator-token', may: ['reads', 'acts', 'sends'] },
} as const satisfies Record<string, { token: string | null; may: readonly string[] }>;
type RoleName = keyof typeof ROLES;
const ROLE_NAMES = Object.keys(ROLES) as RoleName[];

const METHODS = ['GET', 'HEAD', 'POST', 'PUT', 'DELETE', 'PATCH', 'OPTIONS'];

const document: { paths: Record<string, Record<string, { security: object[] }>> } = parse(
  readFileSync(new URL('../../openapi.yaml', import.meta.url), 'utf8'),
);
/** The calls that need a token, as openapi.yaml has them. */
const declared = Object.entries(document.paths).flatMap(([path, operations]) =>
  Object.entries(operations)
    .filter(([, { security }]) => security.length > 0 && security.every((each) => 'token' in each))
    .map(([method]) => `${method.toUpperCase()} ${path}`),
);
const PATHS = [...new Set(declared.map((call) => call.split(' ')[1] ?? ''))];

/** The status that a request must get; `in`: it comes to its handler. */
function expected(role: RoleName, method: string, path: string): number | 'in' {
  const call = `${method === 'HEAD' ? 'GET' : method} ${path}`;
  const { token, may } = ROLES[role];
  if (token === null || token === 'wrong') return 401;
  const right = CALLS[call];
  if (right === undefined) return 405;
  return may.some((each) => each === right) ? 'in' : 403;
}

/** The methods that a 405 must name. */
const allowedAt = (path: string) =>
  METHODS.filter((method) => `${method === 'HEAD' ? 'GET' : method} ${path}` in CALLS);

const BODY = JSON.stringify({ rooms: 'lobby', data: 1 });
const bodyFor = (method: string) => (method === 'GET' || method === 'HEAD' ? null : BODY);

const example = (path: string, waiting: string) =>
  path
    .replace('{room}', 'lobby')
    .replace('connections/{id}', 'connections/q8d1-01')
    .replace('broadcasts/{id}', `broadcasts/${waiting}`)
    .replace('{name}', 'clock')
    .replace('{key}', 'lunch');

it('has each call of openapi.yaml that needs a token', () => {
  expect(Object.keys(CALLS).sort()).toEqual([...declared].sort());
});

describe('in the admin API', () => {
  describe.each(PATHS)('%s', (path) => {
    // At the path of a room other methods are for listeners: see below.
    const methods = path.startsWith('/admin') ? METHODS : ['POST'];

    it.each(ROLE_NAMES)('answers %s as it must, whatever the method', async (role) => {
      for (const method of methods) {
        const server = new FakeServer();
        server.addToken('elsewhere-token', {
          name: 'elsewhere',
          role: 'publisher',
          rooms: ['hall', 'lobby-*'],
        });
        const publication = { target: { rooms: ['lobby'] }, event: 'message', data: '1', key: 'k', ttlMs: 1 };
        const { id } = await server.broadcasts.add(publication, { inMs: 1000 });
        server.hub.published.length = 0;
        const request = `${method} ${example(path, id)}`;
        const { token } = ROLES[role];
        const response = await server.call(request, { token, body: bodyFor(method) });

        const must = expected(role, method, path);
        expect([method, response.status]).toEqual([method, must === 'in' ? 200 : must]);
        const { headers } = response;
        expect(headers.get('www-authenticate')).toBe(must === 401 ? 'Bearer' : null);
        expect(headers.get('allow')).toBe(must === 405 ? allowedAt(path).join(', ') : null);
        expect(headers.get('cache-control')).toBe('no-store');
        if (must === 'in') continue;
        const { hub, schedules, service } = server;
        const done = [hub.published, hub.closed, hub.unlocked, hub.kicked, hub.withdrawn, schedules.done];
        expect([...done.flat(), service.reloads]).toEqual([0]);
        expect(await server.broadcasts.list({ limit: 1 })).toHaveLength(1);
      }
    });
  });
});

describe('in a whole server', () => {
  let belfry: Belfry;
  let requests = 0;

  beforeAll(async () => {
    const tokens = [
      { name: 'ops', token: 'operator-token', role: 'operator' },
      { name: 'wall', token: 'viewer-token', role: 'viewer' },
      { name: 'kiosk', token: 'publisher-token', role: 'publisher', rooms: ['lobby'] },
      { name: 'elsewhere', token: 'elsewhere-token', role: 'publisher', rooms: ['hall', 'lobby-*'] },
    ];
    const schedules = [{ name: 'clock', every: '1h', feed: { type: 'time' } }];
    belfry = createBelfry({ admin: { tokens }, schedules }, { env: {} });
    await belfry.run();
  });
  afterAll(() => belfry.stop());

  /** Each from an address of its own: wrong tokens of one address are limited. */
  function ask(role: RoleName, method: string, path: string) {
    const { token } = ROLES[role];
    const headers = { Host: '127.0.0.1', ...(token !== null && { Authorization: `Bearer ${token}` }) };
    const request = new Request(`http://127.0.0.1${path}`, { method, headers, body: bodyFor(method) });
    const remoteAddress = `10.0.${++requests >> 8}.${requests & 255}`;
    return belfry.fetch(request, { incoming: { socket: { remoteAddress } } });
  }

  const admin = PATHS.filter((path) => path.startsWith('/admin'));

  it.each(ROLE_NAMES)('answers %s as it must, whatever the call and the method', async (role) => {
    for (const path of admin)
      for (const method of METHODS) {
        const { status } = await ask(role, method, example(path, 'nobody'));
        const must = expected(role, method, path);
        const call = `${method} ${path}`;
        // What is not there is 404, and without a file a reload is 409.
        if (must === 'in') expect([200, 404, 409].includes(status), `${call} ${status}`).toBe(true);
        else expect([call, status]).toEqual([call, must]);
      }
  });

  it.each(ROLE_NAMES)('lets %s listen, and send where it may', async (role) => {
    const statuses: (number | string)[][] = [];
    for (const method of METHODS) statuses.push([method, (await ask(role, method, '/rooms/lobby')).status]);
    const must = expected(role, 'POST', '/rooms/{room}');
    expect(statuses).toEqual([
      ['GET', 200],
      ['HEAD', 200],
      ['POST', must === 'in' ? 200 : must],
      ['PUT', 405],
      ['DELETE', 405],
      ['PATCH', 405],
      ['OPTIONS', 204],
    ]);
  });

  it.each(ROLE_NAMES)('shows %s the metrics where it has a token', async (role) => {
    const isKnown = expected(role, 'PATCH', '/admin') !== 401;
    for (const method of METHODS) {
      const { status } = await ask(role, method, '/metrics');
      const isRead = method === 'GET' || method === 'HEAD';
      expect([method, status]).toEqual([method, !isRead ? 405 : isKnown ? 200 : 401]);
    }
  });
});
