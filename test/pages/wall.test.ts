import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { embedded } from '../e2e/embedded.ts';
import { launchBrowser, requireTool } from '../helpers/browser.ts';

const chromium = requireTool('chromium');
const AXE = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');

/** A browser beside all other tests is slow. */
const PATIENCE_MS = 40_000;

const CLOCK = { name: 'clock', every: '1s', feed: { type: 'time', timezone: 'Asia/Tokyo' } };
const VALUES = [
  ['load', { value: 3.5, unit: 'kW' }],
  ['menu', 'Lentil soup'],
  ['trains', [{ to: 'Wien', at: '18:34' }]],
  ['build', { main: 'passed', nightly: 'failed' }],
  ['help', 'https://wall.example.com/help'],
].map(([name, data]) => ({ name, every: '1s', feed: { type: 'message', data } }));

describe.skipIf(!chromium)('the wall display', { timeout: 2 * PATIENCE_MS }, () => {
  let browser: Browser;
  beforeAll(async () => {
    browser = await launchBrowser(chromium ?? '');
  });
  afterAll(() => browser.close());

  /** What the pages complained about, in the order of time. */
  const complaints: string[] = [];

  async function screen(url: string, options: Parameters<Browser['newPage']>[0] = {}): Promise<Page> {
    const page = await browser.newPage({ locale: 'en-GB', ...options });
    onTestFinished(() => page.close());
    page.setDefaultTimeout(PATIENCE_MS);
    page.on('pageerror', (error) => complaints.push(String(error)));
    page.on('console', (said) => {
      if (/Content Security|Refused to|Trusted/.test(said.text())) complaints.push(said.text());
    });
    await page.goto(url);
    return page;
  }

  const isState = (page: Page, state: string, timeout = PATIENCE_MS) =>
    page.locator(`html[data-state="${state}"]`).waitFor({ state: 'attached', timeout });

  const sees = (page: Page, where: string, text: string | RegExp) =>
    page.locator(where).filter({ hasText: text }).first().waitFor({ state: 'visible' });

  /** How far the shown time is off in milliseconds, by the clock of this process, which is the server's. */
  async function offMs(page: Page): Promise<number> {
    const shown = await page.locator('.face time').getAttribute('dateTime');
    return Date.parse(shown ?? '') - Date.now();
  }

  async function expectRight(page: Page): Promise<void> {
    // It is written once a second, and read a little later.
    await expect.poll(() => offMs(page), { timeout: PATIENCE_MS }).toBeGreaterThan(-1500);
    expect(await offMs(page)).toBeLessThan(200);
  }

  const wall = (more: object = {}) => embedded({ schedules: [CLOCK, ...VALUES], ...more });

  test('shows the time of the feed within two seconds of opening, in its zone, and runs each second', async () => {
    const { url } = await wall({ schedules: [{ ...CLOCK, every: '10s' }] });
    const startedAtMs = Date.now();
    const page = await screen(`${url}/rooms/lobby`);
    await sees(page, '.face time', /^\d\d:\d\d:\d\d$/);
    // Beside other tests; alone it takes half a second.
    expect(Date.now() - startedAtMs).toBeLessThan(6000);
    const text = () => page.locator('.face time').textContent();
    const seen = new Set<string | null>();
    await expect.poll(async () => seen.add(await text()).size, { timeout: PATIENCE_MS }).toBeGreaterThan(3);
    const hour = new Date(Date.now()).toLocaleTimeString('en-GB', { timeZone: 'Asia/Tokyo' }).slice(0, 2);
    expect((await text())?.slice(0, 2)).toBe(hour);
    await sees(page, '.zone', 'Tokyo');
    await isState(page, 'live');
    await expectRight(page);
    expect(await page.title()).toBe('lobby · live');
  });

  test.each([20_000, -20_000, 3_600_000, -3_600_000])(
    'shows the right time where the clock of the computer is %i ms off, and set to it while open',
    async (ms) => {
      const { url } = await wall();
      const page = await screen('about:blank');
      const off = `{
        const now = Date.now.bind(Date);
        globalThis.step = 0;
        Date.now = () => now() + globalThis.step;
      }`;
      await page.addInitScript(off);
      await page.goto(`${url}/rooms/lobby`);
      await isState(page, 'live');
      await expectRight(page);
      await page.evaluate(`globalThis.step = ${ms}`);
      await expectRight(page);
      await page.addInitScript(`globalThis.step = ${ms}`);
      await page.reload();
      await isState(page, 'live');
      await expectRight(page);
    },
  );

  test('shows numbers, text, tables and links, in the order of the rule and under its title', async () => {
    const page = {
      title: 'Main hall',
      schedules: ['clock', 'menu', 'load', 'build'],
      hourCycle: 'h12',
      timezone: 'UTC',
    };
    const { url } = await wall({ rooms: [{ match: 'hall', page }] });
    const one = await screen(`${url}/rooms/hall`);
    await sees(one, 'h1', 'Main hall');
    await sees(one, '.card', '3.5');
    await expect.poll(() => one.locator('.card h2').allTextContents()).toEqual(['Menu', 'Load', 'Build']);
    await sees(one, '.unit', 'kW');
    await sees(one, '.face time', /^\d{1,2}:\d\d:\d\d [ap]m$/i);
    await sees(one, '.zone', 'UTC');
    const all = await screen(`${url}/rooms/lobby`);
    await sees(all, '.card a', 'wall.example.com/help');
    await sees(all, '.card td', '18:34');
  });

  test('shows the newest message, retained ones until they are withdrawn, and of several rooms each', async () => {
    const { url, admin } = await wall();
    const data = { title: 'Lift B', text: 'out of order', level: 'critical', link: 'javascript:alert(1)' };
    await admin('POST', '/broadcast', { rooms: ['a', 'b'], key: 'lift', data });
    await admin('POST', '/broadcast', { rooms: 'a', data: 'first' });
    await admin('POST', '/broadcast', { rooms: 'a', data: { text: '<img src=x onerror=alert(1)>' } });
    await admin('POST', '/broadcast', { rooms: 'b', data: { other: [1, 2] } });
    const page = await screen(`${url}/rooms?room=a&room=b`);
    await sees(page, '.banners .critical', 'Lift B');
    await sees(page, 'article', '<img src=x');
    await sees(page, 'article', 'other: [1,2]');
    expect(await page.locator('article .room').allTextContents()).toEqual(['a', 'b']);
    expect(await page.locator('main a[href^="javascript"], main img').count()).toBe(0);
    await admin('DELETE', '/retained/lift');
    await page.locator('.banners').waitFor({ state: 'detached' });
  });

  test('obeys commands for displays, once, and from the server alone', async () => {
    const { url, admin } = await wall();
    const page = await screen(`${url}/rooms/lobby?device=door-3`);
    await isState(page, 'live');
    await admin('POST', '/broadcast', { devices: 'door-3', event: 'display.identify', data: { seconds: 1 } });
    await sees(page, '.overlay', 'door-3');
    await page.locator('.overlay').waitFor({ state: 'detached' });
    await admin('POST', '/broadcast', {
      rooms: 'lobby',
      event: 'display.message',
      data: { text: 'Please leave', seconds: 1 },
    });
    await sees(page, '.overlay', 'Please leave');
    await page.evaluate('globalThis.mark = 1');
    await admin('POST', '/broadcast', { rooms: 'lobby', event: 'display.reload', data: null });
    await expect.poll(() => page.evaluate('globalThis.mark'), { timeout: PATIENCE_MS }).toBeUndefined();
    await isState(page, 'live');
    // It is replayed to the page that was loaded again, which does not reload for ever.
    await page.evaluate('globalThis.mark = 2');
    const before = await page.locator('.face time').getAttribute('dateTime');
    await expect
      .poll(async () => Date.parse((await page.locator('.face time').getAttribute('dateTime')) ?? ''), {
        timeout: PATIENCE_MS,
      })
      .toBeGreaterThan(Date.parse(before ?? '') + 4000);
    expect(await page.evaluate('globalThis.mark')).toBe(2);
  });

  test.each([
    [390, 844],
    [1280, 720],
    [1920, 1080],
    [3840, 2160],
  ])('fits a screen of %i × %i pixels: the time on one line, no scroll bar', async (width, height) => {
    const { url, admin } = await wall();
    await admin('POST', '/broadcast', { rooms: 'lobby', data: 'word '.repeat(200) });
    await admin('POST', '/broadcast', { rooms: 'lobby', key: 'k', data: 'banner '.repeat(50) });
    const page = await screen(`${url}/rooms/lobby`, { viewport: { width, height } });
    await isState(page, 'live');
    await sees(page, 'article', 'word');
    await sees(page, '.banners', 'banner');
    const fits = await page.evaluate(`{
      const time = document.querySelector('.face time');
      const { left, right, height } = time.getBoundingClientRect();
      const { clientWidth, clientHeight, scrollWidth, scrollHeight } = document.documentElement;
      const lineHeight = Number.parseFloat(getComputedStyle(time).fontSize) * 1.5;
      [scrollWidth <= clientWidth, scrollHeight <= clientHeight, left >= 0, right <= clientWidth, height < lineHeight]
    }`);
    expect(fits).toEqual([true, true, true, true, true]);
  });

  test.each([
    ['the wall', '/rooms/lobby', '[data-state="live"] .card'],
    ['the inspector', '/rooms/lobby?inspect', '.tick'],
    ['the front page', '/', 'h1'],
  ])('%s has no fault that axe finds, in light and dark', async (_, path, selector) => {
    const { url, admin } = await wall();
    await admin('POST', '/broadcast', { rooms: 'lobby', data: { text: 'hello', level: 'warning' } });
    await admin('POST', '/broadcast', {
      rooms: 'lobby',
      key: 'k',
      data: { text: 'hello', level: 'critical' },
    });
    for (const colorScheme of ['light', 'dark'] as const) {
      const page = await screen(url + path, { colorScheme });
      await page.locator(selector).first().waitFor();
      // Through the debugger, as the page's policy allows no script from elsewhere.
      await page.evaluate(AXE);
      const found: unknown = await page.evaluate(
        `axe.run().then(({ violations }) => violations.map(({ id, nodes }) => id + ' ' + nodes.map(({ html }) => html)))`,
      );
      expect(found).toEqual([]);
    }
  });

  test('never complained', () => {
    expect(complaints).toEqual([]);
  });
});

describe('what the wall loads', () => {
  test('is at most 40 KiB compressed, in all', async () => {
    const { url } = await embedded({});
    const load = async (path: string) => {
      const headers = { Accept: 'text/html', 'Accept-Encoding': 'br' };
      const answer = await fetch(`${url}${path}`, { headers });
      expect(answer.status).toBe(200);
      return answer;
    };
    const html = await (await load('/rooms/lobby')).text();
    const links = [...html.matchAll(/(?:src|href)="\.\.([^"]*)"/g)].map(([, link = '']) => link);
    expect(links.length).toBe(3);
    let bytes = html.length;
    for (const link of links) {
      const answer = await load(link);
      expect(answer.headers.get('content-encoding')).toBe('br');
      bytes += Number(answer.headers.get('content-length'));
    }
    expect(bytes).toBeGreaterThan(10_000);
    expect(bytes).toBeLessThanOrEqual(40 * 1024);
  });
});
