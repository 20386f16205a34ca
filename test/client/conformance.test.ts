import { join } from 'node:path';
import type { Browser } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Collected } from '../e2e/collected.ts';
import { type Embedded, embedded, TOKEN } from '../e2e/embedded.ts';
import { emptyFolder } from '../e2e/process.ts';
import { launchBrowser, requireTool } from '../helpers/browser.ts';
import { signed } from '../helpers/tokens.ts';
import { type Heard, inBrowser, inNode, pageOf, type Subject } from './subjects.ts';

const chromium = requireTool('chromium');
/** A browser beside all other tests is slow: nothing here asks for how long something takes. */
const PATIENCE_MS = 30_000;

let browser: Browser;
beforeAll(async () => {
  if (chromium) browser = await launchBrowser(chromium);
});
afterAll(() => browser?.close());

const subjects: readonly Subject[] = [
  inNode('websocket'),
  inNode('sse'),
  ...(chromium ? [inBrowser('websocket', () => browser), inBrowser('sse', () => browser)] : []),
];

const SECRET = 'a-secret-of-thirty-two-bytes-or-more';
const CLOCK = { name: 'clock', every: '500ms', feed: { type: 'time' } };
const RULES = [{ match: '*', publish: 'members', history: 100 }];

const datas = (heard: Collected<Heard>) =>
  heard.all.filter(({ name }) => name === 'message').map(({ value }) => value.data);
const named = (name: string) => (heard: Heard) => heard.name === name;
const hasData = (data: unknown) => (heard: Heard) => heard.name === 'message' && heard.value.data === data;
const isState = (state: string) => (heard: Heard) => heard.name === 'state' && heard.value.name === state;
const isHello = ({ name, value }: Heard) => name === 'received' && value.event === 'hello';

/** A server that can be stopped, and started again on its port. */
async function restartable(document: object = {}) {
  const config = { rooms: RULES, schedules: [CLOCK], ...document };
  const first = await embedded(config);
  const { hostname, port } = new URL(first.url);
  return {
    url: first.url,
    admin: first.admin,
    stop: () => first.belfry.stop(),
    again: (): Promise<Embedded> => embedded({ ...config, server: { host: hostname, port: Number(port) } }),
  };
}

const send = ({ admin }: Pick<Embedded, 'admin'>, data: unknown, more: object = {}) =>
  admin('POST', '/broadcast', { rooms: 'lobby', data, ...more });

