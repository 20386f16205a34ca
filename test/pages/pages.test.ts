import { describe, expect, it } from 'vitest';
import { createPages, roomPage } from '../../src/pages/pages.ts';

describe('roomPage', () => {
  it('keeps the page out of caches and has the headers it is given', async () => {
    const { headers } = roomPage({ 'Permissions-Policy': 'camera=()' });
    expect(Object.fromEntries(headers)).toEqual({
      'content-type': 'text/html; charset=utf-8',
      'cache-control': 'no-store',
      vary: 'Accept, Origin',
      'permissions-policy': 'camera=()',
    });
  });

  it('loads nothing but what createPages serves, by relative links', async () => {
    const links = [...(await roomPage({}).text()).matchAll(/(?:src|href)="([^"]*)"/g)].map(
      ([, link]) => link ?? '',
    );
    expect(links.length).toBeGreaterThan(0);
    const pages = createPages();
    for (const link of links) {
      expect(link).toMatch(/^\.\.\/pages\//);
      const answer = await pages.request(new URL(link, 'http://127.0.0.1/rooms/lobby'));
      expect(answer.status, link).toBe(200);
    }
  });
});

describe('createPages', () => {
  const pages = createPages();

  it.each([
    ['/pages/room.css', 'text/css; charset=utf-8'],
    ['/pages/client/room.js', 'text/javascript; charset=utf-8'],
    ['/pages/icon.svg', 'image/svg+xml'],
  ])('serves %s with its type', async (path, type) => {
    const answer = await pages.request(path);
    expect(answer.headers.get('content-type')).toBe(type);
    expect(answer.headers.get('cache-control')).toBe('no-cache');
    expect(await answer.text()).not.toBe('');
  });

  it('answers 304 to a browser that has it already', async () => {
    const etag = (await pages.request('/pages/client/room.js')).headers.get('etag') ?? '';
    const again = await pages.request('/pages/client/room.js', { headers: { 'If-None-Match': etag } });
    expect(again.status).toBe(304);
    const other = await pages.request('/pages/client/room.js', { headers: { 'If-None-Match': '"other"' } });
    expect(other.status).toBe(200);
  });

  it('answers HEAD as GET, without the body', async () => {
    const answer = await pages.request('/pages/room.css', { method: 'HEAD' });
    expect([answer.status, answer.headers.get('content-type')]).toEqual([200, 'text/css; charset=utf-8']);
    expect(await answer.text()).toBe('');
  });

  it.each(['/pages/', '/pages/room.html', '/pages/pages.js', '/pages/..%2fpackage.json'])(
    'has nothing at %s',
    async (path) => expect((await pages.request(path)).status).toBe(404),
  );
});
