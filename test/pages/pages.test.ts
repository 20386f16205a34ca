import { readdirSync } from 'node:fs';
import { brotliDecompressSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { createPages, page } from '../../src/pages/pages.ts';

describe('page', () => {
  it('keeps the page out of caches and has the headers it is given', async () => {
    const { headers } = page('inspector', 1, { 'Permissions-Policy': 'camera=()' });
    expect(Object.fromEntries(headers)).toEqual({
      'content-type': 'text/html; charset=utf-8',
      'cache-control': 'no-store',
      vary: 'Accept, Origin',
      'permissions-policy': 'camera=()',
    });
  });

  it.each([
    [1, '/rooms/lobby'],
    [1, '/wall/rooms/lobby'],
    [0, '/rooms'],
    [0, '/wall/rooms'],
  ] as const)('loads, %i folders below, nothing but what createPages serves: %s', async (top, at) => {
    const links = [...(await page('inspector', top, {}).text()).matchAll(/(?:src|href)="([^"?]+)"/g)];
    expect(links.length).toBeGreaterThan(0);
    const prefix = at.slice(0, at.indexOf('/rooms'));
    for (const [, link = ''] of links) {
      const { pathname } = new URL(link, `http://127.0.0.1${at}`);
      expect(pathname.startsWith(`${prefix}/pages/`), link).toBe(true);
      expect((await pages.request(pathname.slice(prefix.length))).status, link).toBe(200);
    }
  });
});

const pages = createPages();
const assets = readdirSync(new URL('../../dist/assets/', import.meta.url)).filter(
  (name) => !/\.(br|gz)$/.test(name),
);

describe('createPages', () => {
  const asset = (pattern: RegExp) => `/pages/${assets.find((name) => pattern.test(name))}`;

  it.each([
    [/^inspector-\w+\.css$/, 'text/css; charset=utf-8'],
    [/^inspector-\w+\.js$/, 'text/javascript; charset=utf-8'],
    [/^icon-\w+\.svg$/, 'image/svg+xml'],
  ])('serves %s with its type, to be kept for a year, and compressed', async (pattern, type) => {
    const plain = await pages.request(asset(pattern));
    expect(plain.headers.get('content-type')).toBe(type);
    expect(plain.headers.get('cache-control')).toBe('public, max-age=31536000, immutable');
    const text = await plain.text();
    expect(text).not.toBe('');
    const compressed = await pages.request(asset(pattern), { headers: { 'Accept-Encoding': 'gzip, br' } });
    expect(compressed.headers.get('content-encoding')).toBe('br');
    expect(brotliDecompressSync(await compressed.arrayBuffer()).toString()).toBe(text);
  });

  it('answers HEAD as GET, without the body', async () => {
    const answer = await pages.request(asset(/css$/), { method: 'HEAD' });
    expect([answer.status, answer.headers.get('content-type')]).toEqual([200, 'text/css; charset=utf-8']);
    expect(await answer.text()).toBe('');
  });

  it.each(['/pages/', '/pages/inspector.html', '/pages/pages.js', '/pages/..%2fpackage.json'])(
    'has nothing at %s',
    async (path) => expect((await pages.request(path)).status).toBe(404),
  );
});
