import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { parse } from 'yaml';
import { SECURITY_HEADERS } from '../../src/transport/security-headers.ts';
import { named, TOP, table } from '../docs/documents.ts';
import { SocketGuest, StreamGuest } from '../helpers/guest.ts';
import { answer, handshake, RawClient, request } from '../helpers/raw.ts';
import { startServer, type TestServer } from '../helpers/server.ts';
import { signed } from '../helpers/tokens.ts';

const SECURITY = 'docs/security.md';
const { version } = JSON.parse(readFileSync(join(TOP, 'package.json'), 'utf8'));

const SECRET = 'key-secret-of-thirty-two-bytes-or-more';
const TRUSTED = { iss: 'issuer-secret', aud: 'audience-secret' };

/** What stands in the configuration, or is known of another client, by the rows of the document. */
const SECRETS: Readonly<Record<string, readonly string[]>> = {
  'the version': [version],
  'the address and headers of an upstream': ['upstream-secret', 'header-secret'],
  'the path of a file feed': ['file-secret'],
  'the command of a command feed, and its output': ['command-secret', 'output-secret'],
  'the address, `device` and `User-Agent` of another client': [
    '203.0.113.77',
    'device-secret',
    'agent-secret',
  ],
  'names of rooms and of rules that are not open to anyone by name': ['room-secret', 'rule-secret'],
  'limits of the server': ['7654321', '7654322', '7654323'],
  'origins that are allowed': ['origin-secret'],
  'trusted proxies': ['10.99.88.77'],
  'tokens and their names': ['token-secret-of-some-length', 'holder-secret'],
  'the key, issuer and audience of `access`': [SECRET, 'issuer-secret', 'audience-secret'],
  'the folder of the store': ['store-secret'],
};

const node = (script: string) => [process.execPath, '-e', script];
const failing = [
  {
    name: 'prices',
    feed: { type: 'http', url: 'http://127.0.0.1:9/upstream-secret', headers: { 'x-key': 'header-secret' } },
  },
  { name: 'menu', feed: { type: 'file', path: 'file-secret.json' } },
  {
    name: 'load',
    feed: {
      type: 'command',
      argv: node('console.error("output-secret"); process.exit(1) // command-secret'),
    },
  },
];

/** Every key of it. */
const PAGE = {
  title: 'The lobby',
  theme: 'dark',
  schedules: ['clock'],
  hourCycle: 'h23',
  locale: 'en-GB',
  timezone: 'UTC',
};

const CONFIG = {
  server: {
    port: 0,
    drainSeconds: 0,
    allowedOrigins: ['https://origin-secret.example'],
    trustProxy: ['127.0.0.1', '10.99.88.77'],
  },
  admin: { tokens: [{ name: 'holder-secret', role: 'operator', token: 'token-secret-of-some-length' }] },
  access: { secretEnv: 'SECRET', issuer: TRUSTED.iss, audience: TRUSTED.aud },
  rooms: [
    { match: 'rule-secret-*', publish: 'members' },
    { match: 'ops', subscribe: 'token' },
    { match: 'staff', subscribe: 'nobody' },
    { match: 'lobby', publish: 'members', page: PAGE },
    { match: 'quiet' },
  ],
  schedules: [
    { name: 'clock', every: '200ms', rooms: ['lobby'], feed: { type: 'time' } },
    ...failing.map((schedule) => ({ ...schedule, every: '500ms', rooms: ['lobby'] })),
  ],
  store: { path: 'store-secret' },
  limits: { connections: 7654321, sockets: 7654322, rooms: 7654323, messageBurst: 30 },
};

let server: TestServer;
let folder: string;
/** All that the stranger has been sent. */
const heard: string[] = [];
const headers = new Set<string>();

async function ask(bytes: string, port = server.port): Promise<{ status: number; body: string }> {
  const client = new RawClient(port).say(bytes);
  const isOver = () => {
    const { headers: sent, body } = answer(client.heard);
    return body.length >= Number(sent.get('content-length') ?? Number.POSITIVE_INFINITY);
  };
  await client.until('\r\n\r\n');
  // A stream has neither a length nor an end: its head and first event suffice.
  if (!/event-stream|101 Switching/.test(client.heard)) await client.hears(isOver);
  client.reset();
  heard.push(client.heard);
  const { status, headers: sent, body } = answer(client.heard);
  for (const name of sent.keys()) headers.add(name);
  return { status, body };
}

const get = (path: string, more: Record<string, string> = {}, method = 'GET') =>
  ask(request(path, { ...more, Connection: 'close' }, method));

const detailOf = async (asked: Promise<{ body: string }>): Promise<string> =>
  JSON.parse((await asked).body).detail;

