import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import type { Browser, Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { launchBrowser, requireTool } from '../helpers/browser.ts';
import { startServer, type TestServer } from '../helpers/server.ts';

const chromium = requireTool('chromium');

/** What a page gets from a room in each of the ways that a script has. */
const TRY_ALL = `(url) => Promise.all([
  new Promise((resolve) => {
    const socket = new WebSocket(url.replace('http', 'ws'));
    socket.onmessage = ({ data }) => { socket.close(); resolve(JSON.parse(data).event); };
    socket.onerror = () => resolve('refused');
  }),
  new Promise((resolve) => {
    const source = new EventSource(url);
    source.onmessage = ({ data }) => { source.close(); resolve(JSON.parse(data).event); };
    source.onerror = () => resolve('refused');
  }),
  fetch(url).then((response) => response.json()).then(({ room }) => room, () => 'refused'),
])`;

describe.skipIf(!chromium)('a page from elsewhere', () => {
  let browser: Browser;
  let page: Page;
  let elsewhere: Server;
  let folder: string;
  let server: TestServer | undefined;

  beforeAll(async () => {
    browser = await launchBrowser(chromium ?? '');
    page = await browser.newPage();
    elsewhere = createServer((_, response) => {
      response.writeHead(200, { 'Content-Type': 'text/html' }).end('<!doctype html><title>elsewhere</title>');
    });
    await new Promise<void>((resolve) => elsewhere.listen(0, '127.0.0.1', resolve));
    folder = await mkdtemp(join(tmpdir(), 'belfry-'));
    await writeFile(join(folder, 'page.html'), '<!doctype html><title>from disk</title>');
  });
  afterAll(async () => {
    await browser.close();
    elsewhere.closeAllConnections();
    elsewhere.close();
    await rm(folder, { recursive: true });
  });
  afterEach(() => server?.stop());

  const pages = {
    'served from another origin': () => `http://127.0.0.1:${(elsewhere.address() as AddressInfo).port}`,
    'opened from disk': () => pathToFileURL(join(folder, 'page.html')).href,
  };

  const tryAll = (url: string) => page.evaluate(`(${TRY_ALL})(${JSON.stringify(url)})`);

  it.each(Object.entries(pages))(
    '%s is refused with the key to set, and works after that one edit',
    async (_, address) => {
      server = await startServer();
      await page.goto(address());
      expect(await tryAll(`${server.url}/rooms/lobby`)).toEqual(['refused', 'refused', 'refused']);

      const refused = server.logged.map(({ msg }) =>
        /^origin "(.+)" is not allowed: add it to (\S+)/.exec(msg),
      );
      const origins = refused.map((found) => found?.[1] ?? '');
      expect(refused.map((found) => found?.[2]?.replace(',', ''))).toEqual(
        origins.map(() => 'server.allowedOrigins'),
      );
      expect(new Set(origins).size).toBe(origins.length);
      for (const origin of origins) {
        const { status, body } = await bodyFor(server.url, origin);
        expect(status).toBe(403);
        expect(body.detail).toContain(`origin "${origin}" is not allowed: add it to server.allowedOrigins`);
      }
      await server.stop();

      server = await startServer({ server: { allowedOrigins: origins } });
      expect(await tryAll(`${server.url}/rooms/lobby`)).toEqual(['hello', 'hello', 'lobby']);
      expect(server.logged).toEqual([]);
    },
  );

  it('opened from disk is told both names that it comes by', async () => {
    server = await startServer();
    await page.goto(pages['opened from disk']());
    await tryAll(`${server.url}/rooms/lobby`);
    expect(server.logged.length).toBeGreaterThan(0);
    for (const { msg } of server.logged)
      expect(msg).toContain('(pages opened from disk need both "null" and "file://")');
  });
});

async function bodyFor(url: string, origin: string): Promise<{ status: number; body: { detail: string } }> {
  const response = await fetch(`${url}/rooms/lobby`, { headers: { origin } });
  return { status: response.status, body: (await response.json()) as { detail: string } };
}
