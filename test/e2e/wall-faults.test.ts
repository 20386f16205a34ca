import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { launchBrowser, requireTool } from '../helpers/browser.ts';
import { signed } from '../helpers/tokens.ts';
import { type Server, serve } from './process.ts';

const chromium = requireTool('chromium');

/** How often each fault is tried, over both transports. Without it each is tried once, over one. */
const IS_DOSE = process.env.WALL_TRIES === undefined;
const TRIES = Number(process.env.WALL_TRIES ?? 1);
/** The interval of the clock, in seconds. */
const EVERY_SECONDS = 1;
/** Grey within an interval and 2 s of the fault; measured beside other tests, so with some time more. */
const GREY_MS = (EVERY_SECONDS + 2) * 1000;
/** Live again so long after the cause is gone. */
const BACK_MS = 10_000;
/** For a browser and a server that share two processors with other tests. */
const SLACK_MS = IS_DOSE ? 8000 : 1500;

const TOKEN = 'the-token-of-the-operator';
const SECRET = 'a-secret-of-thirty-two-bytes-or-more';
const CLOCK = { name: 'clock', every: `${EVERY_SECONDS}s`, feed: { type: 'time' } };

type Transport = 'websocket' | 'sse';
const TRANSPORTS: Transport[] = ['websocket', 'sse'];

describe.skipIf(!chromium)('a wall in trouble', { timeout: TRIES * 120_000 }, () => {
  let browser: Browser;
  beforeAll(async () => {
    browser = await launchBrowser(chromium ?? '');
  });
  afterAll(() => browser.close());

  /** Opens a wall and waits until it is live. It is never loaded again: `expectOpen` would notice. */
  async function wall(url: string, transport: Transport, query = ''): Promise<Page> {
    const page = await browser.newPage();
    onTestFinished(() => page.close());
    await page.goto(`${url}/rooms/lobby?transport=${transport}${query}`);
    await becomes(page, ['live'], 30_000);
    await page.evaluate('globalThis.isSameLoad = true');
    return page;
  }

  /** Waits until the state is one of these; resolves to how long that took, in milliseconds. */
  async function becomes(page: Page, states: readonly string[], timeout: number): Promise<number> {
    const startedAtMs = performance.now();
    const selector = states.map((state) => `html[data-state="${state}"]`).join(', ');
    await page.locator(selector).waitFor({ state: 'attached', timeout });
    return performance.now() - startedAtMs;
  }

  const greys = (page: Page) => becomes(page, ['late', 'lost', 'closed'], GREY_MS + SLACK_MS);

  async function comesBack(page: Page): Promise<void> {
    await becomes(page, ['live'], BACK_MS + SLACK_MS);
    expect(await page.evaluate('globalThis.isSameLoad')).toBe(true);
  }

  async function act({ url }: Server, method: string, path: string): Promise<void> {
    const headers = { authorization: `Bearer ${TOKEN}` };
    expect((await fetch(`${url}/admin${path}`, { method, headers })).status).toBe(200);
  }

  const env = { BELFRY_ADMIN_TOKEN: TOKEN, SECRET };
  const tries = Array.from({ length: TRIES }, (_, index) => index + 1);

  describe.each(TRANSPORTS)('over %s', (transport) => {
    /** The transport of the one try. */
    const by = (one: Transport) => test.skipIf(IS_DOSE && transport !== one);

    by('websocket')('is grey while the server hangs, and back when it goes on', async () => {
      const server = await serve({ config: { schedules: [CLOCK] }, env });
      const page = await wall(server.url, transport);
      for (const _ of tries) {
        server.child.kill('SIGSTOP');
        await greys(page);
        expect(await page.locator('.clock.old').count()).toBe(1);
        server.child.kill('SIGCONT');
        await comesBack(page);
      }
    });

    by('sse')('is grey when the server is killed, and back when it runs again', async () => {
      let server = await serve({ config: { schedules: [CLOCK] }, env });
      const { port } = new URL(server.url);
      const page = await wall(server.url, transport);
      for (const _ of tries) {
        server.child.kill('SIGKILL');
        await greys(page);
        await server.ended;
        server = await serve({ config: { schedules: [CLOCK] }, args: ['--port', port], env });
        await comesBack(page);
      }
    });

    by('websocket')('is grey while its room is locked for 6 s, and back after it', async () => {
      const server = await serve({ config: { schedules: [CLOCK] }, env });
      const page = await wall(server.url, transport);
      for (const _ of tries) {
        await act(server, 'DELETE', '/rooms/lobby?lock=6s&reason=cleaning');
        await greys(page);
        await page.locator('.state').filter({ hasText: 'cleaning' }).waitFor();
        await becomes(page, ['live'], 6000 + BACK_MS + SLACK_MS);
      }
    });

    by('sse')('says that a feed has failed, with its age, and is live when it is well again', async () => {
      let isWell = true;
      const upstream = await listening((_, response) => {
        response.writeHead(isWell ? 200 : 500, { 'Content-Type': 'application/json' }).end('42');
      });
      const prices = { name: 'prices', every: '1s', feed: { type: 'http', url: upstream } };
      const server = await serve({ config: { schedules: [CLOCK, prices] }, env });
      const page = await wall(server.url, transport);
      for (const _ of tries) {
        isWell = false;
        await becomes(page, ['late'], GREY_MS + SLACK_MS);
        await page
          .locator('.card.error .age')
          .filter({ hasText: 'the source answered with an error' })
          .waitFor();
        isWell = true;
        // The server waits longer between reads of a source that fails.
        await becomes(page, ['live'], 4 * BACK_MS);
      }
    });

    by('websocket')('is grey when its token has run out', async () => {
      const config = {
        access: { secretEnv: 'SECRET' },
        rooms: [{ match: 'lobby', subscribe: 'token' }],
        schedules: [CLOCK],
      };
      const server = await serve({ config, env });
      const exp = Math.floor(Date.now() / 1000) + 8;
      const token = await signed({ sub: 'wall', rooms: ['lobby'], exp }, SECRET);
      const page = await wall(server.url, transport, `&access_token=${token}`);
      await becomes(page, ['lost', 'closed'], 10_000 + GREY_MS + SLACK_MS);
      await page.locator('.clock.old').waitFor();
    });
  });
});

/** A server that answers everything so, until the test is over; resolves to its address. */
async function listening(
  answer: (request: IncomingMessage, response: ServerResponse) => void,
): Promise<string> {
  const server = createServer(answer);
  onTestFinished(() => void server.close().closeAllConnections());
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  // It listens on TCP.
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
}
