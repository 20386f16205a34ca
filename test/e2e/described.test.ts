import { readFileSync } from 'node:fs';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { RawClient, request } from '../helpers/raw.ts';
import { startServer, type TestServer } from '../helpers/server.ts';

const file = readFileSync(new URL('../../openapi.yaml', import.meta.url), 'utf8');

let server: TestServer;
beforeEach(async () => {
  server = await startServer();
});
afterEach(() => server.stop());

describe('/openapi.yaml', () => {
  test('is the file, byte by byte', async () => {
    const response = await fetch(`${server.url}/openapi.yaml`);
    expect(response.headers.get('content-type')).toBe('application/yaml');
    expect(await response.text()).toBe(file);
  });

  test('is asked for again each time, and not sent again where it is the same', async () => {
    const { headers } = await fetch(`${server.url}/openapi.yaml`);
    expect(headers.get('cache-control')).toBe('no-cache');
    const again = await fetch(`${server.url}/openapi.yaml`, {
      headers: { 'If-None-Match': headers.get('etag') ?? '' },
    });
    expect([again.status, await again.text()]).toEqual([304, '']);
  });

  test('is not made again for each request: five hundred take no seconds', async () => {
    // Without bodies on the wire: what is measured is what the server does for each.
    const one = request('/openapi.yaml', {}, 'HEAD');
    const last = request('/openapi.yaml', { Connection: 'close' }, 'HEAD');
    const startedAt = performance.now();
    let answers = 0;
    // No socket has more than seventeen requests accepted at a time.
    for (let round = 0; round < 50; round++) {
      const heard = await new RawClient(server.port).say(one.repeat(9) + last).all();
      answers += heard.split('HTTP/1.1 200 OK').length - 1;
    }
    expect(performance.now() - startedAt).toBeLessThan(4000);
    expect(answers).toBe(500);
  });
});

test('/ leads programs to the lobby also where a proxy serves it under a path', async () => {
  const { status, headers } = await fetch(`${server.url}/`, { redirect: 'manual' });
  expect(status).toBe(302);
  const location = headers.get('location') ?? '';
  expect(new URL(location, 'https://example.com/').pathname).toBe('/rooms/lobby');
  expect(new URL(location, 'https://example.com/wall/').pathname).toBe('/wall/rooms/lobby');
});
