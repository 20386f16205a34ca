// Takes pictures of the pages from a running server with Chromium. Needs a build.
//   node scripts/write-picture.mjs                    docs/room.png, the picture in README.md
//   node scripts/write-picture.mjs --all /tmp/pictures  every size, theme and state, to look at
import { mkdirSync } from 'node:fs';
import { createServer } from 'node:http';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { chromium } from 'playwright-core';
import { createBelfry } from '../dist/server.js';

const { values } = parseArgs({ options: { all: { type: 'string' }, only: { type: 'string', default: '' } } });
const README_PICTURE = fileURLToPath(new URL('../docs/room.png', import.meta.url));
const SIZES = [
  ['390', 390, 844],
  ['1280', 1280, 720],
  ['1080p', 1920, 1080],
  ['4k', 3840, 2160],
];

/** Values that move, so that a sparkline has something to show. */
const moving = {
  outdoors: (step) => ({ value: Math.round((7.5 + Math.sin(step / 4) + (step % 3) / 5) * 10) / 10, unit: '°C' }),
  visitors: (step) => 1284 + step * 3 + (step % 4),
  queue: (step) => 42 + Math.round(8 * Math.sin(step / 3)),
  solar: (step) => ({ value: Math.round((3.2 + Math.cos(step / 5)) * 10) / 10, unit: 'kW' }),
};
const startedAt = Date.now();
const upstream = createServer(({ url = '' }, response) => {
  const name = url.slice(1);
  response.setHeader('Content-Type', 'application/json');
  response.end(JSON.stringify(moving[name]?.(Math.floor((Date.now() - startedAt) / 300)) ?? null));
});
await new Promise((resolve) => upstream.listen(0, '127.0.0.1', resolve));

const message = (name, data) => ({ name, every: '1s', feed: { type: 'message', data } });
const number = (name) => ({
  name,
  every: '300ms',
  feed: { type: 'http', url: `http://127.0.0.1:${upstream.address().port}/${name}` },
});
const few = [
  { name: 'clock', every: '3s', feed: { type: 'time', timezone: 'Europe/Berlin' } },
  number('outdoors'),
  number('visitors'),
  { name: 'tokyo', every: '5s', feed: { type: 'time', timezone: 'Asia/Tokyo' } },
  message('canteen', 'Lentil soup, rye bread'),
];
const many = [
  ...few,
  message('trains', [
    { to: 'Hamburg', at: '18:12', track: 7 },
    { to: 'München', at: '18:20', track: 3 },
    { to: 'Wien', at: '18:34', track: 11 },
  ]),
  message('build', { main: 'passed', release: 'running', nightly: 'failed' }),
  number('queue'),
  message('uptime', '99.98 %'),
  message('manual', 'https://wall.example.com/help'),
  number('solar'),
  message('room-4', 'free until 14:00'),
];

/** Each picture: which room, what is sent before it, and what happens to the server. */
const SCENES = {
  wall: { room: 'lobby', message: { title: 'Fire drill', text: 'Friday at 11:00, assembly point B', level: 'warning' } },
  quiet: { room: 'quiet' },
  many: { room: 'many', message: 'The delivery has arrived at the back door' },
  banners: { room: 'banners', message: { text: 'Welcome, class of 2026', level: 'success' } },
  late: { room: 'late' },
  lost: { room: 'lobby', isLost: true },
  closed: { room: 'closing', isClosed: true },
};

const config = {
  server: { port: 0, drainSeconds: 0 },
  rooms: [
    { match: 'lobby', publish: 'members', page: { title: 'Main lobby', locale: 'en-GB' } },
    ...['quiet', 'many', 'banners', 'late', 'closing'].map((match) => ({ match, page: { locale: 'en-GB' } })),
  ],
  schedules: [
    ...few.map((each) => ({ ...each, rooms: ['lobby', 'late', 'banners', 'closing'] })),
    ...many.map((each) => ({ ...each, name: `all-${each.name}`, rooms: ['many'] })),
    { ...few[0], name: 'time-only', rooms: ['quiet'] },
    { name: 'prices', every: '1s', rooms: ['late'], feed: { type: 'http', url: 'http://127.0.0.1:9/' } },
  ],
};

