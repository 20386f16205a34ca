// Writes docs/room.png, the picture in README.md, from a live room. Needs a build and Chromium.
import { readFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { chromium } from 'playwright-core';
import { createBelfry } from '../dist/server.js';

const top = new URL('../', import.meta.url);
const { rooms, schedules } = JSON.parse(readFileSync(new URL('belfry.json', top), 'utf8'));
const tokyo = { name: 'tokyo', every: '5s', feed: { type: 'time', timezone: 'Asia/Tokyo' } };
const belfry = createBelfry({
  server: { port: 0 },
  rooms,
  schedules: [...schedules, tokyo],
});
const { port } = await belfry.start();
const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
  args: ['--headless', '--no-sandbox', '--disable-gpu'],
});
try {
  const page = await browser.newPage({ viewport: { width: 1200, height: 696 }, colorScheme: 'light' });
  await page.goto(`http://127.0.0.1:${port}/rooms/lobby?device=wall-1`);
  // Long enough for a few ticks of each schedule.
  await delay(11_000);
  await belfry.publish({ target: { rooms: ['lobby'] }, event: 'notice', data: { text: 'Lunch is ready' } });
  await page.getByLabel('Text, or JSON').fill('On my way');
  await page.getByRole('button', { name: 'Send' }).click();
  await delay(1_500);
  await page.locator('#state').click();
  await page.screenshot({ path: fileURLToPath(new URL('docs/room.png', top)) });
} finally {
  await browser.close();
  await belfry.stop(AbortSignal.abort());
}
