import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { z } from 'zod';
import { createAdmin } from '../../src/admin/app.ts';
import { openApiDocument } from '../../src/admin/openapi.ts';
import { refusedConfig } from '../../src/admin/server.ts';
import { Refusal } from '../../src/hub/errors.ts';
import { FakeServer, roomEntry } from './fakes.ts';

const FILE = new URL('../../openapi.yaml', import.meta.url);
const text = readFileSync(FILE, 'utf8');

interface Content {
  readonly schema: object;
  readonly example?: unknown;
}
interface Answer {
  readonly content?: Record<string, Content>;
}
interface Parameter {
  readonly name: string;
  readonly required?: boolean;
  readonly schema: { readonly type?: string; readonly enum?: unknown; readonly default?: unknown };
}
interface Operation {
  readonly operationId: string;
  readonly description?: string;
  readonly parameters?: readonly Parameter[];
  readonly security: object[];
  readonly 'x-roles'?: readonly string[];
  readonly responses: Record<string, Answer>;
  readonly requestBody?: { readonly content: Record<string, Content> };
}
const document: {
  readonly info: { readonly contact: { readonly name: string } };
  readonly components: { readonly schemas: Record<string, object> };
  readonly paths: Record<string, Record<string, Operation>>;
} = parse(text);

const operations = Object.entries(document.paths).flatMap(([path, methods]) =>
  Object.entries(methods).map(([method, operation]) => ({
    call: `${method.toUpperCase()} ${path}`,
    operation,
  })),
);

/** Whether the admin API answers a call. */
const isAdmin = (call: string) => call.includes(' /admin') || call === 'POST /rooms/{room}';

/** A schema of the file as a check; what it does not mention is no part of an answer. */
function checkOf(schema: object): z.ZodType {
  const inOne = { ...schema, $defs: document.components.schemas };
  const rewritten = JSON.stringify(inOne).replaceAll('#/components/schemas/', '#/$defs/');
  return z.fromJSONSchema(JSON.parse(rewritten, closed));
}

/** Makes every object schema refuse properties that it does not name. */
function closed(_key: string, value: unknown): unknown {
  const named = typeof value === 'object' && value !== null && 'type' in value && 'properties' in value;
  return named ? { ...value, additionalProperties: false } : value;
}

