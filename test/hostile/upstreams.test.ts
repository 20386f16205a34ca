import { once } from 'node:events';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer as createTcpServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { Upstream } from '../feed/upstream.ts';
import { SocketGuest } from '../helpers/guest.ts';
import { startServer, type TestServer } from '../helpers/server.ts';

/** Stands in everything that no listener must see. */
const SECRET = 'hush';

let folder: string;
let server: TestServer;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), `belfry-${SECRET}-`));
});
afterEach(async () => {
  await server.stop();
  rmSync(folder, { recursive: true });
});

/** A port of loopback where nothing listens. */
async function freePort(): Promise<number> {
  const probe = createTcpServer().listen(0, '127.0.0.1');
  await once(probe, 'listening');
  const { port } = probe.address() as { port: number }; // a TCP server has a port
  await new Promise((resolve) => probe.close(resolve));
  return port;
}

it('the events of a room say in a word why a feed fails, and nothing of the upstream', async () => {
  const json = { 'content-type': 'application/json', 'x-secret': SECRET };
  const upstream = await Upstream.start((request, response) => {
    const path = request.url ?? '';
    if (path.includes('/status')) response.writeHead(500, SECRET, json).end(SECRET);
    else if (path.includes('/garbage')) response.writeHead(200, json).end(`{"${SECRET}`);
    else if (path.includes('/large')) response.writeHead(200, json).end(`"${SECRET.repeat(100_000)}"`);
    else if (path.includes('/event')) response.writeHead(200, json).end(`"${SECRET.repeat(1000)}"`);
    else if (path.includes('/inside'))
      response.writeHead(302, { location: `http://10.0.0.7/${SECRET}` }).end();
    else if (path.includes('/circle')) response.writeHead(302, { location: path }).end();
    else if (path.includes('/latin')) response.end(Uint8Array.of(0x68, 0xff));
    else if (path.includes('/gone')) response.destroy();
    else if (path.includes('/pick')) response.writeHead(200, json).end(`{"${SECRET}":1}`);
    else if (path.includes('/interim')) for (let count = 0; count < 100; count++) response.writeContinue();
    // Anything else is never answered.
  });
  const path = (name: string) => join(folder, name);
  mkdirSync(path(`${SECRET}-folder`));
  writeFileSync(path(`${SECRET}.json`), `{"${SECRET}`);
  writeFileSync(path(`${SECRET}.txt`), SECRET);
  const http = (what: string, more = {}) => ({
    type: 'http',
    url: `${upstream.url(`/${SECRET}/${what}?key=${SECRET}`).replace('//', `//${SECRET}:${SECRET}@`)}`,
    headers: { 'x-key': SECRET },
    ...more,
  });
  const closed = await freePort();
  const shell = (script: string, more = {}) => ({
    type: 'command',
    argv: ['sh', '-c', `: ${SECRET}; ${script}`],
    ...more,
  });
  const faults: readonly (readonly [feed: object, reason: unknown])[] = [
    [{ type: 'http', url: `http://127.0.0.1:${closed}/${SECRET}` }, 'refused'],
    // Without a name server that may take its time.
    [{ type: 'http', url: `http://${SECRET}.invalid/` }, expect.stringMatching(/^(unreachable|timeout)$/)],
    [http('status'), 'http-status'],
    [http('garbage'), 'not-json'],
    [http('large'), 'too-large'],
    [http('event'), 'too-large'],
    [http('silent'), 'timeout'],
    [http('inside'), 'refused'],
    [http('circle'), 'http-status'],
    [http('latin'), 'not-text'],
    [http('gone'), 'unreachable'],
    [http('pick', { pick: `/${SECRET}-2` }), 'not-found'],
    [http('interim'), 'failed'],
    [{ type: 'file', path: path(`${SECRET}-missing`) }, 'not-found'],
    [{ type: 'file', path: path(`${SECRET}-folder`) }, 'failed'],
    [{ type: 'file', path: path(`${SECRET}.json`) }, 'not-json'],
    [{ type: 'file', path: path(`${SECRET}.txt`), maxBytes: 1 }, 'too-large'],
    [{ type: 'command', argv: [`${SECRET}-command`] }, 'not-found'],
    [{ type: 'command', argv: [path(`${SECRET}.txt`)] }, 'refused'],
    [shell(`echo ${SECRET} >&2; exit 3`), 'failed'],
    [shell('kill -KILL $$'), 'failed'],
    [shell(`echo ${SECRET}; sleep 60`), 'timeout'],
    [shell('yes', { maxBytes: 1000 }), 'too-large'],
  ];
  const schedules = faults.map(([feed, reason], index) => {
    const timeout = reason === 'timeout' ? '500ms' : '10s';
    return { name: `s${index}`, every: '2s', timeout, event: 'value', feed };
  });
  server = await startServer(
    { limits: { eventBytes: 2000 }, schedules },
    { env: { PATH: process.env.PATH } },
  );
  const heard: object[] = [];
  const room = `${server.url}/rooms/lobby`;
  const guest = new SocketGuest(room);
  for (const [index, [feed, reason]] of faults.entries()) {
    const status = await guest.next(({ event, data }) => event === 'status' && data.schedule === `s${index}`);
    expect(status.data, JSON.stringify(feed)).toEqual({
      schedule: `s${index}`,
      state: 'error',
      since: expect.any(String),
      lastGood: null,
      reason,
    });
    heard.push(status);
  }
  // A client that joins gets all of it, over each transport.
  const late = new SocketGuest(room);
  for (const [index] of faults.entries()) {
    heard.push(await late.next(({ event, data }) => event === 'status' && data.schedule === `s${index}`));
  }
  const polled = await (await fetch(room)).text();
  const all = JSON.stringify([heard, guest.rest, late.rest]) + polled;
  const ports = [upstream.port, closed].map(String);
  for (const secret of [SECRET, folder, '127.0.0.1', '10.0.0.7', ...ports, 'argv', 'SIGKILL', 'exit code'])
    expect(all.includes(secret), secret).toBe(false);
  // Operators are told everything.
  const listed = await server.admin('/schedules?limit=1000');
  const items = listed.items as { name: string; reason: string; detail: string }[]; // as the API has it
  const detailOf = (index: number) => items.find(({ name }) => name === `s${index}`);
  for (const [index, [, reason]] of faults.entries()) {
    expect(detailOf(index)).toMatchObject({ name: `s${index}`, reason, detail: expect.stringMatching(/./) });
  }
  expect(detailOf(2)?.detail).toContain(`/${SECRET}/status answered 500`);
  expect(detailOf(19)?.detail).toBe(`"sh" ended with exit code 3: ${SECRET}`);
  await Promise.all([guest.leave(), late.leave()]);
}, 60_000);