describe.each(subjects)('the client library $name', { timeout: 2 * PATIENCE_MS }, ({ start, transport }) => {
  const canSend = transport === 'websocket';

  test('hands over what it missed and what comes, once and in order', async () => {
    const { url, belfry } = await embedded({ rooms: RULES, schedules: [CLOCK] });
    const target = { rooms: ['lobby'] };
    for (let n = 0; n < 5; n++) await belfry.publish({ target, data: n });
    const { heard, view } = await start(url, { rooms: ['lobby'], device: 'wall-1' });
    await heard.find(hasData(4), PATIENCE_MS);
    for (let n = 5; n < 200; n++) void belfry.publish({ target, data: n });
    await heard.find(hasData(199), PATIENCE_MS);
    expect(datas(heard)).toEqual(Array.from({ length: 200 }, (_, n) => n));
    await heard.find(named('tick'), PATIENCE_MS);
    await expect
      .poll(async () => (await view()).freshness, { timeout: PATIENCE_MS })
      .toEqual([['clock', 'live']]);
    expect(await view()).toMatchObject({ state: 'open', transport, rooms: ['lobby'] });
  });

  test('knows the time of the server within its bound', async () => {
    const { url } = await embedded({ rooms: RULES });
    const { view } = await start(url, { rooms: ['lobby'] });
    await expect.poll(async () => (await view()).errorMs, { timeout: PATIENCE_MS }).toBeLessThan(1000);
    const beforeMs = Date.now();
    const { nowMs, errorMs } = await view();
    expect(nowMs).toBeGreaterThanOrEqual(beforeMs - errorMs);
    expect(nowMs).toBeLessThanOrEqual(Date.now() + errorMs);
  });

  test('goes on after a restart of the server, with what was sent meanwhile', async () => {
    const server = await restartable({ store: { path: join(emptyFolder(), 'data') } });
    const { heard, view } = await start(server.url, { rooms: ['lobby'] });
    await heard.find(isHello, PATIENCE_MS);
    await send(server, 'before', { key: 'notice' });
    await heard.find(hasData('before'), PATIENCE_MS);
    await server.stop();
    await heard.find(isState('waiting'), PATIENCE_MS);
    expect((await view()).freshness).toEqual([['clock', 'stale']]);
    const again = await server.again();
    await send(again, 'meanwhile');
    await heard.find(hasData('meanwhile'), PATIENCE_MS);
    await send(again, 'after');
    await heard.find(hasData('after'), PATIENCE_MS);
    expect(datas(heard)).toEqual(['before', 'meanwhile', 'after']);
    expect(heard.all.filter(named('gap'))).toEqual([]);
    expect((await view()).retained).toEqual([['lobby notice', 'before']]);
  });

  test('reports a gap after a restart of a server that keeps nothing, and what is retained is gone', async () => {
    const server = await restartable();
    const { heard, view } = await start(server.url, { rooms: ['lobby'] });
    await heard.find(isHello, PATIENCE_MS);
    await send(server, 'before', { key: 'notice' });
    await heard.find(hasData('before'), PATIENCE_MS);
    await server.stop();
    const again = await server.again();
    expect(await heard.find(named('gap'), PATIENCE_MS)).toEqual({
      name: 'gap',
      value: { event: 'gap', room: 'lobby' },
    });
    await send(again, 'after');
    await heard.find(hasData('after'), PATIENCE_MS);
    expect(datas(heard)).toEqual(['before', 'after']);
    expect((await view()).retained).toEqual([]);
  });

  test('follows retained messages: replaced, withdrawn and ended', async () => {
    const server = await embedded({ rooms: RULES });
    await send(server, 'soup', { key: 'lunch' });
    const { heard, view } = await start(server.url, { rooms: ['lobby'] });
    const retained = () => expect.poll(async () => (await view()).retained, { timeout: PATIENCE_MS });
    await retained().toEqual([['lobby lunch', 'soup']]);
    await send(server, 'fish', { key: 'lunch' });
    await send(server, 'short', { key: 'note', ttl: '1s' });
    await heard.find(hasData('short'), PATIENCE_MS);
    await retained().toEqual([['lobby lunch', 'fish']]);
    await server.admin('DELETE', '/retained/lunch');
    await retained().toEqual([]);
    expect(datas(heard)).toEqual(['soup', 'fish', 'short']);
  });

  test('comes back to a room that was locked for a while, with what was sent meanwhile', async () => {
    const server = await embedded({ rooms: RULES });
    const { heard } = await start(server.url, { rooms: ['lobby'] });
    await heard.find(isHello, PATIENCE_MS);
    await server.admin('DELETE', '/rooms/lobby?lock=1s&reason=cleaning');
    const { value } = await heard.find(isState('waiting'), PATIENCE_MS);
    expect(value.ending.closing).toMatchObject({ code: 4001, reason: 'cleaning', reconnect: true });
    await send(server, 'clean');
    await heard.find(hasData('clean'), PATIENCE_MS);
    expect(heard.all.filter(named('gap'))).toEqual([]);
  });

  test('comes back to one of two rooms that was locked, and the other goes on', async () => {
    const server = await embedded({ rooms: RULES });
    const { heard, view } = await start(server.url, { rooms: ['lobby', 'hall'] });
    await heard.find(isHello, PATIENCE_MS);
    await server.admin('DELETE', '/rooms/hall?lock=1s');
    await expect.poll(async () => (await view()).rooms, { timeout: PATIENCE_MS }).toEqual(['lobby']);
    await send(server, 'in the hall', { rooms: 'hall' });
    await send(server, 'in the lobby');
    await heard.find(hasData('in the hall'), PATIENCE_MS);
    await heard.find(hasData('in the lobby'), PATIENCE_MS);
    expect(datas(heard)).toHaveLength(2);
    expect([...(await view()).rooms].sort()).toEqual(['hall', 'lobby']);
  });

  test('stays away where the room was closed for good', async () => {
    const server = await embedded({ rooms: RULES });
    const { heard, view } = await start(server.url, { rooms: ['lobby'] });
    await heard.find(isHello, PATIENCE_MS);
    await server.admin('DELETE', '/rooms/lobby?reconnect=false&lock=1h');
    const { value } = await heard.find(isState('closed'), PATIENCE_MS);
    expect(value.ending.closing).toMatchObject({ code: 4001, reconnect: false });
    expect((await view()).state).toBe('closed');
    const late = await start(server.url, { rooms: ['lobby'] });
    const refused = await late.heard.find(isState('closed'), PATIENCE_MS);
    expect(refused.value.ending).toMatchObject({ how: 'refused', status: canSend ? 423 : 204 });
  });

  test('listens with a token where the room asks for one', async () => {
    const server = await embedded(
      { access: { secretEnv: 'SECRET' }, rooms: [{ match: 'ops', subscribe: 'token' }] },
      { env: { BELFRY_ADMIN_TOKEN: TOKEN, SECRET } },
    );
    const token = await signed({ sub: 'ann', rooms: 'ops' }, SECRET);
    const { heard } = await start(server.url, { rooms: ['ops'], token });
    await heard.find(isHello, PATIENCE_MS);
    await send(server, 'secret', { rooms: 'ops' });
    await heard.find(hasData('secret'), PATIENCE_MS);
    const stranger = await start(server.url, { rooms: ['ops'] });
    const refused = await stranger.heard.find(isState('waiting'), PATIENCE_MS);
    expect(refused.value.ending).toMatchObject({ how: 'refused', status: 401 });
  });

  test('joins and leaves rooms', async () => {
    const server = await embedded({ rooms: [{ match: 'secret', subscribe: 'nobody' }, ...RULES] });
    const { heard, ask, view } = await start(server.url, { rooms: ['lobby'] });
    await heard.find(isHello, PATIENCE_MS);
    await ask('subscribe', 'hall');
    const rooms = () => expect.poll(async () => [...(await view()).rooms].sort(), { timeout: PATIENCE_MS });
    await rooms().toEqual(['hall', 'lobby']);
    await send(server, 'in the hall', { rooms: 'hall' });
    await heard.find(hasData('in the hall'), PATIENCE_MS);
    await ask('unsubscribe', 'lobby');
    await rooms().toEqual(['hall']);
    if (canSend) {
      await expect(ask('subscribe', 'secret')).rejects.toThrow('403');
      await expect(ask('subscribe', 'no room!')).rejects.toThrow('400');
    }
    await rooms().toEqual(['hall']);
  });

  test.runIf(canSend)('publishes, also before it is connected, and says why it may not', async () => {
    const server = await embedded({ rooms: [{ match: 'silent' }, ...RULES] });
    const { heard, ask } = await start(server.url, { rooms: ['lobby', 'silent'] });
    const reply = await ask('publish', { room: 'lobby', event: 'note', data: { text: 'hi' } });
    expect(reply).toEqual({ id: expect.any(String), connections: 1 });
    const { value } = await heard.find(named('message'), PATIENCE_MS);
    expect(value).toMatchObject({ room: 'lobby', event: 'note', data: { text: 'hi' } });
    await expect(ask('publish', { room: 'silent', data: 1 })).rejects.toThrow('403');
    await expect(ask('publish', { data: 1 })).rejects.toThrow('400');
  });

  test.skipIf(canSend)('says that it cannot publish', async () => {
    const { url } = await embedded({ rooms: RULES });
    const { heard, ask } = await start(url, { rooms: ['lobby'] });
    await heard.find(isHello, PATIENCE_MS);
    await expect(ask('publish', { data: 1 })).rejects.toThrow('501');
  });

  test('ends with close', async () => {
    const { url, admin } = await embedded({ rooms: RULES });
    const { heard, ask, view } = await start(url, { rooms: ['lobby'] });
    await heard.find(isHello, PATIENCE_MS);
    await ask('close');
    expect((await view()).state).toBe('closed');
    const connections = async () => (await admin('GET', '/connections')).answer.items?.length;
    await expect.poll(connections, { timeout: PATIENCE_MS }).toBe(0);
  });
});

