import { readdirSync, readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import type { Page } from 'playwright-core';
import { afterEach, beforeEach, describe, expect, onTestFinished, test } from 'vitest';
import { parse } from 'yaml';
import { problem } from '../../src/transport/problem.ts';
import { pageHeaders, SECURITY_HEADERS } from '../../src/transport/security-headers.ts';
import { TOP } from '../docs/documents.ts';
import { launchBrowser, requireTool } from '../helpers/browser.ts';
import { type Answer, answer, handshake, RawClient, request } from '../helpers/raw.ts';
import { type ConfigOf, startServer, type TestServer } from '../helpers/server.ts';
import { visit } from './listeners.ts';
import { fileWith } from './process.ts';

const chromium = requireTool('chromium');

let server: TestServer;
afterEach(() => server.belfry.stop(AbortSignal.abort()));

const begin = async (config: ConfigOf = {}) => {
  server = await startServer(config);
};

/** The head of the last answer to these bytes that has one. */
async function headOf(bytes: string, answers = 1): Promise<Answer> {
  const client = new RawClient(server.port).say(bytes);
  const heads = () => client.heard.match(/^HTTP\/1\.1 [\s\S]*?\r\n\r\n/gm) ?? [];
  await client.hears(() => heads().length >= answers);
  client.reset();
  return answer(heads().at(-1) ?? '');
}

/** What is sent with every answer but the page. */
function expectGuarded(what: string, { status, headers }: Answer, expected = SECURITY_HEADERS): void {
  const names = Object.keys(expected);
  // A header that was sent twice has its values joined here.
  const sent = names.map((name) => [name, headers.get(name)]);
  expect([what, status, sent]).toEqual([what, expect.any(Number), Object.entries(expected)]);
  expect(headers.has('server') || headers.has('x-powered-by'), what).toBe(false);
}

/** What the pages load. */
const ASSETS = readdirSync(join(TOP, 'dist/assets'));

const rooms = [
  { match: 'staff', subscribe: 'nobody' },
  { match: 'open', publish: 'members' },
];

describe('every answer has the security headers:', () => {
  test('each route, with a token and without, and each method', async () => {
    await begin({ schedules: [{ name: 'clock', every: '1h', feed: { type: 'time' } }] });
    const { paths } = parse(readFileSync(join(TOP, 'openapi.yaml'), 'utf8'));
    const routes = Object.entries<object>(paths).flatMap(([path, calls]) =>
      [...Object.keys(calls), 'head', 'options', 'put', 'brew'].map((method): [string, string] => [
        method.toUpperCase(),
        path.replace('{name}', 'clock').replace(/\{\w+\}/g, 'lobby'),
      ]),
    );
    expect(routes.length).toBeGreaterThan(100);
    const others = [...ASSETS.map((name) => `/pages/${name}`), '/nothing'];
    routes.push(...others.map((path): [string, string] => ['GET', path]));
    const operator = { Authorization: `Bearer ${server.belfry.madeToken}` };
    const seen = new Set<number>();
    for (const [method, path] of routes) {
      for (const headers of [{}, operator]) {
        const head = await headOf(request(path, { ...headers, Connection: 'close' }, method));
        expectGuarded(`${method} ${path}`, head);
        seen.add(head.status);
      }
    }
    for (const status of [200, 204, 302, 400, 401, 404, 405]) expect([...seen]).toContain(status);
    const code = await headOf(request('/client.js'));
    const known = { 'If-None-Match': code.headers.get('etag') ?? '' };
    const cached = await headOf(request('/client.js', known));
    expectGuarded('a file that the browser has', cached);
    expect(cached.status).toBe(304);
  });

  test('the page has those of a page, and so has the answer to HEAD', async () => {
    await begin();
    for (const method of ['GET', 'HEAD']) {
      const head = await headOf(request('/rooms/lobby', { Accept: 'text/html' }, method));
      expectGuarded(method, head, pageHeaders("'self'"));
      expect(head.headers.get('content-security-policy')).not.toMatch(/unsafe|\*/);
    }
    const other = await headOf(request('/rooms/lobby', { Accept: 'text/html', Host: 'evil.example' }));
    expectGuarded('a page at a foreign host', other);
  });

  test('what is no HTTP, or not in time', async () => {
    await begin({ limits: { headersSeconds: 0.2 } });
    const many = Object.fromEntries(Array.from({ length: 101 }, (_, n) => [`X-${n}`, 'x']));
    const requests: [string, number, string][] = [
      ['no HTTP', 400, 'knock knock\r\n\r\n'],
      ['HTTP/2', 505, 'GET /livez HTTP/2.0\r\nHost: 127.0.0.1\r\n\r\n'],
      ['a long header', 431, request('/livez', { 'X-Long': 'x'.repeat(20_000) })],
      ['many headers', 431, request('/livez', many)],
      ['two hosts', 400, request('/livez').replace('\r\n\r\n', '\r\nHost: other\r\n\r\n')],
      ['an expectation', 417, request('/livez', { Expect: 'cake' })],
      ['CONNECT', 405, request('example.com:443', {}, 'CONNECT')],
      [
        'an upgrade with a body',
        400,
        request('/livez', { Connection: 'Upgrade', Upgrade: 'h2c', 'Content-Length': '1' }),
      ],
      ['a malformed address', 400, request('http://[')],
      ['a request that does not end', 408, 'GET /livez HTTP/1.1\r\n'],
    ];
    for (const [what, status, bytes] of requests) {
      const head = await headOf(bytes);
      expect([what, head.status]).toEqual([what, status]);
      expectGuarded(what, head);
    }
    const behind = await headOf(request('/livez') + handshake(), 2);
    expect(behind.status).toBe(400);
    expectGuarded('an upgrade behind another request', behind);
  });

  /** The statuses of an address as WebSocket, SSE and JSON, all with the headers. */
  async function statusesOf(path: string, headers: Record<string, string> = {}): Promise<number[]> {
    const heads = [
      await headOf(handshake(path, headers)),
      await headOf(request(path, { ...headers, Accept: 'text/event-stream' })),
      await headOf(request(path, { ...headers, Accept: 'application/json' })),
    ];
    for (const head of heads) expectGuarded(`${path} ${JSON.stringify(headers)}`, head);
    return heads.map(({ status }) => status);
  }

  test('each refusal of a room, as WebSocket, SSE and JSON', async () => {
    await begin({ rooms });
    for (const path of ['/rooms/locked/lock?for=1h', '/rooms/gone/lock?for=1h&reconnect=false'])
      expect(await server.admin(path, { method: 'PUT' })).toMatchObject({ status: 200 });
    expect(await statusesOf('/rooms/-')).toEqual([400, 400, 400]);
    expect(await statusesOf('/rooms/a/b')).toEqual([404, 404, 404]);
    expect(await statusesOf('/rooms/lobby', { Host: 'evil.example' })).toEqual([421, 421, 421]);
    expect(await statusesOf('/rooms/lobby', { Origin: 'https://evil.example' })).toEqual([403, 403, 403]);
    expect(await statusesOf('/rooms/staff')).toEqual([403, 403, 403]);
    expect(await statusesOf('/rooms/locked')).toEqual([423, 200, 423]);
    expect(await statusesOf('/rooms/gone')).toEqual([423, 204, 423]);
    expectGuarded('406', await headOf(request('/rooms/lobby', { Accept: 'image/png' })));
    for (const headers of [{ 'Sec-WebSocket-Key': 'x' }, { 'Sec-WebSocket-Version': '8' }])
      expectGuarded('a faulty handshake', await headOf(handshake('/rooms/lobby', headers)));
  });

  test('a server that is full', async () => {
    await begin({ limits: { connections: 1 } });
    await visit(`${server.url}/rooms/lobby`);
    expect(await statusesOf('/rooms/lobby')).toEqual([503, 200, 200]);
  });

  test('a stream of events, and what refuses while the server stops', async () => {
    await begin({ server: { drainSeconds: 60 } });
    for (const method of ['GET', 'HEAD'])
      expectGuarded(
        'a stream',
        await headOf(request('/rooms/lobby', { Accept: 'text/event-stream' }, method)),
      );
    await visit(`${server.url}/rooms/lobby`);
    await visit(`${server.url}/rooms/lobby`);
    void server.belfry.stop();
    const json = await headOf(request('/rooms/lobby', { Accept: 'application/json' }));
    expect(json.status).toBe(503);
    for (const head of [json, await headOf(handshake()), await headOf(request('/readyz'))])
      expectGuarded('stopping', head);
  });

  test('a fault of the server', async () => {
    await begin();
    expect(problem(new Error('secret')).headers).toMatchObject(SECURITY_HEADERS);
  });
});

describe.skipIf(!chromium)('in Chromium', () => {
  let page: Page;
  let faults: string[];
  beforeEach(async () => {
    const browser = await launchBrowser(chromium ?? '');
    onTestFinished(() => browser.close());
    page = await browser.newPage();
    faults = [];
    page.on('console', (message) => {
      if (message.type() === 'error' || message.type() === 'warning') faults.push(message.text());
    });
  });

  test('the page runs without a complaint', async () => {
    await begin({ schedules: [{ name: 'clock', every: '200ms', feed: { type: 'time' } }] });
    await page.goto(`${server.url}/rooms/lobby`);
    await page.waitForSelector('[data-state="live"] .face');
    expect(faults).toEqual([]);
  });

  const ELSEWHERE = '<!doctype html><title>elsewhere</title><body></body>';

  /** The origin of a server that has a page. */
  async function elsewhere(): Promise<string> {
    const other = createServer((_, response) =>
      response.setHeader('Content-Type', 'text/html').end(ELSEWHERE),
    );
    onTestFinished(() => void other.close().closeAllConnections());
    await new Promise<void>((resolve) => other.listen(0, '127.0.0.1', resolve));
    // It listens on TCP.
    return `http://127.0.0.1:${(other.address() as AddressInfo).port}`;
  }

  /** Whether the page that is open gets to see the wall in a frame. */
  async function framed(): Promise<boolean> {
    const loaded = `new Promise((resolve) => {
      const frame = document.createElement('iframe');
      frame.onload = resolve;
      frame.src = ${JSON.stringify(`${server.url}/rooms/lobby`)};
      document.body.append(frame);
    })`;
    await page.evaluate(loaded);
    const frame = page.frames().find((each) => each !== page.mainFrame());
    return (await frame?.locator('#wall').count()) === 1;
  }

  test.each([
    ['its origin may not connect', false, () => []],
    ['its origin may connect', true, (origin: string) => [origin]],
    ['another origin may connect', false, () => ['https://other.example']],
    ['every origin may connect', true, () => ['*']],
  ])('where %s a page of another server shows the wall in a frame: %s', async (_, shows, allowed) => {
    const origin = await elsewhere();
    await begin({ server: { allowedOrigins: allowed(origin) } });
    await page.goto(origin);
    expect(await framed()).toBe(shows);
  });

  test.each([
    [[], false],
    [['file://', 'null'], true],
    [['*'], true],
  ])(
    'with the allowed origins %j a page from disk shows the wall in a frame: %s',
    async (allowedOrigins, shows) => {
      await begin({ server: { allowedOrigins } });
      await page.goto(pathToFileURL(fileWith(ELSEWHERE, 'page.html')).href);
      expect(await framed()).toBe(shows);
    },
  );
});