const url = () => `${server.url}/rooms`;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'belfry-'));
  server = await startServer(CONFIG, { baseDirectory: folder, env: { SECRET } });
  const other = { 'X-Forwarded-For': '203.0.113.77', 'User-Agent': 'agent-secret' };
  const address = `${url()}?room=lobby&room=room-secret&device=device-secret`;
  await new SocketGuest(address, { headers: other }).event('hello');
});
afterAll(async () => {
  await server.belfry.stop(AbortSignal.abort());
  rmSync(folder, { recursive: true });
});

test('a stranger sees on the front page the rooms that are open by name, and no other', async () => {
  const { status, body } = await get('/', { Accept: 'text/html' });
  expect(status).toBe(200);
  const links = [...body.matchAll(/href="rooms\/([^"]*)">[^<]/g)].map(([, room]) => room);
  expect(links).toEqual(['lobby', 'quiet']);
  expect(body).toContain('The lobby');
  expect(body).toContain('>clock<');
  for (const name of ['ops', 'staff', 'room-secret', 'rule-secret', 'device-secret'])
    expect(body).not.toContain(name);
});

describe('a stranger gets, as the document says,', () => {
  /** The fields of an answer, by its row. */
  const told = new Map(table(SECURITY, 'answer').map(([what = '', fields = '']) => [what, named(fields)]));
  const expectFields = (what: string, ...objects: object[]) => {
    const keys = new Set(objects.flatMap((object) => Object.keys(object)));
    expect([what, [...keys].sort()]).toEqual([what, told.get(what)?.toSorted()]);
  };

  test('over HTTP', async () => {
    expectFields('a room as JSON', JSON.parse((await get('/rooms/lobby')).body));
    const page = JSON.parse((await get('/page?room=lobby')).body);
    expectFields('`/page`', page);
    expectFields('a room of `/page`', page.rooms[0]);
    expectFields('`/time`', JSON.parse((await get('/time?t0=1')).body));
    await operator('PUT', '/rooms/shut/lock?for=1h');
    const refusals = [await get('/rooms/-'), await get('/rooms/shut')];
    expectFields('a refusal', ...refusals.map(({ body }) => JSON.parse(body)));
    expect((await get('/livez')).body).toBe('ok\n');
    expect((await get('/readyz')).body).toBe('ok\n');
  });

  test('over WebSocket and SSE', async () => {
    const token = await signed({ sub: 'alice', ...TRUSTED }, SECRET);
    const guest = new SocketGuest(`${url()}/lobby?device=wall&access_token=${token}`);
    const hello = await guest.event('hello');
    expect(hello.data.server).toBe('belfry');
    expectFields('`hello`', hello.data);
    const live = await guest.next(({ tick, replay }) => tick !== undefined && !replay);
    const late = await new SocketGuest(`${url()}/lobby`).next(({ tick }) => tick !== undefined);
    expectFields('a tick', live, late);
    for (const { name } of failing)
      expectFields(
        '`status`',
        (await guest.next(({ event, data }) => event === 'status' && data.schedule === name)).data,
      );
    await guest.ask({ action: 'publish', data: 'hi' });
    const message = await guest.event('message');
    expectFields('a message', message);
    expectFields('`from`', Object(message).from);
    for (const line of [
      '{',
      '[]',
      { action: 'command' },
      { action: 'publish' },
      { action: 'subscribe', room: 'staff' },
    ])
      await guest.say(line);
    const error = await guest.next(({ error }) => error?.status === 403);
    expect(error.error?.detail).toContain('rooms[2].subscribe');

    const stream = new StreamGuest(`${url()}/quiet`);
    await stream.event('hello');
    await operator('DELETE', '/rooms/quiet?lock=0s');
    expectFields('`closing`', (await stream.event('closing')).data);
    stream.leave();
    heard.push(JSON.stringify([hello, live, late, message, error, guest.rest, stream.rest]));
  });

  test('the text of each refusal', async () => {
    await operator('PUT', '/rooms/locked/lock?for=1h&reason=cleaning');
    const fast = new SocketGuest(`${url()}/lobby`);
    await fast.event('hello');
    for (let count = 0; count < 40; count++) fast.say({ action: 'ping' });
    const tooFast = await fast.next(({ error }) => error?.status === 429);
    const quiet = new SocketGuest(`${url()}/quiet`);
    await quiet.event('hello');
    const notHere = await quiet.ask({ action: 'publish', data: 1 });
    const foreign = await signed({ iss: 'another', aud: TRUSTED.aud }, SECRET);
    const details: Record<string, string | undefined> = {
      'a page of another origin': await detailOf(get('/rooms/lobby', { Origin: 'https://evil.example' })),
      'a foreign host': await detailOf(get('/rooms/lobby', { Host: 'evil.example' })),
      'a room that nobody may listen in': await detailOf(get('/rooms/staff')),
      'a room that needs a token': await detailOf(get('/rooms/ops')),
      'a wrong token of a listener': await detailOf(get(`/rooms/ops?access_token=${foreign}`)),
      publishing: notHere.error?.detail,
      'a room that is locked': await detailOf(get('/rooms/locked')),
      'a server that is full': await fullDetail({ connections: 1 }),
      'a room too many': await fullDetail({ rooms: 1 }),
      'publishing too fast': tooFast.error?.detail,
      'a call of the admin API': await detailOf(get('/admin/rooms')),
      'a wrong token': await detailOf(get('/admin/rooms', { Authorization: 'Bearer wrong' })),
      'a path that does not exist': await detailOf(get('/nothing')),
      'a method that a path does not have': await detailOf(get('/livez', {}, 'PUT')),
    };
    heard.push(JSON.stringify(details));
    const texts = table(SECURITY, 'refusal').map(([what = '', text = '']): [string, string] => [
      what,
      text.slice(1, -1),
    ]);
    expect(texts.map(([what]) => what)).toEqual(Object.keys(details));
    for (const [what, text] of texts) expect(details[what], what).toMatch(pattern(text));
    const [unknown, known] = await Promise.all([
      detailOf(get('/admin/nothing')),
      detailOf(get('/admin/rooms')),
    ]);
    expect(unknown).toBe(known);
  });

  test('the headers of every answer', async () => {
    const { paths } = parse(readFileSync(join(TOP, 'openapi.yaml'), 'utf8'));
    const calls = Object.entries<object>(paths).flatMap(([path, methods]) =>
      ['options', 'head', 'brew', ...Object.keys(methods)].map((method): [string, string] => [
        path.replace(/\{\w+\}/g, 'lobby'),
        method.toUpperCase(),
      ]),
    );
    for (const [path, method] of calls) {
      await get(path, {}, method);
      await get(path, { Authorization: 'Bearer wrong' }, method);
      await get(path, { Accept: 'text/html' }, method);
      await get(path, { Origin: 'https://evil.example' }, method);
    }
    await ask(request('/rooms/lobby', { Accept: 'text/event-stream' }));
    await ask(request('/livez'));
    await get('/client.js');
    await get('/', { Accept: 'text/html' });
    await get('/rooms/lobby', { Origin: server.url, Host: server.url.replace('http://', '') });
    await ask(handshake('/rooms/lobby', { 'Sec-WebSocket-Version': '8' }));
    await ask(handshake('/rooms/lobby', { 'Sec-WebSocket-Protocol': 'belfry, other' }));
    for (const bytes of [
      'nonsense\r\n\r\n',
      'GET /livez HTTP/2.0\r\n\r\n',
      request('/livez', { Expect: 'cake' }),
    ])
      await ask(bytes);
    const guarded = Object.keys(SECURITY_HEADERS).map((name) => name.toLowerCase());
    const others = [...headers].filter((name) => !guarded.includes(name) && name !== 'permissions-policy');
    expect(others.sort()).toEqual(told.get('the headers of an answer'));
  });
});

