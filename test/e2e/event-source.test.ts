import { once } from 'node:events';
import { createServer } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, onTestFinished, test, vi } from 'vitest';
import { launchBrowser, requireTool } from '../helpers/browser.ts';
import { DOCUMENTED, freePort, startNginx } from './nginx.ts';
import { belfry, fileWith, ready, type Server } from './process.ts';
import { PROXIES, type ReverseProxy } from './proxies.ts';

const chromium = requireTool('chromium');
const HERE = PROXIES.filter(({ isHere }) => isHere);
/** A room whose name looks like that of a file, by which a proxy may choose a content type. */
const PATH = '/rooms/lobby.html';
const DOWN_MS = 10_000;
/** States of an `EventSource`. */
const [OPEN, CLOSED] = [1, 2];
/** A browser beside all other tests is slow. */
const PATIENCE = { timeout: 40_000, interval: 100 };

/** Shows that the lines are what brings an EventSource back. */
const WITHOUT: ReverseProxy = {
  name: 'nginx without the lines',
  isHere: HERE.some(({ name }) => name === 'nginx'),
  start: (port, host) =>
    startNginx(port, DOCUMENTED.replace(/error_page.*/, '').replaceAll('127.0.0.1:8080', host)),
};

describe.skipIf(!chromium || HERE.length === 0)(
  'an EventSource of a browser, on a page of another origin',
  () => {
    test(`is back after 10 s without a server, behind ${HERE.map(({ name }) => name).join(', ')}`, {
      timeout: 3 * PATIENCE.timeout,
    }, async () => {
      const origin = await emptyPage();
      const proxies = [...HERE, ...(WITHOUT.isHere ? [WITHOUT] : [])];
      const port = await freePort();
      const config = fileWith({
        server: { port, allowedOrigins: [origin] },
        schedules: [{ name: 'clock', every: '300ms', feed: { type: 'time' } }],
      });
      const first = await serve(config);
      const urls = await Promise.all(proxies.map((proxy) => started(proxy, `127.0.0.1:${port}`)));
      const browser = await launchBrowser(chromium ?? '');
      onTestFinished(() => browser.close());
      const page = await browser.newPage();
      await page.goto(origin);
      const sources = await page.evaluateHandle(
        (addresses) =>
          addresses.map((address) => {
            const source = new EventSource(address);
            const seen = { source, ticks: 0, errors: 0 };
            source.onmessage = ({ data }) => {
              if (JSON.parse(data).tick) seen.ticks++;
            };
            source.onerror = () => {
              seen.errors++;
            };
            return seen;
          }),
        urls,
      );
      const seen = async () => {
        const all = await sources.evaluate((each) =>
          each.map(({ source: { readyState }, ticks, errors }) => ({ readyState, ticks, errors })),
        );
        return proxies.map(({ name }, index) => ({
          name,
          ...{ readyState: -1, ticks: 0, errors: 0 },
          ...all[index],
        }));
      };
      await vi.waitUntil(async () => (await seen()).every(({ ticks }) => ticks > 1), PATIENCE);

      // Without a word: it does not know how long to stay away.
      process.kill(first.pid, 'SIGKILL');
      await first.ended;
      const endMs = Date.now() + DOWN_MS;
      await vi.waitUntil(async () => (await seen()).every(({ errors }) => errors > 0), PATIENCE);
      const others = await Promise.all(urls.map((url) => fetch(url).then(({ status }) => status)));
      for (const status of others) expect([502, 503]).toContain(status);
      await sleep(endMs - Date.now());
      const away = await seen();
      await serve(config);
      const isBack = async () =>
        (await seen()).every(
          ({ name, ticks }, index) => name === WITHOUT.name || ticks > (away[index]?.ticks ?? 0),
        );
      await vi.waitUntil(isBack, PATIENCE);
      for (const { name, readyState, errors } of await seen()) {
        // Its own `retry` is at most 4 s, so each has asked while the server was away.
        expect(errors, name).toBeGreaterThan(1);
        expect([name, readyState]).toEqual([name, name === WITHOUT.name ? CLOSED : OPEN]);
      }
    });
  },
);

function serve(config: string): Promise<Server> {
  return ready(belfry(['serve', '--config', config]));
}

/** The address of a room behind the proxy. */
async function started(proxy: ReverseProxy, host: string): Promise<string> {
  const port = await freePort();
  await proxy.start(port, host);
  return `http://127.0.0.1:${port}${PATH}`;
}

/** The origin of a page with nothing in it. */
async function emptyPage(): Promise<string> {
  const server = createServer((_, response) => void response.end('<!doctype html>')).listen(0, '127.0.0.1');
  onTestFinished(() => void server.close());
  await once(server, 'listening');
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('not a TCP address');
  return `http://127.0.0.1:${address.port}`;
}