describe('openapi.yaml', () => {
  it('is what the routes declare: run "npm run openapi" where it is not', () => {
    expect(document).toEqual(openApiDocument());
  });

  it('is clean to the linter', () => {
    const redocly = new URL('../../node_modules/.bin/redocly', import.meta.url).pathname;
    const env = { ...process.env, REDOCLY_TELEMETRY: 'off', REDOCLY_SUPPRESS_UPDATE_NOTICE: 'true' };
    const output = execFileSync(redocly, ['lint', '--format=json', FILE.pathname], {
      env,
      cwd: new URL('../..', import.meta.url),
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    expect(JSON.parse(output)).toMatchObject({ totals: { errors: 0, warnings: 0 }, problems: [] });
  }, 30_000);

  it('has exactly the admin routes that are served', () => {
    const admin = createAdmin(new FakeServer().parts);
    const served = admin.routes
      .filter(({ method, path }) => method !== 'ALL' && path !== '/metrics')
      .map(({ method, path }) => `${method} ${path.replace(/:(\w+)/g, '{$1}')}`);
    const declared = operations.map(({ call }) => call).filter(isAdmin);
    expect([...new Set(served)].sort()).toEqual(declared.sort());
    expect(declared).not.toEqual([]);
  });

  it('names each status that occurs, since ranges break generators', () => {
    const statuses = operations.flatMap(({ operation }) => Object.keys(operation.responses));
    expect(statuses.filter((status) => !/^\d{3}$/.test(status))).toEqual([]);
  });

  it('requires nothing of a request that has a default, and gives fields none', () => {
    const required = operations.flatMap(({ operation: { parameters = [] } }) =>
      parameters.filter((parameter) => parameter.required && parameter.schema.default !== undefined),
    );
    expect(required).toEqual([]);
    // Generators make a field with a default a required one, also where it is not listed as such.
    expect(JSON.stringify(document.components.schemas)).not.toContain('"default":');
  });

  it('calls a flag a boolean', () => {
    const flags = operations.flatMap(({ operation: { parameters = [] } }) =>
      parameters.filter(({ name }) => name === 'slow' || name === 'reconnect'),
    );
    expect(flags.map(({ schema }) => [schema.type, schema.enum])).toEqual([
      ['boolean', undefined],
      ['boolean', undefined],
      ['boolean', undefined],
    ]);
    expect(text).not.toMatch(/- "?(true|false)"?$/m);
  });

  it('describes each operation and says who is responsible, as the linter of Spectral asks', () => {
    expect(document.info.contact.name).not.toBe('');
    for (const { operation } of operations) expect(operation.description?.length).toBeGreaterThan(10);
  });

  it('asks for a token under /admin and to publish, for metrics unless they are open, and nowhere else', () => {
    for (const { call, operation } of operations) {
      const forMetrics = call === 'GET /metrics' ? [{ token: [] }, {}] : [];
      const security = isAdmin(call) ? [{ token: [] }] : forMetrics;
      expect([call, operation.security]).toEqual([call, security]);
    }
  });

  it('has an example of every body, which fits its schema', () => {
    const wrong = operations.flatMap(({ call, operation }) =>
      [operation.requestBody ?? {}, ...Object.values(operation.responses)].flatMap((body: Answer) =>
        Object.entries(body.content ?? {})
          .filter(([, { schema, example }]) => !checkOf(schema).safeParse(example).success)
          .map(([type]) => `${call} ${type}`),
      ),
    );
    expect(wrong).toEqual([]);
  });
});

/** Successes and refusals of each call: its id, the status to come, the request. */
const TRIED: [id: string, status: number, request: string][] = [
  ['listRooms', 200, 'GET /admin/rooms?limit=1'],
  ['listRooms', 400, 'GET /admin/rooms?limit=0'],
  ['getRoom', 200, 'GET /admin/rooms/lobby'],
  ['getRoom', 400, 'GET /admin/rooms/-'],
  ['getRoom', 404, 'GET /admin/rooms/attic'],
  ['closeRoom', 200, 'DELETE /admin/rooms/lobby'],
  ['closeRoom', 200, 'DELETE /admin/rooms/lobby?reconnect=true'],
  ['closeRoom', 400, 'DELETE /admin/rooms/lobby?lock=1'],
  ['closeRoom', 404, 'DELETE /admin/rooms/attic'],
  ['lockRoom', 200, 'PUT /admin/rooms/attic/lock?for=1h'],
  ['lockRoom', 400, 'PUT /admin/rooms/lobby/lock?for=0s'],
  ['unlockRoom', 200, 'DELETE /admin/rooms/lobby/lock'],
  ['unlockRoom', 400, 'DELETE /admin/rooms/-/lock'],
  ['unlockRoom', 404, 'DELETE /admin/rooms/attic/lock'],
  ['listConnections', 200, 'GET /admin/connections'],
  ['listConnections', 400, 'GET /admin/connections?x='],
  ['getConnection', 200, 'GET /admin/connections/q8d1-01'],
  ['getConnection', 400, 'GET /admin/connections/q8d1-01?x='],
  ['getConnection', 404, 'GET /admin/connections/nobody'],
  ['closeConnection', 200, 'DELETE /admin/connections/q8d1-01'],
  ['closeConnection', 400, 'DELETE /admin/connections/q8d1-01?reason='],
  ['closeConnection', 404, 'DELETE /admin/connections/nobody'],
  ['broadcast', 200, 'POST /admin/broadcast'],
  ['broadcast', 400, 'POST /admin/broadcast'],
  ['broadcast', 413, 'POST /admin/broadcast'],
  ['broadcast', 415, 'POST /admin/broadcast'],
  ['broadcast', 409, 'POST /admin/broadcast'],
  ['broadcast', 202, 'POST /admin/broadcast'],
  ['listBroadcasts', 200, 'GET /admin/broadcasts'],
  ['listBroadcasts', 400, 'GET /admin/broadcasts?limit=0'],
  ['cancelBroadcast', 200, 'DELETE /admin/broadcasts/{waiting}'],
  ['cancelBroadcast', 400, 'DELETE /admin/broadcasts/nobody?x='],
  ['cancelBroadcast', 404, 'DELETE /admin/broadcasts/nobody'],
  ['publish', 200, 'POST /rooms/lobby'],
  ['publish', 400, 'POST /rooms/lobby?x='],
  ['publish', 409, 'POST /rooms/lobby?key=lunch'],
  ['publish', 422, 'POST /rooms/lobby'],
  ['broadcast', 422, 'POST /admin/broadcast'],
  ['publish', 413, 'POST /rooms/lobby'],
  ['listRetained', 200, 'GET /admin/rooms/lobby/retained?limit=1'],
  ['listRetained', 400, 'GET /admin/rooms/lobby/retained?cursor=x'],
  ['withdrawFromRoom', 200, 'DELETE /admin/rooms/lobby/retained/lunch'],
  ['withdrawFromRoom', 400, 'DELETE /admin/rooms/lobby/retained/a%20b'],
  ['withdrawFromRoom', 404, 'DELETE /admin/rooms/lobby/retained/dinner'],
  ['withdraw', 200, 'DELETE /admin/retained/lunch'],
  ['withdraw', 400, 'DELETE /admin/retained/lunch?x='],
  ['withdraw', 404, 'DELETE /admin/retained/dinner'],
  ['listSchedules', 200, 'GET /admin/schedules'],
  ['listSchedules', 400, 'GET /admin/schedules?cursor=x'],
  ['getSchedule', 200, 'GET /admin/schedules/clock'],
  ['getSchedule', 400, 'GET /admin/schedules/clock?x='],
  ['getSchedule', 404, 'GET /admin/schedules/tides'],
  ['listRuns', 200, 'GET /admin/schedules/clock/runs'],
  ['listRuns', 400, 'GET /admin/schedules/clock/runs?limit=x'],
  ['listRuns', 404, 'GET /admin/schedules/tides/runs'],
  ['explainSchedule', 200, 'GET /admin/schedules/clock/explain'],
  ['explainSchedule', 400, 'GET /admin/schedules/clock/explain?count=x'],
  ['explainSchedule', 404, 'GET /admin/schedules/tides/explain'],
  ['getStats', 200, 'GET /admin/stats'],
  ['getStats', 400, 'GET /admin/stats?x='],
  ['getConfig', 200, 'GET /admin/config'],
  ['getConfig', 400, 'GET /admin/config?x='],
  ['reload', 200, 'POST /admin/reload'],
  ['reload', 400, 'POST /admin/reload?x='],
  ['reload', 409, 'POST /admin/reload'],
  ['reload', 422, 'POST /admin/reload'],
  ...['run', 'pause', 'resume'].flatMap((what): typeof TRIED => [
    [`${what}Schedule`, 200, `POST /admin/schedules/clock/${what}`],
    [`${what}Schedule`, 400, `POST /admin/schedules/clock/${what}?x=`],
    [`${what}Schedule`, 404, `POST /admin/schedules/tides/${what}`],
  ]),
];

/** The bodies with which a broadcast comes to each status. */
const BODIES: Readonly<Record<number, string>> = {
  200: '{"data":1}',
  202: '{"data":1,"in":"1h"}',
  400: '{}',
  409: '{"data":1}',
  422: '{"data":1}',
  413: `{"data":"${'x'.repeat(100)}"}`,
  415: '--',
};

/** What comes of a reload to each status. */
const RELOADS: Readonly<Record<number, Refusal>> = {
  409: new Refusal(409, 'there is no file'),
  422: refusedConfig('belfry.json', [{ path: 'schedules[1].every', message: '3 is not a duration' }]),
};

describe('real answers', () => {
  it('would be caught with a field that is missing or not declared', () => {
    const check = checkOf({ $ref: '#/components/schemas/Room' });
    const { history, ...rest } = roomEntry('lobby');
    expect(check.safeParse({ ...rest, history }).success).toBe(true);
    expect(check.safeParse(rest).success).toBe(false);
    expect(check.safeParse({ ...rest, history, secret: 1 }).success).toBe(false);
  });

  const admin = operations.filter(({ call }) => isAdmin(call));

  async function expectAsDeclared(id: string, response: Response) {
    const operation = admin.find(({ operation }) => operation.operationId === id)?.operation;
    const type = response.headers.get('content-type') ?? '';
    const declared = operation?.responses[response.status]?.content?.[type];
    if (declared === undefined) throw new Error(`${id} does not declare ${response.status} in ${type}`);
    const body = await response.json();
    expect(checkOf(declared.schema).safeParse(body)).toMatchObject({ success: true });
  }

  it.each(TRIED)('%s answers %i as declared: %s', async (id, status, request) => {
    const body = id === 'broadcast' || id === 'publish' ? BODIES[status] : undefined;
    const headers = { 'Content-Type': status === 415 ? 'multipart/mixed' : 'application/json' };
    const server = new FakeServer(100);
    const isFailure = status === 409 || (status === 422 && id !== 'reload');
    if (isFailure) server.hub.failure = new Refusal(status, 'too many, or another request');
    server.service.failure = RELOADS[status];
    const publication = { target: { rooms: ['lobby'] }, event: 'message', data: '1', key: 'k', ttlMs: 1 };
    const isOfWaiting = id === 'cancelBroadcast' || id === 'listBroadcasts';
    const accepted = isOfWaiting && (await server.broadcasts.add(publication, { inMs: 1000 }));
    const path = request.replace('{waiting}', accepted ? accepted.id : '');
    const response = await server.call(path, { body, headers });
    expect(response.status).toBe(status);
    await expectAsDeclared(id, response);
  });

  it.each(admin)(
    '$call turns strangers, viewers and publishers away as declared',
    async ({ call, operation }) => {
      const request = call
        .replace('{room}', 'lobby')
        .replace('{id}', 'q8d1-01')
        .replace('{name}', 'clock')
        .replace('{key}', 'lunch');
      const server = new FakeServer();
      await expectAsDeclared(operation.operationId, await server.call(request, { token: null }));
      const asViewer = await server.call(request, { token: 'viewer-token' });
      expect(asViewer.status).toBe(call.startsWith('GET') ? 200 : 403);
      await expectAsDeclared(operation.operationId, asViewer);
      const asPublisher = await server.call(request, { token: 'publisher-token' });
      expect(asPublisher.status).toBe(
        { 'POST /rooms/{room}': 200, 'POST /admin/broadcast': 400 }[call] ?? 403,
      );
      await expectAsDeclared(operation.operationId, asPublisher);
      for (let attempt = 0; attempt < 10; attempt++) await server.call(request, { token: 'wrong' });
      const limited = await server.call(request, { token: 'wrong' });
      expect(limited.status).toBe(429);
      await expectAsDeclared(operation.operationId, limited);
    },
  );

  it('are tried for every call and status that is declared, but for 401, 403, 429 and what others say', () => {
    const tried = new Set(TRIED.map(([id, status]) => `${id} ${status}`));
    const declared = admin.flatMap(({ operation: { operationId, responses } }) =>
      Object.keys(responses).map((status) => `${operationId} ${status}`),
    );
    expect(declared.filter((each) => !/ (401|403|405|421|429|503)$/.test(each)).sort()).toEqual(
      [...tried].sort(),
    );
  });
});