/** Runs last: what the stranger got in the tests before counts. */
test('a stranger gets nothing of what only operators know', () => {
  const rows = table(SECURITY, 'only operators know').map(([what]) => what);
  expect(rows).toEqual(Object.keys(SECRETS));
  expect(heard.length).toBeGreaterThan(300);
  for (const [what, secrets] of Object.entries(SECRETS)) {
    for (const secret of secrets)
      expect(
        heard.filter((text) => text.includes(secret)),
        what,
      ).toEqual([]);
  }
});

/** Calls the admin API with the token. */
async function operator(method: string, path: string): Promise<void> {
  const authorization = 'Bearer token-secret-of-some-length';
  const { ok } = await fetch(`${server.url}/admin${path}`, { method, headers: { authorization } });
  expect(ok).toBe(true);
}

/** What a second client is told, in another room, where these limits are in force. */
async function fullDetail(limits: object): Promise<string> {
  const full = await startServer({ limits });
  onTestFinished(() => full.belfry.stop(AbortSignal.abort()));
  await new SocketGuest(`${full.url}/rooms/a`).event('hello');
  return detailOf(ask(handshake('/rooms/b'), full.port));
}

/** A text of the document, in which `…` stands for what varies. */
function pattern(text: string): RegExp {
  const parts = text.split('…').map((part) => part.replace(/[.*+?^${}()|[\]\\]/g, '\\$&'));
  return new RegExp(`^${parts.join('.+')}$`);
}