const belfry = createBelfry(config, { env: { BELFRY_ADMIN_TOKEN: 'pictures' } });
const { port } = await belfry.start();
const url = `http://127.0.0.1:${port}`;
const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
  args: ['--headless', '--no-sandbox', '--disable-gpu'],
});
const admin = (path, method, body) =>
  fetch(`${url}/admin${path}`, {
    method,
    headers: { Authorization: 'Bearer pictures' },
    ...(body && { body: JSON.stringify(body) }),
  });

async function take(scene, [, width, height], colorScheme, path) {
  const page = await browser.newPage({ viewport: { width, height }, colorScheme, locale: 'en-GB' });
  page.on('pageerror', (error) => console.error(`${path}: ${error}`));
  page.on('console', (said) => said.type() === 'error' && console.error(`${path}: ${said.text()}`));
  if (scene.isLost) {
    // After some seconds the connection ends, and there is no other.
    let count = 0;
    await page.routeWebSocket(/rooms/, (socket) => {
      count += 1;
      if (count > 1) return void socket.close({ code: 1012 });
      socket.connectToServer();
      setTimeout(() => void socket.close({ code: 1012 }), 4000);
    });
  }
  await page.goto(`${url}/rooms/${scene.room}?device=wall-1`);
  await page.locator('[data-state="live"], [data-state="late"]').first().waitFor({ state: 'attached' });
  // What it falls back to.
  if (scene.isLost) await page.route(/\/rooms\?/, (route) => route.abort());
  await delay(scene.isLost ? 14_000 : 6000);
  if (scene.isClosed) {
    await admin(`/rooms/${scene.room}?reason=closed+for+the+night&reconnect=false&lock=1s`, 'DELETE');
    await delay(2500);
  }
  await page.screenshot({ path });
  await page.close();
}

try {
  // Broadcast before anybody watches: the wall shows what it gets on joining.
  for (const { room, message: data } of Object.values(SCENES)) if (data) await admin('/broadcast', 'POST', { rooms: room, data });
  await admin('/broadcast', 'POST', { rooms: 'banners', key: 'lift', data: { title: 'Lift B', text: 'is out of order', level: 'critical' } });
  await admin('/broadcast', 'POST', { rooms: 'banners', key: 'door', data: 'The north door stays closed until Monday' });
  if (values.all === undefined) {
    await take(SCENES.wall, ['', 1280, 720], 'dark', README_PICTURE);
  } else {
    mkdirSync(values.all, { recursive: true });
    const jobs = [];
    for (const theme of ['light', 'dark'])
      for (const size of SIZES) jobs.push(['wall', size, theme]);
    for (const name of ['quiet', 'many', 'banners', 'late', 'lost'])
      for (const size of [SIZES[0], SIZES[2]]) jobs.push([name, size, 'dark']);
    jobs.push(['late', SIZES[2], 'light'], ['lost', SIZES[2], 'light'], ['closed', SIZES[2], 'dark']);
    for (const [name, size, theme] of jobs) {
      const file = `${name}-${theme}-${size[0]}.png`;
      if (file.includes(values.only)) await take(SCENES[name], size, theme, join(values.all, file));
    }
    for (const [width, theme] of [[1280, 'light'], [1280, 'dark'], [390, 'light']]) {
      const file = `front-${theme}-${width}.png`;
      if (!file.includes(values.only)) continue;
      const page = await browser.newPage({ viewport: { width, height: 800 }, colorScheme: theme });
      await page.goto(url);
      await page.screenshot({ path: join(values.all, file), fullPage: true });
      await page.close();
    }
  }
} finally {
  await browser.close();
  upstream.close();
  await belfry.stop(AbortSignal.abort());
}
