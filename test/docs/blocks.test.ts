import { execFile } from 'node:child_process';
import { mkdirSync, readFileSync, symlinkSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { EventSource } from 'eventsource';
import { describe, expect, onTestFinished, test } from 'vitest';
import { WebSocket } from 'ws';
import { parseConfig } from '../../src/config/parse.ts';
import { feedKinds } from '../../src/feed/kinds.ts';
import { Collected } from '../e2e/collected.ts';
import { type Embedded, embedded, TOKEN } from '../e2e/embedded.ts';
import { isTick, type Received, visit } from '../e2e/listeners.ts';
import { emptyFolder, fileWith, ownEnv, start } from '../e2e/process.ts';
import { launchBrowser, requireTool } from '../helpers/browser.ts';
import { BLOCKS, blocks, shapeOf, TOP } from './documents.ts';

const chromium = requireTool('chromium');

const run = promisify(execFile);
const WITH_COMMANDS = [...new Set(BLOCKS.filter(({ kind }) => kind === 'sh run').map(({ path }) => path))];
const ADDRESS = /(?<=\/\/)127\.0\.0\.1:8080/g;

/** Every block of code in README.md and docs/ is tried. */
describe('the blocks of the documents', () => {
  test('are all of a kind that a test tries', () => {
    const tried = [
      'sh run',
      'sh stream',
      'sh serve',
      'js browser',
      'js dashboard',
      'js program',
      'json config',
      ...[
        ...['tick', 'message', 'retained', 'withdrawn'],
        ...['status', 'hello', 'heartbeat', 'closing', 'error'],
      ].map((name) => `json ${name}`),
    ];
    // In e2e/proxies.test.ts, tokens.test.ts, protocol.test.ts and dashboards.test.ts.
    const elsewhere = [
      'nginx',
      'haproxy',
      'caddyfile',
      'text',
      'json access',
      'sh token',
      'js client',
      'text exchange',
      'jsx framework',
      'js framework',
      'sh kiosk',
    ];
    const others = BLOCKS.filter(({ kind }) => ![...tried, ...elsewhere].includes(kind));
    // `npm start` is tried in e2e/npm-start.test.ts; the second is how these tests are run.
    expect(others.map(({ text }) => text)).toEqual([
      'npm ci && npm start\n',
      'npm ci && npm test\n',
      'npm install ../belfry @hono/node-server@1\n',
    ]);
    for (const kind of tried) expect(blocks(kind), kind).not.toEqual([]);
  });

  test('show configurations without faults', () => {
    const env = { OPS_TOKEN: 'a', MONITOR_TOKEN: 'b', PRICES_TOKEN: 'c', KIOSK_TOKEN: 'd' };
    for (const text of blocks('json config')) {
      expect(() => parseConfig(JSON.parse(text), { feedKinds, env })).not.toThrow();
    }
  });

  test('show objects with the fields that a client receives', async () => {
    const schedules = [
      { name: 'clock', every: '200ms', rooms: ['lobby'], feed: { type: 'time' } },
      { name: 'prices', every: '200ms', rooms: ['lobby'], feed: { type: 'file', path: 'missing' } },
    ];
    const server = { heartbeatSeconds: 0.3 };
    const rooms = [{ match: '*', publish: 'members' }];
    const { url, admin } = await embedded({ server, rooms, schedules });
    const member = await visit(`${url}/rooms/lobby`);
    const quiet = await visit(`${url}/rooms/quiet`);
    const { received } = member;
    expect((await admin('POST', '/broadcast', { rooms: 'lobby', data: 'hi' })).status).toBe(200);
    await admin('POST', '/broadcast', { rooms: 'lobby', data: 'soup', key: 'lunch', ttl: '1h' });
    await admin('DELETE', '/retained/lunch');
    member.send({ action: 'publish', ref: 2 });
    const found = {
      hello: await received.find(({ event }) => event === 'hello'),
      tick: await received.find((one) => isTick(one) && one.tick?.previous !== null),
      message: await received.find(({ event }) => event === 'message'),
      retained: await received.find(({ key }) => key === 'lunch'),
      withdrawn: await received.find(({ event }) => event === 'withdrawn'),
      status: await received.find(({ event }) => event === 'status'),
      heartbeat: await quiet.received.find(({ event }) => event === 'heartbeat'),
      error: await received.find(({ ref }) => ref === 2),
    };
    expect((await admin('DELETE', '/rooms/lobby?reason=maintenance')).status).toBe(200);
    const closing = await received.find(({ event }) => event === 'closing');
    for (const [kind, object] of Object.entries({ ...found, closing })) {
      const shown = blocks(`json ${kind}`).map((text) => JSON.parse(text));
      for (const each of shown) expect(shapeOf(each), kind).toEqual(shapeOf(object));
    }
    // These are the same whenever they are sent.
    const shownClosing = JSON.parse(blocks('json closing')[0] ?? '');
    // Each member gets its own time.
    shownClosing.data.retryAfterMs = expect.any(Number);
    expect(closing).toEqual(shownClosing);
    expect(JSON.parse(blocks('json error')[0] ?? '').error).toEqual(found.error.error);
  });

  test.each(WITH_COMMANDS)('of %s are command lines that work one after the other', async (path) => {
    const lines = BLOCKS.filter((block) => block.path === path && block.kind === 'sh run')
      .flatMap(({ text }) => text.split('\n'))
      .filter((line) => line !== '' && !line.startsWith('#'));
    const { url } = await shipped();
    await visit(`${url}/rooms/lobby`);
    // A status of 400 or more is an error to curl then.
    const home = dirname(fileWith('fail\n', '.curlrc'));
    const options = { cwd: TOP, env: { ...ownEnv(), CURL_HOME: home, BELFRY_ADMIN_TOKEN: TOKEN } };
    for (const line of lines) {
      const text = line.replace(ADDRESS, new URL(url).host);
      const { stdout, stderr } = await run('bash', ['-c', text], options);
      expect(stderr, line).toBe('');
      expect(stdout, line).not.toBe('');
    }
  });

  test('have command lines that show what happens', async () => {
    const { url } = await shipped();
    for (const block of blocks('sh stream')) {
      const line = `exec ${block.trim().replace(ADDRESS, new URL(url).host)}`;
      const running = start('bash', ['-c', line], { cwd: TOP });
      await running.stdout.find((text) => text.includes('"unixMs"'));
      running.child.kill('SIGINT');
      await running.ended;
    }
  });

  test('have a command line that lets other machines connect', async () => {
    const line = (blocks('sh serve')[0] ?? '').trim().replace('--port 8080', '--port 0');
    // The shipped file, with a store that belongs to the test.
    const env = { BELFRY_CONFIG: fileWith(readFileSync(join(TOP, 'belfry.json'), 'utf8')) };
    const running = start('bash', ['-c', `${line} & wait`], { cwd: TOP, group: true, env });
    await running.stderr.find((text) => text === 'Any machine that reaches 0.0.0.0 can connect.');
  });

  test('have lines for a page that receive ticks, and what they publish themselves', async () => {
    const { url } = await shipped();
    const heard = new Collected<Received>();
    const opened: { close(): void }[] = [];
    onTestFinished(() => {
      for (const each of opened) each.close();
    });
    const kept = <Made extends { close(): void }>(made: Made): Made => {
      opened.push(made);
      return made;
    };
    // Both are made with `new`, which a function that returns an object allows.
    const parts = {
      WebSocket: function open(address: string) {
        return kept(new WebSocket(address));
      },
      EventSource: function open(address: string) {
        return kept(new EventSource(address));
      },
      console: { log: (object: Received) => heard.push(object) },
    };
    for (const block of blocks('js browser')) {
      const code = block.replace(ADDRESS, new URL(url).host);
      new Function(...Object.keys(parts), code)(...Object.values(parts));
    }
    await heard.several(3, ({ tick }) => tick !== undefined);
    await heard.find(({ reply, error }) => reply === 'publish' && error === undefined);
    await heard.several(3, ({ data }) => JSON.stringify(data) === '{"text":"hello"}');
  });

  test.skipIf(!chromium)('have lines for a dashboard that show messages and ticks', async () => {
    const { url, admin } = await shipped();
    const browser = await launchBrowser(chromium ?? '');
    onTestFinished(() => browser.close());
    for (const block of blocks('js dashboard')) {
      const page = await browser.newPage({ bypassCSP: true });
      const said = new Collected<string>();
      page.on('console', (message) => said.push(message.text()));
      page.on('pageerror', (error) => said.push(String(error)));
      await page.goto(`${url}/livez`);
      await page.addScriptTag({ type: 'module', content: block.replace(ADDRESS, new URL(url).host) });
      await said.find((text) => text.startsWith('clock'));
      await admin('POST', '/broadcast', { data: 'Lunch' });
      await said.find((text) => text === 'message Lunch');
    }
  });

  test('have programs that run to their end', async () => {
    expect(blocks('js program')).toHaveLength(3);
    const ended = blocks('js program').map(async (text) => {
      const program = fileWith(text, 'program.mjs');
      const folder = dirname(program);
      mkdirSync(join(folder, 'node_modules'));
      symlinkSync(TOP, join(folder, 'node_modules/belfry'));
      for (const name of ['@hono', 'zod'])
        symlinkSync(join(TOP, 'node_modules', name), join(folder, 'node_modules', name));
      const running = start(process.execPath, [program], { cwd: folder });
      expect(await running.ended).toBe(0);
      expect(running.stderr.all).toEqual([]);
      expect(running.stdout.all).toEqual([
        expect.stringMatching(/^http:\/\/127\.0\.0\.1:\d+\/rooms\/lobby$/),
        "lobby { text: 'up' }",
      ]);
    });
    await Promise.all(ended);
  });
});

/** A server with the shipped configuration, which a reload reads again. */
function shipped(): Promise<Embedded> {
  const config = JSON.parse(readFileSync(join(TOP, 'belfry.json'), 'utf8'));
  // Its store belongs to the test.
  const baseDirectory = emptyFolder();
  return embedded(config, { baseDirectory, source: { label: 'belfry.json', read: () => config } });
}
