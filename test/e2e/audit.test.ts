import { pino } from 'pino';
import { expect, test } from 'vitest';
import { z } from 'zod';
import { createBelfry } from '../../src/belfry.ts';
import { visit } from './listeners.ts';
import { type Server, serve } from './process.ts';

const OPS = 'the-token-of-the-operators';
const WALL = 'the-token-of-a-wall';
const KIOSK = 'the-token-of-the-kiosk';
const WRONG = 'the-token-of-nobody-here';

const config = {
  admin: {
    tokens: [
      { name: 'ops', tokenEnv: 'OPS', role: 'operator' },
      { name: 'wall', token: WALL, role: 'viewer' },
      { name: 'kiosk', token: KIOSK, role: 'publisher', rooms: ['lobby'] },
    ],
  },
};

type Body = object | string | undefined;

/** A call of the admin API, `'POST /admin/reload'`. */
async function call(server: Server, request: string, token: string, body?: Body) {
  const [method = '', path = ''] = request.split(' ');
  const response = await fetch(`${server.url}${path}`, {
    method,
    headers: { Authorization: `Bearer ${token}` },
    ...(body !== undefined && { body: typeof body === 'string' ? body : JSON.stringify(body) }),
  });
  return { status: response.status, text: await response.text(), headers: [...response.headers] };
}

const line = z.looseObject({ level: z.number(), msg: z.string(), time: z.string() });

/** The first entries of the audit log of a process. */
async function entries({ stdout }: Server, count: number): Promise<object[]> {
  const lines = await stdout.several(count, (text) => text.includes('"audit":true'));
  return lines.map((text) => {
    const { time, ...entry } = line.parse(JSON.parse(text));
    expect(Math.abs(Date.now() - Date.parse(time))).toBeLessThan(60_000);
    return entry;
  });
}

test('a process logs who did what to what, and how many were reached', async () => {
  const server = await serve({ config, env: { OPS } });
  await Promise.all([1, 2].map(() => visit(`${server.url}/rooms/lobby`)));

  await call(server, 'POST /rooms/lobby', KIOSK, 'the data of a message');
  await call(server, 'POST /admin/broadcast', KIOSK, { rooms: 'lobby', data: 'the data', dryRun: true });
  await call(server, 'POST /admin/broadcast', KIOSK, { rooms: 'hall', data: 'the data' });
  await call(server, 'POST /admin/broadcast', OPS, { data: 'the data', in: '1h' });
  await call(server, 'GET /admin/rooms', OPS);
  await call(server, 'POST /admin/reload', WALL);
  await call(server, 'POST /admin/reload', WRONG);
  await call(server, 'POST /admin/reload', OPS);
  await call(server, 'DELETE /admin/rooms/lobby?reason=maintenance', OPS);

  const common = { level: 30, audit: true, address: '127.0.0.1', msg: 'admin call' };
  const [lobby, hall, all] = [{ rooms: ['lobby'] }, { rooms: ['hall'] }, { rooms: ['*'] }];
  expect(await entries(server, 7)).toEqual(
    [
      { token: 'kiosk', action: 'publish', target: { room: 'lobby' }, status: 200, reached: 2 },
      { token: 'kiosk', action: 'broadcast', target: lobby, status: 200, reached: 2, dryRun: true },
      { token: 'kiosk', action: 'broadcast', target: hall, status: 403 },
      { token: 'ops', action: 'broadcast', target: all, status: 202 },
      { token: 'wall', action: 'reload', status: 403 },
      { token: 'ops', action: 'reload', status: 200 },
      { token: 'ops', action: 'closeRoom', target: { room: 'lobby' }, status: 200, reached: 2 },
    ].map((entry) => ({ ...common, ...entry })),
  );
  expect(server.stdout.all.join('\n')).not.toMatch(/the data|maintenance/);
});

test('no token stands in a log line or in an answer, wherever it was sent', async () => {
  const server = await serve({ config, env: { OPS } });
  const seen: string[] = [];
  for (const token of [OPS, WALL, KIOSK, WRONG]) {
    for (const request of ['GET /admin/config', 'GET /admin/rooms', 'POST /admin/reload', 'GET /metrics'])
      seen.push(JSON.stringify(await call(server, request, token)));
    for (const path of ['/admin/config', '/admin/reload', '/rooms/lobby', '/metrics'])
      for (const method of ['GET', 'POST'])
        seen.push(JSON.stringify(await call(server, `${method} ${path}?access_token=${token}`, token)));
    for (const scheme of ['Basic ', 'bearer', '', 'Bearer Bearer ']) {
      const headers = { Authorization: `${scheme}${token}` };
      const response = await fetch(`${server.url}/admin/stats`, { headers });
      seen.push(await response.text(), JSON.stringify([...response.headers]));
    }
    seen.push(
      JSON.stringify(await call(server, 'POST /admin/broadcast', token, { data: token, dryRun: true })),
    );
  }
  server.child.kill('SIGTERM');
  await server.ended;
  const output = [...server.stdout.all, ...server.stderr.all, ...seen].join('\n');
  expect(output).toContain('"audit":true');
  for (const token of [OPS, WALL, KIOSK, WRONG]) expect(output).not.toContain(token);
});

test('a program that hands requests on gets the same entries in its logger, or none without one', async () => {
  const written: unknown[] = [];
  const logger = pino({ base: null }, { write: (text) => void written.push(JSON.parse(text)) });
  for (const options of [{ logger }, {}]) {
    const belfry = createBelfry({}, { env: { BELFRY_ADMIN_TOKEN: OPS }, ...options });
    await belfry.run();
    const headers = { Host: '127.0.0.1', Authorization: `Bearer ${OPS}` };
    const request = new Request('http://127.0.0.1/rooms/lobby', { method: 'POST', headers, body: 'hi' });
    expect((await belfry.fetch(request)).status).toBe(200);
    await belfry.stop();
  }
  const entry = { audit: true, token: 'env', action: 'publish', target: { room: 'lobby' }, reached: 0 };
  expect(written).toEqual([expect.objectContaining(entry)]);
  expect(written).not.toEqual([expect.objectContaining({ address: expect.anything() })]);
});
