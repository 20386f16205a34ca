import type { Browser, Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { launchBrowser, requireTool } from '../helpers/browser.ts';
import { startServer, type TestServer } from '../helpers/server.ts';

const chromium = requireTool('chromium');

describe.skipIf(!chromium)('the room page on a real server', () => {
  let browser: Browser;
  let page: Page;
  let server: TestServer;

  beforeAll(async () => {
    browser = await launchBrowser(chromium ?? '');
  });
  afterAll(() => browser.close());
  beforeEach(async () => {
    server = await startServer({
      rooms: [{ match: 'lobby', publish: 'members' }],
      schedules: [{ name: 'clock', every: '500ms', feed: { type: 'time' } }],
    });
    page = await browser.newPage();
    page.setDefaultTimeout(10_000);
  });
  afterEach(async () => {
    await page.close();
    await server.stop();
  });

  const sees = (where: string, text: string | RegExp) =>
    page.locator(where).filter({ hasText: text }).first().waitFor({ state: 'visible' });

  it('opens, shows the ticks unbroken, publishes text as text, and says why the room was closed', async () => {
    const evil = '<img src=x onerror="window.ran=true">';
    await page.goto(`${server.url}/rooms/lobby?inspect`);
    await sees('#state', 'Open over WebSocket');
    await sees('.tick:has(h3:text-is("clock")) .chain', /unbroken, [3-9] seen/);
    await page.getByLabel('Text, or JSON').fill(evil);
    await page.getByRole('button', { name: 'Send' }).click();
    await sees('#messages .body', evil);
    await server.belfry.publish({ target: { rooms: ['lobby'] }, data: { text: `by curl ${evil}` } });
    await sees('#messages .body', `by curl ${evil}`);
    expect(await page.locator('main img').count()).toBe(0);
    expect(await page.evaluate('window.ran')).toBeUndefined();
    await server.admin('/rooms/lobby?reason=closed+for+the+night&reconnect=false', { method: 'DELETE' });
    await sees('#state', 'Closed: closed for the night (4001)');
  });
});
