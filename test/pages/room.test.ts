import type { Browser, Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { launchBrowser, requireTool } from '../helpers/browser.ts';
import { closing, hello, message, type StubConnection, StubServer, tick } from './stub-server.ts';

const chromium = requireTool('chromium');

describe.skipIf(!chromium)('the inspector', () => {
  let browser: Browser;
  let page: Page;
  let server: StubServer;
  /** What the browser complained about: a policy that bars something, a script that throws. */
  let complaints: string[];

  beforeAll(async () => {
    browser = await launchBrowser(chromium ?? '');
  });
  afterAll(() => browser.close());

  beforeEach(async () => {
    server = new StubServer();
    await server.start();
    page = await browser.newPage();
    page.setDefaultTimeout(8000);
    complaints = [];
    page.on('pageerror', (error) => complaints.push(String(error)));
    page.on('console', (said) => {
      if (said.type() === 'error') complaints.push(said.text());
    });
  });
  afterEach(async () => {
    await page.close();
    await server.stop();
  });

  const sees = (where: string, text: string | RegExp) =>
    page.locator(where).filter({ hasText: text }).first().waitFor({ state: 'visible' });

  /** Opens the page and sends `hello` to its connection. */
  async function join(path = '/rooms/lobby?inspect'): Promise<StubConnection> {
    await page.goto(server.origin + path);
    const connection = await server.connection();
    connection.send(hello());
    await sees('#state', 'Open over WebSocket');
    return connection;
  }

  async function overSse(): Promise<StubConnection> {
    const first = await join();
    await page.getByLabel('SSE').check();
    await first.closed;
    const connection = await server.connection();
    connection.send(hello());
    await sees('#state', 'Open over SSE');
    return connection;
  }

  it('connects on load and shows the value, due and seq of each schedule', async () => {
    const connection = await join();
    connection.send(tick(0));
    connection.send(tick(1));
    connection.send(tick(0, { schedule: 'price', data: { text: '42 €' } }));
    await sees('.tick:has(h3:text-is("clock")) .value', '19:00:03');
    await sees('.tick:has(h3:text-is("clock")) .note', 'Europe/Berlin, 2026-11-20');
    await sees('.due', '2026-11-20T18:00:03.000Z');
    await sees('.seq', '598399201');
    await sees('.chain', 'unbroken, 2 seen');
    await sees('.tick:has(h3:text-is("price")) .value', '42 €');
    expect(await page.title()).toBe('lobby · Inspector');
    expect(complaints).toEqual([]);
  });

  it('shows the clocks of two schedules on one line each', async () => {
    await page.setViewportSize({ width: 1000, height: 800 });
    const connection = await join();
    connection.send(tick(0));
    connection.send(tick(0, { schedule: 'second' }));
    const clock = page.locator('.tick:has(h3:text-is("second")) .value');
    await clock.waitFor({ state: 'visible' });
    // One line of the largest font is 110 pixels high; two lines were 207.
    expect((await clock.boundingBox())?.height).toBeLessThan(150);
  });

  it('says when a tick was missed, and starts again when the schedule has changed', async () => {
    const connection = await join();
    connection.send(tick(0));
    connection.send({
      event: 'status',
      data: { schedule: 'clock', state: 'changed', since: '2026-11-20T18:00:05.000Z' },
    });
    connection.send(tick(3, { previousStep: 2 }));
    await sees('.chain', 'unbroken, 2 seen');
    connection.send(tick(6, { previousStep: 5 }));
    await sees('.chain', 'broken 1×');
    await sees('#log .failed', 'chain of clock broken before 2026-11-20T18:00:18.000Z');
  });

  it('shows that a schedule is in trouble until it is well', async () => {
    const connection = await join();
    const status = (state: string, reason: string | null) => ({
      event: 'status',
      data: { schedule: 'clock', state, since: '2026-11-20T18:00:05.000Z', lastGood: null, reason },
    });
    connection.send(status('error', 'http-status'));
    await sees('.tick .state', /error since .*: the source answered with an error/);
    await sees('#log .received', 'status · clock: error, the source answered with an error');
    connection.send(status('ok', null));
    await page.locator('.tick .state').waitFor({ state: 'hidden' });
  });

  it('shows what it is sent as text and never runs it', async () => {
    const evil = '<img src=x onerror="window.ran=true"><script>window.ran=true</script>';
    const connection = await join();
    connection.send(message(42, { text: evil }, { from: { connection: evil } }));
    connection.send(message(43, { other: evil }, { event: evil }));
    connection.send(tick(0, { schedule: evil, data: evil }));
    connection.send({ event: 'status', data: { schedule: evil, state: evil, since: evil, reason: evil } });
    connection.send({ reply: evil, error: { status: 400, title: evil, detail: evil } });
    connection.send(closing(4001, evil));
    connection.end(4001);
    await sees('#messages .body', evil);
    await sees('.tick .value', evil);
    await sees('#log .failed', evil);
    await sees('#state', `Closed: ${evil} (4001)`);
    expect(await page.locator('main img, main script').count()).toBe(0);
    expect(await page.evaluate('window.ran')).toBeUndefined();
  });

  it('publishes what is typed: JSON as it stands, the rest as text', async () => {
    const connection = await join();
    for (const typed of ['hello', '{"level":2}']) {
      await page.getByLabel('Text, or JSON').fill(typed);
      await page.getByRole('button', { name: 'Send' }).click();
    }
    await expect
      .poll(() => connection.sent)
      .toEqual([
        { action: 'publish', data: { text: 'hello' } },
        { action: 'publish', data: { level: 2 } },
      ]);
    connection.send({
      reply: 'publish',
      error: { status: 403, title: 'Forbidden', detail: 'set rooms[0].publish' },
    });
    await sees('#log .failed', 'publish: 403 Forbidden: set rooms[0].publish');
  });

  it('says why nothing can be sent where the rule of the room does not allow it', async () => {
    server.publish = { allowed: false, detail: 'rooms[0].publish is "nobody"' };
    await join();
    await sees('#hint', 'Sending: rooms[0].publish is "nobody".');
    expect(await page.getByRole('button', { name: 'Send' }).isDisabled()).toBe(true);
  });

  it('shows a message once though it is sent again', async () => {
    const connection = await join();
    connection.send(message(42, { text: 'once' }));
    connection.send(message(42, { text: 'once' }, { replay: true }));
    connection.send(message(43, { text: 'then' }));
    await sees('#messages .body', 'then');
    expect(await page.locator('#messages .body').allTextContents()).toEqual(['then', 'once']);
  });

  it('closes with 1000 when asked to, stays away, and opens again', async () => {
    const connection = await join();
    await page.getByRole('button', { name: 'Close' }).click();
    expect(await connection.closed).toBe(1000);
    await sees('#state', 'Closed: closed here');
    expect(server.unexpected).toBe(0);
    await page.getByRole('button', { name: 'Open' }).click();
    await server.connection();
    await sees('#state', 'Open over WebSocket');
  });

  it('comes back when `closing` says, from the last id that it has seen', async () => {
    const connection = await join();
    connection.send(message(42, { text: 'hello' }));
    connection.send(closing(1012, 'server is restarting', 50));
    connection.end(1012);
    const again = await server.connection();
    expect(again.url).toBe('/rooms/lobby?since=k3f9-42');
    again.send(hello(false));
    await sees('#log .closed', 'with 1012: server is restarting');
    await sees('#log .failed', 'the server could not resume');
  });

  it.each([
    [4001, 'Closed: connection lost (4001)'],
    [4004, 'Closed: connection lost (4004)'],
    [1009, 'Waiting: connection lost (1009). Next try at'],
    [1012, 'Waiting: connection lost (1012). Next try at'],
    [4101, 'Waiting: connection lost (4101). Next try at'],
    [1006, 'Waiting: connection lost (1006). Next try at'],
  ])('after %i without a word it says "%s"', async (code, words) => {
    // The longest of its random delays: what it says would be gone too soon to be seen.
    await page.addInitScript(() => {
      Math.random = () => 0.999;
    });
    const connection = await join();
    connection.end(code);
    await sees('#state', words);
  });

  it('comes back at once after 4201', async () => {
    const connection = await join();
    connection.end(4201);
    await server.connection();
    await sees('#state', 'Open over WebSocket');
  });

  it('leaves a server that has gone silent', async () => {
    await page.goto(`${server.origin}/rooms/lobby?inspect`);
    const connection = await server.connection();
    connection.send({ ...hello(), data: { ...hello().data, heartbeatSeconds: 0.05 } });
    await connection.closed;
    await server.connection();
    await sees('#log .closed', 'nothing heard for 0.125 s');
  });

  it('says why it was refused, and tries again', async () => {
    server.refusing = { status: 403, detail: 'add it to server.allowedOrigins' };
    await page.goto(`${server.origin}/rooms/lobby?inspect`);
    await sees('#state', 'Waiting: 403 Refused: add it to server.allowedOrigins. Next try at');
    await page.getByLabel('SSE').check();
    await sees('#log li:first-child', '403 Refused');
    await sees('#state', 'Waiting: 403');
  });

  it('waits as long as a refusal says', async () => {
    server.refusing = { status: 423, headers: { 'Retry-After': '1' }, detail: 'room is locked' };
    await page.goto(`${server.origin}/rooms/lobby?inspect`);
    await sees('#state', 'Waiting: 423 Refused: room is locked. Next try at');
    server.refusing = undefined;
    await server.connection();
    await sees('#state', 'Open over WebSocket');
  });

  it('listens over SSE, where nothing can be sent', async () => {
    const connection = await overSse();
    connection.send(tick(0));
    connection.send(message(42, { text: 'over SSE' }));
    await sees('.due', '2026-11-20T18:00:00.000Z');
    await sees('#messages .body', 'over SSE');
    expect(await page.getByRole('button', { name: 'Send' }).isDisabled()).toBe(true);
    connection.send(closing(1012, 'server is restarting', 50));
    connection.end(1012);
    expect((await server.connection()).url).toBe('/rooms/lobby?since=k3f9-42');
    expect(complaints).toEqual([]);
  });

  it('says in words that it was told to stay away, and that it tries all the same', async () => {
    server.refusing = { status: 423, detail: 'closed for good' };
    await page.goto(`${server.origin}/rooms/lobby?inspect`);
    const words = 'The server said not to come back; this page tries once a minute all the same. Next try at';
    await sees('#state', `Closed: 423 Refused: closed for good. ${words}`);
    await page.getByRole('button', { name: 'Close' }).click();
    await sees('#state', 'Closed: closed here');
  });

  it('shows a retained message until it is replaced, withdrawn or over', async () => {
    const connection = await join();
    connection.send(message(42, { text: 'first' }, { key: 'door' }));
    connection.send(message(43, { text: 'second' }, { key: 'door' }));
    connection.send(message(44, { text: 'over' }, { key: 'other', until: '2026-11-20T17:59:59.000Z' }));
    await sees('#messages .body', 'second');
    expect(await page.locator('#messages .body').allTextContents()).toEqual(['second']);
    connection.send(message(45, { key: 'door' }, { event: 'withdrawn' }));
    await expect.poll(() => page.locator('#messages .body').count()).toBe(0);
  });

  it('takes a retained message away by itself when it ends by the server’s clock', async () => {
    const connection = await join();
    const serverNow = Date.parse('2031-05-01T12:00:00.000Z');
    const at = (ms: number) => new Date(serverNow + ms).toISOString();
    connection.send({ ...hello(), time: at(0) });
    connection.send(message(42, { text: 'over' }, { key: 'over', until: at(-1) }));
    connection.send(message(43, { text: 'ends soon' }, { key: 'soon', until: at(2500) }));
    connection.send(message(44, { text: 'stays' }, { key: 'stays', until: at(3_600_000) }));
    await sees('#messages', 'stays');
    expect(await page.locator('#messages .body').allTextContents()).toEqual(['stays', 'ends soon']);
    const shown = () => page.locator('#messages .body').allTextContents();
    await expect.poll(shown, { timeout: 15_000 }).toEqual(['stays']);
  });

  it('stays away from SSE where `closing` says so', async () => {
    const connection = await overSse();
    connection.send(closing(4001, 'closed for the night'));
    connection.end(4001);
    await sees('#state', 'Closed: closed for the night (4001)');
    expect(server.unexpected).toBe(0);
  });

  it('keeps a path prefix and the query', async () => {
    server.prefix = '/wall';
    const connection = await join('/wall/rooms/lobby?device=door%203&inspect');
    expect(connection.url).toBe('/wall/rooms/lobby?device=door+3');
    await sees('h1', 'lobby');
    expect(complaints).toEqual([]);
  });

  it('sends the token of its address as a subprotocol, and over SSE in a header', async () => {
    const socket = await join('/rooms/lobby?inspect&device=hall&access_token=eyJ.a-b_c.d');
    expect(socket.protocols).toBe('belfry, bearer.eyJ.a-b_c.d');
    expect(socket.url).toBe('/rooms/lobby?device=hall');
    await page.getByLabel('SSE').check();
    const stream = await server.connection();
    expect(stream.url).toBe('/rooms/lobby?device=hall&since=k3f9-41');
    expect(stream.authorization).toBe('Bearer eyJ.a-b_c.d');
    expect(complaints).toEqual([]);
  });

  it('leaves a token in the address that no subprotocol can carry', async () => {
    const { url, protocols } = await join('/rooms/lobby?inspect&access_token=a%20b');
    expect([url, protocols]).toEqual(['/rooms/lobby?access_token=a+b', undefined]);
  });

  it('forgets the oldest messages and lines', async () => {
    const connection = await join();
    for (let position = 1; position <= 300; position++)
      connection.send(message(position, { text: `no. ${position}` }));
    await sees('#messages li:first-child', 'no. 300');
    expect(await page.locator('#messages li').count()).toBe(100);
    expect(await page.locator('#log li').count()).toBe(200);
  });
});
