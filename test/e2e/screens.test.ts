import { join } from 'node:path';
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { launchBrowser, requireTool } from '../helpers/browser.ts';
import { embedded } from './embedded.ts';
import { emptyFolder, fileWith, type Server, serve } from './process.ts';

const chromium = requireTool('chromium');

const SCHEDULES = [{ name: 'clock', every: '500ms', feed: { type: 'time' } }];
const TOKEN = 'the-token-of-the-operator';

/** A browser beside all other tests is slow: nothing here asks for how long something takes. */
const PATIENCE_MS = 40_000;

describe.skipIf(!chromium)('a screen that no person looks after', { timeout: 2 * PATIENCE_MS }, () => {
  let browser: Browser;

  beforeAll(async () => {
    browser = await launchBrowser(chromium ?? '');
  });
  afterAll(() => browser.close());

  /** A screen that is switched on. */
  async function screen(url: string): Promise<Page> {
    const page = await browser.newPage();
    onTestFinished(() => page.close());
    page.setDefaultTimeout(PATIENCE_MS);
    await page.goto(url);
    return page;
  }

  /** The same, once it is connected. */
  async function openScreen(url: string): Promise<Page> {
    const page = await screen(url);
    await sees(page, '#state', 'Open over WebSocket');
    return page;
  }

  const sees = (page: Page, where: string, text: string) =>
    page.locator(where).filter({ hasText: text }).first().waitFor({ state: 'visible' });

  /** Ticks come again. The chain may be broken: others had ticks while this screen was away. */
  async function ticksGoOn(page: Page): Promise<void> {
    const due = () => page.locator('.tick .due').first().textContent();
    const before = await due();
    await expect.poll(due, { timeout: PATIENCE_MS }).not.toBe(before);
  }

  test('shows a notice that was sent before it was switched on, until it is withdrawn', async () => {
    // No history, as in a room with a lot of talk: the notice stays all the same.
    const { url, admin } = await embedded({
      rooms: [{ match: 'hall', history: 0, joinHistory: 0 }],
      schedules: SCHEDULES,
    });
    const notice = { rooms: '*', data: { text: 'Lifts are out of order' }, key: 'lifts' };
    expect((await admin('POST', '/broadcast', notice)).status).toBe(200);
    const page = await openScreen(`${url}/rooms/hall?inspect`);
    await sees(page, '#messages .body', 'Lifts are out of order');
    await page.reload();
    await sees(page, '#messages .body', 'Lifts are out of order');
    expect((await admin('DELETE', '/retained/lifts')).status).toBe(200);
    await expect.poll(() => page.locator('#messages .body').count(), { timeout: PATIENCE_MS }).toBe(0);
  });

  test('comes back by itself when its room was locked for 6 s', async () => {
    const { url, admin } = await embedded({ schedules: SCHEDULES });
    const [first, second] = [
      await openScreen(`${url}/rooms/lobby?inspect`),
      await openScreen(`${url}/rooms/lobby?device=two&inspect`),
    ];
    await second.getByLabel('SSE').check();
    await sees(second, '#state', 'Open over SSE');
    expect((await admin('DELETE', '/rooms/lobby?lock=6s&reason=cleaning')).status).toBe(200);
    for (const page of [first, second]) await sees(page, '#state', 'Waiting: cleaning (4001). Next try at');
    // What is sent while it is locked is not lost.
    await admin('POST', '/broadcast', { rooms: 'lobby', data: { text: 'clean' } });
    await sees(first, '#state', 'Open over WebSocket');
    await sees(second, '#state', 'Open over SSE');
    for (const page of [first, second]) {
      await sees(page, '#messages .body', 'clean');
      await ticksGoOn(page);
    }
  });

  test('waits for a room that is locked when it is switched on', async () => {
    const { url, admin } = await embedded({ schedules: SCHEDULES });
    expect((await admin('PUT', '/rooms/lobby/lock?for=10s&reason=cleaning')).status).toBe(200);
    const page = await screen(`${url}/rooms/lobby?inspect`);
    await sees(page, '#state', 'is closed until');
    await sees(page, '#state', 'Open over WebSocket');
    await ticksGoOn(page);
  });

  test('comes back to one of its two rooms that was locked, with what was sent there meanwhile', async () => {
    const { url, admin } = await embedded({ schedules: SCHEDULES });
    const page = await openScreen(`${url}/rooms?room=lobby&room=hall&inspect`);
    expect((await admin('DELETE', '/rooms/hall?lock=2s&reason=cleaning')).status).toBe(200);
    await sees(page, '#log .what', 'cleaning');
    await admin('POST', '/broadcast', { rooms: 'hall', data: { text: 'in the hall' } });
    await admin('POST', '/broadcast', { rooms: 'lobby', data: { text: 'in the lobby' } });
    await sees(page, '#messages .body', 'in the lobby');
    await sees(page, '#messages .body', 'in the hall');
    await sees(page, '#state', 'Open over WebSocket');
    await admin('POST', '/broadcast', { rooms: 'hall', data: { text: 'hall again' } });
    await sees(page, '#messages .body', 'hall again');
    expect(await page.locator('#messages .body').count()).toBe(3);
  });

  test('shows its notice after a power cut, and the room stays locked that was', async () => {
    const store = { path: join(emptyFolder(), 'data') };
    const path = fileWith({ schedules: SCHEDULES, store });
    const env = { BELFRY_ADMIN_TOKEN: TOKEN };
    const before = await serve({ args: ['--config', path], env });
    const notice = { rooms: '*', data: { text: 'Lifts are out of order' }, key: 'lifts' };
    expect(await act(before, 'POST', '/broadcast', notice)).toBe(200);
    expect(await act(before, 'PUT', '/rooms/hall/lock?for=1h')).toBe(200);
    expect(await act(before, 'POST', '/schedules/clock/pause')).toBe(200);
    const page = await openScreen(`${before.url}/rooms/lobby?inspect`);
    await sees(page, '#messages .body', 'Lifts are out of order');
    before.child.kill('SIGKILL');
    await before.ended;
    await sees(page, '#state', 'Waiting');
    const port = new URL(before.url).port;
    const after = await serve({ args: ['--config', path, '--port', port], env });
    await sees(page, '#state', 'Open over WebSocket');
    expect(await page.locator('#messages .body').count()).toBe(1);
    expect((await fetch(`${after.url}/rooms/hall`)).status).toBe(423);
    expect(await act(after, 'POST', '/schedules/clock/resume')).toBe(200);
    const other = await openScreen(`${after.url}/rooms/lobby?inspect`);
    await sees(other, '#messages .body', 'Lifts are out of order');
    await ticksGoOn(other);
  });
});

/** Calls the admin API; resolves to the status. */
async function act({ url }: Server, method: string, path: string, body?: object): Promise<number> {
  const headers = { authorization: `Bearer ${TOKEN}` };
  return (
    await fetch(`${url}/admin${path}`, { method, headers, ...(body && { body: JSON.stringify(body) }) })
  ).status;
}
