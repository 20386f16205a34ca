import type { Browser } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { serve } from '../e2e/process.ts';
import { launchBrowser, requireTool } from '../helpers/browser.ts';
import { type Heard, inBrowser } from './subjects.ts';

/** A tick each second: what is shown is stale one interval and 2 s after the last one was due. */
const STALE_MS = 1000 + 1000 + 2000;
/** The machine that runs the tests may be busy. */
const SLACK_MS = 2000;
const BACK_MS = 10_000;
const PATIENCE_MS = 20_000;
const HOUR_MS = 3_600_000;

const chromium = requireTool('chromium');
let browser: Browser;
beforeAll(async () => {
  if (chromium) browser = await launchBrowser(chromium);
});
afterAll(() => browser?.close());

const named =
  (name: string) =>
  (heard: Heard): boolean =>
    heard.name === name;

describe.skipIf(!chromium).each([inBrowser('websocket', () => browser), inBrowser('sse', () => browser)])(
  'the client library $name',
  { timeout: 2 * PATIENCE_MS },
  ({ start, transport }) => {
    async function opened() {
      const { url, pid } = await serve({
        config: {
          server: { heartbeatSeconds: 1 },
          schedules: [{ name: 'clock', every: '1s', feed: { type: 'time' } }],
        },
      });
      const client = await start(url, { rooms: ['lobby'] }, ['tick', 'state', 'received']);
      await client.heard.find(named('tick'), PATIENCE_MS);
      await expect
        .poll(async () => (await client.view()).errorMs, { timeout: PATIENCE_MS })
        .toBeLessThan(5000);
      // The page that `start` has opened.
      const page = browser.contexts().at(-1)?.pages().at(-1);
      if (!page) throw new Error('no page is open');
      return { client, page, pid };
    }

    test('calls a value stale in time when the server hangs, and comes back when it goes on', async () => {
      const { client, pid } = await opened();
      const shown = async () => {
        const { state, freshness } = await client.view();
        return [state, ...freshness.flat()];
      };
      await expect.poll(shown, { timeout: PATIENCE_MS }).toEqual(['open', 'clock', 'live']);
      process.kill(pid, 'SIGSTOP');
      try {
        await expect
          .poll(async () => (await client.view()).freshness, { timeout: STALE_MS + SLACK_MS })
          .toEqual([['clock', 'stale']]);
        const isSilent = ({ name, value }: Heard) => name === 'state' && value.ending?.silentMs > 0;
        await client.heard.find(isSilent, PATIENCE_MS);
      } finally {
        process.kill(pid, 'SIGCONT');
      }
      await expect.poll(shown, { timeout: BACK_MS }).toEqual(['open', 'clock', 'live']);
    });

    test("keeps the time within its bound when the page's clock is set", async () => {
      const { client, page } = await opened();
      for (const stepMs of [HOUR_MS, -HOUR_MS]) {
        await page.evaluate((ms) => {
          const { now } = Date;
          Date.now = () => now() + ms;
        }, stepMs);
        const faultMs = async () => {
          const beforeMs = Date.now();
          const { nowMs, errorMs } = await client.view();
          return Math.max(beforeMs - nowMs - errorMs, nowMs - errorMs - Date.now() - 1, 0);
        };
        expect(await faultMs()).toBe(0);
        // A step ahead may be a sleep: the bound is wide until the clocks have been compared again.
        await expect
          .poll(async () => (await client.view()).errorMs, { timeout: PATIENCE_MS })
          .toBeLessThan(5000);
        expect(await faultMs()).toBe(0);
      }
    });

    test('looks after its connection when the page can be seen again', async () => {
      const { client, page } = await opened();
      // After a connection is open the clocks are compared four times.
      if (transport === 'websocket') {
        const isTime = ({ name, value }: Heard) => name === 'received' && value.reply === 'time';
        await client.heard.several(4, isTime, PATIENCE_MS);
        client.heard.all.splice(0);
        await page.evaluate(() => document.dispatchEvent(new Event('visibilitychange')));
        await client.heard.find(isTime, PATIENCE_MS);
        return;
      }
      client.heard.all.splice(0);
      await page.evaluate(() => document.dispatchEvent(new Event('visibilitychange')));
      // A stream cannot be asked for a sign of life.
      const isOpen = ({ name, value }: Heard) => name === 'state' && value.name === 'open';
      await client.heard.find(isOpen, PATIENCE_MS);
    });
  },
);