// What the contract promises to clients without the library.
describe.skipIf(!chromium).each(['WebSocket', 'EventSource'] as const)(
  'a bare %s in a browser',
  { timeout: 2 * PATIENCE_MS },
  (kind) => {
    /** Opens one in a page, and reports what it gets. */
    async function open(url: string, path: string): Promise<Collected<Heard>> {
      const { page, heard } = await pageOf(browser, url);
      const address = kind === 'WebSocket' ? url.replace(/^http/, 'ws') + path : url + path;
      await page.evaluate(`{
        const source = new ${kind}(${JSON.stringify(address)});
        source.onmessage = ({ data }) => hear('received', data);
        source.onclose = ({ code }) => hear('closed', String(code));
      }`);
      return heard;
    }
    const data = (value: unknown) => (heard: Heard) => heard.value.data === value;
    const messages = (heard: Collected<Heard>) =>
      heard.all.filter(({ value }) => value.event === 'message').map(({ value }) => value.data);

    test('gets what it missed and what comes, once and in order', async () => {
      const { url, belfry } = await embedded({ rooms: RULES, schedules: [CLOCK] });
      const target = { rooms: ['lobby'] };
      for (let n = 0; n < 5; n++) await belfry.publish({ target, data: n });
      const heard = await open(url, '/rooms/lobby');
      await heard.find(data(4), PATIENCE_MS);
      for (let n = 5; n < 200; n++) void belfry.publish({ target, data: n });
      await heard.find(data(199), PATIENCE_MS);
      expect(messages(heard)).toEqual(Array.from({ length: 200 }, (_, n) => n));
      await heard.find(({ value }) => value.tick !== undefined, PATIENCE_MS);
    });

    test('is told why a room is closed, and comes back where it does so by itself', async () => {
      const server = await embedded({ rooms: RULES });
      const heard = await open(server.url, '/rooms/lobby');
      await heard.find(({ value }) => value.event === 'hello', PATIENCE_MS);
      await server.admin('DELETE', '/rooms/lobby?lock=1s&reason=cleaning');
      const { value } = await heard.find((each) => each.value.event === 'closing', PATIENCE_MS);
      expect(value.data).toMatchObject({ code: 4001, reason: 'cleaning', reconnect: true });
      if (kind === 'WebSocket') {
        expect((await heard.find(({ name }) => name === 'closed', PATIENCE_MS)).value).toBe(4001);
        return;
      }
      await send(server, 'clean');
      await heard.find(data('clean'), PATIENCE_MS);
      expect(messages(heard)).toEqual(['clean']);
    });

    test.runIf(kind === 'EventSource')('resumes by itself after a restart of the server', async () => {
      const server = await restartable({ store: { path: join(emptyFolder(), 'data') } });
      const heard = await open(server.url, '/rooms/lobby');
      await heard.find(({ value }) => value.event === 'hello', PATIENCE_MS);
      await send(server, 'before');
      await heard.find(data('before'), PATIENCE_MS);
      await server.stop();
      const again = await server.again();
      await send(again, 'meanwhile');
      await heard.find(data('meanwhile'), PATIENCE_MS);
      expect(messages(heard)).toEqual(['before', 'meanwhile']);
    });
  },
);
