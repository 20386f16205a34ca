import { readdirSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { describe, expect, onTestFinished, test } from 'vitest';
import { launchBrowser, requireTool } from '../helpers/browser.ts';
import { handshake, RawClient, request } from '../helpers/raw.ts';
import { type Server, serve } from './process.ts';

const chromium = requireTool('chromium');
/** A file that the page loads. */
const [CODE] = readdirSync(new URL('../../dist/assets/', import.meta.url));
const TOKEN = 'a token of sixteen characters or more'.replaceAll(' ', '-');

/** As the README opens it to other machines. */
const open = (port = 0) =>
  serve({ args: ['--host', '0.0.0.0', '--port', String(port)], env: { BELFRY_ADMIN_TOKEN: TOKEN } });
const portOf = ({ url }: Server) => Number(new URL(url).port);

/** What Chromium sends over plain HTTP to the origin that a page came from. */
const CHROMIUM = {
  'User-Agent': 'Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/156.0.0.0',
  'Accept-Encoding': 'gzip, deflate',
  'Accept-Language': 'en-US,en;q=0.9',
};

const REQUESTS: Record<string, (headers: Record<string, string>) => string> = {
  'the page': (headers) => request('/rooms/lobby', { Accept: 'text/html', ...headers }),
  'the values as JSON': (headers) => request('/rooms/lobby', { Accept: 'application/json', ...headers }),
  'a stream of events': (headers) => request('/rooms/lobby', { Accept: 'text/event-stream', ...headers }),
  'a WebSocket': (headers) => handshake('/rooms/lobby', { Origin: `http://${headers.Host}`, ...headers }),
  'the time': (headers) => request('/time', headers),
  'the front page': (headers) => request('/', headers),
  'the code of the page': (headers) => request(`/pages/${CODE}`, headers),
  'the description': (headers) => request('/openapi.yaml', headers),
  'the admin API': (headers) => request('/admin/rooms', { Authorization: `Bearer ${TOKEN}`, ...headers }),
  'the metrics': (headers) => request('/metrics', { Authorization: `Bearer ${TOKEN}`, ...headers }),
};

describe('listening for every machine without a public address', () => {
  test('a browser that was led here by a foreign name gets nothing', async () => {
    const server = await open();
    const port = portOf(server);
    for (const [what, asking] of Object.entries(REQUESTS)) {
      const led = await statusOf(port, asking({ ...CHROMIUM, Host: `evil.example:${port}` }));
      expect([what, led]).toEqual([what, 421]);
      const own = await statusOf(port, asking({ ...CHROMIUM, Host: `127.0.0.1:${port}` }));
      expect([what, own]).not.toEqual([what, 421]);
      expect(own).toBeLessThan(400);
    }
    const probe = { 'User-Agent': 'kube-probe/1.31', Host: 'wall.internal' };
    for (const path of ['/livez', '/readyz', '/rooms/lobby'])
      expect([path, await statusOf(port, request(path, probe))]).toEqual([path, 200]);
  });

  test.skipIf(!chromium)('neither does a page in Chromium, and one at the IP address works', async () => {
    const browser = await launchBrowser(chromium ?? '', ['--host-resolver-rules=MAP *.example 127.0.0.1']);
    onTestFinished(() => browser.close());
    // Where the name leads before it leads to Belfry.
    const attacker = createServer((_, response) => response.end('<!doctype html><title>attack</title>'));
    await new Promise<void>((resolve) => attacker.listen(0, '127.0.0.1', resolve));
    const { port } = attacker.address() as AddressInfo; // it listens on TCP
    const [evil, own] = [await browser.newPage(), await browser.newPage()];
    await evil.goto(`http://evil.example:${port}/`);
    await own.goto(`http://127.0.0.1:${port}/`);
    attacker.closeAllConnections();
    await new Promise((resolve) => attacker.close(resolve));
    await open(port);
    expect(await evil.evaluate(READ_ALL)).toEqual([421, 'refused', 'refused']);
    expect(await own.evaluate(READ_ALL)).toEqual([200, 'hello', 'hello']);
    expect((await evil.goto(`http://evil.example:${port}/rooms/lobby`))?.status()).toBe(421);
    expect((await own.goto(`http://127.0.0.1:${port}/rooms/lobby`))?.status()).toBe(200);
  });
});

/** What a page gets of its own origin. The headers are those that a script may change. */
const READ_ALL = `Promise.all([
  fetch('/rooms/lobby', {
    headers: { accept: 'application/json', 'accept-language': '', 'user-agent': 'curl/8.5.0' },
    referrerPolicy: 'no-referrer',
  }).then(({ status }) => status),
  new Promise((resolve) => {
    const source = new EventSource('/rooms/lobby');
    source.onmessage = ({ data }) => { source.close(); resolve(JSON.parse(data).event); };
    source.onerror = () => resolve('refused');
  }),
  new Promise((resolve) => {
    const socket = new WebSocket('ws://' + location.host + '/rooms/lobby');
    socket.onmessage = ({ data }) => { socket.close(); resolve(JSON.parse(data).event); };
    socket.onerror = () => resolve('refused');
  }),
])`;

async function statusOf(port: number, text: string): Promise<number> {
  const client = new RawClient(port).say(text);
  const heard = await client.until('\r\n\r\n');
  client.reset();
  return Number(heard.split(' ')[1]);
}
