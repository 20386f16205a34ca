import { brotliDecompressSync, gunzipSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { createPages } from '../../src/pages/pages.ts';
import { embedded } from '../e2e/embedded.ts';

/** What the library may take of a page's load, in bytes. */
const MAX_GZIP_BYTES = 6300;
const MAX_BROTLI_BYTES = 5800;

describe('/client.js', () => {
  const pages = createPages();
  const as = (encoding: string) => pages.request('/client.js', { headers: { 'Accept-Encoding': encoding } });

  it('is small, and the same in each encoding', async () => {
    const plain = await (await pages.request('/client.js')).text();
    expect(plain).toContain('connect');
    const gzip = Buffer.from(await (await as('gzip')).arrayBuffer());
    const brotli = Buffer.from(await (await as('gzip, deflate, br')).arrayBuffer());
    expect(gunzipSync(gzip).toString()).toBe(plain);
    expect(brotliDecompressSync(brotli).toString()).toBe(plain);
    expect(gzip.length).toBeLessThanOrEqual(MAX_GZIP_BYTES);
    expect(brotli.length).toBeLessThanOrEqual(MAX_BROTLI_BYTES);
  });

  it.each([
    ['', null],
    ['identity', null],
    ['gzip;q=0', null],
    ['br;q=0, gzip', 'gzip'],
    ['gzip, br', 'br'],
  ])('with "Accept-Encoding: %s" is encoded as %s', async (accepted, encoding) => {
    const { headers } = await as(accepted);
    expect(headers.get('content-encoding')).toBe(encoding);
    expect(headers.get('content-type')).toBe('text/javascript; charset=utf-8');
    expect(headers.get('vary')).toContain('Accept-Encoding');
    expect(headers.get('cache-control')).toBe('no-cache');
  });

  it('is asked for again with its ETag, which says that it is the same', async () => {
    const etag = (await as('br')).headers.get('etag') ?? '';
    const headers = { 'Accept-Encoding': 'br', 'If-None-Match': etag };
    expect((await pages.request('/client.js', { headers })).status).toBe(304);
  });

  it('may be imported by pages of allowed origins, and of no others', async () => {
    const { url } = await embedded({ server: { allowedOrigins: ['https://wall.example.com'] } });
    const origin = async (name: string) => {
      const { status, headers } = await fetch(`${url}/client.js`, { headers: { Origin: name } });
      expect(status).toBe(200);
      expect(headers.get('vary')).toContain('Origin');
      return headers.get('access-control-allow-origin');
    };
    expect(await origin('https://wall.example.com')).toBe('https://wall.example.com');
    expect(await origin('https://evil.example.com')).toBeNull();
    expect((await fetch(`${url}/client.js`, { method: 'POST' })).status).toBe(405);
  });
});
