import { join } from 'node:path';
import { build } from 'esbuild';
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { embedded } from '../e2e/embedded.ts';
import { emptyFolder, start } from '../e2e/process.ts';
import { FLAGS, launchBrowser, requireTool } from '../helpers/browser.ts';
import { blocks, TOP } from './documents.ts';

const chromium = requireTool('chromium');
const ADDRESS = '127.0.0.1:8080';
const PATIENCE = { timeout: 40_000 };
const CONFIG = { schedules: [{ name: 'clock', every: '300ms', feed: { type: 'time' } }] };

describe.skipIf(!chromium)('docs/dashboards.md', { timeout: 2 * PATIENCE.timeout }, () => {
  let browser: Browser;
  beforeAll(async () => {
    browser = await launchBrowser(chromium ?? '');
  });
  afterAll(() => browser.close());

  test.each([
    ['React', 'jsx framework'],
    ['Vue', 'js framework'],
  ])('has a dashboard in %s that shows the time, its freshness and messages', async (_, kind) => {
    const { url, belfry, admin } = await embedded(CONFIG);
    const [code = ''] = blocks(kind);
    const page = await opened(`${url}/livez`, await bundled(code.replace(ADDRESS, new URL(url).host)));
    await page.locator('h1.live', { hasText: /^\d{4}-.*T.*\d{2}:\d{2}$/ }).waitFor();
    await admin('POST', '/broadcast', { data: { text: 'Lunch' } });
    await page.locator('p', { hasText: 'Lunch' }).waitFor();
    await belfry.stop();
    await page.locator('h1.stale').waitFor();
  });

  test('has a line that shows a room on a screen', async () => {
    const { url, admin } = await embedded(CONFIG);
    const [line = ''] = blocks('sh kiosk');
    expect(line).toMatch(/^chromium /);
    const flags = [...FLAGS, `--user-data-dir=${emptyFolder()}`].join(' ');
    const command = line.replace('chromium', `exec ${chromium} ${flags}`).replace(ADDRESS, new URL(url).host);
    start('bash', ['-c', command], { group: true });
    const found = async () => (await admin('GET', '/connections?device=wall-1')).answer.items?.length;
    await expect.poll(found, PATIENCE).toBe(1);
  });

  /** A page of the server with nothing in it but this program and its place. */
  async function opened(url: string, program: string): Promise<Page> {
    const page = await browser.newPage({ bypassCSP: true });
    onTestFinished(() => page.close());
    page.setDefaultTimeout(PATIENCE.timeout);
    await page.goto(url);
    await page.evaluate(() => {
      const wall = document.createElement('div');
      wall.id = 'wall';
      document.body.append(wall);
    });
    await page.addScriptTag({ type: 'module', content: program });
    return page;
  }
});

/** As a bundler makes it of a program that imports the library and a framework. */
async function bundled(code: string): Promise<string> {
  const { outputFiles } = await build({
    stdin: { contents: code, loader: 'jsx', resolveDir: join(TOP, 'test/clients') },
    alias: { 'belfry/client': join(TOP, 'dist/client/index.js') },
    define: { 'process.env.NODE_ENV': '"production"' },
    bundle: true,
    format: 'esm',
    jsx: 'automatic',
    write: false,
    logLevel: 'error',
  });
  return outputFiles[0]?.text ?? '';
}
