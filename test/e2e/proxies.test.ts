import { once } from 'node:events';
import { get, type IncomingMessage, request } from 'node:http';
import { describe, expect, onTestFinished, test, vi } from 'vitest';
import { WebSocket } from 'ws';
import { PATIENCE } from '../feed/upstream.ts';
import { type Embedded, embedded } from './embedded.ts';
import { isTick, visit } from './listeners.ts';
import { freePort, NGINX, startNginx } from './nginx.ts';
import { PROXIES, type ReverseProxy } from './proxies.ts';

/** nginx with as little as it works with. */
const WITHOUT: ReverseProxy = {
  name: 'nginx',
  isHere: NGINX !== undefined,
  start: (port, host) => startNginx(port, `location / { proxy_pass http://${host}; }`),
};
/** Who comes from another machine than the proxy's. */
const ELSEWHERE = '127.0.0.2';

for (const proxy of PROXIES) {
  describe.skipIf(!proxy.isHere)(`behind ${proxy.name}, with the lines of docs/proxies.md`, () => {
    test('the page, with all that it loads', async () => {
      const { ask, url } = await behind(proxy);
      const page = await ask('/rooms/lobby', { accept: 'text/html' });
      expect(page.status).toBe(200);
      const files = [...page.body.matchAll(/(?:src|href)="([^"#]+)"/g)].map(
        ([, path = '']) => new URL(path, `${url}/rooms/lobby`).pathname,
      );
      expect(files.length).toBeGreaterThan(1);
      for (const path of files) expect((await ask(path)).status, path).toBe(200);
    });

    test('WebSocket, from a page of its own', async () => {
      const { url, host, belfry } = await behind(proxy);
      const guest = await visit(`${url}/rooms/lobby`, {
        localAddress: ELSEWHERE,
        headers: { host },
        origin: `http://${host}`,
      });
      await guest.received.several(2, isTick);
      guest.send({ action: 'publish', data: 'through' });
      await guest.received.find(({ data }) => data === 'through');
      const { answer } = await belfry.admin('GET', '/connections');
      expect(answer.items).toMatchObject([{ remoteAddress: ELSEWHERE, transport: 'websocket' }]);
    });

    test('SSE, each event as it happens', async () => {
      const { listen, belfry } = await behind(proxy);
      await listen(2);
      const { answer } = await belfry.admin('GET', '/connections?transport=sse');
      expect(answer.items).toMatchObject([{ remoteAddress: ELSEWHERE }]);
    });

    test('JSON, read by a page of its own', async () => {
      const { ask, host } = await behind(proxy);
      const { status, body } = await ask('/rooms/lobby', { origin: `http://${host}` });
      expect(status).toBe(200);
      expect(JSON.parse(body)).toMatchObject({ room: 'lobby', ticks: [{ event: 'time' }] });
    });

    test('the admin API', async () => {
      const { ask } = await behind(proxy);
      const authorization = 'Bearer test';
      const broadcast = await ask('/admin/broadcast', { authorization }, '{"data":"hi"}');
      expect([broadcast.status, JSON.parse(broadcast.body).connections]).toEqual([200, 0]);
      expect((await ask('/admin/rooms', { authorization })).status).toBe(200);
      expect((await ask('/admin/rooms')).status).toBe(401);
    });

    test('nothing, until server.publicUrl is set, which the answer says', async () => {
      const { ask } = await behind(proxy, () => ({}));
      for (const path of ['/rooms/lobby', '/admin/rooms']) {
        const { status, body } = await ask(path);
        expect([status, JSON.parse(body).detail]).toEqual([421, expect.stringContaining('server.publicUrl')]);
      }
    });
  });
}

describe.skipIf(NGINX === undefined)('behind nginx, with proxy_pass alone', () => {
  test('the page, SSE, JSON and the admin API work', async () => {
    const { ask, listen } = await behind(WITHOUT);
    expect((await ask('/rooms/lobby', { accept: 'text/html' })).status).toBe(200);
    expect((await ask('/rooms/lobby')).status).toBe(200);
    expect((await ask('/admin/rooms', { authorization: 'Bearer test' })).status).toBe(200);
    await listen(2);
  });

  test('a WebSocket is refused, and the answer names the lines that are missing', async () => {
    const { url, host } = await behind(WITHOUT);
    const socket = new WebSocket(`${url.replace('http', 'ws')}/rooms/lobby`, { headers: { host } });
    const [, response] = (await once(socket, 'unexpected-response')) as [unknown, IncomingMessage];
    expect(response.statusCode).toBe(426);
    const { detail } = JSON.parse(await bodyOf(response));
    for (const line of ['proxy_http_version 1.1', 'proxy_set_header Upgrade', 'Connection']) {
      expect(detail).toContain(line);
    }
    socket.on('error', () => {}).terminate();
  });

  test('a page is refused until server.publicUrl is set, which the answer says', async () => {
    const { ask, host } = await behind(WITHOUT, () => ({}));
    const { status, body } = await ask('/rooms/lobby', { origin: `http://${host}` });
    expect([status, JSON.parse(body).detail]).toEqual([403, expect.stringContaining('server.publicUrl')]);
    const told = await behind(WITHOUT);
    const origin = `http://${told.host}`;
    expect((await told.ask('/rooms/lobby', { origin })).status).toBe(200);
  });
});

interface Answered {
  readonly status: number;
  readonly body: string;
}

interface Behind {
  readonly belfry: Embedded;
  /** Of the proxy, by its address. */
  readonly url: string;
  /** What the world calls it. */
  readonly host: string;
  /** Asks with a `Host` header as the world does; with a body it is a POST. */
  ask(path: string, headers?: Record<string, string>, body?: string): Promise<Answered>;
  /** Resolves when so many ticks have come over SSE, one after the other; stays connected. */
  listen(ticks: number): Promise<void>;
}

/** A server with a proxy before it; both are gone when the test is over. */
async function behind(
  proxy: ReverseProxy,
  settings = (host: string): object => ({ publicUrl: `http://${host}`, trustProxy: ['127.0.0.1'] }),
): Promise<Behind> {
  const port = await freePort();
  const host = `wall.example.com:${port}`;
  const belfry = await embedded({
    server: settings(host),
    rooms: [{ match: '*', publish: 'members' }],
    schedules: [{ name: 'clock', every: '300ms', feed: { type: 'time' } }],
  });
  await proxy.start(port, new URL(belfry.url).host);
  const url = `http://127.0.0.1:${port}`;
  const options = (headers: Record<string, string>) => ({
    localAddress: ELSEWHERE,
    headers: { host, ...headers },
    agent: false as const,
  });
  return {
    belfry,
    url,
    host,
    async ask(path, headers = {}, body) {
      const asking = request(url + path, {
        ...options(headers),
        method: body === undefined ? 'GET' : 'POST',
      });
      asking.end(body);
      const [response] = (await once(asking, 'response')) as [IncomingMessage];
      return { status: response.statusCode ?? 0, body: await bodyOf(response) };
    },
    async listen(ticks) {
      const asking = get(`${url}/rooms/lobby`, options({ accept: 'text/event-stream' }));
      onTestFinished(() => void asking.destroy());
      const [response] = (await once(asking, 'response')) as [IncomingMessage];
      expect(response.statusCode).toBe(200);
      response.on('error', () => {});
      // Live ones, each within its interval: what was held back would come several at a time.
      const arrivals: string[] = [];
      response.setEncoding('utf8').on('data', (text: string) => {
        if (text.includes('"tick"') && !text.includes('"replay"')) arrivals.push(text);
      });
      await vi.waitUntil(() => arrivals.length >= ticks, PATIENCE);
      for (const text of arrivals) expect(text.match(/"tick"/g)).toHaveLength(1);
    },
  };
}

async function bodyOf(response: IncomingMessage): Promise<string> {
  const parts: Buffer[] = [];
  for await (const part of response) parts.push(part);
  return Buffer.concat(parts).toString();
}
